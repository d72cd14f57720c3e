"""Gradients of pixels by what tiles hold of their splats: the drawing again, with the end known.

A splat changes what is behind it. Going front to back as drawing does, what is behind is the whole, known
from the picture, less what came so far; so nothing is kept of the drawing but the picture and its lists. Each
splat's pixels of a row of tiles are summed to ``MOMENTS`` numbers, by one job, in one order: no two jobs ever
add to one number. ``splats.cpp`` says it too: edit both.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from render._splats.arithmetic import LOG2_255, ONE, ZERO, exp2_summed, strict, summing
from render._splats.arrays import (
    BATCH,
    BLUE,
    DEPTH,
    FALL,
    GREEN,
    LOG_O,
    MAX_ALPHA,
    MIN_TRANSMITTANCE,
    PIXEL_SLOPES,
    RED,
    SHEAR,
    STEEP,
    TILE,
    U,
    V,
)
from render._splats.drawing import (
    PIXELS,
    PLANE1,
    PLANE2,
    PLANE3,
    PLANE4,
    PLANE5,
    PLANE6,
    open_rows,
    rows_reached,
)


@summing
@no_type_check
def _sum_splat(near, k, left, rows, tile, sums):
    """Lay splat ``k`` behind what a tile holds already and add up what its pixels say.

    The inner loop has one SIMD lane per pixel, as drawing has; time it after every edit. What is the same all
    along a row stays out of it, which made the whole a fifth faster than one loop over all rows.
    """
    lo, hi = rows
    u, v, steep, shear = near[k, U] - np.float32(left), near[k, V], near[k, STEEP], near[k, SHEAR]
    r, g, b, z = near[k, RED], near[k, GREEN], near[k, BLUE], near[k, DEPTH]
    m0, m1, m2, m3, m4, m5, m6, m7, m8, m9 = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    for j in range(lo, hi + 1):
        dy = np.float32(j) - v
        peak, middle = near[k, LOG_O] - near[k, FALL] * dy * dy, steep * (u + shear * dy)
        row = np.uintp(j * TILE)
        n0, n1, n2 = ZERO, ZERO, ZERO
        for i in range(TILE):
            at = row + np.uintp(i)
            s = steep * np.float32(i) - middle
            t = peak - s * s
            raw = exp2_summed(t if t > -LOG2_255 else -LOG2_255)
            alpha = raw if raw < MAX_ALPHA else MAX_ALPHA
            alpha = alpha if t >= -LOG2_255 else ZERO
            before = tile[at]
            after = before - before * alpha
            is_open = after > MIN_TRANSMITTANCE
            weight = before * alpha if is_open else ZERO
            tile[at] = after if is_open else -abs(before)
            by_r, by_g = tile[at + PLANE1], tile[at + PLANE2]
            by_b, by_z = tile[at + PLANE3], tile[at + PLANE4]
            own = weight * (r * by_r + g * by_g + b * by_b + z * by_z + tile[at + PLANE5])
            behind = tile[at + PLANE6] - own
            tile[at + PLANE6] = behind
            q = own - behind * alpha / (ONE - alpha)
            q = q if is_open and raw < MAX_ALPHA else ZERO
            n0 += q
            n1 += q * s
            n2 += q * s * s
            m6 += weight * by_r
            m7 += weight * by_g
            m8 += weight * by_b
            m9 += weight * by_z
        m0 += n0
        m1 += n1
        m2 += n2
        m3 += n0 * dy
        m4 += n1 * dy
        m5 += n0 * dy * dy
    sums[k, 0] += m0
    sums[k, 1] += m1
    sums[k, 2] += m2
    sums[k, 3] += m3
    sums[k, 4] += m4
    sums[k, 5] += m5
    sums[k, 6] += m6
    sums[k, 7] += m7
    sums[k, 8] += m8
    sums[k, 9] += m9


@strict
@no_type_check
def _open_tile(tile, left, slopes):
    """Load a tile: nothing in front; then the gradients by its layers, and all of what they add behind."""
    tile[:PIXELS], tile[PIXELS:] = ONE, ZERO
    height, width = slopes.shape[:2]
    for j in range(height):
        for i in range(min(TILE, width - left)):
            for plane in range(PIXEL_SLOPES):
                tile[(plane + 1) * PIXELS + j * TILE + i] = slopes[j, left + i, plane]


@strict
@no_type_check
def _sum_tile(members, near, left, tile, sums):
    """Go through one tile front to back, as drawing does."""
    lo, hi = 0, TILE - 1
    for i in range(len(members)):
        if i % BATCH == BATCH - 1:
            lo, hi = open_rows(tile, (lo, hi))
            if lo > hi:
                return
        k = members[i]
        first, last = rows_reached(near, k, (lo, hi))
        if first <= last:
            _sum_splat(near, k, left, (first, last), tile, sums)


@strict
@no_type_check
def sum_tiles(near, members, starts, slopes, sums):
    """Write the moments of the splats of one row of tiles, given the gradient of the loss by its layers."""
    sums[:] = ZERO
    tile = np.empty((1 + PIXEL_SLOPES) * PIXELS, np.float32)
    for column in range(len(starts) - 1):
        if starts[column] < starts[column + 1]:
            left = column * TILE
            _open_tile(tile, left, slopes)
            _sum_tile(members[starts[column] : starts[column + 1]], near, left, tile, sums)
