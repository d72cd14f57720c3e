"""Point rendering: a hard z-buffer that also says which point each pixel shows.

Room: render. Imports cameras only; the world cache draws itself with this (algorithms A12.1).
Deterministic: the nearest point wins, and of two at one depth the one with the lower index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from render._point_kernels import EMPTY, draw_points
from render.cameras import Cameras

NEAR = 1e-3
"""Points closer than this many world units to the image plane of a camera are not drawn."""

MIN_RADIUS_PX, MAX_RADIUS_PX = 0.5, 2.0
"""Limits of the drawn half-size of a point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointImage:
    """What a point cloud looks like from a batch of cameras."""

    depth: Float[Tensor, "n h w 1"]
    """Z-depth of the winning point; infinite where no point landed."""

    winner: Int[Tensor, "n h w"]
    """Index of the winning point; -1 where no point landed."""


def render_points(
    positions: Float[Tensor, "p 3"], cameras: Cameras, *, footprint: Float[Tensor, " p"]
) -> PointImage:
    """Draw points as squares that face the camera.

    Args:
        positions: world points.
        cameras: where to look from; CPU tensors.
        footprint: world size of the pixel that saw each point; half of it, projected and clipped to
            [0.5, 2] px, is the half-size of the square, so a surface stays closed when the camera
            comes up to four times closer.
    """
    shape = (len(cameras), cameras.height, cameras.width)
    depth = np.full(shape, np.inf, dtype=np.float32)
    winner = np.full(shape, EMPTY, dtype=np.int64)
    points = np.ascontiguousarray(positions.numpy(), dtype=np.float32)
    radii = np.ascontiguousarray(footprint.numpy() * np.float32(0.5), dtype=np.float32)
    w2c, K = cameras.w2c.float().numpy(), cameras.K.float().numpy()
    for i in range(len(cameras)):
        draw_points(points, radii, w2c[i], K[i], np.float32(NEAR), depth[i], winner[i])
    return PointImage(depth=torch.from_numpy(depth)[..., None], winner=torch.from_numpy(winner))


def render_points_twin(
    positions: Float[Tensor, "p 3"], cameras: Cameras, *, footprint: Float[Tensor, " p"]
) -> PointImage:
    """The same in plain torch: a minimum over packed (depth, index) keys. For tests and for GPUs."""
    parts = [
        _draw_one(positions.float(), footprint.float() * 0.5, cameras[i : i + 1]) for i in range(len(cameras))
    ]
    depth, winner = (torch.stack(column) for column in zip(*parts, strict=True))
    return PointImage(depth=depth[..., None], winner=winner)


def _draw_one(positions: Tensor, radii: Tensor, camera: Cameras) -> tuple[Tensor, Tensor]:
    w2c, K = camera.w2c[0].float(), camera.K[0].float()
    x, y, z = (
        w2c[r, 0] * positions[:, 0] + w2c[r, 1] * positions[:, 1] + w2c[r, 2] * positions[:, 2] + w2c[r, 3]
        for r in range(3)
    )
    shown = (z > NEAR).nonzero()[:, 0]
    x, y, z, radii = x[shown], y[shown], z[shown], radii[shown]
    u, v = K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]
    radius = (K[0, 0] * radii / z).clamp(MIN_RADIUS_PX, MAX_RADIUS_PX)
    keys = torch.full((camera.height * camera.width,), torch.iinfo(torch.int64).max, device=z.device)
    packed = (z.view(torch.int32).long() << 32) | shown
    reach = int(MAX_RADIUS_PX) + 1
    for di in range(-reach, reach + 1):
        for dj in range(-reach, reach + 1):
            i, j = v.floor() + di, u.floor() + dj
            inside = (i >= 0) & (j >= 0) & (i < camera.height) & (j < camera.width)
            inside &= (i >= (v - radius - 0.5).ceil()) & (i <= (v + radius - 0.5).floor()) | (di == 0)
            inside &= (j >= (u - radius - 0.5).ceil()) & (j <= (u + radius - 0.5).floor()) | (dj == 0)
            cell = (i[inside].long() * camera.width) + j[inside].long()
            keys.scatter_reduce_(0, cell, packed[inside], reduce="amin")
    empty = keys == torch.iinfo(torch.int64).max
    depth = (keys >> 32).int().view(torch.float32).masked_fill(empty, torch.inf)
    winner = (keys & 0xFFFFFFFF).masked_fill(empty, EMPTY)
    shape = (camera.height, camera.width)
    return depth.view(shape), winner.view(shape)
