"""Compiled search for the nearest of many places. Room: reconstruct; private to ``reconstruct.closed``.

Runs on the calling thread in the order of the places, so the same places give the same answer.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from reconstruct._tsdf_kernel import SIDE, block_key


@njit(nogil=True, cache=True)
@no_type_check
def find_nearest(keys, places, reach, away, nearest):
    """Write for each lattice point which place is nearest, and the square of how far it is.

    ``keys`` are those of blocks, ascending, and ``places`` in voxels ``[p 3]``. ``away[b, 512]`` holds the
    square of what is too far before, ``nearest[b, 512]`` -1; places further than ``reach`` are not met.
    """
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for p in range(places.shape[0]):
        for k in range(3):
            low[k], high[k] = math.ceil(places[p, k] - reach), math.floor(places[p, k] + reach)
        for bz in range(low[2] // SIDE, high[2] // SIDE + 1):
            for by in range(low[1] // SIDE, high[1] // SIDE + 1):
                for bx in range(low[0] // SIDE, high[0] // SIDE + 1):
                    key = block_key(bx, by, bz)
                    b = np.searchsorted(keys, key)
                    if b == keys.shape[0] or keys[b] != key:
                        continue
                    corner = (SIDE * bx, SIDE * by, SIDE * bz)
                    _try_block(b, corner, low, high, p, places, away, nearest)


@njit(nogil=True, cache=True)
@no_type_check
def _try_block(b, corner, low, high, p, places, away, nearest):
    """Offer one place to the lattice points of one block that lie between ``low`` and ``high``."""
    for z in range(max(low[2], corner[2]), min(high[2], corner[2] + SIDE - 1) + 1):
        for y in range(max(low[1], corner[1]), min(high[1], corner[1] + SIDE - 1) + 1):
            for x in range(max(low[0], corner[0]), min(high[0], corner[0] + SIDE - 1) + 1):
                row = ((z - corner[2]) * SIDE + y - corner[1]) * SIDE + x - corner[0]
                dx, dy, dz = x - places[p, 0], y - places[p, 1], z - places[p, 2]
                square = np.float32(dx * dx + dy * dy + dz * dz)
                if square < away[b, row]:
                    away[b, row], nearest[b, row] = square, p
