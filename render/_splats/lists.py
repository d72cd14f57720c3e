"""Lists: which splats lie over which row of tiles and which tile, nearest first."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from render._splats.arithmetic import HALF, LOG2_255, PIXEL_SLACK, ZERO, clipped, inlined, strict
from render._splats.arrays import (
    CHUNK,
    DRAWN,
    FALL,
    LOG_O,
    REACH_V,
    RIGHT_DV,
    SHEAR,
    STEEP,
    TILE,
    U,
    V,
)


@strict
@no_type_check
def _listed(keys, counts):
    """Used slots, their keys, and how often each value of each 11-bit digit occurs among the keys."""
    slots = np.empty(counts.sum(), np.uint32)
    listed_keys, histograms = np.empty_like(slots), np.zeros((3, 2048), np.uint32)
    i = 0
    for chunk in range(len(counts)):
        for slot in range(chunk * CHUNK, chunk * CHUNK + counts[chunk]):
            key = keys[slot]
            slots[i], listed_keys[i] = slot, key
            for digit in range(3):
                histograms[digit, (key >> np.uint32(11 * digit)) & np.uint32(2047)] += np.uint32(1)
            i += 1
    return slots, listed_keys, histograms


@strict
@no_type_check
def _sorted_slots(keys, counts):
    """Used slots, nearest first, ties in order of slot: a stable radix sort."""
    slots, key, histograms = _listed(keys, counts)
    other_slots, other_key = np.empty_like(slots), np.empty_like(key)
    for digit in range(3):
        shift, histogram = np.uint32(11 * digit), histograms[digit]
        at = np.cumsum(histogram) - histogram
        for i in range(len(slots)):
            bucket = (key[i] >> shift) & np.uint32(2047)
            other_slots[at[bucket]], other_key[at[bucket]] = slots[i], key[i]
            at[bucket] += 1
        slots, other_slots, key, other_key = other_slots, slots, other_key, key
    return slots


@strict
@no_type_check
def _scattered(spans, columns):
    """Lists from spans (first, last): ``members[starts[c]:starts[c + 1]]`` are the spans over c, in order."""
    starts = np.zeros(columns + 1, np.int64)
    for i in range(len(spans)):
        for column in range(spans[i, 0], spans[i, 1] + 1):
            starts[column + 1] += 1
    starts = np.cumsum(starts)
    at, members = starts[:-1].copy(), np.empty(starts[-1], np.uint32)
    for i in range(len(spans)):
        for column in range(spans[i, 0], spans[i, 1] + 1):
            members[at[column]] = i
            at[column] += 1
    return members, starts


@strict
@no_type_check
def binned_by_row(keys, tile_rows, counts, row_count):
    """Slots per row of tiles, nearest first, and where each row's list starts."""
    slots = _sorted_slots(keys, counts)
    members, starts = _scattered(tile_rows[slots], row_count)
    return slots[members], starts


@inlined
@no_type_check
def _tile_span(record, top, width):
    """First and last tile that an outline reaches in the TILE pixel rows from ``top`` on."""
    centre, reach = record[V] - np.float32(top) - HALF, record[REACH_V]
    lo, hi = max(-centre, -reach), min(np.float32(TILE - 1) - centre, reach)
    dv_right, dv_left = clipped(record[RIGHT_DV], lo, hi), clipped(-record[RIGHT_DV], lo, hi)
    rise, fall = record[LOG_O] + LOG2_255, record[FALL]
    half_right = np.sqrt(max(rise - fall * dv_right * dv_right, ZERO)) / record[STEEP] + PIXEL_SLACK
    half_left = np.sqrt(max(rise - fall * dv_left * dv_left, ZERO)) / record[STEEP] + PIXEL_SLACK
    right = record[U] - HALF + record[SHEAR] * dv_right + half_right
    left = record[U] - HALF + record[SHEAR] * dv_left - half_left
    first, last = max(np.ceil(left), ZERO), min(np.floor(right), np.float32(width - 1))
    # Also the way out for NaN, which no comparison lets through.
    return (np.int32(first) // TILE, np.int32(last) // TILE) if first <= last else (1, 0)


@strict
@no_type_check
def binned_by_tile(slots, fields, top, width):
    """One row of tiles: what drawing needs of its records, nearest first, and per tile who is in it.

    Each outline is tested once and the answer kept; counting and filling must not evaluate it apart.
    Centres are moved so that whole numbers are pixel centres and rows count from ``top``.
    """
    near = np.empty((len(slots), DRAWN), np.float32)
    spans = np.empty((len(slots), 2), np.int32)
    for i in range(len(slots)):
        record = fields[slots[i]]
        spans[i, 0], spans[i, 1] = _tile_span(record, top, width)
        for field in range(DRAWN):
            near[i, field] = record[field]
        near[i, U] -= HALF
        near[i, V] -= np.float32(top) + HALF
    members, starts = _scattered(spans, (width + TILE - 1) // TILE)
    return near, members, starts
