"""The compiled comparison of patches along rays. Room: reconstruct; private to ``reconstruct.sweep``."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def likeness_along(picture, pixels, others, turns, shifts, radius, count, nearest):
    """How alike patches look in other pictures if they were at any of some inverse depths.

    ``others`` are pictures ``[n h w]``; ``turns[n]`` and ``shifts[n]`` take a pixel (u, v, 1) at the inverse
    depth w to ``turn (u, v, 1) + w shift`` there. Inverse depth ``i`` of ``count`` is ``(i + 1) / count``
    times ``nearest``. The likeness ``[p, count]`` is the mean of the two best normalised correlations among
    the pictures, -1 where fewer than two show the patch.
    """
    side = 2 * radius + 1
    patch = np.empty(side * side, np.float32)
    out = np.full((len(pixels), count), np.float32(-1.0))
    for p in range(len(pixels)):
        x, y = pixels[p, 0], pixels[p, 1]
        mean, square = np.float32(0.0), np.float32(0.0)
        for k in range(side * side):
            value = picture[y + k // side - radius, x + k % side - radius]
            patch[k] = value
            mean += value
            square += value * value
        mean /= side * side
        spread = np.sqrt(square / (side * side) - mean * mean)
        for i in range(count):
            w = nearest * (i + 1) / count
            best, second = np.float32(-1.0), np.float32(-1.0)
            for n in range(len(others)):
                found = _correlation(
                    patch, mean, spread, (x, y, w), others[n], (turns[n], shifts[n]), (radius, side)
                )
                if found > best:
                    best, second = found, best
                elif found > second:
                    second = found
            out[p, i] = 0.5 * (best + second) if second > -1.0 else np.float32(-1.0)
    return out


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
@no_type_check
def _correlation(patch, mean, spread, at, other, pose, size):
    """Normalised correlation of a patch with what another picture shows there, -1 where it does not."""
    (x, y, w), (turn, shift), (radius, side) = at, pose, size
    height, width = other.shape
    total, square, cross = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    sx, sy, sz = w * shift[0], w * shift[1], w * shift[2]
    for k in range(side * side):
        u, v = x + k % side - radius + 0.5, y + k // side - radius + 0.5
        depth = turn[2, 0] * u + turn[2, 1] * v + turn[2, 2] + sz
        if depth <= 1e-6:
            return np.float32(-1.0)
        a = (turn[0, 0] * u + turn[0, 1] * v + turn[0, 2] + sx) / depth - 0.5
        b = (turn[1, 0] * u + turn[1, 1] * v + turn[1, 2] + sy) / depth - 0.5
        if not (0.0 <= a < width - 1 and 0.0 <= b < height - 1):
            return np.float32(-1.0)
        i, j = int(a), int(b)
        fa, fb = np.float32(a - i), np.float32(b - j)
        top = other[j, i] + fa * (other[j, i + 1] - other[j, i])
        low = other[j + 1, i] + fa * (other[j + 1, i + 1] - other[j + 1, i])
        value = top + fb * (low - top)
        total += value
        square += value * value
        cross += value * patch[k]
    n = side * side
    total /= n
    other_spread = np.sqrt(max(square / n - total * total, np.float32(1e-8)))
    return np.float32((cross / n - mean * total) / (spread * other_spread + np.float32(1e-8)))
