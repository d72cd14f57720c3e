"""Passes: a long path in two passes, anchors along it first and what lies between them after.

Room: worldgen. Planning alone: which views are imagined together, and from which. Anchors keep what is far
apart consistent, and every other view is imagined between two of them (Stable Virtual Camera, Zhou et al.
2025, ``seva/eval.py``; algorithms A8.1). It needs the whole path, so ``grow``, which may be stopped
anywhere, does not use it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from render.cameras import Cameras

DENSE_INPUTS = 9
"""From so many input views on, windows grow by their number instead of giving them room."""

EARLIER_SHARE = 0.33
"""Share of a window's free places that earlier anchors may take in the first pass."""

LEAST_WEIGHT = 1.2
"""Guidance weight of views that are known."""

SAME_TURN = math.radians(10.0)
SAME_PLACE = 1e-5
"""A view that differs from a known one by less than both (world units) is as good as known."""

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Group:
    """Views that are imagined together; all input views are known to every group besides."""

    known: tuple[int, ...]
    """Places on the path whose views are known by then."""

    targets: tuple[int, ...]
    """Places on the path whose views are imagined, in the order of the path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Both passes over a path; every place on it is the target of one group."""

    anchors: tuple[int, ...]
    first: tuple[Group, ...]
    second: tuple[Group, ...]


def planned(path: Cameras, *, inputs: int, window: int, ratio: float = 1.0) -> Plan:
    """Plan a path.

    Args:
        path: the cameras, one or more.
        inputs: views that are known before, 0 or more.
        window: views that a group may hold, inputs counted up to ``DENSE_INPUTS`` of them.
        ratio: 1 to 1.5; more anchors where views jump.

    Raises:
        ValueError: if the path is empty, or a window has no room for a view between two anchors.
    """
    if len(path) < 1 or inputs < 0 or not ratio >= 1.0:
        raise ValueError(
            f"a plan needs a camera, no negative number of inputs and a ratio of 1 or more, got "
            f"{len(path)}, {inputs} and {ratio:g}"
        )
    free = window if inputs >= DENSE_INPUTS else window - inputs
    if free < 3:
        raise ValueError(f"a window of {window} views has no room for {inputs} inputs, 2 anchors and a view")
    count = math.ceil(len(path) / (free - 2) * ratio) + 1
    anchors = anchor_places(len(path), count=max(count, window - inputs))
    return Plan(
        anchors=anchors,
        first=tuple(_first_pass(path, anchors, free=free)),
        second=tuple(_second_pass(anchors, free=free)),
    )


def anchor_places(frames: int, *, count: int) -> tuple[int, ...]:
    """``count`` even places on a path, or all if it has no more; both ends are among them."""
    even = torch.linspace(0.0, frames - 1.0, min(max(count, 2), frames), dtype=torch.float64)
    return tuple(sorted({round(place) for place in even.tolist()}))


def _first_pass(path: Cameras, anchors: tuple[int, ...], *, free: int) -> list[Group]:
    """The anchors in order, each group with some of the anchors before it."""
    groups: list[Group] = []
    done = 0
    while done < len(anchors):
        room = min(done, max(1, math.floor(EARLIER_SHARE * free)))
        new = anchors[done : done + free - room]
        groups.append(Group(known=_nearest(path, anchors[:done], new, count=room), targets=new))
        done += len(new)
    return groups


def _nearest(path: Cameras, earlier: tuple[int, ...], new: tuple[int, ...], *, count: int) -> tuple[int, ...]:
    """The earlier anchors that are most often nearest to new ones, by turn or by place, and the last one."""
    if not earlier:
        return ()
    known = path[list(earlier)]
    votes: Counter[int] = Counter()
    for place in new:
        turns, distances = _apart(path[[place]], known)
        votes.update([earlier[int(turns.argmin())], earlier[int(distances.argmin())]])
    ranked = [place for place, _ in votes.most_common() if place != earlier[-1]]
    return tuple(sorted([earlier[-1], *ranked[: count - 1]]))


def _second_pass(anchors: tuple[int, ...], *, free: int) -> list[Group]:
    """Whole intervals between anchors, as many to a group as fit, with the anchors at their ends."""
    groups: list[Group] = []
    for low, high in pairwise(anchors):
        targets = tuple(range(low + 1, high))
        if not targets:
            continue
        last = groups[-1] if groups else Group((), ())
        joined = Group(tuple(sorted({*last.known, low, high})), last.targets + targets)
        if groups and len(joined.known) + len(joined.targets) <= free:
            groups[-1] = joined
        else:
            groups.append(Group((low, high), targets))
    return groups


def guidance_weights(group: Group, path: Cameras, *, known: Cameras, weight: float) -> Float[Tensor, " k"]:
    """Guidance weight of every view of a group, known ones and targets in the order of the path.

    It rises with the number of views to the nearest known one, from ``LEAST_WEIGHT`` to ``weight`` at the
    farthest of them.

    Args:
        group: what is imagined together.
        path: the whole path.
        known: the input views' cameras; a view that they show already weighs the least as well.
        weight: 1.2 or more.
    """
    places = sorted(group.known + group.targets)
    at = [k for k, place in enumerate(places) if place in group.known or _is_shown(path[[place]], known)]
    steps = torch.tensor([min((abs(k - other) for other in at), default=1) for k in range(len(places))])
    return LEAST_WEIGHT + (weight - LEAST_WEIGHT) * steps / steps.max().clamp_min(1)


def _is_shown(camera: Cameras, known: Cameras) -> bool:
    turns, distances = _apart(camera, known)
    same_lens = (known.K == camera.K).flatten(1).all(dim=1)
    return bool(((turns < SAME_TURN) & (distances < SAME_PLACE) & same_lens).any())


def _apart(camera: Cameras, others: Cameras) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Angles (radians) and distances (world units) from one camera to others."""
    between = camera.c2w[:, :3, :3].mT @ others.c2w[:, :3, :3]
    cosine = (between.diagonal(dim1=1, dim2=2).sum(dim=1) - 1.0) / 2.0
    return cosine.clamp(-1.0, 1.0).acos(), (others.origins - camera.origins).norm(dim=1)


def imagined(plan: Plan, imagine: Callable[[Sequence[int], Mapping[int, F]], Sequence[F]]) -> list[F]:
    """All views of a path, in its order, whatever a view is.

    Args:
        plan: of the path.
        imagine: the views at some places, given those at others; it knows the input views.
    """
    done: dict[int, F] = {}
    for group in (*plan.first, *plan.second):
        views = imagine(group.targets, {place: done[place] for place in group.known})
        done.update(zip(group.targets, views, strict=True))
    return [done[place] for place in sorted(done)]
