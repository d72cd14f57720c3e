"""Compiled kernels of the world cache: what the winners of a point image look like. Private to memory.

``no_type_check`` keeps run-time shape checkers from wrapping what numba has to compile and cache.
Both kernels draw one picture on the calling thread and release the interpreter lock.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
@no_type_check
def find_known(winner, positions, normals, trusts, origin, known):
    """Set ``known`` where a point won that claims anything and is turned towards ``origin``."""
    height, width = winner.shape
    for i in range(height):
        for j in range(width):
            known[i, j] = _is_known(winner[i, j], positions, normals, trusts, origin)


@njit(nogil=True, cache=True)
@no_type_check
def show_winners(
    winner,
    z_buffer,
    positions,
    normals,
    colours,
    trusts,
    sources,
    origin,
    w2c,
    K,
    max_offset,
    rgb,
    depth,
    mask,
    confidence,
    offset,
    source,
):
    """Look up what is known from ``origin``; outputs are zero where nothing is.

    ``offset`` runs from a pixel's centre to where its point projects, in pixels, within ``max_offset``.
    """
    height, width = winner.shape
    half, zero = np.float32(0.5), np.float32(0.0)
    for i in range(height):
        for j in range(width):
            p = winner[i, j]
            mask[i, j] = _is_known(p, positions, normals, trusts, origin)
            if not mask[i, j]:
                rgb[i, j, 0], rgb[i, j, 1], rgb[i, j, 2] = zero, zero, zero
                offset[i, j, 0], offset[i, j, 1] = zero, zero
                depth[i, j, 0], confidence[i, j, 0], source[i, j] = zero, zero, 0
                continue
            z = z_buffer[i, j]
            px, py, pz = positions[p, 0], positions[p, 1], positions[p, 2]
            x = w2c[0, 0] * px + w2c[0, 1] * py + w2c[0, 2] * pz + w2c[0, 3]
            y = w2c[1, 0] * px + w2c[1, 1] * py + w2c[1, 2] * pz + w2c[1, 3]
            du = K[0, 0] * x / z + K[0, 2] - (np.float32(j) + half)
            dv = K[1, 1] * y / z + K[1, 2] - (np.float32(i) + half)
            rgb[i, j, 0], rgb[i, j, 1], rgb[i, j, 2] = colours[p, 0], colours[p, 1], colours[p, 2]
            offset[i, j, 0] = min(max(du, -max_offset), max_offset)
            offset[i, j, 1] = min(max(dv, -max_offset), max_offset)
            depth[i, j, 0], confidence[i, j, 0], source[i, j] = z, trusts[p], sources[p]


@njit(nogil=True, cache=True)
@no_type_check
def _is_known(p, positions, normals, trusts, origin):
    if p < 0 or not trusts[p] > 0:
        return False
    towards = (
        normals[p, 0] * (origin[0] - positions[p, 0])
        + normals[p, 1] * (origin[1] - positions[p, 1])
        + normals[p, 2] * (origin[2] - positions[p, 2])
    )
    return towards > 0
