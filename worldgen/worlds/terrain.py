"""Terrain: a terraced field of heights, made of as few boxes as possible.

Room: worldgen.worlds; ``landscapes`` shapes and covers it. Heights are in metres above the world's zero, so
world y is their negative. Cells are squares; neighbouring cells of one height and one cover become one box.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from jaxtyping import Bool, Float, Int

from worldgen.worlds.scene import Material, Shape, box, slab
from worldgen.worlds.shells import Rect

Rng = np.random.Generator
Cells = Int[np.ndarray, "n m"]


def smooth_noise(
    rng: Rng, x: Float[np.ndarray, "n m"], z: Float[np.ndarray, "n m"], *, wave: float
) -> Float[np.ndarray, "n m"]:
    """Value noise in [-1, 1] whose features are ``wave`` metres wide, for |x| and |z| up to 160 m."""
    size = int(340.0 / wave) + 4
    values = rng.uniform(-1.0, 1.0, (size, size))
    u, v = x / wave + 0.5 * size, z / wave + 0.5 * size
    i, j = np.floor(u).astype(int), np.floor(v).astype(int)
    a, b = u - i, v - j
    a, b = a * a * (3.0 - 2.0 * a), b * b * (3.0 - 2.0 * b)
    low = values[i, j] * (1 - a) + values[i + 1, j] * a
    high = values[i, j + 1] * (1 - a) + values[i + 1, j + 1] * a
    return low * (1 - b) + high * b


def merged(key: Cells) -> list[tuple[int, int, int, int]]:
    """Rectangles i0 j0 i1 j1 (ends excluded) that tile a grid, each of one key: greedily, the larger way."""
    rows: list[list[int | None]] = key.tolist()  # plain lists: cells are visited one by one
    rects: list[tuple[int, int, int, int]] = []
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            if value is None:
                continue
            end_i, end_j = max(
                _grown(rows, i, j, value),
                _grown_down(rows, i, j, value),
                key=lambda end: (end[0] - i) * (end[1] - j),
            )
            for a in range(i, end_i):
                rows[a][j:end_j] = [None] * (end_j - j)
            rects.append((i, j, end_i, end_j))
    return rects


def _grown(rows: list[list[int | None]], i: int, j: int, value: int) -> tuple[int, int]:
    """Ends of the rectangle from (i, j) that takes all it can of its row, then whole rows."""
    end_i, end_j = i + 1, j + 1
    while end_j < len(rows[i]) and rows[i][end_j] == value:
        end_j += 1
    while end_i < len(rows) and all(found == value for found in rows[end_i][j:end_j]):
        end_i += 1
    return end_i, end_j


def _grown_down(rows: list[list[int | None]], i: int, j: int, value: int) -> tuple[int, int]:
    """Ends of the rectangle from (i, j) that takes all it can of its column, then whole columns."""
    end_i, end_j = i + 1, j + 1
    while end_i < len(rows) and rows[end_i][j] == value:
        end_i += 1
    while end_j < len(rows[i]) and all(rows[a][end_j] == value for a in range(i, end_i)):
        end_j += 1
    return end_i, end_j


def reachable(
    levels: Cells, allowed: Bool[np.ndarray, "n m"], *, climb: int, start: tuple[int, int]
) -> Bool[np.ndarray, "n m"]:
    """Allowed cells that steps of at most ``climb`` levels between neighbours lead to from ``start``."""
    found = np.zeros(levels.shape, bool)
    found[start] = allowed[start]
    queue = deque([start] if allowed[start] else [])
    while queue:
        i, j = queue.popleft()
        for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            inside = 0 <= a < levels.shape[0] and 0 <= b < levels.shape[1]
            if inside and allowed[a, b] and not found[a, b] and abs(levels[a, b] - levels[i, j]) <= climb:
                found[a, b] = True
                queue.append((a, b))
    return found


def columns(
    levels: Cells,
    cover: Cells,
    *,
    step: float,
    cell: float,
    corner: float,
    looks: list[tuple[Material, Material]],
    bottom: float,
) -> list[Shape]:
    """Boxes from ``bottom`` (world y) up to the height of every cell.

    Args:
        levels: height of every cell, in steps.
        cover: which of ``looks`` lies on it; -1 leaves the cell out.
        step: metres a level.
        cell: metres a side.
        corner: world x and z of the grid's first corner.
        looks: materials of the top and of the sides.
        bottom: where the boxes end, below everything that can be seen.
    """
    key = np.where(cover < 0, -1, levels * len(looks) + cover + (1 << 20))
    shapes: list[Shape] = []
    for i0, j0, i1, j1 in merged(key):
        if cover[i0, j0] < 0:
            continue
        top, side = looks[cover[i0, j0]]
        rect = rect_of((i0, j0, i1, j1), cell=cell, corner=corner)
        y = -step * float(levels[i0, j0])
        materials = (side, side, top, side, side, side)
        shapes.append(slab((rect[0], y, rect[1]), (rect[2], bottom, rect[3]), *materials))
    return shapes


def rect_of(cells: tuple[int, int, int, int], *, cell: float, corner: float) -> Rect:
    """World rectangle of a rectangle of cells; i goes along x, j along z."""
    i0, j0, i1, j1 = cells
    return (corner + cell * i0, corner + cell * j0, corner + cell * i1, corner + cell * j1)


def rock(rng: Rng, look: Material, size: float) -> list[Shape]:
    """A boulder: a few turned boxes that sink into the ground."""
    shapes: list[Shape] = []
    for _ in range(int(rng.integers(3, 6)) if size > 0.5 else 2):
        half = size * rng.uniform(0.3, 0.8, 3)
        x, z = size * rng.uniform(-0.35, 0.35, 2)
        y = -0.5 * float(half[1])
        shapes.append(
            box((float(x), y, float(z)), tuple(half.tolist()), look, yaw=float(rng.uniform(0.0, 3.0)))
        )
    return shapes
