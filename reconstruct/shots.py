"""Shots: pictures with depth of splats that were made elsewhere, from given cameras or from a ring.

Room: reconstruct; the command line may import this.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from reconstruct.formats.entries import evenly
from render.cameras import Cameras, intrinsics_from_fov
from render.frames import Frames
from render.gaussians import Gaussians
from render.gazes import looking_at
from render.paths import WORLD_UP
from render.splats import render_splats
from render.squares import central_cameras

FOV = math.radians(60.0)
ELEVATION = math.radians(20.0)
"""Of a ring, above its middle."""

INSIDE = 0.98
"""Share of the splats that every camera of a ring should have in view; some always float far away."""

ROOM = 1.05
"""Distance of a ring over the least with which that share fits."""

SOLID = 0.5
"""Opacity from which on a pixel has a depth."""

BEHIND = 0.5
"""Grey behind what is not solid."""


def ring_around(gaussians: Gaussians, *, n: int, size: int, up: Float[Tensor, " 3"] = WORLD_UP) -> Cameras:
    """``n`` square cameras on a level circle that look down at the middle of the splats.

    Raises:
        ValueError: if the splats are all in one place, so that nothing has a distance.
    """
    means = gaussians.means.double()
    ordered = means.sort(dim=0).values
    outside = round((1.0 - INSIDE) * (len(means) - 1))
    middle = 0.5 * (ordered[outside] + ordered[len(means) - 1 - outside])
    distances = (means - middle).norm(dim=1).sort().values
    radius = float(distances[round(INSIDE * (len(distances) - 1))])
    if radius < 1e-9 * max(1.0, float(means.abs().amax())):
        raise ValueError("the splats are all in one place; give cameras that see them")
    axis = torch.nn.functional.normalize(up.double(), dim=0)
    across = torch.linalg.cross(axis, torch.eye(3, dtype=torch.float64)[axis.abs().argmin()])
    across = torch.nn.functional.normalize(across, dim=0)
    angles = torch.arange(n, dtype=torch.float64)[:, None] * (2.0 * math.pi / n)
    around = angles.cos() * across + angles.sin() * torch.linalg.cross(axis, across)[None]
    away = math.cos(ELEVATION) * around + math.sin(ELEVATION) * axis
    c2w = torch.eye(4).repeat(n, 1, 1)
    c2w[:, :3, 3] = (middle + ROOM * radius / math.sin(0.5 * FOV) * away).float()
    K = intrinsics_from_fov(FOV, width=size, height=size, n=n)
    return looking_at(Cameras(c2w=c2w, K=K, width=size, height=size), middle.float(), up=up)


def square_views(cameras: Cameras, *, most: int, size: int) -> Cameras:
    """At most so many of some cameras, an even choice, that see the central squares of what those see."""
    return central_cameras(cameras[evenly(range(len(cameras)), most)], size)


def shot(gaussians: Gaussians, camera: Cameras, *, threads: int | None = None) -> Frames:
    """What one camera sees of splats; a batch of one, and valid wherever something solid is seen."""
    image = render_splats(
        gaussians, camera, background=torch.full((3,), BEHIND), threads=threads, median_depth=True
    )
    depth = image.depth if image.median_depth is None else image.median_depth
    valid = (image.alpha > SOLID) & (depth > 0.0)
    return Frames(
        rgb=image.rgb.clamp(0.0, 1.0),
        depth=depth.masked_fill(~valid, 0.0),
        valid=valid,
        confidence=valid.float(),
        cameras=camera,
    )
