"""The compiled step of the optimiser of splats. Room: reconstruct; private to ``reconstruct.adam``."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
@no_type_check
def adam_rows(values, slopes, first, second, rows, counts, rate, betas, epsilon):
    """Take the step of some rows, in place; ``counts`` is how many each row has taken, this one included."""
    b1, b2 = np.float32(betas[0]), np.float32(betas[1])
    one = np.float32(1.0)
    for row in rows:
        n = np.float64(counts[row])
        bias1 = np.float32(1.0 / (1.0 - betas[0] ** n))
        bias2 = np.float32(1.0 / (1.0 - betas[1] ** n))
        for i in range(values.shape[1]):
            slope = slopes[row, i]
            m = b1 * first[row, i] + (one - b1) * slope
            v = b2 * second[row, i] + (one - b2) * slope * slope
            first[row, i], second[row, i] = m, v
            values[row, i] -= rate * (m * bias1) / (np.sqrt(v * bias2) + epsilon)
