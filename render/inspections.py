"""Inspections: what can be said of a camera path before anything is grown or filmed along it.

Room: render (ground floor). Imports cameras and walls; every other room may import this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from render.cameras import Cameras
from render.splines import turns
from render.walls import Walls

MOST_PLACES = 2**18
"""Places along a path that are compared with what is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """A part of a path that comes near to what is known."""

    first: int
    """Pictures from here..."""

    last: int
    """...to here, both among them; counted from 0."""

    place: tuple[float, float, float]
    """Where it goes through, else where it comes near first; world units."""

    is_through: bool
    """Whether it goes through what is known, not only by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What there is to say of a path."""

    pictures: int
    seconds: float
    length: float
    """World units."""

    top_speed: float
    """World units a second."""

    top_speed_at: int
    """The picture before the fastest step."""

    top_turn: float
    """Radians a second."""

    top_turn_at: int
    """The picture before it."""

    meetings: tuple[Meeting, ...] = ()

    @property
    def passes_through(self) -> bool:
        """Whether any part of it goes through what is known."""
        return any(meeting.is_through for meeting in self.meetings)


def inspected(cameras: Cameras, *, fps: int | float, walls: Walls | None = None) -> Inspection:
    """Look a path over.

    Args:
        cameras: one a picture, at least one.
        fps: pictures a second.
        walls: what is known, if anything is.
    """
    if not len(cameras) or not fps > 0:
        raise ValueError(f"a path has a camera and a frame rate, got {len(cameras)} cameras at {fps:g}")
    c2w = cameras.c2w.double().cpu().numpy()
    way = c2w[:, :3, 3]
    steps, bends = np.linalg.norm(np.diff(way, axis=0), axis=1), turns(c2w[:, :3, :3])
    fastest, sharpest = (int(rates.argmax()) if len(rates) else 0 for rates in (steps, bends))
    return Inspection(
        pictures=len(cameras),
        seconds=len(cameras) / fps,
        length=float(steps.sum()),
        top_speed=float(fps * steps.max(initial=0.0)),
        top_speed_at=fastest,
        top_turn=float(fps * bends.max(initial=0.0)),
        top_turn_at=sharpest,
        meetings=() if walls is None else meetings_of(way, walls),
    )


def meetings_of(way: Float[np.ndarray, "n 3"], walls: Walls) -> tuple[Meeting, ...]:
    """Where a way, a place a picture, comes near to what is known or leads through it."""
    pierced = walls.pierced(way, most=MOST_PLACES)
    found = []
    for begin, end in walls.crossed(way, most=MOST_PLACES):
        through = [first for first, _ in pierced if begin <= first <= end]
        corner = through[0] if through else begin
        x, y, z = (float(np.interp(corner, np.arange(len(way)), way[:, axis])) for axis in range(3))
        first, last = int(np.floor(begin)), int(np.ceil(end))
        found.append(Meeting(first=first, last=last, place=(x, y, z), is_through=bool(through)))
    return tuple(found)
