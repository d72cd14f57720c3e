"""Lists: which splats lie over which row of tiles and which tile, nearest first."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from render._splats.arithmetic import HALF, ZERO, inlined, strict
from render._splats.arrays import (
    CHUNK,
    DRAWN,
    HALF_U,
    REACH_V,
    SHEAR,
    TILE,
    U,
    V,
)


@strict
@no_type_check
def binned_by_row(tile_rows, counts, row_count):
    """Slots per row of tiles, in their order; where each row's list starts; and where each slot is in them.

    Slot s stands at ``places[firsts[s]]`` in the lists of its first row, and from there on one place a row.
    """
    starts, firsts, total = np.zeros(row_count + 1, np.int64), np.empty(len(tile_rows), np.int64), 0
    for chunk in range(len(counts)):
        for slot in range(chunk * CHUNK, chunk * CHUNK + counts[chunk]):
            firsts[slot] = total
            for row in range(tile_rows[slot, 0], tile_rows[slot, 1] + 1):
                starts[row + 1] += 1
                total += 1
    starts = np.cumsum(starts)
    at, listed, places, total = starts[:-1].copy(), np.empty(total, np.uint32), np.empty(total, np.uint32), 0
    for chunk in range(len(counts)):
        for slot in range(chunk * CHUNK, chunk * CHUNK + counts[chunk]):
            for row in range(tile_rows[slot, 0], tile_rows[slot, 1] + 1):
                listed[at[row]], places[total] = slot, at[row]
                at[row] += 1
                total += 1
    return listed, starts, firsts, places


@strict
@no_type_check
def _nearest_first(slots, keys):
    """The order that sorts slots by their keys: a stable radix sort that skips digits which all share."""
    n = len(slots)
    key, order, other_key = keys[slots], np.arange(n).astype(np.uint32), np.empty(n, np.uint32)
    other, histograms = np.empty_like(order), np.zeros((3, 2048), np.int64)
    for i in range(n):
        for digit in range(3):
            histograms[digit, (key[i] >> np.uint32(11 * digit)) & np.uint32(2047)] += 1
    for digit in range(3):
        shift, histogram = np.uint32(11 * digit), histograms[digit]
        if n == 0 or histogram[(key[0] >> shift) & np.uint32(2047)] == n:
            continue
        at = np.cumsum(histogram) - histogram
        for i in range(n):
            bucket = (key[i] >> shift) & np.uint32(2047)
            other[at[bucket]], other_key[at[bucket]] = order[i], key[i]
            at[bucket] += 1
        order, other, key, other_key = other, order, other_key, key
    return order


@inlined
@no_type_check
def _tile_span(record, top, width):
    """First and last tile that an outline reaches in the TILE pixel rows from ``top`` on."""
    centre, reach = record[V] - np.float32(top) - HALF, record[REACH_V]
    lo, hi = max(-centre, -reach), min(np.float32(TILE - 1) - centre, reach)
    a, b = record[SHEAR] * lo, record[SHEAR] * hi
    left = record[U] - HALF - record[HALF_U] + min(a, b)
    right = record[U] - HALF + record[HALF_U] + max(a, b)
    first, last = max(np.ceil(left), ZERO), min(np.floor(right), np.float32(width - 1))
    # Also the way out for NaN, which no comparison lets through.
    return (np.int32(first) // TILE, np.int32(last) // TILE) if first <= last else (1, 0)


@strict
@no_type_check
def binned_by_tile(slots, records, top, width):
    """One row of tiles: what drawing needs of its records, and per tile who is in it, nearest first.

    Records stay in the order of their slots, in which neighbours in the world are neighbours. Each outline is
    tested once and the answer kept; counting and filling must not evaluate it apart. Centres are moved, so
    that whole numbers are pixel centres and rows count from ``top``.
    """
    near, spans = np.empty((len(slots), DRAWN), np.float32), np.empty((len(slots), 2), np.int32)
    columns = (width + TILE - 1) // TILE
    starts = np.zeros(columns + 1, np.int64)
    for i in range(len(slots)):
        record = records.fields[slots[i]]
        spans[i, 0], spans[i, 1] = _tile_span(record, top, width)
        for column in range(spans[i, 0], spans[i, 1] + 1):
            starts[column + 1] += 1
        for field in range(DRAWN):
            near[i, field] = record[field]
        near[i, U] -= HALF
        near[i, V] -= np.float32(top) + HALF
    starts = np.cumsum(starts)
    at, members = starts[:-1].copy(), np.empty(starts[-1], np.uint32)
    for i in _nearest_first(slots, records.keys):
        for column in range(spans[i, 0], spans[i, 1] + 1):
            members[at[column]] = i
            at[column] += 1
    return near, members, starts
