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

from render._point_kernels import EMPTY, FLAT, OVERLAP, draw_range
from render.cameras import Cameras

NEAR = 1e-3
"""Points closer than this many world units to the image plane of a camera are not drawn."""

MAX_REACH_PX = 4.0
"""A patch covers no pixel further than this from its point, along a row or a column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointImage:
    """What a point cloud looks like from a batch of cameras."""

    depth: Float[Tensor, "n h w 1"]
    """Z-depth of the winning point; infinite where no point landed."""

    winner: Int[Tensor, "n h w"]
    """Index of the winning point; -1 where no point landed."""


def render_points(
    positions: Float[Tensor, "p 3"], cameras: Cameras, *, axes: Float[Tensor, "p 2 3"]
) -> PointImage:
    """Draw points as the patches of surface that they stand for.

    Args:
        positions: world points.
        cameras: where to look from; CPU tensors.
        axes: half-axes of the parallelogram around each point, world units. Where they are those of
            :func:`render.geometry.patch_axes`, a surface stays closed from wherever it is looked at,
            until the camera comes about eight times closer.
    """
    shape = (len(cameras), cameras.height, cameras.width)
    depth = np.full(shape, np.inf, dtype=np.float32)
    winner = np.full(shape, EMPTY, dtype=np.int64)
    points = np.ascontiguousarray(positions.numpy(), dtype=np.float32)
    patches = np.ascontiguousarray(axes.numpy(), dtype=np.float32)
    w2c, K = cameras.w2c.float().numpy(), cameras.K.float().numpy()
    near, reach, stretch = np.float32(NEAR), np.float32(MAX_REACH_PX), np.float32(1.0)
    for i in range(len(cameras)):
        draw_range(points, patches, 0, len(points), stretch, w2c[i], K[i], near, reach, depth[i], winner[i])
    return PointImage(depth=torch.from_numpy(depth)[..., None], winner=torch.from_numpy(winner))


def render_points_twin(
    positions: Float[Tensor, "p 3"], cameras: Cameras, *, axes: Float[Tensor, "p 2 3"]
) -> PointImage:
    """The same in plain torch: a minimum over packed (depth, index) keys. For tests and for GPUs."""
    parts = [_draw_one(positions.float(), axes.float(), cameras[i : i + 1]) for i in range(len(cameras))]
    depth, winner = (torch.stack(column) for column in zip(*parts, strict=True))
    return PointImage(depth=depth[..., None], winner=winner)


def _draw_one(positions: Tensor, axes: Tensor, camera: Cameras) -> tuple[Tensor, Tensor]:
    w2c, K = camera.w2c[0].float(), camera.K[0].float()
    x, y, z = (
        w2c[r, 0] * positions[:, 0] + w2c[r, 1] * positions[:, 1] + w2c[r, 2] * positions[:, 2] + w2c[r, 3]
        for r in range(3)
    )
    shown = (z > NEAR).nonzero()[:, 0]
    x, y, z = x[shown], y[shown], z[shown]
    u, v = K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]
    near_image = (u > -MAX_REACH_PX) & (u < camera.width + MAX_REACH_PX)
    near_image &= (v > -MAX_REACH_PX) & (v < camera.height + MAX_REACH_PX)
    sides = [_projected(axes[shown, k], x, y, z, w2c, K) for k in range(2)]
    (au, av), (bu, bv) = sides
    longest = torch.maximum(au.abs() + bu.abs(), av.abs() + bv.abs())
    shrink = (MAX_REACH_PX / longest).clamp_max(1.0)
    au, av, bu, bv = au * shrink, av * shrink, bu * shrink, bv * shrink
    area = float(OVERLAP) * (au * bv - av * bu).abs()
    is_wide = near_image & (longest > 0.5) & (area > float(FLAT))
    keys = torch.full((camera.height * camera.width,), torch.iinfo(torch.int64).max, device=z.device)
    packed = (z.view(torch.int32).long() << 32) | shown
    reach = int(MAX_REACH_PX) + 1
    for di in range(-reach, reach + 1):
        for dj in range(-reach, reach + 1):
            i, j = v.floor() + di, u.floor() + dj
            du, dv = j + 0.5 - u, i + 0.5 - v
            covered = is_wide & ((du * bv - dv * bu).abs() <= area) & ((dv * au - du * av).abs() <= area)
            covered |= near_image & (di == 0) & (dj == 0)
            covered &= (i >= 0) & (j >= 0) & (i < camera.height) & (j < camera.width)
            cell = (i[covered].long() * camera.width) + j[covered].long()
            keys.scatter_reduce_(0, cell, packed[covered], reduce="amin")
    empty = keys == torch.iinfo(torch.int64).max
    depth = (keys >> 32).int().view(torch.float32).masked_fill(empty, torch.inf)
    winner = (keys & 0xFFFFFFFF).masked_fill(empty, EMPTY)
    shape = (camera.height, camera.width)
    return depth.view(shape), winner.view(shape)


def _projected(
    axis: Tensor, x: Tensor, y: Tensor, z: Tensor, w2c: Tensor, K: Tensor
) -> tuple[Tensor, Tensor]:
    """World vectors at points (camera coordinates ``x``, ``y``, ``z``) as pixels, to first order."""
    dx, dy, dz = (w2c[r, 0] * axis[:, 0] + w2c[r, 1] * axis[:, 1] + w2c[r, 2] * axis[:, 2] for r in range(3))
    return K[0, 0] * (dx - x / z * dz) / z, K[1, 1] * (dy - y / z * dz) / z
