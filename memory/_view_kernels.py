"""Compiled kernels that draw tiles: what a camera can see of them, near to far. Private to memory.

``no_type_check`` keeps run-time shape checkers from wrapping what numba has to compile and cache.
Every kernel runs on the calling thread and releases the interpreter lock.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from memory._tile_kernels import MAX_LEVEL
from render.points import draw_range

CELL = 16
"""Pixels a side of a cell of the coarse grid that says how far every pixel of it is covered."""

BATCH = 32
"""Blocks that are drawn between two looks at what they have covered."""

OVERLAP = np.float32(1.25)
"""A point that stands for a cube is not in its middle, so its patch is drawn this much wider."""


@njit(nogil=True, cache=True)
@no_type_check
def see_tiles(boxes, w2c, K, size, near, reach, tiles, bounds):
    """Write which tiles a picture of ``size`` (height, width) can show, and how many.

    ``bounds`` are, for each, the nearest depth and the pixels it may touch: top, bottom, left, right.
    """
    height, width = size
    margin = reach + np.float32(1.0)
    planes = np.empty((5, 4), dtype=np.float32)  # what lies on the inner side of all may be seen
    for k in range(4):
        z = w2c[2, k]
        x, y = K[0, 0] * w2c[0, k] + K[0, 2] * z, K[1, 1] * w2c[1, k] + K[1, 2] * z
        planes[0, k] = z
        planes[1, k], planes[2, k] = x + margin * z, (width + margin) * z - x
        planes[3, k], planes[4, k] = y + margin * z, (height + margin) * z - y
    count = 0
    for tile in range(boxes.shape[0]):
        if _is_outside(boxes[tile], planes):
            continue
        if _project_box(boxes[tile], w2c, K, size, near, reach, bounds[count]):
            tiles[count] = tile
            count += 1
    return count


@njit(nogil=True, cache=True)
@no_type_check
def _is_outside(box, planes):
    """Whether a box lies wholly on the outer side of a plane: a quick test that rejects most of them."""
    half = np.float32(0.5)
    for i in range(planes.shape[0]):
        at = planes[i, 3]
        for k in range(3):
            middle, extent = half * (box[k] + box[3 + k]), half * (box[3 + k] - box[k])
            at += planes[i, k] * middle + abs(planes[i, k]) * extent
        if at < 0:
            return True
    return False


@njit(nogil=True, cache=True)
@no_type_check
def _project_box(box, w2c, K, size, near, reach, bounds):
    """Fill ``bounds`` as :func:`see_tiles` describes; False if nothing of the box can be seen."""
    height, width = size
    z_low, z_high = np.float32(np.inf), np.float32(-np.inf)
    u_low, u_high = np.float32(np.inf), np.float32(-np.inf)
    v_low, v_high = np.float32(np.inf), np.float32(-np.inf)
    for corner in range(8):
        x = box[3] if corner & 1 else box[0]
        y = box[4] if corner & 2 else box[1]
        z = box[5] if corner & 4 else box[2]
        depth = w2c[2, 0] * x + w2c[2, 1] * y + w2c[2, 2] * z + w2c[2, 3]
        z_low, z_high = min(z_low, depth), max(z_high, depth)
        if depth > near:
            u = K[0, 0] * (w2c[0, 0] * x + w2c[0, 1] * y + w2c[0, 2] * z + w2c[0, 3]) / depth + K[0, 2]
            v = K[1, 1] * (w2c[1, 0] * x + w2c[1, 1] * y + w2c[1, 2] * z + w2c[1, 3]) / depth + K[1, 2]
            u_low, u_high = min(u_low, u), max(u_high, u)
            v_low, v_high = min(v_low, v), max(v_high, v)
    if not z_high > near:
        return False
    margin = reach + np.float32(1.0)
    bounds[0] = z_low
    if not z_low > near:  # it reaches behind the camera: its projection is unbounded
        bounds[1], bounds[2], bounds[3], bounds[4] = 0, height - 1, 0, width - 1
        return _reaches_inside(box, w2c, K, size, margin)
    bounds[1], bounds[2] = max(v_low - margin, 0), min(v_high + margin, height - 1)
    bounds[3], bounds[4] = max(u_low - margin, 0), min(u_high + margin, width - 1)
    return bounds[1] <= bounds[2] and bounds[3] <= bounds[4]


@njit(nogil=True, cache=True)
@no_type_check
def _reaches_inside(box, w2c, K, size, margin):
    """Whether a box lies wholly on the outer side of none of the planes that bound a picture."""
    height, width = size
    left, right, top, bottom = False, False, False, False
    for corner in range(8):
        x = box[3] if corner & 1 else box[0]
        y = box[4] if corner & 2 else box[1]
        z = box[5] if corner & 4 else box[2]
        depth = w2c[2, 0] * x + w2c[2, 1] * y + w2c[2, 2] * z + w2c[2, 3]
        u = K[0, 0] * (w2c[0, 0] * x + w2c[0, 1] * y + w2c[0, 2] * z + w2c[0, 3]) + K[0, 2] * depth
        v = K[1, 1] * (w2c[1, 0] * x + w2c[1, 1] * y + w2c[1, 2] * z + w2c[1, 3]) + K[1, 2] * depth
        left |= u >= -margin * depth
        right |= u <= (width + margin) * depth
        top |= v >= -margin * depth
        bottom |= v <= (height + margin) * depth
    return left and right and top and bottom


@njit(nogil=True, cache=True)
@no_type_check
def draw_tiles(
    tiles,
    bounds,
    powers,
    ends,
    chain,
    boxes,
    starts,
    counts,
    detail,
    slab,
    used,
    tick,
    positions,
    axes,
    w2c,
    K,
    near,
    reach,
    depth,
    winner,
):
    """Draw tiles that come in order of nearest depth; returns how many blocks and points were drawn.

    After every ``BATCH`` drawn blocks the coarse grid is made anew: tiles and blocks that lie wholly
    behind the cells they fall into are left out. A block whose cubes of level ``k`` are at most
    ``detail`` pixels wide is drawn from one point a cube. Slabs that are read get ``tick`` in ``used``.
    """
    size = depth.shape
    grid = np.full((-(-size[0] // CELL), -(-size[1] // CELL)), np.inf, dtype=np.float32)
    scratch = np.empty(5, dtype=np.float32)
    focal = max(K[0, 0], K[1, 1])
    drawn, points = 0, 0
    for i in range(tiles.shape[0]):
        if _is_hidden(bounds[i], grid):
            continue
        tile = tiles[i]
        unit = np.float32(2.0) ** powers[tile]
        block = ends[tile, 0]
        while block >= 0:
            if _project_box(boxes[block], w2c, K, size, near, reach, scratch) and not _is_hidden(
                scratch, grid
            ):
                level, stretch = 0, np.float32(1.0)
                while level < MAX_LEVEL and unit * stretch * 2 * focal <= detail * scratch[0]:
                    level += 1
                    stretch *= 2
                for part in range(2):
                    # Levels 4, 3 and 2 lie in a row in one run; levels 1 and 0 in another.
                    start, length = starts[block, part], np.int64(0)
                    for k in range(max(level, 2 if part == 0 else 0), 5 if part == 0 else 2):
                        length += counts[block, k]
                    if length > 0:
                        draw_range(
                            positions,
                            axes,
                            start,
                            start + length,
                            stretch * OVERLAP if level > 0 else stretch,
                            w2c,
                            K,
                            near,
                            reach,
                            depth,
                            winner,
                        )
                        used[start // slab] = tick
                        points += length
                drawn += 1
                if drawn % BATCH == 0:
                    _find_furthest(depth, grid)
            block = chain[block]
    return drawn, points


@njit(nogil=True, cache=True)
@no_type_check
def _is_hidden(bounds, grid):
    for row in range(math.floor(bounds[1]) // CELL, math.floor(bounds[2]) // CELL + 1):
        for column in range(math.floor(bounds[3]) // CELL, math.floor(bounds[4]) // CELL + 1):
            if not bounds[0] > grid[row, column]:
                return False
    return True


@njit(nogil=True, cache=True)
@no_type_check
def _find_furthest(depth, grid):
    height, width = depth.shape
    for row in range(grid.shape[0]):
        for column in range(grid.shape[1]):
            furthest = np.float32(0.0)
            for i in range(row * CELL, min((row + 1) * CELL, height)):
                for j in range(column * CELL, min((column + 1) * CELL, width)):
                    furthest = max(furthest, depth[i, j])
            grid[row, column] = furthest
