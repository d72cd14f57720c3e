"""Views of held-out worlds that are imagined together, and how well they agree with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from memory.cache import NEARER, WorldCache
from render.cameras import project, unproject
from render.frames import Frames, median_depth
from worldgen.conditions import SceneUnits
from worldgen.depth import range_of
from worldgen.evaluation.features import frechet_distance, hole_features

SAME_DEPTH = 0.02
"""Relative difference of depths up to which two views see the same surface."""

FEWEST_PIXELS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One world: the views that are known of it, and those to imagine."""

    exact: Frames
    truth: Frames
    known: Bool[Tensor, "n h w 1"]
    """Where the exact views show something of the views to imagine."""

    units: SceneUnits


def task_of(exact: Frames, truth: Frames) -> Task:
    """What follows from the pictures."""
    scale = median_depth(exact[:1])
    units = SceneUnits(scale=scale, span=range_of(exact.depth / scale, exact.valid))
    return Task(exact=exact, truth=truth, known=cache_of(exact).render(truth.cameras).mask, units=units)


def cache_of(exact: Frames) -> WorldCache:
    """A cache that knows the exact views."""
    cache = WorldCache()
    cache.insert(exact, ids=list(range(len(exact))), nearer=NEARER)
    return cache


def difference(made: list[Frames], tasks: list[Task], pairs: Sequence[tuple[int, int]]) -> float:
    """Mean absolute difference in colour, in hundredths of the range, of ``pairs`` of views of every task.

    Where both had to imagine the same points, by their true depth; pairs with hardly any do not count. NaN
    if that leaves none.
    """
    found = []
    for frames, task in zip(made, tasks, strict=True):
        for i, j in pairs:
            places, both = seen_again(task.truth[[i]], task.truth[[j]])
            unknown = _sampled((~task.known[[i]]).float(), places, mode="bilinear") > 0.99
            mask = (both & unknown & ~task.known[[j]])[..., 0]
            if mask.sum() >= FEWEST_PIXELS:
                apart = (_sampled(frames.rgb[[i]], places, mode="bilinear") - frames.rgb[[j]]).abs()
                found.append(100.0 * float(apart[mask].mean()))
    return fmean(found) if found else nan


def frechet(made: list[Frames], tasks: list[Task]) -> float:
    """Frechet distance of what was imagined to the truth, as in ``worldgen evaluate``."""
    views = [(task, i) for task in tasks for i in range(len(task.truth))]
    masks, truth = [task.known[[i]] for task, i in views], [task.truth[[i]] for task, i in views]
    pictures = [frames.rgb[[i]] for frames in made for i in range(len(frames))]
    return frechet_distance(
        hole_features(pictures, masks, truth),
        hole_features([frame.rgb for frame in truth], masks, truth),
    )


def seen_again(first: Frames, second: Frames) -> tuple[Float[Tensor, "1 h w 2"], Bool[Tensor, "1 h w 1"]]:
    """Where the pixels of ``second`` lie in ``first``, as ``grid_sample`` wants it, and whether it sees them.

    Both are single exact views.
    """
    h, w = second.rgb.shape[1:3]
    uv, depth = project(unproject(second.depth, second.cameras).reshape(-1, 3), first.cameras)
    places = 2.0 * uv.view(1, h, w, 2) / torch.tensor([w, h]) - 1.0
    there = _sampled(first.depth, places, mode="nearest")
    z = depth.view(1, h, w, 1)
    inside = (places.abs() < 1.0).all(dim=-1, keepdim=True) & (z > 0)
    return places, inside & ((there - z).abs() < SAME_DEPTH * z)


def _sampled(
    image: Float[Tensor, "1 h w c"], places: Float[Tensor, "1 h w 2"], *, mode: str
) -> Float[Tensor, "1 h w c"]:
    channels = image.permute(0, 3, 1, 2)
    found = F.grid_sample(channels, places, mode=mode, padding_mode="border", align_corners=False)
    return found.permute(0, 2, 3, 1)
