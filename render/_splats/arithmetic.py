"""Arithmetic that every SIMD unit has, in single precision, and how kernels are compiled."""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

LOG2_255 = np.float32(math.log2(255.0))
LOG2_E, LN_2 = np.float32(math.log2(math.e)), np.float32(math.log(2.0))
PIXEL_SLACK = np.float32(1e-3)
"""Widens every range of pixels a little; whether a pixel is touched is decided by its alpha alone."""

ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)

# 2^f for f in [-0.5, 0.5]: polynomial of least relative error (Remez exchange), 7.5e-8.
P0, P1, P2 = np.float32(1.0000001), np.float32(0.69314694), np.float32(0.2402212)
P3, P4, P5 = np.float32(0.05550713), np.float32(0.00967554), np.float32(0.0013276472)
ROUND = np.float32(1.5 * 2**23 + 127)
"""Added to t, it leaves round(t) + 127, the exponent bits of 2^round(t), in the lowest bits."""

FUSED = {"contract", "nsz", "arcp"}
"""Fused multiply-adds and shared reciprocals; NaN keeps its meaning, so that NaN is culled."""

strict = njit(nogil=True, cache=True, error_model="numpy")
contracted = njit(nogil=True, cache=True, error_model="numpy", fastmath=FUSED)
summing = njit(nogil=True, cache=True, error_model="numpy", fastmath=FUSED | {"reassoc"})
"""For loops that add up: lanes may be added in any order, the same one every time."""

inlined = njit(nogil=True, cache=True, error_model="numpy", fastmath=FUSED, inline="always")


@inlined
@no_type_check
def exp2(t):
    """2^t for -126 <= t <= 127, in instructions that every SIMD unit has."""
    shifted = np.float32(t + ROUND)
    f = t - (shifted - ROUND)
    power = ((((P5 * f + P4) * f + P3) * f + P2) * f + P1) * f + P0
    return power * np.int32(np.float32(shifted).view(np.int32) << np.int32(23)).view(np.float32)


@inlined
@no_type_check
def exp2_summed(t):
    """2^t for -126 <= t <= 127 where sums may be reordered, which would undo the trick of :func:`exp2`."""
    whole = np.floor(t + HALF)
    f = t - whole
    power = ((((P5 * f + P4) * f + P3) * f + P2) * f + P1) * f + P0
    return power * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@inlined
@no_type_check
def exp(x):
    """e^x, saturated at 2^-126 and 2^126; NaN stays NaN."""
    t = x * LOG2_E
    t = np.float32(-126.0) if t < np.float32(-126.0) else t
    return exp2(np.float32(126.0) if t > np.float32(126.0) else t)


@inlined
@no_type_check
def clipped(x, lo, hi):
    return lo if x < lo else (hi if x > hi else x)


@inlined
@no_type_check
def rotated(axis, quat):
    """The row vector ``axis`` times the rotation of ``quat``."""
    (x, y, z), (qw, qx, qy, qz) = axis, (quat[0], quat[1], quat[2], quat[3])
    s = TWO / (qw * qw + qx * qx + qy * qy + qz * qz)
    # v R = v + s ((v x q) x q + qw (v x q)) for the vector part q.
    cx, cy, cz = y * qz - z * qy, z * qx - x * qz, x * qy - y * qx
    return (
        x + s * (cy * qz - cz * qy + qw * cx),
        y + s * (cz * qx - cx * qz + qw * cy),
        z + s * (cx * qy - cy * qx + qw * cz),
    )
