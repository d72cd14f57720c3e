"""The compiled step of the optimiser of splats. Room: reconstruct; private to ``reconstruct.adam``."""

from __future__ import annotations

from functools import cache
from typing import no_type_check

import numpy as np
from jaxtyping import Float32
from numba import njit
from numpy import ndarray

RUN = 64
"""Rows worked on at a time, where so many stand side by side."""


@cache
def corrections(betas: tuple[float, float]) -> Float32[ndarray, "2 n"]:
    """What averages that began at nought are multiplied with after n steps; the last serves all that follow.

    1 / (1 - beta^n), which single precision takes for 1 from the last on.
    """
    last = int(np.ceil(np.log(2.0**-26) / np.log(max(betas))))
    steps = np.arange(last + 1, dtype=np.float64)
    steps[0] = 1.0
    return np.stack([1.0 / (1.0 - beta**steps) for beta in betas]).astype(np.float32)


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _step(values, slopes, first, second, lo, count, scale1, scale2, rates, betas, epsilon):
    """Adam on ``count`` numbers from ``lo`` on. Nothing is fused: a number steps the same anywhere."""
    b1, b2, one = np.float32(betas[0]), np.float32(betas[1]), np.float32(1.0)
    for i in range(np.uintp(count)):
        at = np.uintp(lo) + i
        m = b1 * first[at] + (one - b1) * slopes[at]
        v = b2 * second[at] + (one - b2) * slopes[at] * slopes[at]
        first[at], second[at] = m, v
        values[at] -= rates[i] * (m * scale1[i]) / (np.sqrt(v * scale2[i]) + epsilon)


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def count_steps(counts, rows):
    """One step more for some rows."""
    for row in rows:
        counts[row] += 1


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def adam_rows(values, slopes, first, second, rows, counts, corrections, rates, betas, epsilon):
    """Take the step of some rows, in place.

    ``counts`` is how many each row has taken, this one included; ``rates`` has one for every column. Tensors
    are packed flat. Rows are short, so that rows side by side are worked on as one run of numbers.
    """
    width, last = len(values) // len(counts), corrections.shape[1] - 1
    scale1, scale2 = np.empty(RUN * width, np.float32), np.empty(RUN * width, np.float32)
    rate = np.empty(RUN * width, np.float32)
    for i in range(len(rate)):
        rate[i] = rates[i % width]
    begin = 0
    while begin < len(rows):
        end, at = begin, np.uintp(0)
        while end < len(rows) and end < begin + RUN and rows[end] == rows[begin] + (end - begin):
            n = min(counts[rows[end]], last)
            for _ in range(width):
                scale1[at], scale2[at] = corrections[0, n], corrections[1, n]
                at += np.uintp(1)
            end += 1
        lo = rows[begin] * width
        _step(values, slopes, first, second, lo, at, scale1, scale2, rate, betas, epsilon)
        begin = end
