"""Corruption: what sensors, caches and the model itself do to frames (algorithms A12.4).

Room: worldgen. Real conditions have errors and gaps that exact renders lack; a model trained on exact ones
believes everything it is shown, and does not know what to do with the gaps.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from memory.cache import Seen
from render.frames import Frames
from render.geometry import off_edges

CORRUPTIONS = ("base", "full")
"""Kinds of corruption: errors of single frames and renders, or those of whole caches too."""

BLEEDING_CHANCE = 0.2
"""Chance that a cache takes in depth edges, blurred, as if nobody looked for them."""

STALE_CHANCE = 0.05
"""Chance that a cache also knows the place from another time, when something in it was different."""

DEPTH_SCALES = (0.95, 1.05)
"""Range of the factor by which the depths of a clip's cache are wrong, all alike."""

DEGRADED_CHANCE = 0.4
"""Chance that a frame has the errors that an imagined frame would have."""

TORN_CHANCE = 0.2
"""Chance that a cache render loses a few rectangles."""

THINNED_CHANCE = 0.15
"""Chance that a cache render loses single points."""

MOST_THINNED = 0.6
"""Largest share of its points that a render loses."""

MOST_LOST = 0.8
"""Largest share of its depth that a measured frame loses."""

STEP = 6.4
"""A sensor loses depth where it changes faster than this, in logarithms a picture's width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong with the cache of a clip from end to end; as it comes, nothing."""

    bleeds: bool = False
    """Depth edges are blurred and enter the cache."""

    is_stale: bool = False
    """The cache begins with a view from another time."""

    depth_scale: float = 1.0
    """Multiplies the depth of every frame that is given or enters the cache; what is predicted stays true."""


FLAWLESS = Faults()


def drawn_faults(corruption: str, rng: np.random.Generator) -> Faults:
    """The faults of one clip; "base" has none.

    Raises:
        ValueError: if there is no such kind of corruption.
    """
    if checked_corruption(corruption) == "base":
        return FLAWLESS
    return Faults(
        bleeds=bool(rng.random() < BLEEDING_CHANCE),
        is_stale=bool(rng.random() < STALE_CHANCE),
        depth_scale=rng.uniform(*DEPTH_SCALES),
    )


def checked_corruption(corruption: str) -> str:
    """The kind of corruption, if there is one of that name."""
    if corruption not in CORRUPTIONS:
        raise ValueError(f"corruption is one of {', '.join(CORRUPTIONS)}, got {corruption!r}")
    return corruption


def rescaled(frame: Frames, factor: float) -> Frames:
    """A frame whose depths are all wrong by one factor; its camera stays where it is."""
    return frame if factor == 1.0 else dataclasses.replace(frame, depth=frame.depth * factor)


def bled(frame: Frames) -> Frames:
    """A frame whose depth edges are blurred: the pixels beside a step lie between its two depths."""
    planes = frame.depth.permute(0, 3, 1, 2)
    blurred = F.avg_pool2d(F.pad(planes, (1,) * 4, mode="replicate"), 3, stride=1).permute(0, 2, 3, 1)
    is_edge = ~off_edges(frame.depth, frame.valid, radius=1)
    return dataclasses.replace(frame, depth=torch.where(is_edge, blurred, frame.depth))


def degraded(frame: Frames, rng: np.random.Generator, *, chance: float = DEGRADED_CHANCE) -> Frames:
    """Sometimes a frame as a model might have imagined it: off in colour and depth, less trusted."""
    if rng.random() > chance:
        return frame
    field = _smooth(frame, 4, rng)
    warp = torch.exp(rng.uniform(0.0, 0.015) * field + rng.normal(0.0, 0.01))
    gain = torch.from_numpy(rng.uniform(0.93, 1.07, (1, 1, 1, 3))).float()
    noise = torch.from_numpy(rng.standard_normal(frame.rgb.shape)).float() * rng.uniform(0.0, 0.03)
    trust = rng.uniform(0.2, 0.9)
    return dataclasses.replace(
        frame,
        rgb=(frame.rgb * gain + noise).clamp(0.0, 1.0),
        depth=frame.depth * warp,
        confidence=frame.confidence * trust,
    )


def measured(frame: Frames, rng: np.random.Generator) -> Frames:
    """A frame without the depth that sensors lose: beside steps, far off, on dark things, and in blobs."""
    lost = _beside_steps(frame.depth, radius=int(rng.integers(1, 4)))
    if rng.random() < 0.3:
        lost |= frame.depth > torch.quantile(frame.depth, rng.uniform(0.8, 0.98))
    if rng.random() < 0.5:
        dark = frame.rgb.mean(dim=-1, keepdim=True)
        dark += rng.uniform(0.0, 0.05) * _smooth(frame, 32, rng)
        lost |= dark < torch.quantile(dark, rng.uniform(0.05, 0.25))
    blobs = _smooth(frame, int(rng.integers(4, 24)), rng)
    lost |= blobs < torch.quantile(blobs, rng.uniform(0.0, 0.2))
    if float(lost.float().mean()) > MOST_LOST:
        return frame
    return dataclasses.replace(
        frame,
        depth=frame.depth.masked_fill(lost, 0.0),
        valid=frame.valid & ~lost,
        confidence=frame.confidence.masked_fill(lost, 0.0),
    )


def torn(seen: Seen, rng: np.random.Generator) -> Seen:
    """Sometimes a render with rectangles or single points missing: holes of every shape are learned."""
    kept = torch.ones_like(seen.mask)
    h, w = kept.shape[1:3]
    if rng.random() < TORN_CHANCE:
        for _ in range(int(rng.integers(1, 4))):
            height, width = (int(rng.integers(side // 8, side // 2)) for side in (h, w))
            top, left = int(rng.integers(h - height)), int(rng.integers(w - width))
            kept[:, top : top + height, left : left + width] = False
    if rng.random() < THINNED_CHANCE:
        kept &= torch.from_numpy(rng.random(kept.shape) > rng.uniform(0.0, MOST_THINNED))
    return dataclasses.replace(
        seen,
        mask=seen.mask & kept,
        rgb=seen.rgb * kept,
        depth=seen.depth * kept,
        confidence=seen.confidence * kept,
        offset=seen.offset * kept,
    )


def _beside_steps(depth: Float[Tensor, "1 h w 1"], *, radius: int) -> Bool[Tensor, "1 h w 1"]:
    """Where depth changes too fast for a sensor, and up to ``radius`` pixels around it."""
    planes = depth.clamp_min(1e-6).log().permute(0, 3, 1, 2)
    side = 2 * radius + 1
    high = F.max_pool2d(planes, side, stride=1, padding=radius)
    low = -F.max_pool2d(-planes, side, stride=1, padding=radius)
    return (high - low > STEP * radius / depth.shape[2]).permute(0, 2, 3, 1)


def _smooth(frame: Frames, cells: int, rng: np.random.Generator) -> Float[Tensor, "1 h w 1"]:
    """A random field of unit variance with ``cells`` humps a side."""
    h, w = frame.depth.shape[1:3]
    field = torch.from_numpy(rng.standard_normal((1, 1, cells, cells))).float()
    return F.interpolate(field, (h, w), mode="bicubic", align_corners=False)[0, 0, None, ..., None]
