"""Cameras: where a picture was taken from, and how rays become pixels.

Room: render (ground floor). Imports nothing of ours; every other room may import this.
Axes are OpenCV: +x right, +y down, +z forward. Pixel (0, 0) has its centre at (0.5, 0.5).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

RIGID_TOLERANCE = 1e-3
"""How far ``R @ R.T`` may be from the identity before a pose is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cameras:
    """A batch of pinhole cameras sharing one image size, in pixels."""

    c2w: Float[Tensor, "n 4 4"]
    """Camera-to-world, rigid. Translation in world units."""

    K: Float[Tensor, "n 3 3"]
    """Intrinsics in pixels, zero skew. Never normalised by the image size."""

    width: int
    height: int

    def __len__(self) -> int:
        return len(self.c2w)

    def __getitem__(self, index: slice | list[int] | Tensor) -> Cameras:
        """A sub-batch; an ``int`` is refused because a batch axis is always present."""
        return dataclasses.replace(self, c2w=self.c2w[index], K=self.K[index])

    @property
    def w2c(self) -> Float[Tensor, "n 4 4"]:
        """World-to-camera, from the closed form of a rigid inverse."""
        rotation = self.c2w[:, :3, :3].mT
        w2c = torch.zeros_like(self.c2w)
        w2c[:, :3, :3] = rotation
        w2c[:, :3, 3] = -(rotation @ self.c2w[:, :3, 3:])[..., 0]
        w2c[:, 3, 3] = 1.0
        return w2c

    @property
    def origins(self) -> Float[Tensor, "n 3"]:
        """Camera centres in world units."""
        return self.c2w[:, :3, 3]

    @property
    def forwards(self) -> Float[Tensor, "n 3"]:
        """Unit viewing directions in the world."""
        return self.c2w[:, :3, 2]

    def to(self, device: torch.device | str) -> Cameras:
        """The same cameras with their tensors on ``device``."""
        return dataclasses.replace(self, c2w=self.c2w.to(device), K=self.K.to(device))


def intrinsics_from_fov(fov_x: float, *, width: int, height: int, n: int = 1) -> Float[Tensor, "n 3 3"]:
    """Intrinsics of ``n`` centred cameras with square pixels; ``fov_x`` is horizontal, in radians."""
    if not 0.0 < fov_x < math.pi:
        raise ValueError(f"a field of view must lie between 0 and 180 degrees, got {math.degrees(fov_x):g}")
    focal = 0.5 * width / math.tan(0.5 * fov_x)
    K = torch.tensor([[focal, 0.0, 0.5 * width], [0.0, focal, 0.5 * height], [0.0, 0.0, 1.0]])
    return K.expand(n, 3, 3).clone()


def resized(cameras: Cameras, *, width: int, height: int) -> Cameras:
    """The same views at another resolution; ``K`` scales with the image, corner to corner."""
    scale = torch.tensor([width / cameras.width, height / cameras.height, 1.0], dtype=cameras.K.dtype)
    K = cameras.K * scale.to(cameras.K.device)[:, None]
    return Cameras(c2w=cameras.c2w, K=K, width=width, height=height)


def with_size(cameras: Cameras, *, width: int, height: int) -> Cameras:
    """The same views for a picture of another shape: the vertical field of view is kept."""
    zoom = height / cameras.height
    K = cameras.K.clone()
    K[:, :2] *= zoom
    K[:, 0, 2] += 0.5 * (width - zoom * cameras.width)
    return Cameras(c2w=cameras.c2w, K=K, width=width, height=height)


def rows_of(cameras: Cameras, top: int, *, height: int) -> Cameras:
    """The same views, but only ``height`` rows of their pictures from row ``top`` on."""
    K = cameras.K.clone()
    K[:, 1, 2] -= top
    return Cameras(c2w=cameras.c2w, K=K, width=cameras.width, height=height)


def concatenated(parts: list[Cameras]) -> Cameras:
    """Several batches as one; they must share one image size."""
    sizes = {(part.width, part.height) for part in parts}
    if len(sizes) != 1:
        raise ValueError(f"cameras of one batch share one image size, got {sorted(sizes)}")
    return dataclasses.replace(
        parts[0],
        c2w=torch.cat([part.c2w for part in parts]),
        K=torch.cat([part.K for part in parts]),
    )


