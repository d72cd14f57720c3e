"""Spherical harmonics to degree 3, as 3D Gaussians use them, and how they change with direction."""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np

from render._splats.arithmetic import ONE, TWO, inlined


def _c(numerator: int, denominator: int) -> np.float32:
    return np.float32(math.sqrt(numerator / (denominator * math.pi)))


SH_C0 = _c(1, 4)
C3_4, C15_4, C5_16, C15_16 = _c(3, 4), _c(15, 4), _c(5, 16), _c(15, 16)
C35_32, C105_4, C21_32, C7_16, C105_16 = _c(35, 32), _c(105, 4), _c(21, 32), _c(7, 16), _c(105, 16)
THREE, FOUR, SIX, EIGHT = np.float32(3.0), np.float32(4.0), np.float32(6.0), np.float32(8.0)


@inlined
@no_type_check
def direction_of(mean, origin):
    """Unit direction from the camera to a Gaussian, and one over their distance."""
    x, y, z = mean[0] - origin[0], mean[1] - origin[1], mean[2] - origin[2]
    inverse = ONE / np.sqrt(x * x + y * y + z * z)
    return (x * inverse, y * inverse, z * inverse), inverse


@inlined
@no_type_check
def sh_basis(direction, count, basis):
    """Write all but the constant one of ``count`` functions (4, 9 or 16) along a unit direction."""
    x, y, z = direction
    xx, yy, zz = x * x, y * y, z * z
    basis[1], basis[2], basis[3] = -C3_4 * y, C3_4 * z, -C3_4 * x
    if count > 4:
        basis[4], basis[5], basis[7] = C15_4 * x * y, -C15_4 * y * z, -C15_4 * x * z
        basis[6], basis[8] = C5_16 * (TWO * zz - xx - yy), C15_16 * (xx - yy)
    if count > 9:
        basis[9], basis[15] = -C35_32 * y * (THREE * xx - yy), -C35_32 * x * (xx - THREE * yy)
        basis[10], basis[14] = C105_4 * x * y * z, C105_16 * z * (xx - yy)
        basis[11], basis[13] = -C21_32 * y * (FOUR * zz - xx - yy), -C21_32 * x * (FOUR * zz - xx - yy)
        basis[12] = C7_16 * z * (TWO * zz - THREE * xx - THREE * yy)


@inlined
@no_type_check
def sh_slope(direction, count, w):
    """Gradient by the direction of the sum of the functions, each times its weight ``w``."""
    x, y, z = direction
    xx, yy, zz = x * x, y * y, z * z
    gx, gy, gz = -C3_4 * w[3], -C3_4 * w[1], C3_4 * w[2]
    if count > 4:
        gx += C15_4 * (y * w[4] - z * w[7]) + TWO * x * (C15_16 * w[8] - C5_16 * w[6])
        gy += C15_4 * (x * w[4] - z * w[5]) - TWO * y * (C15_16 * w[8] + C5_16 * w[6])
        gz += -C15_4 * (y * w[5] + x * w[7]) + FOUR * z * C5_16 * w[6]
    if count > 9:
        xy, flat = x * y, C7_16 * w[12]
        gx += C105_4 * y * z * w[10] + TWO * x * z * C105_16 * w[14] - SIX * x * z * flat
        gx -= C35_32 * (SIX * xy * w[9] + THREE * (xx - yy) * w[15])
        gx += C21_32 * (TWO * xy * w[11] - (FOUR * zz - THREE * xx - yy) * w[13])
        gy += C105_4 * x * z * w[10] - TWO * y * z * C105_16 * w[14] - SIX * y * z * flat
        gy -= C35_32 * (THREE * (xx - yy) * w[9] - SIX * xy * w[15])
        gy += C21_32 * (TWO * xy * w[13] - (FOUR * zz - xx - THREE * yy) * w[11])
        gz += C105_4 * xy * w[10] + C105_16 * (xx - yy) * w[14] + (SIX * zz - THREE * (xx + yy)) * flat
        gz -= C21_32 * EIGHT * z * (y * w[11] + x * w[13])
    return gx, gy, gz
