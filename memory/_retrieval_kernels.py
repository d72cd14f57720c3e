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


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def mark_seen(rows, w2c, lens, span, depth, slack, points, seen):
    """Mark which of ``points`` [3, m] each of the units ``rows`` sees.

    A point is seen inside the frustum, unless it lies deeper than ``slack`` times the depth of its
    thumbnail's cell, or nothing is known there; with ``slack`` 0 the frustum alone decides.
    """
    z, cell = np.empty(points.shape[1], np.float32), np.empty(points.shape[1], np.int32)
    for r in range(rows.shape[0]):
        framed = _frame(rows[r], w2c, lens, span, points, seen[r])
        if framed > 0 and slack > 0:
            _uncover(rows[r], w2c, lens, span, depth, slack, points, z, cell, seen[r])


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def glance_at(rows, w2c, lens, span, glance, slack, points, seen):
    """As :func:`mark_seen` for up to 64 points and very many units, one bit a point."""
    inside, z = np.empty(points.shape[1], np.bool_), np.empty(points.shape[1], np.float32)
    cell = np.empty(points.shape[1], np.int32)
    for r in range(rows.shape[0]):
        bits = np.uint64(0)
        if _frame(rows[r], w2c, lens, span, points, inside) > 0:
            if slack > 0:
                _uncover(rows[r], w2c, lens, span, glance, slack, points, z, cell, inside)
            for m in range(points.shape[1]):
                bits |= np.uint64(inside[m]) << np.uint64(m)
        seen[r] = bits


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def _projection(k, w2c, lens):
    """The rows of lens times pose: they give u z, v z and z of a point, u and v in picture sizes."""
    fx, fy, cx, cy = lens[k, 0], lens[k, 1], lens[k, 2], lens[k, 3]
    zx, zy, zz, zt = w2c[k, 2, 0], w2c[k, 2, 1], w2c[k, 2, 2], w2c[k, 2, 3]
    ux, uy = fx * w2c[k, 0, 0] + cx * zx, fx * w2c[k, 0, 1] + cx * zy
    uz, ut = fx * w2c[k, 0, 2] + cx * zz, fx * w2c[k, 0, 3] + cx * zt
    vx, vy = fy * w2c[k, 1, 0] + cy * zx, fy * w2c[k, 1, 1] + cy * zy
    vz, vt = fy * w2c[k, 1, 2] + cy * zz, fy * w2c[k, 1, 3] + cy * zt
    return ux, uy, uz, ut, vx, vy, vz, vt, zx, zy, zz, zt


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
@no_type_check
def _frame(k, w2c, lens, span, points, inside):
    """Mark the points inside a frustum, and count them; no branches, so that eight go at once."""
    count = np.int32(0)
    near, far, zero = span[k, 0], span[k, 1], np.float32(0.0)
    ux, uy, uz, ut, vx, vy, vz, vt, zx, zy, zz, zt = _projection(k, w2c, lens)
    for m in range(points.shape[1]):
        px, py, pz = points[0, m], points[1, m], points[2, m]
        z = zx * px + zy * py + zz * pz + zt
        u = ux * px + uy * py + uz * pz + ut
        v = vx * px + vy * py + vz * pz + vt
        inside[m] = (z >= near) & (z <= far) & (u >= zero) & (u < z) & (v >= zero) & (v < z)
        count += np.int32(inside[m])
    return count


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
@no_type_check
def _uncover(k, w2c, lens, span, depth, slack, points, z, cell, seen):
    """Take back the points that lie behind what a thumbnail shows, or where it knows nothing.

    The cells are found for all points, eight at once; a point outside the frustum has any.
    """
    rows, columns = depth.shape[1], depth.shape[2]
    zero, height, width = np.float32(0.0), np.float32(rows), np.float32(columns)
    bottom, right = np.float32(rows - 1), np.float32(columns - 1)
    ux, uy, uz, ut, vx, vy, vz, vt, zx, zy, zz, zt = _projection(k, w2c, lens)
    for m in range(points.shape[1]):
        px, py, pz = points[0, m], points[1, m], points[2, m]
        deep = zx * px + zy * py + zz * pz + zt
        u = (ux * px + uy * py + uz * pz + ut) * (width / deep)
        v = (vx * px + vy * py + vz * pz + vt) * (height / deep)
        u, v = u if u > zero else zero, v if v > zero else zero
        u, v = u if u < right else right, v if v < bottom else bottom
        z[m] = deep
        cell[m] = np.int32(v) * np.int32(columns) + np.int32(u)
    shown, step = depth[k].reshape(rows * columns), slack * span[k, 1] / np.float32(DEPTH_CODES)
    for m in range(points.shape[1]):
        seen[m] &= z[m] <= step * np.float32(shown[cell[m]])


@njit(nogil=True, cache=True)
@no_type_check
def count_left(seen, left, counts):
    """How many of the points that are ``left`` each row sees."""
    for r in range(seen.shape[0]):
        total = np.int32(0)
        for m in range(seen.shape[1]):
            total += np.int32(seen[r, m] & left[m])
        counts[r] = total


@njit(nogil=True, cache=True)
@no_type_check
def pick_best(seen, left, picked):
    """Fill ``picked`` with the rows that see most of the points that are ``left``, bit by bit.

    The best come first, the last row first of those that are as good.
    """
    counts, held = np.empty(seen.shape[0], np.uint8), np.zeros(65, np.int64)
    for r in range(seen.shape[0]):
        counts[r] = _count_bits(seen[r] & left)
    for r in range(seen.shape[0]):
        held[counts[r]] += 1
    starts, better = np.empty(65, np.int64), 0
    for count in range(64, -1, -1):
        starts[count] = better
        better += held[count]
    for r in range(seen.shape[0] - 1, -1, -1):
        place = starts[counts[r]]
        if place < picked.shape[0]:
            picked[place] = r
            starts[counts[r]] += 1


@njit(nogil=True, cache=True)
@no_type_check
def _count_bits(bits):
    """How many of 64 bits are set (Warren, Hacker's Delight, section 5-1)."""
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    pairs = np.uint64(0x3333333333333333)
    bits = (bits & pairs) + ((bits >> np.uint64(2)) & pairs)
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.uint8((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))
