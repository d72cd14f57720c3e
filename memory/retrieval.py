"""Retrieval: which of all the views that were ever seen are worth remembering now.

Room: memory. Imports render. A scorer says which views show which points of what is about to be imagined,
and a greedy cover picks views that show it together, the newer of two that show the same (WorldMem
section 3; algorithms A2.2). Points are drawn from a seed in the axes of the camera: the same bank,
target and seed recall the same views, wherever the world lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from memory._retrieval_kernels import count_left, find_meeting, glance_at, mark_seen, pick_best
from memory.bank import BLOCK, NEAR, MemoryBank, reach_of
from memory.boxes import within
from memory.cache import Seen
from render.cameras import Cameras, project, rays_cam

POINTS = 1024
"""Points that stand for what a target shows; the overlap is then known to 0.015."""

BALL_DRAWS = 8_192
"""Points tried in the ball; those that the target does not show are dropped, so there may be too few for
half of ``POINTS``."""

OCCLUDED = 1.1
"""A point this much deeper than what a view shows there is hidden from it."""

TIME_WEIGHT = 0.2
"""What the oldest view loses against the newest, as a share of the target."""

COVERED = 0.02
"""Share of the target below which what is left to see is the noise of the points."""

PROBE = 32
"""Points by which views are judged first where there are very many; at most 64."""

SHORTLIST, SHORTLISTS = 128, 4
"""Views that go on from there to be judged by all: the best, and the best for what those leave, and so on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A view that was chosen, and why."""

    frame_id: int

    overlap: float
    """Share of the target that the view shows."""

    gain: float
    """Share of the target that the view shows and none chosen before it does; where nothing was left to
    gain, the view was chosen for being near in time."""

    age: int
    """How long ago it came, in the bank's time; 1 for the newest."""

    confidence: float
    """Mean trust in its pixels; 1 for what was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Which views of a bank show which points of a target."""

    rows: Int64[np.ndarray, " u"]
    """Positions in the bank, ascending; views that are not named show nothing of the target."""

    shows: Bool[np.ndarray, "u m"]


@runtime_checkable
class Scorer(Protocol):
    """A way to tell which views show what a target shows."""

    def __call__(self, bank: MemoryBank, seen: Seen, *, rng: torch.Generator) -> Coverage:
        """Judge the views of a bank.

        Args:
            bank: at least one view.
            seen: what the cache shows to the target's cameras.
            rng: decides which points stand for the target.
        """
        ...


def fov(bank: MemoryBank, seen: Seen, *, rng: torch.Generator) -> Coverage:
    """By frusta alone: points in a ball about the target, nothing hides anything."""
    reach = _reach(bank, seen)
    ball = _ball(seen.cameras, reach, rng)
    return _coverage(bank, ball[_framed(ball, seen.cameras, near=NEAR * bank.scale, far=reach)][:POINTS])


