"""Compiled kernels of the block index: which points a camera can see at all. Private to memory.

``no_type_check`` keeps run-time shape checkers from wrapping what numba has to compile and cache.
Every kernel runs on the calling thread and releases the interpreter lock.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from render.points import draw_range

CELL = 16
"""Pixels a side of a cell of the coarse grid that says how far every pixel of it is covered."""


@njit(nogil=True, cache=True)
@no_type_check
def bound_runs(positions, length, first, boxes):
    """Boxes (low xyz, high xyz) around every ``length`` rows of ``positions``, from run ``first`` on."""
    for run in range(first, -(-positions.shape[0] // length)):
        for k in range(3):
            boxes[run, k], boxes[run, 3 + k] = np.inf, -np.inf
        for i in range(run * length, min((run + 1) * length, positions.shape[0])):
            for k in range(3):
                boxes[run, k] = min(boxes[run, k], positions[i, k])
                boxes[run, 3 + k] = max(boxes[run, 3 + k], positions[i, k])


@njit(nogil=True, cache=True)
@no_type_check
def bound_groups(boxes, length, first, groups):
    """Boxes around every ``length`` boxes, from group ``first`` on."""
    for group in range(first, -(-boxes.shape[0] // length)):
        for k in range(3):
            groups[group, k], groups[group, 3 + k] = np.inf, -np.inf
        for i in range(group * length, min((group + 1) * length, boxes.shape[0])):
            for k in range(3):
                groups[group, k] = min(groups[group, k], boxes[i, k])
                groups[group, 3 + k] = max(groups[group, 3 + k], boxes[i, 3 + k])


@njit(nogil=True, cache=True)
@no_type_check
def find_blocks(boxes, groups, length, w2c, K, size, near, reach, blocks, bounds):
    """Write which boxes a picture of ``size`` (height, width) can show, and how many.

    ``bounds`` are, for each, the nearest depth and the pixels it may touch: top, bottom, left, right.
    """
    count = 0
    scratch = np.empty(5, dtype=np.float32)
    for group in range(groups.shape[0]):
        if not _project_box(groups[group], w2c, K, size, near, reach, scratch):
            continue
        for block in range(group * length, min((group + 1) * length, boxes.shape[0])):
            if _project_box(boxes[block], w2c, K, size, near, reach, bounds[count]):
                blocks[count] = block
                count += 1
    return count


@njit(nogil=True, cache=True)
@no_type_check
def _project_box(box, w2c, K, size, near, reach, bounds):
    """Fill ``bounds`` as :func:`find_blocks` describes; False if nothing of the box can be seen."""
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
    bounds[0] = z_low
    if not z_low > near:  # it reaches behind the camera: its projection is unbounded
        bounds[1], bounds[2], bounds[3], bounds[4] = 0, height - 1, 0, width - 1
        return True
    margin = reach + np.float32(1.0)
    bounds[1], bounds[2] = max(v_low - margin, 0), min(v_high + margin, height - 1)
    bounds[3], bounds[4] = max(u_low - margin, 0), min(u_high + margin, width - 1)
    return bounds[1] <= bounds[2] and bounds[3] <= bounds[4]


@njit(nogil=True, cache=True)
@no_type_check
def draw_blocks(blocks, bounds, length, batch, positions, axes, w2c, K, near, reach, depth, winner):
    """Draw blocks that come in order of nearest depth; returns how many were not hidden by others.

    After every ``batch`` drawn blocks the coarse grid is made anew: what lies wholly behind the cells
    it falls into is left out.
    """
    grid = np.full((-(-depth.shape[0] // CELL), -(-depth.shape[1] // CELL)), np.inf, dtype=np.float32)
    drawn = 0
    for i in range(blocks.shape[0]):
        if _is_hidden(bounds[i], grid):
            continue
        start = blocks[i] * length
        stop = min(start + length, positions.shape[0])
        draw_range(positions, axes, start, stop, w2c, K, near, reach, depth, winner)
        drawn += 1
        if drawn % batch == 0:
            _find_furthest(depth, grid)
    return drawn


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
