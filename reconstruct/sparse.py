"""Sparse: the first splats of a capture, from a few points or from none (algorithms, section 12.5).

Room: reconstruct; the command line may import this. Round splats as large as the gaps between points; a fit
gives them their shape and adds what is missing. Where no points are given, photographs are compared; where
that finds little, points are put anywhere.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import KDTree
from torch import Tensor

from reconstruct.formats.captures import Capture
from reconstruct.sweep import swept_points
from render.cameras import Cameras, project
from render.frames import Frames
from render.gaussians import Gaussians, sh_from_rgb
from render.splats import available_threads

NEIGHBOURS = 3
"""Points whose mean distance is the standard deviation of a first splat."""

OPACITY = 0.5

ENOUGH = 1_000
"""Points with which a fit can begin; more are put at random where there are fewer."""

NEAREST, FARTHEST = 0.25, 10.0
"""Depths at which points are looked for, over the size of the capture."""


def capture_scale(cameras: Cameras) -> float:
    """A length of the place: how far the farthest camera is from the middle of all, and a tenth more.

    Raises:
        ValueError: if all cameras stand in one place, so that nothing has a distance.
    """
    origins = cameras.origins.double()
    size = float((origins - origins.mean(dim=0)).norm(dim=1).amax())
    if size < 1e-9 * max(1.0, float(origins.abs().amax())):
        raise ValueError(
            "all photographs were taken from one place, so distances are unknown; move the camera"
        )
    return 1.1 * size


def first_splats(
    capture: Capture, *, most: int, scale: float, seed: int, threads: int | None = None
) -> Gaussians:
    """Splats to begin a fit with: from the capture's points, else from places found by comparing photographs.

    Args:
        capture: what was photographed.
        most: splats at most; an even choice of more points.
        scale: as ``capture_scale`` gives it.
        seed: decides where points are put that nobody knows a place for.
        threads: of the CPU's kernels; all cores where not given.

    Raises:
        ValueError: if fewer than four splats are wanted, or no two photographs look at one place.
    """
    if most <= NEIGHBOURS:
        raise ValueError(f"a capture takes at least {NEIGHBOURS + 1} splats, got {most}")
    points, rgb = capture.points, capture.rgb
    if len(points) <= NEIGHBOURS:
        points, rgb = swept_points(
            capture.frames, threads=available_threads() if threads is None else threads
        )
        if len(points) < ENOUGH:
            places, colours = scattered(capture.frames, ENOUGH - len(points), scale=scale, seed=seed)
            points, rgb = torch.cat([points, places]), torch.cat([rgb, colours])
    few = torch.arange(min(most, len(points))) * len(points) // min(most, len(points))
    return gaussians_from_sparse(points[few], rgb[few])


def gaussians_from_sparse(points: Float[Tensor, "p 3"], rgb: Float[Tensor, "p 3"]) -> Gaussians:
    """One round splat a point, as large as the mean distance of its three nearest neighbours.

    Raises:
        ValueError: if there are fewer than four points.
    """
    if len(points) <= NEIGHBOURS:
        raise ValueError(f"splats need at least {NEIGHBOURS + 1} points to begin with, got {len(points)}")
    places = points.double().numpy()
    distances, _ = KDTree(places).query(places, k=NEIGHBOURS + 1)
    gaps = torch.from_numpy(np.asarray(distances)[:, 1:].mean(axis=1)).float()
    # Points in one place have no gap between them, and a lone one must not cover the world.
    gaps = gaps.clamp(min=float(gaps.median()) * 1e-2 + 1e-12, max=float(gaps.quantile(0.99)))
    return Gaussians(
        means=points.clone(),
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(len(points), 4).clone(),
        log_scales=gaps.log()[:, None].expand(len(points), 3).clone(),
        logit_opacities=torch.full((len(points),), math.log(OPACITY / (1.0 - OPACITY))),
        sh=sh_from_rgb(rgb),
    )


def scattered(frames: Frames, count: int, *, scale: float, seed: int) -> tuple[Tensor, Tensor]:
    """Random points where at least two cameras look, and what colour they have there.

    Args:
        frames: posed photographs.
        count: points to return.
        scale: as ``capture_scale`` gives it.
        seed: decides which.

    Returns:
        places ``[p 3]`` and colours ``[p 3]``.

    Raises:
        ValueError: if no two photographs look at one place.
    """
    rng, cameras = torch.Generator().manual_seed(seed), frames.cameras
    tried = 8 * count
    views = torch.randint(len(frames), (tried,), generator=rng)
    spans = torch.tensor([cameras.width, cameras.height]) * torch.rand(tried, 2, generator=rng)
    inverse = 1.0 / FARTHEST + (1.0 / NEAREST - 1.0 / FARTHEST) * torch.rand(tried, generator=rng)
    depth = scale / inverse
    rays = torch.cat(
        [(spans - cameras.K[views, :2, 2]) / cameras.K[views][:, [0, 1], [0, 1]], depth.new_ones(tried, 1)],
        dim=1,
    )
    places = (cameras.c2w[views, :3, :3] @ (rays * depth[:, None])[..., None])[..., 0] + cameras.origins[
        views
    ]
    kept = (_seen(places, cameras).sum(dim=0) >= 2).nonzero()[:count, 0]
    if len(kept) <= NEIGHBOURS:
        raise ValueError("no two photographs look at one place, so nothing can be fitted to them")
    columns, rows = spans[kept].long().unbind(dim=1)
    return places[kept], frames.rgb[views[kept], rows, columns]


def _seen(places: Float[Tensor, "p 3"], cameras: Cameras) -> Bool[Tensor, "n p"]:
    """Which cameras have which places in their picture."""
    uv, depth = project(places, cameras)
    size = torch.tensor([cameras.width, cameras.height]).to(uv)
    return (depth[..., 0] > 0) & (uv >= 0).all(dim=-1) & (uv < size).all(dim=-1)