def checked(cameras: Cameras) -> Cameras:
    """Return ``cameras`` if they are usable; the door for files, GUI and network input.

    Raises:
        ValueError: if a pose is not finite or not rigid, or if ``K`` is normalised, skewed or has
            a focal length that is not positive.
    """
    if not (torch.isfinite(cameras.c2w).all() and torch.isfinite(cameras.K).all()):
        raise ValueError("a camera holds NaN or infinite numbers; every pose and K must be finite")
    rotation = cameras.c2w[:, :3, :3].double()
    identity = torch.eye(3, dtype=torch.float64, device=rotation.device)
    error = (rotation @ rotation.mT - identity).abs().amax() if len(cameras) else torch.tensor(0.0)
    bottom = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=cameras.c2w.dtype, device=cameras.c2w.device)
    is_proper = (torch.linalg.det(rotation) > 0).all() and (cameras.c2w[:, 3] - bottom).abs().le(1e-5).all()
    if error > RIGID_TOLERANCE or not is_proper:
        raise ValueError(
            f"c2w must be rigid (a proper rotation and a translation); R @ R.T is off by {float(error):.3g}"
        )
    focal = torch.stack([cameras.K[:, 0, 0], cameras.K[:, 1, 1]])
    if (focal <= 0).any():
        raise ValueError("focal lengths must be positive, in pixels")
    if cameras.K[:, :2, 2].abs().le(1.0).all() and min(cameras.width, cameras.height) > 4 and len(cameras):
        raise ValueError("K looks normalised by the image size; give it in pixels")
    if cameras.K[:, 0, 1].abs().gt(1e-3).any():
        raise ValueError("K has skew; only zero-skew pinhole cameras are supported")
    return cameras


def pixel_centres(cameras: Cameras) -> Float[Tensor, "h w 3"]:
    """Homogeneous pixel centres (u, v, 1), the same for every camera of the batch."""
    kind = {"dtype": cameras.K.dtype, "device": cameras.K.device}
    v, u = torch.meshgrid(
        torch.arange(cameras.height, **kind) + 0.5, torch.arange(cameras.width, **kind) + 0.5, indexing="ij"
    )
    return torch.stack([u, v, torch.ones_like(u)], dim=-1)


def rays_cam(cameras: Cameras) -> Float[Tensor, "n h w 3"]:
    """Ray directions in camera axes with z = 1, so that a ray times a z-depth is a point."""
    fx, fy = cameras.K[:, 0, 0], cameras.K[:, 1, 1]
    cx, cy = cameras.K[:, 0, 2], cameras.K[:, 1, 2]
    uv = pixel_centres(cameras)
    x = (uv[None, ..., 0] - cx[:, None, None]) / fx[:, None, None]
    y = (uv[None, ..., 1] - cy[:, None, None]) / fy[:, None, None]
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def unproject(depth: Float[Tensor, "n h w 1"], cameras: Cameras) -> Float[Tensor, "n h w 3"]:
    """Lift z-depth to world points."""
    axes, origin = cameras.c2w[:, None, :3, :3], cameras.c2w[:, None, None, :3, 3]
    return (rays_cam(cameras) * depth) @ axes.mT + origin


def project(
    points_world: Float[Tensor, "p 3"], cameras: Cameras
) -> tuple[Float[Tensor, "n p 2"], Float[Tensor, "n p 1"]]:
    """Pixel positions (u, v) and z-depths of world points in every camera.

    Points at or behind a camera have ``depth <= 0`` and meaningless pixel positions.
    """
    w2c = cameras.w2c
    points_cam = points_world @ w2c[:, :3, :3].mT + w2c[:, None, :3, 3]
    depth = points_cam[..., 2:]
    safe = torch.where(depth.abs() < 1e-12, torch.full_like(depth, 1e-12), depth)
    uvw = (points_cam / safe) @ cameras.K.mT
    return uvw[..., :2], depth
