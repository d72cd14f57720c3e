"""Compiled kernels of TSDF fusion. Room: reconstruct; private to ``reconstruct.tsdf``.

Blocks hold 8 x 8 x 8 lattice points; point ``(x, y, z)`` of block ``b`` is row ``(z * 8 + y) * 8 + x`` of its
columns and lies at ``(8 b + (x, y, z)) * voxel``. Every block is worked on by one thread, frame after frame:
results do not depend on how many threads there are. No fast-math: sums keep their order.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

SIDE = 8
"""Lattice points along the side of a block."""

LIMIT = 1 << 20
"""Blocks lie less than so many sides from the origin along every axis: a key has 21 bits an axis."""

ASLANT = 2.0
"""What lies behind a surface is seen this much further along a ray that meets it aslant."""

FREE = np.int64(-1)
"""Key of an empty place in the hash table."""

OUTSIDE = -1
"""What :func:`claim_blocks` returns for points that lie too far from the origin."""


@njit(nogil=True, cache=True)
@no_type_check
def claim_blocks(points, reach, side, table, count, most):
    """Enter all blocks that meet the cubes of half-width ``reach[p]`` around points; how many are in it then.

    ``table`` holds keys, ``FREE`` where there is none, twice as many places as ``most`` or more. More than
    ``most`` means that it is full and some are missing; ``OUTSIDE`` that a point lies too far away.
    """
    mask = np.int64(table.shape[0] - 1)
    last = np.full(6, LIMIT, np.int64)
    ends = np.empty(6, np.int64)
    for p in range(points.shape[0]):
        is_new = False
        for k in range(3):
            low, high = (points[p, k] - reach[p]) / side, (points[p, k] + reach[p]) / side
            if not (low > -LIMIT and high < LIMIT):
                return OUTSIDE
            ends[k], ends[3 + k] = math.floor(low), math.floor(high)
            is_new = is_new or ends[k] != last[k] or ends[3 + k] != last[3 + k]
        if not is_new:  # neighbouring pixels mostly meet the same blocks
            continue
        last[:] = ends
        for x in range(ends[0], ends[3] + 1):
            for y in range(ends[1], ends[4] + 1):
                for z in range(ends[2], ends[5] + 1):
                    key = block_key(x, y, z)
                    slot = _slot(table, mask, key)
                    if table[slot] == FREE:
                        if count == most:
                            return most + 1
                        table[slot] = key
                        count += 1
    return count


@njit(nogil=True, cache=True)
@no_type_check
def block_key(x, y, z):
    """One whole number for a block; sorted by it, blocks ascend by z, then y, then x."""
    return ((np.int64(z) + LIMIT) << 42) | ((np.int64(y) + LIMIT) << 21) | (np.int64(x) + LIMIT)


@njit(nogil=True, cache=True)
@no_type_check
def _slot(table, mask, key):
    """Where a key is in a hash table, or would be."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed >> np.uint64(20)) & mask
    while table[slot] != FREE and table[slot] != key:
        slot = (slot + 1) & mask
    return slot


@njit(nogil=True, cache=True)
@no_type_check
def integrate(start, stop, blocks, columns, pictures, cameras, lengths):
    """Add frames to the blocks from ``start`` to before ``stop``.

    Args:
        start: first block.
        stop: where to end.
        blocks: coordinates ``[b 3]``.
        columns: sums of weighted distances, in voxels, and of their weights ``[b 512]``, and of weighted
            colours and of theirs ``[b 512 4]``.
        pictures: z-depth ``[n h w]``, normals towards the camera in its axes ``[n h w 3]``, weight (0 where
            nothing is known), colour ``[n h w 3]``, and whether the space before a pixel is known to be free.
        cameras: ``w2c [n 4 4]``, and fx, fy, cx, cy ``[n 4]``.
        lengths: voxel in world units, truncation in voxels in front of a surface and behind it.
    """
    voxel, front, behind = lengths
    w2c, lens = cameras
    depths = pictures[0]
    height, width = depths.shape[1:]
    for b in range(start, stop):
        for n in range(depths.shape[0]):
            if _is_outside(blocks[b], w2c[n], lens[n], voxel, width, height):
                continue
            _integrate_block(b, n, blocks, columns, pictures, (w2c[n], lens[n]), (voxel, front, behind))