def surface(bank: MemoryBank, seen: Seen, *, rng: torch.Generator) -> Coverage:
    """By frusta and depths: half of the points on surfaces that the cache knows, up to half in free space."""
    reach = _reach(bank, seen)
    ball = _ball(seen.cameras, reach, rng)
    ball = ball[_framed(ball, seen.cameras, near=NEAR * bank.scale, far=reach, depth=_known_depth(seen))]
    known = _known_pixels(seen, POINTS // 2, rng)
    drawn = torch.cat([_lifted(seen, known), ball[: POINTS - len(known)]])
    return _coverage(bank, drawn[torch.randperm(len(drawn), generator=rng)], slack=OCCLUDED)


def votes(bank: MemoryBank, seen: Seen, *, rng: torch.Generator) -> Coverage:
    """By the cache: every known pixel votes for the frame that brought the point it shows.

    VMem's idea without its suppression of near poses: a point has one source here, so two views never
    share a vote, and a view that repeats another has hardly brought any points.
    """
    sources = seen.source.flatten()[_known_pixels(seen, POINTS, rng)].numpy()
    ids, voted = bank.units.ids, np.unique(sources)
    rows = np.searchsorted(ids, voted).clip(max=len(ids) - 1)
    rows = rows[ids[rows] == voted]
    return Coverage(rows=rows, shows=ids[rows][:, None] == sources)


def retrieve(
    bank: MemoryBank,
    seen: Seen,
    *,
    k: int,
    seed: int,
    scorer: Scorer = surface,
    time_weight: float = TIME_WEIGHT,
) -> list[Recalled]:
    """The ``k`` views to remember (all, if the bank has fewer), in the order of choice.

    Args:
        bank: every view so far.
        seen: what the cache shows to the cameras about to be imagined.
        k: how many.
        seed: decides which points stand for the target.
        scorer: :func:`surface`, :func:`fov` or :func:`votes`.
        time_weight: what the oldest view loses against the newest, as a share of the target.
    """
    if not len(bank):
        return []
    found = with_newest(scorer(bank, seen, rng=torch.Generator().manual_seed(seed)), k, of=len(bank))
    times = bank.units.times[found.rows]
    now = bank.now
    chosen = cover(found.shows, ages=(now - times) / max(now, 1), k=k, time_weight=time_weight)
    left = np.ones(found.shows.shape[1], dtype=np.bool_)
    recalled = []
    for row in chosen:
        shown, whole = found.shows[row], max(len(left), 1)
        recalled.append(
            Recalled(
                frame_id=int(bank.units.ids[found.rows[row]]),
                overlap=int(shown.sum()) / whole,
                gain=int((shown & left).sum()) / whole,
                age=now - int(times[row]),
                confidence=float(bank.units.confidence[found.rows[row]]),
            )
        )
        left &= ~shown
    return recalled


def with_newest(found: Coverage, k: int, *, of: int) -> Coverage:
    """The same with the ``k`` newest of ``of`` views named, so that there are enough to choose from."""
    rows = np.union1d(found.rows, np.arange(max(of - k, 0), of))
    shows = np.zeros((len(rows), found.shows.shape[1]), dtype=np.bool_)
    shows[np.searchsorted(rows, found.rows)] = found.shows
    return Coverage(rows=rows, shows=shows)


def cover(
    shows: Bool[np.ndarray, "u m"], *, ages: Float64[np.ndarray, " u"], k: int, time_weight: float
) -> list[int]:
    """Greedy cover: again and again the view that shows most of what no chosen one shows, less its age.

    Where no view shows anything that is left, or nothing worth showing is left, the nearest in time
    follows. Of two that are as good, the older comes first: it is nearer to what was measured.

    Args:
        shows: which of the target's points each view shows.
        ages: of the views, oldest first; 1 is as old as the world.
        k: how many to choose, at most.
        time_weight: what age 1 costs, as a share of what is left to show.
    """
    left, free = np.ones(shows.shape[1], dtype=np.bool_), np.ones(len(shows), dtype=np.bool_)
    counts = np.empty(len(shows), dtype=np.int32)
    chosen: list[int] = []
    while free.any() and len(chosen) < k:
        count_left(shows, left, counts)
        remaining = int(left.sum())
        if remaining <= COVERED * len(left) or not counts[free].any():
            scores = -ages
        else:
            scores = counts / remaining - time_weight * ages
        row = int(np.argmax(np.where(free, scores, -np.inf)))
        chosen.append(row)
        free[row] = False
        left &= ~shows[row]
    return chosen


def points_in_ball(n: int, rng: torch.Generator) -> Float[Tensor, "n 3"]:
    """Points spread evenly over the unit ball."""
    directions = torch.nn.functional.normalize(torch.randn(n, 3, generator=rng), dim=-1)
    return directions * torch.rand(n, 1, generator=rng) ** (1.0 / 3.0)


def _reach(bank: MemoryBank, seen: Seen) -> float:
    """How deep the target may be: as the newest view, or as what is known of it if that is deeper."""
    return max(float(bank.units.span[-1, 1]), reach_of(seen.depth[seen.mask].numpy()))


def _ball(cameras: Cameras, reach: float, rng: torch.Generator) -> Float[Tensor, "p 3"]:
    """Points evenly in a ball about the cameras that holds all they may show."""
    c2w = cameras.c2w.float()
    centre = c2w[:, :3, 3].mean(dim=0)
    radius = reach + float((c2w[:, :3, 3] - centre).norm(dim=-1).amax())
    return radius * points_in_ball(BALL_DRAWS, rng) @ c2w[0, :3, :3].T + centre


def _known_depth(seen: Seen) -> Float[Tensor, "n h w 1"]:
    """Depth up to which a target sees, as far as the cache knows."""
    return torch.where(seen.mask, OCCLUDED * seen.depth, torch.inf)


def _framed(
    points_world: Float[Tensor, "p 3"],
    cameras: Cameras,
    *,
    near: float,
    far: float,
    depth: Float[Tensor, "n h w 1"] | None = None,
) -> Bool[Tensor, " p"]:
    """Which points any of the cameras shows, those behind its ``depth`` not counted."""
    uv, z = project(points_world, cameras)
    size = torch.tensor([cameras.width, cameras.height])
    inside = ((uv >= 0) & (uv < size)).all(dim=-1) & (z[..., 0] >= near) & (z[..., 0] <= far)
    if depth is not None:
        camera, point = inside.nonzero(as_tuple=True)
        column, row = uv[camera, point].long().unbind(dim=-1)
        inside[camera, point] = z[camera, point, 0] <= depth[camera, row, column, 0]
    return inside.any(dim=0)


def _known_pixels(seen: Seen, n: int, rng: torch.Generator) -> Int[Tensor, " m"]:
    """``n`` known pixels, the same one more than once perhaps; none if nothing is known."""
    known = seen.mask.flatten().nonzero()[:, 0]
    if not len(known):
        return known
    return known[torch.randint(len(known), (n,), generator=rng)]


def _lifted(seen: Seen, pixels: Int[Tensor, " m"]) -> Float[Tensor, "m 3"]:
    """World points of known pixels."""
    cameras = seen.cameras
    view = pixels // (cameras.height * cameras.width)
    points_cam = (rays_cam(cameras) * seen.depth).reshape(-1, 3)[pixels]
    c2w = cameras.c2w[view]
    return (c2w[:, :3, :3] @ points_cam[..., None])[..., 0] + c2w[:, :3, 3]


def _coverage(bank: MemoryBank, points: Float[Tensor, "m 3"], *, slack: float = 0.0) -> Coverage:
    """Which views show which points; with ``slack``, those behind what a view shows are hidden."""
    columns = np.ascontiguousarray(points.float().numpy().T)
    rows = _meeting(bank, columns)
    if len(rows) > SHORTLIST * SHORTLISTS:
        rows = _shortlist(bank, rows, np.ascontiguousarray(columns[:, :PROBE]), slack)
    units, shows = bank.units, np.empty((len(rows), columns.shape[1]), dtype=np.bool_)
    mark_seen(rows, units.w2c, units.lens, units.span, units.depth, np.float32(slack), columns, shows)
    for earlier, changed in _changes(bank, rows, columns):
        shows[np.ix_(earlier, changed)] = False
    return Coverage(rows=rows, shows=shows)


def _shortlist(
    bank: MemoryBank, rows: Int64[np.ndarray, " u"], columns: np.ndarray, slack: float
) -> Int64[np.ndarray, " v"]:
    """The best views by few points and a glance, the best for what the very best leaves, and so on."""
    units, shows = bank.units, np.empty(len(rows), dtype=np.uint64)
    glance_at(rows, units.w2c, units.lens, units.span, units.glance, np.float32(slack), columns, shows)
    for earlier, changed in _changes(bank, rows, columns):
        shows[earlier] &= ~np.bitwise_or.reduce(np.uint64(1) << np.flatnonzero(changed).astype(np.uint64))
    best, left = np.empty((SHORTLISTS, SHORTLIST), dtype=np.int64), ~np.uint64(0)
    for picked in best:
        pick_best(shows, left, picked)
        left &= ~shows[picked[0]]
    return rows[np.unique(best)]


def _changes(
    bank: MemoryBank, rows: Int64[np.ndarray, " u"], columns: np.ndarray
) -> Iterator[tuple[Bool[np.ndarray, " u"], Bool[np.ndarray, " m"]]]:
    """Of every edit: the views from before it, and the points where they show what is no more."""
    points, times = torch.from_numpy(columns.T), bank.units.times[rows]
    for change in bank.changes:
        yield times < change.time, within(points, change.box.low, change.box.high).numpy()


def _meeting(bank: MemoryBank, columns: np.ndarray) -> Int64[np.ndarray, " u"]:
    """Views whose bounding sphere meets that of the points."""
    rows = np.empty(len(bank), dtype=np.int64)
    if not columns.shape[1]:
        return rows[:0]
    centre = columns.mean(axis=1)
    radius = np.linalg.norm(columns - centre[:, None], axis=0).max()
    ball = np.array([*centre, radius], dtype=np.float32)
    return rows[: find_meeting(bank.blocks, bank.units.spheres, BLOCK, ball, rows)]
