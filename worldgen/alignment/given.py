"""Given frames: pictures with estimated depth, aligned to what a world already shows and taken in.

Room: worldgen. Cameras must be in world units. The first view of a world decides its scale; every later one
is aligned to a render of the cache (algorithms A12.3, and A13: align, then insert).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memory.cache import Seen
from render.frames import Frames
from render.geometry import speckles
from worldgen.alignment.affine import Affine, Fit, fitted
from worldgen.alignment.bend import log_scales
from worldgen.resample import recentred
from worldgen.rollout import Growth

SAME_SURFACE = 0.05
"""Relative difference of depths up to which a frame and the cache show the same surface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """One frame in the units of a world."""

    frames: Frames
    """A batch of one. What the map sends behind infinity, and the sky, is not valid."""

    fit: Fit
    """What was done to its depth; look at ``fit.method``, which says if that is a fallback."""


def aligned(
    frame: Frames,
    seen: Seen,
    *,
    previous: Affine | None = None,
    sky: Bool[Tensor, "1 h w 1"] | None = None,
    bends: bool = False,
) -> Aligned:
    """A frame whose depth agrees with what a cache shows.

    Where both show the same surface, the depth of the cache is taken over. Otherwise, of the noise of every
    frame, what happens to be nearer would join the cache as new, and a walk would come ever nearer.

    Args:
        frame: a batch of one; its depth is the truth but for an affine map of the inverse. Of a relative
            inverse depth (disparity), that is its reciprocal.
        seen: what the cache shows to the frame's camera.
        previous: the map of the frame before, for want of a better one.
        sky: where the sky is: it takes no part, and has no depth afterwards. Nowhere by default.
        bends: whether to take out slow errors, too, that vary over the picture.
    """
    if len(frame) != 1:
        raise ValueError(f"frames are aligned one by one, got {len(frame)}")
    known = frame.valid if sky is None else frame.valid & ~sky
    target = centred(seen)
    fit = fitted(frame.depth, target, known & seen.mask, previous=previous)
    depth, valid = fit.affine.applied(frame.depth, known)
    valid &= ~speckles(depth, valid)
    if bends and fit.method == "affine":
        depth = depth * torch.exp(log_scales(depth, target, valid & seen.mask))
    is_same = valid & seen.mask & ((depth / target - 1.0).abs() < SAME_SURFACE)
    depth = torch.where(is_same, target, depth).masked_fill(~valid, 0.0)
    confidence = frame.confidence.masked_fill(~valid, 0.0)
    return Aligned(
        frames=dataclasses.replace(frame, depth=depth, valid=valid, confidence=confidence), fit=fit
    )


def centred(seen: Seen) -> Float[Tensor, "n h w 1"]:
    """Z-depth at the pixel centres; anything where the cache shows nothing.

    Of the points that cover a pixel the nearest is drawn, so on a slant the cache shows depths that are a
    little too small. Fifty frames aligned to one another would add that up to several percent. Inverse
    depth is linear in the picture, so on planes this is exact.
    """
    if not seen.mask.any():
        return seen.depth
    mask, offset = seen.mask.permute(0, 3, 1, 2).float(), seen.offset.permute(0, 3, 1, 2)
    unit = seen.depth[seen.mask].median()  # what limits slopes expects numbers around 1
    inverse = (unit / seen.depth).masked_fill(~seen.mask, 0.0).permute(0, 3, 1, 2)
    inverse = recentred(inverse, mask, offset).permute(0, 2, 3, 1)
    return torch.where(inverse > 0.0, unit / inverse.clamp_min(1e-6), seen.depth)


def take_in(
    growth: Growth, frames: Frames, *, sky: Bool[Tensor, "n h w 1"] | None = None, bends: bool = False
) -> Iterator[Aligned]:
    """Make posed pictures with estimated depth part of a world, one committed chunk each.

    Every frame is aligned to what the cache shows of all that came before it. How is written down in the
    settings of its chunk. A path that is pending stays so.

    Args:
        growth: a world with at least its first view.
        frames: in the order of the walk, at the size of the world; cameras in world units.
        sky: see :func:`aligned`.
        bends: see :func:`aligned`.

    Yields:
        Each frame as it was committed.

    Raises:
        WorldError: if the world cannot keep the frames.
        ValueError: if nothing is left of a frame's depth.
    """
    previous = None
    for i in range(len(frames)):
        frame = frames[i : i + 1]
        seen = growth.cache.render(frame.cameras)
        done = aligned(
            frame, seen, previous=previous, sky=None if sky is None else sky[i : i + 1], bends=bends
        )
        if not done.frames.valid.any():
            raise ValueError(f"frame {i} has no depth that could be aligned to the world")
        yield dataclasses.replace(done, frames=_committed(growth, done, seen))
        if done.fit.method != "none":
            previous = done.fit.affine


def _committed(growth: Growth, done: Aligned, seen: Seen) -> Frames:
    fit = done.fit
    settings = {"alignment": {"method": fit.method, "a": fit.affine.a, "b": fit.affine.b}}
    return growth.give(done.frames, settings=settings, seen=seen)
