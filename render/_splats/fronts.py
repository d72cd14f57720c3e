"""Fronts: the splat of every pixel at which less than half of the light passes on."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from render._splats.arithmetic import HALF, LOG2_255, ONE, ZERO, contracted, exp2, strict
from render._splats.arrays import (
    BATCH,
    FALL,
    LOG_O,
    MAX_ALPHA,
    SHEAR,
    STEEP,
    TILE,
    U,
    V,
)
from render._splats.drawing import open_rows, rows_reached
from render._splats.lists import binned_by_tile


@contracted
@no_type_check
def _dim_splat(near, k, left, rows, tile):
    """Lay splat ``k`` behind what a tile holds already, as drawing does; what it dims below half is its own.

    Such a pixel has its transmittance negated, and stays as it is.
    """
    (lo, hi), (T, front) = rows, tile
    u, v, steep, shear = near[k, U] - np.float32(left), near[k, V], near[k, STEEP], near[k, SHEAR]
    own = np.int32(k)
    for j in range(lo, hi + 1):
        dy = np.float32(j) - v
        peak, middle = near[k, LOG_O] - near[k, FALL] * dy * dy, steep * (u + shear * dy)
        row = np.uintp(j * TILE)
        for i in range(TILE):
            at = row + np.uintp(i)
            slope = steep * np.float32(i) - middle
            t = peak - slope * slope
            alpha = exp2(t if t > -LOG2_255 else -LOG2_255)
            alpha = alpha if alpha < MAX_ALPHA else MAX_ALPHA
            alpha = alpha if t >= -LOG2_255 else ZERO
            before = T[at]
            after = before - before * alpha
            is_own = (before >= HALF) & (after < HALF)
            front[at] = own if is_own else front[at]
            T[at] = after if after >= HALF else -abs(after)


@strict
@no_type_check
def _dim_tile(members, near, left, tile):
    """Go through one tile front to back, until all of it is dim."""
    tile[0][:] = ONE
    tile[1][:] = -1
    lo, hi = 0, TILE - 1
    for i in range(len(members)):
        if i % BATCH == BATCH - 1:
            lo, hi = open_rows(tile[0], (lo, hi))
            if lo > hi:
                return
        k = members[i]
        _dim_splat(near, k, left, rows_reached(near, k, (lo, hi)), tile)


@strict
@no_type_check
def front_row(slots, records, top, fronts):
    """Write one row of tiles of ``fronts``: numbers of Gaussians, -1 where more than half passes them all."""
    height, width = fronts.shape
    near, members, starts = binned_by_tile(slots, records, top, width)
    tile = np.empty(TILE * TILE, np.float32), np.empty(TILE * TILE, np.int32)
    for column in range(len(starts) - 1):
        left = column * TILE
        _dim_tile(members[starts[column] : starts[column + 1]], near, left, tile)
        for j in range(min(TILE, height - top)):
            for i in range(min(TILE, width - left)):
                k = tile[1][j * TILE + i]
                fronts[top + j, left + i] = np.int64(records.ids[slots[k]]) if k >= 0 else -1
