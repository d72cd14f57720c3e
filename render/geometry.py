"""Geometry of depth maps: normals, and which depths can be trusted.

Room: render. Imports cameras only (algorithms A12.2).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from render._point_kernels import planar_spread, surface_normals
from render.cameras import Cameras, unproject

EDGE = 0.05
"""Relative departure from the tangent plane, in inverse depth, beyond which a pixel is on an edge."""

NORMAL_EDGE = 0.2
"""Relative depth step to a neighbour beyond which a normal does not use it."""

MIN_INCIDENCE = 0.15
"""Cosine between the normal and the ray below which a depth is too slanted to trust."""


def normals(
    depth: Float[Tensor, "n h w 1"], cameras: Cameras, *, valid: Bool[Tensor, "n h w 1"] | None = None
) -> Float[Tensor, "n h w 3"]:
    """Unit normals in the world, towards the camera; zero where a pixel has no neighbour on its surface."""
    known = (depth > 0) & torch.isfinite(depth) if valid is None else valid
    points = unproject(torch.where(known, depth, torch.zeros_like(depth)), cameras)
    return normals_of_points(points, depth, cameras, valid=known)


def normals_of_points(
    points_world: Float[Tensor, "n h w 3"],
    depth: Float[Tensor, "n h w 1"],
    cameras: Cameras,
    *,
    valid: Bool[Tensor, "n h w 1"],
) -> Float[Tensor, "n h w 3"]:
    """What :func:`normals` returns, for a depth map that is lifted already."""
    result = np.empty(points_world.shape, dtype=np.float32)
    origins = cameras.origins.float().numpy()
    for i in range(len(cameras)):
        surface_normals(
            points_world[i].float().numpy(),
            depth[i, ..., 0].float().numpy(),
            valid[i, ..., 0].numpy(),
            np.float32(NORMAL_EDGE),
            origins[i],
            result[i],
        )
    return torch.from_numpy(result)


def off_edges(
    depth: Float[Tensor, "n h w 1"], valid: Bool[Tensor, "n h w 1"], *, radius: int = 2
) -> Bool[Tensor, "n h w 1"]:
    """Where a depth continues smoothly for ``radius`` pixels around.

    GEN3C compares depths in a 5 x 5 window, ``(max - min) / mean < 0.05``. At 128 px that drops most
    of a floor, so the window is compared with its tangent plane instead: the same test for a step,
    and none for a slant.
    """
    inverse = (
        torch.where(valid, 1.0 / depth.clamp_min(1e-12), torch.zeros_like(depth))[..., 0].float().numpy()
    )
    known = valid[..., 0].numpy()
    spread = np.empty(inverse.shape, dtype=np.float32)
    for i in range(len(inverse)):
        planar_spread(inverse[i], known[i], radius, spread[i])
    return torch.from_numpy(spread < EDGE)[..., None]


def incidence(
    world_normals: Float[Tensor, "n h w 3"], points_world: Float[Tensor, "n h w 3"], cameras: Cameras
) -> Float[Tensor, "n h w 1"]:
    """Cosine between each normal and the direction to its camera; 0 where there is no normal."""
    to_camera = cameras.origins[:, None, None] - points_world
    to_camera = to_camera / to_camera.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return (world_normals * to_camera).sum(dim=-1, keepdim=True)
