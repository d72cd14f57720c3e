"""Compiled: how alike pictures look, smoothed. Room: reconstruct; private to ``reconstruct.stereo``."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

DIRECTIONS = np.array([[0, 1], [0, -1], [1, 0], [-1, 0], [1, 1], [-1, -1], [1, -1], [-1, 1]], np.int64)
"""Rows and columns that each of the eight ways across a picture steps."""


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def aggregated(costs, grey, small, large, edge):
    """Costs ``[h w k]`` of ``k`` depths a pixel, each with the cheapest ways that lead to it added.

    Eight straight ways lead to every pixel; a way pays ``small`` where its depth changes by one step and
    ``large`` where it jumps, less of it across an edge of the picture ``grey[h w]``: at a difference of
    ``edge`` half of it (Hirschmüller 2008, sections 2.2 and 2.3).
    """
    height, width, count = costs.shape
    total = np.zeros_like(costs)
    before = np.empty((height, width, count), np.float32)
    for d in range(len(DIRECTIONS)):
        down, right = DIRECTIONS[d, 0], DIRECTIONS[d, 1]
        for row in range(height):
            y = row if down >= 0 else height - 1 - row
            for column in range(width):
                x = column if right >= 0 else width - 1 - column
                py, px = y - down, x - right
                if not (0 <= py < height and 0 <= px < width):
                    for k in range(count):
                        before[y, x, k] = costs[y, x, k]
                        total[y, x, k] += costs[y, x, k]
                    continue
                least = before[py, px].min()
                step = abs(grey[y, x] - grey[py, px])
                jump = max(small, large * edge / (edge + step))
                _step(costs[y, x], before[py, px], before[y, x], total[y, x], (least, small, jump))
    return total


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
@no_type_check
def _step(costs, behind, ahead, total, prices):
    least, small, jump = prices
    count = len(costs)
    for k in range(count):
        best = min(behind[k], least + jump)
        if k > 0:
            best = min(best, behind[k - 1] + small)
        if k + 1 < count:
            best = min(best, behind[k + 1] + small)
        value = costs[k] + best - least
        ahead[k] = value
        total[k] += value


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def likeness_of_planes(picture, corner, others, turns, shifts, shape, count, nearest):
    """How alike a square of a picture and others look, patch by patch, if it showed a plane at some depths.

    ``shape`` is (size, finer, side): patches of ``side`` pixels around the middles of ``size`` x ``size``
    blocks of ``finer`` pixels, the first of which begins at ``corner`` (row, column); ``side - finer`` is
    even.
    ``others`` are pictures ``[n h w]``; ``turns[n]`` and ``shifts[n]`` take a pixel (u, v, 1) at the inverse
    depth w to ``turn (u, v, 1) + w shift`` there. Inverse depth ``i`` of ``count`` is ``(i + 1) / count``
    times ``nearest``. The likeness ``[size size count]`` is the mean of the two best normalised correlations
    among the pictures, -1 where fewer than two show the patch.
    """
    size, finer, side = shape
    margin = (side - finer) // 2
    width = size * finer + 2 * margin
    begin = (corner[0] - margin, corner[1] - margin)
    own = _cut(picture, begin, width)
    rows = np.empty((3, width, size), np.float32)
    _across(own, own, rows, (finer, side))
    mean, spread = _moments(rows, (finer, side))
    best, second = np.empty((size, size), np.float32), np.empty((size, size), np.float32)
    seen = np.empty((width, width), np.float32)
    out = np.empty((size, size, count), np.float32)
    for i in range(count):
        best[:], second[:] = -1.0, -1.0
        for o in range(len(others)):
            _warped(others[o], turns[o], shifts[o] * (nearest * (i + 1) / count), begin, seen)
            _across(seen, own, rows, (finer, side))
            _compared(rows, mean, spread, (finer, side), best, second)
        out[:, :, i] = np.where(second > -1.0, np.float32(0.5) * (best + second), np.float32(-1.0))
    return out


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _cut(picture, begin, width):
    """A square of a picture, NaN where it reaches beyond."""
    out = np.full((width, width), np.float32(np.nan))
    for r in range(width):
        for c in range(width):
            y, x = begin[0] + r, begin[1] + c
            if 0 <= y < picture.shape[0] and 0 <= x < picture.shape[1]:
                out[r, c] = picture[y, x]
    return out


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _moments(rows, shape):
    """Mean and standard deviation of every patch, of the sums along its rows."""
    finer, side = shape
    size, n = rows.shape[2], np.float32(side * side)
    mean, spread = np.empty((size, size), np.float32), np.empty((size, size), np.float32)
    for y in range(size):
        for x in range(size):
            total, square = np.float32(0.0), np.float32(0.0)
            for k in range(side):
                total += rows[0, y * finer + k, x]
                square += rows[1, y * finer + k, x]
            mean[y, x] = total / n
            spread[y, x] = np.sqrt(max(square / n - mean[y, x] * mean[y, x], np.float32(0.0)))
    return mean, spread


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _warped(other, turn, shift, corner, out):
    """What another picture shows of a plane, pixel by pixel; NaN where it does not."""
    height, width = other.shape
    flat = other.reshape(-1)
    far_x, far_y = np.float32(width - 1), np.float32(height - 1)
    for r in range(out.shape[0]):
        v = corner[0] + r + 0.5
        base = (
            np.float32(turn[0, 1] * v + turn[0, 2] + shift[0]),
            np.float32(turn[1, 1] * v + turn[1, 2] + shift[1]),
            np.float32(turn[2, 1] * v + turn[2, 2] + shift[2]),
        )
        slope = (np.float32(turn[0, 0]), np.float32(turn[1, 0]), np.float32(turn[2, 0]))
        for c in range(out.shape[1]):
            u = np.float32(corner[1] + c) + np.float32(0.5)
            depth = slope[2] * u + base[2]
            share = np.float32(1.0) / max(depth, np.float32(1e-6))
            a = (slope[0] * u + base[0]) * share - np.float32(0.5)
            b = (slope[1] * u + base[1]) * share - np.float32(0.5)
            inside = (depth > 1e-6) & (a >= 0.0) & (a < far_x) & (b >= 0.0) & (b < far_y)
            a = a if inside else np.float32(0.0)
            b = b if inside else np.float32(0.0)
            x, y = np.int32(a), np.int32(b)
            fa, fb = a - np.float32(x), b - np.float32(y)
            at = y * np.int32(width) + x
            upper = flat[at] + fa * (flat[at + 1] - flat[at])
            lower = flat[at + width] + fa * (flat[at + width + 1] - flat[at + width])
            value = upper + fb * (lower - upper)
            out[r, c] = value if inside else np.float32(np.nan)


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _across(seen, own, rows, shape):
    """Sums along the rows of patches: of values, squares, and products with the own picture."""
    finer, side = shape
    for r in range(seen.shape[0]):
        for x in range(rows.shape[2]):
            total, square, cross = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for k in range(side):
                value = seen[r, x * finer + k]
                total += value
                square += value * value
                cross += value * own[r, x * finer + k]
            rows[0, r, x], rows[1, r, x], rows[2, r, x] = total, square, cross


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _compared(rows, mean, spread, shape, best, second):
    """Take in normalised correlations; what is NaN is not better than anything."""
    finer, side = shape
    n = np.float32(side * side)
    for y in range(best.shape[0]):
        for x in range(best.shape[1]):
            total, square, cross = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for k in range(side):
                total += rows[0, y * finer + k, x]
                square += rows[1, y * finer + k, x]
                cross += rows[2, y * finer + k, x]
            middle = total / n
            other_spread = np.sqrt(max(square / n - middle * middle, np.float32(1e-8)))
            found = (cross / n - mean[y, x] * middle) / (spread[y, x] * other_spread + np.float32(1e-8))
            if found > best[y, x]:
                second[y, x], best[y, x] = best[y, x], found
            elif found > second[y, x]:
                second[y, x] = found