@njit(nogil=True, cache=True)
@no_type_check
def _is_outside(block, w2c, lens, voxel, width, height):
    """Whether no camera ray meets the sphere around a block."""
    half = 0.5 * (SIDE - 1)
    radius = math.sqrt(3.0) * half * voxel
    px, py, pz = (
        (SIDE * block[0] + half) * voxel,
        (SIDE * block[1] + half) * voxel,
        (SIDE * block[2] + half) * voxel,
    )
    x = w2c[0, 0] * px + w2c[0, 1] * py + w2c[0, 2] * pz + w2c[0, 3]
    y = w2c[1, 0] * px + w2c[1, 1] * py + w2c[1, 2] * pz + w2c[1, 3]
    z = w2c[2, 0] * px + w2c[2, 1] * py + w2c[2, 2] * pz + w2c[2, 3]
    fx, fy, cx, cy = lens
    return (
        z < -radius
        or fx * x + cx * z < -radius * math.hypot(fx, cx)
        or (width - cx) * z - fx * x < -radius * math.hypot(fx, width - cx)
        or fy * y + cy * z < -radius * math.hypot(fy, cy)
        or (height - cy) * z - fy * y < -radius * math.hypot(fy, height - cy)
    )


@njit(nogil=True, cache=True)
@no_type_check
def _integrate_block(b, n, blocks, columns, pictures, camera, lengths):
    """Add one frame to one block: the distance of each lattice point from the plane of its pixel."""
    distances, weights, colours = columns
    depths, normals, trusts, rgbs, frees = pictures
    (w2c, lens), (voxel, front, behind) = camera, lengths
    fx, fy, cx, cy = lens
    height, width = depths.shape[1:]
    for row in range(SIDE * SIDE * SIDE):
        px = (SIDE * blocks[b, 0] + row % SIDE) * voxel
        py = (SIDE * blocks[b, 1] + row // SIDE % SIDE) * voxel
        pz = (SIDE * blocks[b, 2] + row // (SIDE * SIDE)) * voxel
        z = w2c[2, 0] * px + w2c[2, 1] * py + w2c[2, 2] * pz + w2c[2, 3]
        if not z > 1e-3 * voxel:
            continue
        x = w2c[0, 0] * px + w2c[0, 1] * py + w2c[0, 2] * pz + w2c[0, 3]
        y = w2c[1, 0] * px + w2c[1, 1] * py + w2c[1, 2] * pz + w2c[1, 3]
        u, v = fx * x / z + cx, fy * y / z + cy
        if not (u >= 0.0 and v >= 0.0 and u < width and v < height):
            continue
        i, j = int(v), int(u)
        weight = trusts[n, i, j]
        if not weight > 0.0:
            continue
        depth = depths[n, i, j]
        unit = max(voxel, depth / fx)
        near, far = front * unit, behind * unit
        # A plane that a pixel sees aslant is nearer than what lies between along the ray.
        distance = (
            normals[n, i, j, 0] * (x - (j + 0.5 - cx) / fx * depth)
            + normals[n, i, j, 1] * (y - (i + 0.5 - cy) / fy * depth)
            + normals[n, i, j, 2] * (z - depth)
        )
        if distance < -far or depth - z < -ASLANT * far:
            continue
        if distance > near:
            if frees[n, i, j]:
                distances[b, row] += weight * near / voxel
                weights[b, row] += weight
            continue
        if distance < 0.0:
            weight *= max(1.0 + distance / far, 0.0)  # what lies behind a surface is known less and less
        distances[b, row] += weight * distance / voxel
        weights[b, row] += weight
        for k in range(3):
            colours[b, row, k] += weight * rgbs[n, i, j, k]
        colours[b, row, 3] += weight
