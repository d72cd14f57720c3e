"""Quantised: opacities and rotations in few bits, and an order that packs well, as several formats keep them.

Room: reconstruct; only the formats beside it import this.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8

FAINTEST = 0.25 / 255.0
"""What a byte of 0 stands for, and how far below 1 is what a byte of 255 stands for: logits are finite."""


LOG_SCALES = (-40.0, 40.0)
"""Log scales that are kept apart where files hold scales: others would be 0 or infinite in float32."""


def scales_of(log_scales: Float[np.ndarray, "g 3"]) -> Float64[np.ndarray, "g 3"]:
    """Standard deviations, neither 0 nor infinite in float32."""
    return np.exp(np.clip(log_scales.astype(np.float64), *LOG_SCALES))


def log_scales_of(scales: Float[np.ndarray, "g 3"]) -> Float64[np.ndarray, "g 3"]:
    """Finite logarithms of standard deviations, which are 0 for flat splats; NaN for negative ones."""
    positive = np.where(scales >= 0.0, np.maximum(scales.astype(np.float64), np.exp(LOG_SCALES[0])), np.nan)
    return np.log(positive)


def bytes_of(values: Float[np.ndarray, "*axes"]) -> UInt8[np.ndarray, "*axes"]:
    """The nearest of 0 to 255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def opacity_bytes(logits: Float[np.ndarray, " g"]) -> UInt8[np.ndarray, " g"]:
    """Opacities times 255; never 0 or 255, of which other readers would make infinite logits."""
    return np.clip(np.rint(sigmoid(logits) * 255.0), 1, 254).astype(np.uint8)


def logits_of_bytes(stored: UInt8[np.ndarray, " g"]) -> Float64[np.ndarray, " g"]:
    """Logits of opacities that are stored times 255."""
    return logits_of(stored / 255.0, faintest=FAINTEST)


def logits_of(opacities: Float64[np.ndarray, " g"], *, faintest: float) -> Float64[np.ndarray, " g"]:
    """Finite logits: opacities are kept ``faintest`` away from 0 and 1; NaN stays NaN."""
    inside = np.clip(opacities, faintest, 1.0 - faintest)
    return np.log(inside) - np.log1p(-inside)


def sigmoid(logits: Float[np.ndarray, " g"]) -> Float64[np.ndarray, " g"]:
    """Opacities of logits, without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * logits.astype(np.float64))


def smallest_three(
    quats: Float[np.ndarray, "g 4"],
) -> tuple[Int64[np.ndarray, " g"], Float64[np.ndarray, "g 3"]]:
    """Which number is largest, and the others in their order once that one is positive.

    The three are within +-sqrt(1/2); with the largest left out, they say everything.
    """
    unit = quats.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    largest = np.abs(unit).argmax(axis=1)
    sign = np.where(np.take_along_axis(unit, largest[:, None], axis=1) < 0.0, -1.0, 1.0)
    return largest, np.take_along_axis(unit * sign, _others(largest), axis=1)


def from_smallest_three(
    largest: Int64[np.ndarray, " g"], three: Float64[np.ndarray, "g 3"]
) -> Float64[np.ndarray, "g 4"]:
    """Quaternions of ``smallest_three``; longer than 1 where the three contradict each other."""
    quats = np.empty((len(three), 4))
    np.put_along_axis(quats, _others(largest), three, axis=1)
    rest = np.sqrt(np.maximum(0.0, 1.0 - (three**2).sum(axis=1)))
    np.put_along_axis(quats, largest[:, None], rest[:, None], axis=1)
    return quats


def _others(largest: Int64[np.ndarray, " g"]) -> Int64[np.ndarray, "g 3"]:
    """0 to 3 without one of them."""
    three = np.arange(3)[None]
    return three + (three >= largest[:, None])


def along_a_curve(means: Float[np.ndarray, "g 3"]) -> Int64[np.ndarray, " g"]:
    """An order in which neighbours follow each other: Morton's curve through 2^20 cells a side."""
    low = means.min(axis=0).astype(np.float64)
    extent = max(float((means.max(axis=0) - low).max()), 1e-30)
    cells = np.minimum((means - low) / extent * 2.0**20, 2.0**20 - 1).astype(np.int64)
    code = np.zeros(len(means), np.int64)
    for bit in range(20):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return code.argsort(kind="stable")
