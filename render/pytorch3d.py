"""Cameras for PyTorch3D, whose renderers may draw points and meshes for us, and back.

Room: render (ground floor). Imports cameras; every other room may import this. PyTorch3D itself is optional
and imported by :func:`to_pytorch3d` alone. Its camera axes are +x left, +y up, +z forward and its transforms
take row vectors; its screen is ours: pixels, +x right, +y down, (0.5, 0.5) the centre of the first
(docs/notes/cameras.md of PyTorch3D).
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from render.cameras import Cameras, checked


class ScreenArguments(NamedTuple):
    """What ``PerspectiveCameras`` is made from with ``in_ndc=False``."""

    R: Float[Tensor, "n 3 3"]
    """World to camera, for row vectors: ``x_cam = x_world @ R + T``."""

    T: Float[Tensor, "n 3"]
    focal_length: Float[Tensor, "n 2"]
    """In pixels."""

    principal_point: Float[Tensor, "n 2"]
    """In pixels from the upper left corner."""

    image_size: Int[Tensor, "n 2"]
    """Height and width."""


@runtime_checkable
class PerspectiveLike(Protocol):
    """PyTorch3D's ``PerspectiveCameras``, as far as they are read here."""

    R: Tensor
    T: Tensor
    focal_length: Tensor
    principal_point: Tensor
    image_size: Tensor | None

    def in_ndc(self) -> bool:
        """Whether focal length and principal point are in normalised device coordinates."""
        ...


def screen_arguments(cameras: Cameras) -> ScreenArguments:
    """What to make PyTorch3D's cameras from, that see what ``cameras`` see."""
    # Left and up for right and down: in camera axes, that is two columns of a row-vector transform.
    flip = torch.tensor([-1.0, -1.0, 1.0]).to(cameras.c2w)
    w2c, size = cameras.w2c, torch.tensor([cameras.height, cameras.width], device=cameras.c2w.device)
    return ScreenArguments(
        R=w2c[:, :3, :3].mT * flip,
        T=w2c[:, :3, 3] * flip,
        focal_length=torch.stack([cameras.K[:, 0, 0], cameras.K[:, 1, 1]], dim=-1),
        principal_point=cameras.K[:, :2, 2],
        image_size=size.expand(len(cameras), 2),
    )


def to_pytorch3d(cameras: Cameras) -> PerspectiveLike:
    """PyTorch3D's cameras, in screen space, that see what ``cameras`` see.

    Raises:
        ValueError: if PyTorch3D is not installed.
    """
    try:
        renderer = import_module("pytorch3d.renderer")
    except ImportError as error:
        raise ValueError("this needs PyTorch3D, which is built from source: see its INSTALL.md") from error
    arguments = screen_arguments(cameras)
    return renderer.PerspectiveCameras(**arguments._asdict(), in_ndc=False, device=cameras.c2w.device)


def from_pytorch3d(cameras: PerspectiveLike) -> Cameras:
    """Cameras that see what PyTorch3D's perspective cameras see, given in screen space or in its NDC.

    Raises:
        ValueError: if they have no image size, several, or no rigid pose.
    """
    if cameras.image_size is None:
        raise ValueError("PyTorch3D's cameras need an image_size before they can be converted")
    sizes = {(int(height), int(width)) for height, width in cameras.image_size.tolist()}
    if len(sizes) != 1:
        raise ValueError(f"cameras of one batch share one image size, got {sorted(sizes)}")
    ((height, width),) = sizes
    n, kind = len(cameras.R), cameras.R
    flip = torch.tensor([-1.0, -1.0, 1.0]).to(kind)
    c_from_w, offset = (cameras.R * flip).mT, cameras.T * flip
    c2w = torch.eye(4).to(kind).repeat(n, 1, 1)
    c2w[:, :3, :3] = c_from_w.mT
    c2w[:, :3, 3] = -(c_from_w.mT @ offset[..., None])[..., 0]

    focal, centre = cameras.focal_length.expand(n, 2), cameras.principal_point
    if cameras.in_ndc():
        # The shorter side is 2 long in NDC, which grows left and up from the middle.
        half = 0.5 * min(height, width)
        focal, centre = half * focal, 0.5 * torch.tensor([width, height]).to(kind) - half * centre
    K = torch.zeros_like(cameras.R)
    K[:, [0, 1], [0, 1]], K[:, :2, 2], K[:, 2, 2] = focal.to(kind), centre.to(kind), 1.0
    return checked(Cameras(c2w=c2w, K=K, width=width, height=height))
