"""Drawing: splats blended front to back, a tile at a time. ``splats.cpp`` says it too: edit both.

A tile is planes of one buffer, a number a pixel: of several buffers a compiler cannot know that they do not
overlap, and asks before every row.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from render._splats.arithmetic import LOG2_255, ONE, ZERO, clipped, contracted, exp2, inlined, strict
from render._splats.arrays import (
    BATCH,
    BLUE,
    DEPTH,
    FALL,
    GREEN,
    LAYERS,
    LOG_O,
    MAX_ALPHA,
    MIN_TRANSMITTANCE,
    REACH_V,
    RED,
    SHEAR,
    STEEP,
    TILE,
    U,
    V,
)

PIXELS = TILE * TILE
PLANE1, PLANE2, PLANE3 = np.uintp(PIXELS), np.uintp(2 * PIXELS), np.uintp(3 * PIXELS)
PLANE4, PLANE5, PLANE6 = np.uintp(4 * PIXELS), np.uintp(5 * PIXELS), np.uintp(6 * PIXELS)
"""Where planes begin. The first is the transmittance."""


@contracted
@no_type_check
def _draw_splat(near, k, left, rows, tile):
    """Lay splat ``k`` behind what a tile shows already, in the rows given.

    The inner loop has one SIMD lane per pixel: fixed length, unsigned indices, and selects for branches.
    Time it after every edit. A full pixel has its transmittance negated. Behind it are red to depth.
    """
    lo, hi = rows
    u, v, steep, shear = near[k, U] - np.float32(left), near[k, V], near[k, STEEP], near[k, SHEAR]
    r, g, b, z = near[k, RED], near[k, GREEN], near[k, BLUE], near[k, DEPTH]
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
            before = tile[at]
            after = before - before * alpha
            is_open = after > MIN_TRANSMITTANCE
            weight = before * alpha if is_open else ZERO
            tile[at] = after if is_open else -abs(before)
            tile[at + PLANE1] += weight * r
            tile[at + PLANE2] += weight * g
            tile[at + PLANE3] += weight * b
            tile[at + PLANE4] += weight * z


@strict
@no_type_check
def open_rows(T, rows):
    """The rows among ``rows`` between the first and the last that more splats can still change."""
    lo, hi = rows
    while lo <= hi and not np.any(T[lo * TILE : (lo + 1) * TILE] > ZERO):
        lo += 1
    while lo <= hi and not np.any(T[hi * TILE : (hi + 1) * TILE] > ZERO):
        hi -= 1
    return lo, hi


@inlined
@no_type_check
def rows_reached(near, k, rows):
    """The first and the last among ``rows`` that splat ``k`` reaches; first after last if there is none."""
    lo, hi = rows
    first = np.ceil(clipped(near[k, V] - near[k, REACH_V], np.float32(lo), np.float32(TILE)))
    last = np.floor(clipped(near[k, V] + near[k, REACH_V], -ONE, np.float32(hi)))
    return np.int32(first), np.int32(last)


@contracted
@no_type_check
def _draw_tile(members, near, left, tile):
    """Composite one tile front to back."""
    tile[:PIXELS], tile[PIXELS:] = ONE, ZERO
    lo, hi = 0, TILE - 1
    for i in range(len(members)):
        if i % BATCH == BATCH - 1:
            lo, hi = open_rows(tile, (lo, hi))
            if lo > hi:
                return
        k = members[i]
        _draw_splat(near, k, left, rows_reached(near, k, (lo, hi)), tile)


@strict
@no_type_check
def _show_tile(tile, left, layers):
    """Copy a finished tile into its row of tiles."""
    height, width = layers.shape[:2]
    for j in range(height):
        for i in range(min(TILE, width - left)):
            at, pixel = np.uintp(j * TILE + i), layers[j, left + i]
            pixel[0], pixel[1] = tile[at + PLANE1], tile[at + PLANE2]
            pixel[2], pixel[3] = tile[at + PLANE3], tile[at + PLANE4]
            pixel[4] = ONE - abs(tile[at])


@strict
@no_type_check
def draw_tiles(near, members, starts, layers):
    """Draw one row of tiles into its part of the layers of a picture, over black."""
    tile = np.empty(LAYERS * PIXELS, np.float32)
    for column in range(len(starts) - 1):
        _draw_tile(members[starts[column] : starts[column + 1]], near, column * TILE, tile)
        _show_tile(tile, column * TILE, layers)
