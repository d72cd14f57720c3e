"""Geometry of depth maps: normals, and which depths can be trusted.

Room: render. Imports cameras only (algorithms A12.2).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
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

SPECKLE = 0.1
"""Relative difference from the median of 3 x 3 pixels, in inverse depth, of what is no surface."""


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


def speckles(depth: Float[Tensor, "n h w 1"], valid: Bool[Tensor, "n h w 1"]) -> Bool[Tensor, "n h w 1"]:
    """Pixels that are far off their surroundings: outliers that would join a cache as points in the air."""
    h, w = depth.shape[1:3]
    inverse = torch.where(valid, 1.0 / depth.clamp_min(1e-12), torch.nan).permute(0, 3, 1, 2)
    around = F.unfold(F.pad(inverse, (1,) * 4, value=torch.nan), 3).view(-1, 9, h, w)
    middle = around.nanmedian(dim=1, keepdim=True).values
    return ((inverse - middle).abs() > SPECKLE * middle).permute(0, 2, 3, 1)


def continues_in_front(
    depth: Float[Tensor, "n h w 1"], smooth: Bool[Tensor, "n h w 1"], *, radius: int
) -> Bool[Tensor, "n h w 1"]:
    """Where a depth goes on from ``smooth`` ones nearby and something further lies beside it.

    That is the rim of a surface that hides another, as far as its depth can be told.
    """
    z = depth[..., 0]
    side = 2 * radius + 1
    furthest = torch.nn.functional.max_pool2d(z[:, None], side, stride=1, padding=radius)[:, 0]
    hides = furthest > (1.0 + EDGE) * z
    reach = radius + 1
    around = torch.nn.functional.pad(z.masked_fill(~smooth[..., 0], torch.inf), (reach,) * 4, value=torch.inf)
    h, w = z.shape[1:]
    goes_on = torch.zeros_like(hides)
    for i in range(2 * reach + 1):
        for j in range(2 * reach + 1):
            goes_on |= (around[:, i : i + h, j : j + w] - z).abs() < EDGE * z
    return (hides & goes_on)[..., None]


def incidence(
    world_normals: Float[Tensor, "n h w 3"], points_world: Float[Tensor, "n h w 3"], cameras: Cameras
) -> Float[Tensor, "n h w 1"]:
    """Cosine between each normal and the direction to its camera; 0 where there is no normal."""
    to_camera = cameras.origins[:, None, None] - points_world
    to_camera = to_camera / to_camera.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return (world_normals * to_camera).sum(dim=-1, keepdim=True)


def patch_axes(
    points_world: Float[Tensor, "n h w 3"],
    world_normals: Float[Tensor, "n h w 3"],
    depth: Float[Tensor, "n h w 1"],
    cameras: Cameras,
) -> Float[Tensor, "n h w 2 3"]:
    """What a pixel covers of its surface: from its point to the middle of the right and the lower side.

    The pixel's half-axes at the depth of the point, moved along the ray into the tangent plane. The
    plane's slant is limited to ``MIN_INCIDENCE``; without a normal, the patch faces the camera.
    """
    rays = points_world - cameras.origins[:, None, None]
    distance = rays.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    has_normal = (world_normals != 0).any(dim=-1, keepdim=True)
    facing = torch.where(has_normal, world_normals, -rays / distance)
    slant = -((facing * rays).sum(dim=-1, keepdim=True) / distance).clamp_max(-MIN_INCIDENCE) * distance
    axes = []
    for k in range(2):
        side = depth * (cameras.c2w[:, None, None, :3, k] / (2.0 * cameras.K[:, k, k])[:, None, None, None])
        axes.append(side + rays * ((facing * side).sum(dim=-1, keepdim=True) / slant))
    return torch.stack(axes, dim=-2)
