"""Compiled kernels of the tiles: where points belong and where their rows lie. Private to memory.

``no_type_check`` keeps run-time shape checkers from wrapping what numba has to compile and cache.
Every kernel runs on the calling thread and releases the interpreter lock.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

UNITS = 64
"""A tile is so many units wide; a unit is the spacing of its points, rounded up to a power of two."""

RESOLUTION = 2.0**-22
"""Units are no smaller than this share of the distance from the origin: positions are 32-bit floats."""

SMALLEST, LARGEST = 2.0**-60, 2.0**60
"""Units in world units."""

MAX_LEVEL = 4
"""At level ``k`` one point stands for a cube of ``2^k`` units a side; blocks are as large as the last."""


@njit(nogil=True, cache=True)
@no_type_check
def find_tiles(positions, axes, table, keys, count, places):
    """Write for every point its tile and its place on a Morton curve through it; returns how many tiles.

    ``table`` is a hash table of tile numbers, -1 where free, ``keys`` the tiles' coordinates: the power
    of two of the unit and three whole numbers. Points of new tiles append to ``keys`` in their order.
    """
    mask = table.shape[0] - 1
    key = np.empty(4, dtype=np.int64)
    for i in range(positions.shape[0]):
        spacing = np.float64(2 * min(_length(axes[i, 0]), _length(axes[i, 1])))
        furthest = max(abs(positions[i, 0]), abs(positions[i, 1]), abs(positions[i, 2]))
        spacing = min(max(spacing, furthest * RESOLUTION, SMALLEST), LARGEST)
        power = math.ceil(math.log2(spacing))
        side = np.float64(2.0) ** power * UNITS
        key[0], morton = power, np.int64(0)
        for k in range(3):
            at = np.float64(positions[i, k]) / side
            whole = math.floor(at)
            key[1 + k] = whole
            morton |= _spread(np.int64((at - whole) * UNITS)) << k
        slot = _hashed(key) & mask
        while table[slot] >= 0 and not _is_same(keys[table[slot]], key):
            slot = (slot + 1) & mask
        if table[slot] < 0:
            for k in range(4):
                keys[count, k] = key[k]
            table[slot] = count
            count += 1
        places[i] = (np.int64(table[slot]) << 18) | morton
    return count


@njit(nogil=True, cache=True)
@no_type_check
def fill_table(table, keys, count):
    """Enter ``count`` tiles into an empty hash table."""
    mask = table.shape[0] - 1
    for tile in range(count):
        slot = _hashed(keys[tile]) & mask
        while table[slot] >= 0:
            slot = (slot + 1) & mask
        table[slot] = tile


@njit(nogil=True, cache=True)
@no_type_check
def _length(vector):
    return math.sqrt(vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2])


@njit(nogil=True, cache=True)
@no_type_check
def _spread(x):
    """The six bits of ``x``, two free bits between each."""
    spread = np.int64(0)
    for bit in range(6):
        spread |= ((x >> bit) & 1) << (3 * bit)
    return spread


@njit(nogil=True, cache=True)
@no_type_check
def _hashed(key):
    mixed = np.uint64(14695981039346656037)
    for k in range(4):
        mixed = (mixed ^ np.uint64(key[k])) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return np.int64(mixed >> np.uint64(2))


@njit(nogil=True, cache=True)
@no_type_check
def _is_same(a, b):
    return a[0] == b[0] and a[1] == b[1] and a[2] == b[2] and a[3] == b[3]


@njit(nogil=True, cache=True)
@no_type_check
def cut_blocks(places, most, blocks, levels, counts):
    """Cut points sorted by ``places`` into blocks of at most ``most`` points; returns how many.

    A point's level is the largest cube that it is the first point of; ``counts`` are, for each block,
    how many points have each level.
    """
    count = np.int64(-1)
    held = np.int64(0)
    for i in range(places.shape[0]):
        level = MAX_LEVEL
        if i > 0:
            changed = places[i] ^ places[i - 1]
            while level > 0 and changed >> (3 * level) == 0:
                level -= 1
        if i == 0 or level == MAX_LEVEL or held == most:
            count += 1
            held = 0
            level = MAX_LEVEL
            for k in range(MAX_LEVEL + 1):
                counts[count, k] = 0
        blocks[i], levels[i] = count, level
        counts[count, level] += 1
        held += 1
    return count + 1


@njit(nogil=True, cache=True)
@no_type_check
def lay_out(counts, slab, head, free, starts):
    """First rows of runs of ``counts`` rows; returns how many of the ``free`` slabs it took.

    ``head`` holds the next row and the end of the slab that is being filled. Empty runs start at 0: the
    end of a full slab need not be a row.
    """
    taken = 0
    for i in range(counts.shape[0]):
        if counts[i] == 0:
            starts[i] = 0
            continue
        if head[0] + counts[i] > head[1]:
            head[0], head[1] = free[taken] * slab, (free[taken] + 1) * slab
            taken += 1
        starts[i] = head[0]
        head[0] += counts[i]
    return taken


@njit(nogil=True, cache=True)
@no_type_check
def copy_rows(order, rows, points, held):
    """Copy the points named by ``order`` into ``rows``; both are tuples of the columns of points."""
    positions, colours, normals, trusts, axes, sources = points
    to_positions, to_colours, to_normals, to_trusts, to_axes, to_sources = held
    for i in range(order.shape[0]):
        p, row = order[i], rows[i]
        for k in range(3):
            to_positions[row, k] = positions[p, k]
            to_colours[row, k] = colours[p, k]
            to_normals[row, k] = normals[p, k]
            to_axes[row, 0, k] = axes[p, 0, k]
            to_axes[row, 1, k] = axes[p, 1, k]
        to_trusts[row], to_sources[row] = trusts[p], sources[p]


@njit(nogil=True, cache=True)
@no_type_check
def bound_rows(positions, rows, blocks, boxes):
    """Widen each point's box (low xyz, high xyz) to hold it; boxes start inside out."""
    for i in range(rows.shape[0]):
        for k in range(3):
            at = positions[rows[i], k]
            boxes[blocks[i], k] = min(boxes[blocks[i], k], at)
            boxes[blocks[i], 3 + k] = max(boxes[blocks[i], 3 + k], at)


@njit(nogil=True, cache=True)
@no_type_check
def link_blocks(start, stop, tiles, chain, ends, boxes, tile_boxes):
    """Hang blocks from ``start`` to before ``stop`` onto the chains of their tiles, and widen these."""
    for block in range(start, stop):
        tile = tiles[block]
        chain[block] = -1
        if ends[tile, 0] < 0:
            ends[tile, 0] = block
        else:
            chain[ends[tile, 1]] = block
        ends[tile, 1] = block
        for k in range(3):
            tile_boxes[tile, k] = min(tile_boxes[tile, k], boxes[block, k])
            tile_boxes[tile, 3 + k] = max(tile_boxes[tile, 3 + k], boxes[block, 3 + k])


@njit(nogil=True, cache=True)
@no_type_check
def drop_dead(tiles, ends, chain, is_alive):
    """Take blocks that are gone off the chains of some tiles."""
    for i in range(tiles.shape[0]):
        block, last = ends[tiles[i], 0], np.int64(-1)
        ends[tiles[i], 0], ends[tiles[i], 1] = -1, -1
        while block >= 0:
            following = chain[block]
            if is_alive[block]:
                chain[block] = -1
                if last < 0:
                    ends[tiles[i], 0] = block
                else:
                    chain[last] = block
                last = block
            block = following
        ends[tiles[i], 1] = last
