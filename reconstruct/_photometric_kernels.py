"""Compiled kernels of the photometric loss: absolute difference and SSIM of pictures, and their gradient.

Room: reconstruct. Private to ``reconstruct.photometric``. The window is separable, so rows are blurred first
and columns after; every loop runs along a row, one SIMD lane a number. A row has its colours side by side, as
pictures come, and no more rows are kept than a window needs, so that they stay in the cache.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

RADIUS = 5
"""The window has 11 pixels a side."""

_taps = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / 1.5) ** 2)
_taps /= _taps.sum()
W0, W1, W2, W3, W4, W5 = (np.float32(tap) for tap in _taps[: RADIUS + 1])

C1, C2 = np.float32(0.01**2), np.float32(0.03**2)
ZERO, ONE, TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)

_strict = njit(nogil=True, cache=True, error_model="numpy")
_contracted = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
_summing = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "arcp", "reassoc"})


SPAN, PAD = 2 * RADIUS + 1, 3 * RADIUS
"""Rows of a window, and the numbers of three colours that it reaches beyond either end of a row."""


@_contracted
@no_type_check
def _blur_row(wide, out):
    """Blur a row of three colours side by side that has ``PAD`` zeros on either side."""
    for i in range(len(out)):
        at = np.uintp(i)
        out[at] = (
            W5 * wide[at + np.uintp(15)]
            + W4 * (wide[at + np.uintp(12)] + wide[at + np.uintp(18)])
            + W3 * (wide[at + np.uintp(9)] + wide[at + np.uintp(21)])
            + W2 * (wide[at + np.uintp(6)] + wide[at + np.uintp(24)])
            + W1 * (wide[at + np.uintp(3)] + wide[at + np.uintp(27)])
            + W0 * (wide[at] + wide[at + np.uintp(30)])
        )


@_contracted
@no_type_check
def _blur_column(ring, last, out):
    """Blur across the ``SPAN`` rows of a ring, of which the newest is at ``last``."""
    a, b, c = ring[(last + 1) % SPAN], ring[(last + 2) % SPAN], ring[(last + 3) % SPAN]
    d, e, f = ring[(last + 4) % SPAN], ring[(last + 5) % SPAN], ring[(last + 6) % SPAN]
    g, h, k = ring[(last + 7) % SPAN], ring[(last + 8) % SPAN], ring[(last + 9) % SPAN]
    m, n = ring[(last + 10) % SPAN], ring[last]
    for i in range(len(out)):
        out[i] = (
            W5 * f[i]
            + W4 * (e[i] + g[i])
            + W3 * (d[i] + h[i])
            + W2 * (c[i] + k[i])
            + W1 * (b[i] + m[i])
            + W0 * (a[i] + n[i])
        )


@_summing
@no_type_check
def _compare_row(means, weight, slopes):
    """SSIM of a row from blurred x, y, x^2, y^2 and xy, times the weight; its slopes by x, x^2 and xy."""
    x, y, xx, yy, xy = means
    by_x, by_xx, by_xy = slopes
    total = 0.0
    for i in range(len(x)):
        a1, b1 = TWO * x[i] * y[i] + C1, x[i] * x[i] + y[i] * y[i] + C1
        a2 = TWO * (xy[i] - x[i] * y[i]) + C2
        b2 = xx[i] - x[i] * x[i] + yy[i] - y[i] * y[i] + C2
        share = weight[i] / (b1 * b2)
        s = a1 * a2 * share
        by_x[i] = TWO * (y[i] * (a2 - a1) * share - x[i] * s * (ONE / b1 - ONE / b2))
        by_xx[i] = -s / b2
        by_xy[i] = TWO * a1 * share
        total += s
    return total


@_contracted
@no_type_check
def _products(x, y, rows):
    """x, y, x^2, y^2 and xy of a row."""
    a, b, aa, bb, ab = rows
    for i in range(len(x)):
        a[i], b[i], aa[i], bb[i], ab[i] = x[i], y[i], x[i] * x[i], y[i] * y[i], x[i] * y[i]


@_summing
@no_type_check
def _finish_row(x, y, weight, blurred, shares, out):
    """The gradient of a row by ``x``; the weighted sum of its absolute differences."""
    by_x, by_xx, by_xy = blurred
    plain, structural = shares
    total = 0.0
    for i in range(len(x)):
        difference = x[i] - y[i]
        sign = ONE if difference > ZERO else (-ONE if difference < ZERO else ZERO)
        likeness = by_x[i] + TWO * x[i] * by_xx[i] + y[i] * by_xy[i]
        out[i] = plain * weight[i] * sign - structural * likeness
        total += weight[i] * abs(difference)
    return total


@_strict
@no_type_check
def _spread(weight, out):
    """A weight a pixel, for each of its three colours."""
    for i in range(len(weight)):
        out[3 * i], out[3 * i + 1], out[3 * i + 2] = weight[i], weight[i], weight[i]


@_strict
@no_type_check
def _blur_rows(wide, ring, at):
    """Blur rows, each into place ``at`` of its ring."""
    for k in range(len(wide)):
        _blur_row(wide[k], ring[k, at])


@_strict
@no_type_check
def _blur_columns(ring, last, out):
    """Blur across the rows of every ring."""
    for k in range(len(out)):
        _blur_column(ring[k], last, out[k])


@_strict
@no_type_check
def _take_row(x, y, j, between, wide, ring, at):
    """Blur what row ``j`` is made of into place ``at`` of the rings; outside the picture it is nought."""
    if 0 <= j < len(x):
        _products(x[j], y[j], between)
        _blur_rows(wide, ring, at)
    else:
        ring[:, at] = ZERO


@_strict
@no_type_check
def compare_rows(x, y, weight, shares, rows, slope, sums):
    """Compare the ``rows`` (first, end) of two pictures; write the gradient by ``x``, and sums row by row.

    ``x``, ``y`` and ``slope`` are ``h 3w`` and packed, ``weight`` is ``h w``. The gradient is that of
    ``shares[0]`` times the sum of weighted absolute differences, less ``shares[1]`` times that of weighted
    SSIM; ``sums``, ``h 2``, are those two. Outside the picture there is black, as is customary.
    """
    h, w = x.shape
    lo, hi = rows
    wide, inner = np.zeros((5, w + 2 * PAD), np.float32), slice(PAD, PAD + w)
    between = wide[0, inner], wide[1, inner], wide[2, inner], wide[3, inner], wide[4, inner]
    ring, slope_ring = np.zeros((5, SPAN, w), np.float32), np.zeros((3, SPAN, w), np.float32)
    mean, spread = np.empty((5, w), np.float32), np.empty(w, np.float32)
    means, blurred = (mean[0], mean[1], mean[2], mean[3], mean[4]), (mean[0], mean[1], mean[2])
    # Row j comes in; j - RADIUS can then be compared, and all that depends on j - 2 RADIUS is known.
    for j in range(lo - 2 * RADIUS, hi + 2 * RADIUS):
        compared, known, at = j - RADIUS, j - 2 * RADIUS, j % SPAN
        _take_row(x, y, j, between, wide, ring, at)
        if 0 <= compared < h:
            _blur_columns(ring, at, mean)
            _spread(weight[compared], spread)
            likeness = _compare_row(means, spread, between[:3])
            _blur_rows(wide[:3], slope_ring, at)
            if lo <= compared < hi:
                sums[compared, 1] = likeness
        else:
            slope_ring[:, at] = ZERO
        if known >= lo:
            _blur_columns(slope_ring, at, mean[:3])
            _spread(weight[known], spread)
            sums[known, 0] = _finish_row(x[known], y[known], spread, blurred, shares, slope[known])
