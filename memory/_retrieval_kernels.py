"""Compiled kernels of the memory bank: thumbnails, the index, and who sees which point. Private to memory.

``no_type_check`` keeps run-time shape checkers from wrapping what numba has to compile and cache.
Every kernel runs on the calling thread and releases the interpreter lock.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

DEPTH_CODES = 65535


@njit(nogil=True, cache=True)
@no_type_check
def draw_thumbnails(depth, confidence, far, least, codes):
    """Median of the known depths in every cell of depth maps, in 1 / 65535 of ``far`` and at most that.

    It is 0 where a cell holds none, or where the mean trust in the cell is below ``least``.
    """
    n, height, width = depth.shape
    rows, columns = codes.shape[1:]
    known = np.empty((height // rows + 2) * (width // columns + 2), np.float32)
    for k in range(n):
        for i in range(rows):
            top, bottom = i * height // rows, max((i + 1) * height // rows, i * height // rows + 1)
            for j in range(columns):
                left, right = j * width // columns, max((j + 1) * width // columns, j * width // columns + 1)
                count, trust = 0, 0.0
                for r in range(top, bottom):
                    for c in range(left, right):
                        trust += confidence[k, r, c]
                        if depth[k, r, c] > 0:
                            known[count] = depth[k, r, c]
                            count += 1
                codes[k, i, j] = 0
                if count > 0 and trust >= least * (bottom - top) * (right - left):
                    median = np.sort(known[:count])[count // 2]
                    codes[k, i, j] = max(1, round(DEPTH_CODES * min(median / far[k], 1.0)))


@njit(nogil=True, cache=True)
@no_type_check
def bound_blocks(spheres, block, first, blocks):
    """Spheres around every ``block`` spheres in a row, from block ``first`` on."""
    for b in range(first, blocks.shape[0]):
        start, end = b * block, min((b + 1) * block, spheres.shape[0])
        x, y, z = 0.0, 0.0, 0.0
        for k in range(start, end):
            x, y, z = x + spheres[k, 0], y + spheres[k, 1], z + spheres[k, 2]
        x, y, z = x / (end - start), y / (end - start), z / (end - start)
        radius = 0.0
        for k in range(start, end):
            dx, dy, dz = spheres[k, 0] - x, spheres[k, 1] - y, spheres[k, 2] - z
            radius = max(radius, math.sqrt(dx * dx + dy * dy + dz * dz) + spheres[k, 3])
        blocks[b, 0], blocks[b, 1], blocks[b, 2], blocks[b, 3] = x, y, z, radius


@njit(nogil=True, cache=True)
@no_type_check
def find_meeting(blocks, spheres, block, ball, rows):
    """Write which spheres meet ``ball`` into ``rows``, ascending, and return how many they are."""
    count = 0
    for b in range(blocks.shape[0]):
        if not _meet(blocks, b, ball):
            continue
        for k in range(b * block, min((b + 1) * block, spheres.shape[0])):
            if _meet(spheres, k, ball):
                rows[count] = k
                count += 1
    return count


@njit(nogil=True, cache=True)
@no_type_check
def _meet(spheres, k, ball):
    dx, dy, dz = spheres[k, 0] - ball[0], spheres[k, 1] - ball[1], spheres[k, 2] - ball[2]
    reach = spheres[k, 3] + ball[3]
    return dx * dx + dy * dy + dz * dz <= reach * reach


@njit(nogil=True, cache=True)
@no_type_check
def mark_seen(rows, w2c, lens, span, depth, slack, points, seen):
    """Mark which of ``points`` [3, m] each of the units ``rows`` sees.

    A point is seen inside the frustum, unless it lies deeper than ``slack`` times the depth of its
    thumbnail's cell, or nothing is known there; with ``slack`` 0 the frustum alone decides.
    """
    framed = np.empty(points.shape[1], np.int32)
    for r in range(rows.shape[0]):
        k = rows[r]
        _frame(w2c[k], lens[k], span[k], points, seen[r])
        if slack > 0:
            count = _list_marked(seen[r], framed)
            reach = slack * span[k, 1]
            _uncover(w2c[k], lens[k], reach, depth[k], points, framed[:count], seen[r])


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _frame(w2c, lens, span, points, inside):
    """Mark the points inside a frustum; no branches, so that eight of them go at once."""
    xx, xy, xz, xt = w2c[0, 0], w2c[0, 1], w2c[0, 2], w2c[0, 3]
    yx, yy, yz, yt = w2c[1, 0], w2c[1, 1], w2c[1, 2], w2c[1, 3]
    zx, zy, zz, zt = w2c[2, 0], w2c[2, 1], w2c[2, 2], w2c[2, 3]
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    near, far, zero = span[0], span[1], np.float32(0.0)
    for m in range(points.shape[1]):
        px, py, pz = points[0, m], points[1, m], points[2, m]
        z = zx * px + zy * py + zz * pz + zt
        u = fx * (xx * px + xy * py + xz * pz + xt) + cx * z
        v = fy * (yx * px + yy * py + yz * pz + yt) + cy * z
        inside[m] = (z >= near) & (z <= far) & (u >= zero) & (u < z) & (v >= zero) & (v < z)


@njit(nogil=True, cache=True)
@no_type_check
def _list_marked(marked, listed):
    """Write the indices that are marked, and return how many they are."""
    count = 0
    for m in range(marked.shape[0]):
        listed[count] = m
        count += marked[m]
    return count


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _uncover(w2c, lens, reach, depth, points, framed, seen):
    """Take back the points that lie behind what a thumbnail shows, or where it knows nothing."""
    height, width = np.float32(depth.shape[0]), np.float32(depth.shape[1])
    last_row, last_column = np.int32(depth.shape[0] - 1), np.int32(depth.shape[1] - 1)
    step, one = reach / np.float32(DEPTH_CODES), np.float32(1.0)
    for n in range(framed.shape[0]):
        m = framed[n]
        px, py, pz = points[0, m], points[1, m], points[2, m]
        z = w2c[2, 0] * px + w2c[2, 1] * py + w2c[2, 2] * pz + w2c[2, 3]
        inverse = one / z
        u = lens[0] * (w2c[0, 0] * px + w2c[0, 1] * py + w2c[0, 2] * pz + w2c[0, 3]) * inverse + lens[2]
        v = lens[1] * (w2c[1, 0] * px + w2c[1, 1] * py + w2c[1, 2] * pz + w2c[1, 3]) * inverse + lens[3]
        i, j = min(np.int32(v * height), last_row), min(np.int32(u * width), last_column)
        seen[m] = z <= step * np.float32(depth[i, j])


@njit(nogil=True, cache=True)
@no_type_check
def count_left(seen, left, counts):
    """How many of the points that are ``left`` each row sees."""
    for r in range(seen.shape[0]):
        total = np.int32(0)
        for m in range(seen.shape[1]):
            total += np.int32(seen[r, m] & left[m])
        counts[r] = total
