"""What kernels pass on: Gaussians, a camera, and records of the Gaussians that it sees."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int16, UInt32
from numpy import ndarray

CHUNK = 16384
"""Gaussians per projection job; fixed, so that a record's slot does not depend on the threads."""

TILE = 16
BATCH = 32
"""Splats drawn between two looks at which rows of a tile can still change."""

# A record is what later stages need of one Gaussian in one view, within one cache line.
# Alpha at an offset (dx, dy) from (U, V) is 2^(LOG_O - FALL dy^2 - (STEEP (dx - SHEAR dy))^2). This
# form, a Cholesky factor, keeps its precision along thin splats, where the usual conic cancels.
U, V, STEEP, SHEAR, FALL, LOG_O, RED, GREEN, BLUE, DEPTH = range(10)
# The outline where alpha is 1/255 reaches REACH_V up and down. Sideways, it stays within HALF_U of the line
# dx = SHEAR dy.
REACH_V, HALF_U = 10, 11
RECORD = 16
DRAWN = HALF_U + 1
"""Fields of a record that drawing reads."""


class Splats(NamedTuple):
    """Gaussians as arrays."""

    means: Float32[ndarray, "g 3"]
    quats: Float32[ndarray, "g 4"]
    log_scales: Float32[ndarray, "g 3"]
    logit_opacities: Float32[ndarray, " g"]
    sh: Float32[ndarray, "g k 3"]


class View(NamedTuple):
    """One camera."""

    w2c: Float32[ndarray, "4 4"]
    origin: Float32[ndarray, " 3"]
    """Where the camera stands; ``w2c`` says it too."""

    K: Float32[ndarray, "3 3"]
    width: int
    height: int


class Records(NamedTuple):
    """What projection writes, one slot per visible Gaussian; chunk c fills slots from c * CHUNK on."""

    fields: Float32[ndarray, "g 16"]
    keys: UInt32[ndarray, " g"]
    """Bits of the depth, which sort like the depth because it is positive."""

    ids: UInt32[ndarray, " g"]
    """Which Gaussians they are."""

    tile_rows: Int16[ndarray, "g 2"]
    """First and last row of tiles touched."""


class Slopes(NamedTuple):
    """Gradients by Gaussians and by the camera."""

    means: Float32[ndarray, "g 3"]
    quats: Float32[ndarray, "g 4"]
    log_scales: Float32[ndarray, "g 3"]
    logit_opacities: Float32[ndarray, " g"]
    sh: Float32[ndarray, "g k 3"]

    screen: Float32[ndarray, " g"]
    """Length of the gradient by the place on the screen, a pixel; what densification goes by."""


class Canvas(NamedTuple):
    """A picture."""

    rgb: Float32[ndarray, "h w 3"]
    depth: Float32[ndarray, "h w"]
    alpha: Float32[ndarray, "h w"]


MAX_ALPHA, MIN_TRANSMITTANCE = np.float32(0.999), np.float32(1e-4)

LAYERS = 5
"""Red, green, blue, and z-depth, each times the weight of the splats; and the sum of weights, alpha."""

PIXEL_SLOPES = LAYERS + 1
"""The gradients of a loss by the layers, and what all splats of the pixel add to it, were it linear."""

MOMENTS = 12
"""What the gradients of a splat's pixels are summed to. Where alpha is 2^t, q is the gradient by t divided by
ln 2, s is STEEP (dx - SHEAR dy): q, q s, q s^2, q dy, q s dy, q dy^2; the weight times the gradients by red,
green, blue and depth; and two that stay 0, so that a row is a whole number of vectors."""
