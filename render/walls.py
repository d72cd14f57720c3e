"""Walls: where something is known to be, so that nobody walks through it without knowing.

Room: render (ground floor). Imports nothing of ours; every other room may import this. A set of cubes that
hold points: adding a chunk costs what the chunk holds, whatever the size of the world.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int64

AROUND = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
"""A cube and all that touch it."""

HALF = 2**20
"""Cubes from the origin to the end of an axis; what lies beyond counts to the last one."""

MOST_STEPS = 4096
"""Places that are looked at along one move."""

Test = Callable[[Float[np.ndarray, "n 3"]], Bool[np.ndarray, " n"]]


class Walls:
    """Everything that is known, in cubes. Any thread may ask; one at a time adds."""

    def __init__(self, *, side: float) -> None:
        """``side`` of a cube in world units: free places are at least so far from all that is known."""
        self._side = side
        self._cubes: set[int] = set()

    def add(self, places: Float[np.ndarray, "p 3"]) -> None:
        """More is known."""
        self._cubes.update(np.unique(self._keys(self._cells(places))).tolist())

    def replace(self, places: Float[np.ndarray, "p 3"]) -> None:
        """This is all that is known."""
        self._cubes = set(np.unique(self._keys(self._cells(places))).tolist())

    def are_near(self, places: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Which places have something known in their cube or in one that touches it."""
        return self._hold(self._cells(places)[:, None] + AROUND)

    def are_inside(self, places: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Which places have something known in their very cube."""
        return self._hold(self._cells(places)[:, None])

    def held(self, start: Float[np.ndarray, " 3"], goal: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
        """Where somebody comes to who wants from ``start`` to ``goal``: up to a wall, and along it.

        Who is too close to a wall already may leave, and who is inside of one may go anywhere.
        """
        place = self._before_wall(start, goal)
        if place is goal:
            return goal
        for along in (goal - place) * np.eye(3):
            place = self._before_wall(place, place + along)
        return place

    def crossed(self, way: Float[np.ndarray, "n 3"], *, most: int = MOST_STEPS) -> list[tuple[float, float]]:
        """Where a polygon comes near to what is known: from and to, in corners from its start.

        Looked at are up to ``most`` places along it, two a cube if those are enough.
        """
        return self._spans(way, self.are_near, most=most)

    def pierced(self, way: Float[np.ndarray, "n 3"], *, most: int = MOST_STEPS) -> list[tuple[float, float]]:
        """Where it leads through what is known; see :meth:`crossed`."""
        return self._spans(way, self.are_inside, most=most)

    def _spans(self, way: Float[np.ndarray, "n 3"], test: Test, *, most: int) -> list[tuple[float, float]]:
        if not len(way):
            return []
        length = float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum())
        steps = min(max(math.ceil(2.0 * length / self._side), len(way)), most)
        corners = np.linspace(0.0, len(way) - 1, steps + 1)
        places = np.stack([np.interp(corners, np.arange(len(way)), way[:, i]) for i in range(3)], axis=1)
        met = np.diff(np.concatenate([[False], test(places), [False]]).astype(int))
        begins, ends = (met == 1).nonzero()[0], (met == -1).nonzero()[0] - 1
        return list(zip(corners[begins].tolist(), corners[ends].tolist(), strict=True))

    def _before_wall(
        self, start: Float[np.ndarray, " 3"], goal: Float[np.ndarray, " 3"]
    ) -> Float[np.ndarray, " 3"]:
        """The last free place on the straight way; ``goal`` itself if nothing is in the way."""
        steps = math.ceil(min(2.0 * float(np.linalg.norm(goal - start)) / self._side, MOST_STEPS))
        places = start + np.linspace(0.0, 1.0, steps + 1)[:, None] * (goal - start)
        inside, near = self.are_inside(places), self.are_near(places)
        if inside[0]:
            return goal
        wall = inside if near[0] else near
        return places[int(wall.argmax()) - 1] if wall.any() else goal

    def _cells(self, places: Float[np.ndarray, "n 3"]) -> Int64[np.ndarray, "n 3"]:
        return np.floor(places / self._side).clip(1 - HALF, HALF - 2).astype(np.int64)

    def _keys(self, cells: Int64[np.ndarray, "*n 3"]) -> Int64[np.ndarray, "*n"]:
        i, j, k = np.moveaxis(cells + HALF, -1, 0)
        return (i * 2 * HALF + j) * 2 * HALF + k

    def _hold(self, cells: Int64[np.ndarray, "n m 3"]) -> Bool[np.ndarray, " n"]:
        """Which of the groups of cubes have one in which something is known."""
        cubes = self._cubes
        return np.array(
            [any(key in cubes for key in keys) for keys in self._keys(cells).tolist()], dtype=bool
        )
