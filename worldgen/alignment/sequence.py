"""Sequences: one scale for all frames that were estimated together, and a depth for their sky.

Room: worldgen (algorithms A12.3). Reconstructions from pictures alone have a scale of their own, in depths
and camera positions alike; a few measured depths make them metric.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from render.frames import Frames

QUANTILES = (0.2, 0.8)
"""Ends of the range of depths that is compared; offsets and outliers do not move their difference."""

MIN_PIXELS = 500
"""A frame with fewer common pixels has no say."""

SKY_FACTOR = 5.0
"""The sky lies as much further than what is furthest."""

FARTHEST_SKY = 1000.0
"""World units."""


def metric_scale(
    estimated: Float[Tensor, "n h w 1"], metric: Float[Tensor, "n h w 1"], known: Bool[Tensor, "n h w 1"]
) -> float:
    """What to multiply a sequence with: the mean, over frames, of the ratio of the ranges of depth.

    Args:
        estimated: z-depth of every frame, all in one unit that is not known.
        metric: z-depth in metres, of the same pixels.
        known: where both are known and it is no sky.

    Raises:
        ValueError: if no frame has enough common pixels at different depths.
    """
    ratios = []
    for i in range(len(known)):
        if int(known[i].sum()) < MIN_PIXELS:
            continue
        wide, true = (_range(depth[i][known[i]]) for depth in (estimated, metric))
        if min(wide, true) > 0.0:
            ratios.append(true / wide)
    if not ratios:
        raise ValueError(
            f"no frame has {MIN_PIXELS} pixels of different depths that are known in both, so the sequence "
            "has no metric scale"
        )
    return sum(ratios) / len(ratios)


def _range(depth: Float[Tensor, " p"]) -> float:
    near, far = torch.quantile(depth.double()[:: 1 + depth.numel() // (1 << 20)], _ends()).tolist()
    return far - near


def _ends() -> Float[Tensor, " 2"]:
    return torch.tensor(QUANTILES, dtype=torch.float64)


def scaled(frames: Frames, factor: float) -> Frames:
    """The same pictures of a world ``factor`` times as large: depths and camera positions grow."""
    if not 0.0 < factor < float("inf"):
        raise ValueError(f"a scale is a finite factor above 0, got {factor}")
    c2w = frames.cameras.c2w.clone()
    c2w[:, :3, 3] *= factor
    cameras = dataclasses.replace(frames.cameras, c2w=c2w)
    return dataclasses.replace(frames, depth=frames.depth * factor, cameras=cameras)


def with_sky(frames: Frames, sky: Bool[Tensor, "n h w 1"]) -> Frames:
    """Frames whose sky has a depth: one for all, behind everything.

    Five times the largest depth in the nearer half of the frames: a frame with a wild estimate does not
    send the sky away with it. At most 1000 world units.

    Raises:
        ValueError: if no frame has a known depth that is not sky.
    """
    known = frames.valid & ~sky
    furthest = frames.depth.masked_fill(~known, 0.0).amax(dim=(1, 2, 3))
    furthest = furthest[furthest > 0].sort().values
    if not len(furthest):
        raise ValueError(
            "no frame has a known depth beside its sky, so there is nothing to put the sky behind"
        )
    height = min(SKY_FACTOR * float(furthest[(len(furthest) - 1) // 2]), FARTHEST_SKY)
    return dataclasses.replace(frames, depth=torch.where(sky, height, frames.depth), valid=frames.valid | sky)
