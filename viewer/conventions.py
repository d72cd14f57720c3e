"""Conventions: our cameras as viser says them, and back.

Room: viewer; the one file that knows both. Viser's axes are OpenCV like ours, but a camera is a wxyz
quaternion, a position and a vertical field of view in radians, always centred and with square pixels.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from viser.transforms import SO3

from render.cameras import Cameras

GIMBAL = 0.05
"""Sine of the angle between view and up below which up says nothing about roll."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViserPose:
    """One camera in viser's words."""

    wxyz: Float64[np.ndarray, " 4"]
    """Camera-to-world rotation."""

    position: Float64[np.ndarray, " 3"]
    """World units."""

    fov: float
    """Vertical, in radians."""

    aspect: float
    """Width over height of what the camera sees, in angle and not in pixels."""

    @property
    def rotation(self) -> Float64[np.ndarray, "3 3"]:
        """Camera-to-world; the columns are right, down and forward."""
        return SO3(self.wxyz).as_matrix()

    def look_at(self, distance: float) -> Float64[np.ndarray, " 3"]:
        """The point ``distance`` ahead."""
        return self.position + distance * self.rotation[:, 2]


def poses_from_cameras(cameras: Cameras) -> list[ViserPose]:
    """What viser needs to stand where each camera stood. An off-centre principal point is lost."""
    c2w = cameras.c2w.detach().cpu().double().numpy()
    focal_x, focal_y = (cameras.K[:, i, i].detach().cpu().tolist() for i in range(2))
    wxyz = SO3.from_matrix(c2w[:, :3, :3]).wxyz
    return [
        ViserPose(
            wxyz=wxyz[i],
            position=c2w[i, :3, 3],
            fov=2.0 * math.atan(0.5 * cameras.height / focal_y[i]),
            aspect=(cameras.width / focal_x[i]) / (cameras.height / focal_y[i]),
        )
        for i in range(len(cameras))
    ]


def camera_from_pose(pose: ViserPose, *, width: int, height: int) -> Cameras:
    """One camera with square pixels that sees ``pose.fov`` from top to bottom; its aspect is the image's."""
    focal = 0.5 * height / math.tan(0.5 * pose.fov)
    c2w = torch.eye(4)
    c2w[:3, :3] = torch.from_numpy(pose.rotation)
    c2w[:3, 3] = torch.from_numpy(pose.position)
    K = torch.tensor([[focal, 0.0, 0.5 * width], [0.0, focal, 0.5 * height], [0.0, 0.0, 1.0]])
    return Cameras(c2w=c2w[None], K=K[None], width=width, height=height)


def cameras_ahead(camera: Cameras, *, n: int, step: float) -> Cameras:
    """``n`` cameras in a row along the view of a single one, the first already ``step`` ahead."""
    reach = step * torch.arange(1, n + 1, dtype=camera.c2w.dtype)
    c2w = camera.c2w.repeat(n, 1, 1)
    c2w[:, :3, 3] += reach[:, None] * camera.forwards
    return dataclasses.replace(camera, c2w=c2w, K=camera.K.repeat(n, 1, 1))


def up_of(pose: ViserPose, world_up: Float[Tensor, " 3"]) -> Float64[np.ndarray, " 3"]:
    """The up direction that gives ``pose`` its roll and is as near to the world's as that allows.

    Viser's orbit turns about this vector, so it should be the world's wherever the camera is level.
    """
    right, down = pose.rotation[:, 0], pose.rotation[:, 1]
    up = world_up.double().cpu().numpy()
    level = up - (up @ right) * right
    return -down if level @ -down < GIMBAL * np.linalg.norm(up) else level / np.linalg.norm(level)


def between(a: ViserPose, b: ViserPose, *, share: float) -> ViserPose:
    """The pose a ``share`` of the way from ``a`` to ``b``, turning the short way round."""
    start = SO3(a.wxyz)
    turn = (start.inverse() @ SO3(b.wxyz)).log()
    return ViserPose(
        wxyz=(start @ SO3.exp(share * turn)).wxyz,
        position=(1.0 - share) * a.position + share * b.position,
        fov=(1.0 - share) * a.fov + share * b.fov,
        aspect=b.aspect,
    )
