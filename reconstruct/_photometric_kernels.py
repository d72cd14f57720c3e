"""Compiled kernels of the photometric loss: SSIM of one colour channel, and its gradient.

Room: reconstruct. Private to ``reconstruct.photometric``. The window is separable, so rows are blurred first
and columns after; every loop runs along a row, one SIMD lane a pixel.
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


@_contracted
@no_type_check
def _blur_row(wide, out):
    """Blur a row that has ``RADIUS`` zeros on either side."""
    for i in range(len(out)):
        at = np.uintp(i)
        out[at] = (
            W5 * wide[at + np.uintp(5)]
            + W4 * (wide[at + np.uintp(4)] + wide[at + np.uintp(6)])
            + W3 * (wide[at + np.uintp(3)] + wide[at + np.uintp(7)])
            + W2 * (wide[at + np.uintp(2)] + wide[at + np.uintp(8)])
            + W1 * (wide[at + np.uintp(1)] + wide[at + np.uintp(9)])
            + W0 * (wide[at] + wide[at + np.uintp(10)])
        )


@_contracted
@no_type_check
def _blur_column(tall, j, out):
    """Blur across rows that have ``RADIUS`` rows of zeros above and below."""
    a, b, c, d, e, f = tall[j + 5], tall[j + 4], tall[j + 3], tall[j + 2], tall[j + 1], tall[j]
    g, h, k, m, n = tall[j + 6], tall[j + 7], tall[j + 8], tall[j + 9], tall[j + 10]
    for i in range(len(out)):
        out[i] = (
            W5 * a[i]
            + W4 * (b[i] + g[i])
            + W3 * (c[i] + h[i])
            + W2 * (d[i] + k[i])
            + W1 * (e[i] + m[i])
            + W0 * (f[i] + n[i])
        )


@_contracted
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
    """x, y, x^2, y^2 and xy of a row, between the zeros."""
    for i in range(len(x)):
        at = np.uintp(i + RADIUS)
        rows[0][at], rows[1][at] = x[i], y[i]
        rows[2][at], rows[3][at], rows[4][at] = x[i] * x[i], y[i] * y[i], x[i] * y[i]


@_contracted
@no_type_check
def _gather_row(x, y, blurred, out):
    by_x, by_xx, by_xy = blurred
    for i in range(len(x)):
        out[i] = by_x[i] + TWO * x[i] * by_xx[i] + y[i] * by_xy[i]


@_strict
@no_type_check
def ssim_channel(x, y, weight, slope):
    """Sum of weight times SSIM of two planes; its gradient by ``x`` is written to ``slope``.

    All are ``h w`` and packed. Outside the picture there is black, as in the customary loss of splats.
    """
    h, w = x.shape
    wide = np.zeros((5, w + 2 * RADIUS), np.float32)
    tall = np.zeros((5, h + 2 * RADIUS, w), np.float32)
    rows = wide[0], wide[1], wide[2], wide[3], wide[4]
    for j in range(h):
        _products(x[j], y[j], rows)
        for k in range(5):
            _blur_row(wide[k], tall[k, j + RADIUS])
    means = np.empty((5, w), np.float32)
    slopes = np.empty((3, h, w), np.float32)
    total = 0.0
    for j in range(h):
        for k in range(5):
            _blur_column(tall[k], j, means[k])
        blurred = means[0], means[1], means[2], means[3], means[4]
        total += _compare_row(blurred, weight[j], (slopes[0, j], slopes[1, j], slopes[2, j]))
    for j in range(h):
        for k in range(3):
            wide[k, RADIUS : RADIUS + w] = slopes[k, j]
            _blur_row(wide[k], tall[k, j + RADIUS])
    for j in range(h):
        for k in range(3):
            _blur_column(tall[k], j, means[k])
        _gather_row(x[j], y[j], (means[0], means[1], means[2]), slope[j])
    return total
