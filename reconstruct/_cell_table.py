"""The table of marching cubes, derived instead of written down.

Room: reconstruct; private to ``reconstruct.surface``.
Corner ``c`` of a cell lies at ``(c & 1, c >> 1 & 1, c >> 2)``. On every side of a cell, each run of corners
inside the surface is fenced off by one line. That depends on the four corners of the side alone, so two cells
agree about the side they share and no crack opens between them. The lines of a cell's six sides join into
loops, and loops are cut into triangles without a cut that lies in a side, where another cell's may lie too:
every edge then belongs to two faces.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Int8

EDGES = tuple((axis, corner) for axis in range(3) for corner in range(8) if not corner >> axis & 1)
"""The twelve edges of a cell: along which axis, from which corner."""

NUMBER = {frozenset((corner, corner | 1 << axis)): i for i, (axis, corner) in enumerate(EDGES)}
"""Number of the edge between two corners."""

Triangles = list[tuple[int, int, int]]


def _sides() -> list[tuple[int, ...]]:
    """Corners of the six sides of a cell, counter-clockwise as seen from outside."""
    sides = []
    for axis in range(3):
        across, up = 1 << (axis + 1) % 3, 1 << (axis + 2) % 3
        ring = (0, across, across | up, up)
        sides.append(tuple(1 << axis | corner for corner in ring))
        sides.append(tuple(reversed(ring)))
    return sides


SIDES = _sides()
TOUCHED = [frozenset(NUMBER[frozenset((side[i - 1], side[i]))] for i in range(4)) for side in SIDES]
"""The edges of each side."""


@cache
def cell_table() -> tuple[Int8[np.ndarray, "256 t 3"], Int8[np.ndarray, " 256"]]:
    """Triangles of every kind of cell, as edges, and how many there are; bit ``c`` says corner c is inside.

    Counter-clockwise as seen from outside the surface.
    """
    rows = [_triangles(case) for case in range(256)]
    table = np.full((256, max(map(len, rows)), 3), -1, np.int8)
    for case, row in enumerate(rows):
        table[case, : len(row)] = np.array(row, np.int8).reshape(-1, 3)
    return table, np.array([len(row) for row in rows], np.int8)


def _triangles(case: int) -> Triangles:
    following: dict[int, int] = {}
    for side in SIDES:
        following |= _lines([bool(case >> corner & 1) for corner in side], side)
    triangles: Triangles = []
    while following:
        start, after = following.popitem()
        loop = [start]
        while after != start:
            loop.append(after)
            after = following.pop(after)
        triangles += _cut(tuple(loop))
    return triangles


def _lines(inside: list[bool], side: tuple[int, ...]) -> dict[int, int]:
    """Lines that fence off the runs of inside corners of a side: from which edge to which."""
    if all(inside):
        return {}
    lines = {}
    for i in range(4):
        if inside[i] and not inside[i - 1]:
            end = i
            while inside[end % 4]:
                end += 1
            begin = NUMBER[frozenset((side[i - 1], side[i]))]
            lines[begin] = NUMBER[frozenset((side[(end - 1) % 4], side[end % 4]))]
    return lines


def _cut(loop: tuple[int, ...]) -> Triangles:
    """A loop of edges as triangles, no cut of which lies in a side of the cell.

    Raises:
        LookupError: if there is no such way; for loops of cells there is one.
    """
    ways = _ways(loop)
    return next(way for way in ways if not any(_in_side(cut) for cut in _cuts(loop, way)))


def _ways(loop: tuple[int, ...]) -> list[Triangles]:
    """All ways to cut a loop into triangles."""
    if len(loop) < 3:
        return [[]]
    return [
        [*left, (loop[0], loop[i], loop[-1]), *right]
        for i in range(1, len(loop) - 1)
        for left in _ways(loop[: i + 1])
        for right in _ways(loop[i:])
    ]


def _cuts(loop: tuple[int, ...], way: Triangles) -> set[frozenset[int]]:
    rim = {frozenset((loop[i - 1], loop[i])) for i in range(len(loop))}
    lines = {frozenset((triangle[i - 1], triangle[i])) for triangle in way for i in range(3)}
    return lines - rim


def _in_side(cut: frozenset[int]) -> bool:
    return any(cut <= touched for touched in TOUCHED)
