"""Compiled kernel that tells who merges with whom when splats become fewer. Private to reconstruct.

``no_type_check`` keeps run-time shape checkers from wrapping what numba has to compile and cache.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
@no_type_check
def group(features, count, groups):
    """Write the group of every row, 0 to ``count`` - 1: halve the rows along what is widest, and so on.

    Rows that are alike come in their order, so nothing depends on how they are halved.
    """
    order = np.arange(features.shape[0])
    begins, ends, quotas, firsts = np.empty((4, 64), np.int64)  # each halves what is left: 64 are enough
    begins[0], ends[0], quotas[0], firsts[0] = 0, features.shape[0], count, 0
    waiting = 1
    while waiting:
        waiting -= 1
        begin, end, quota, first = begins[waiting], ends[waiting], quotas[waiting], firsts[waiting]
        while quota > 1:
            left = quota // 2
            cut = begin + int(np.rint((end - begin) * left / quota))
            _select(order, features[:, _widest(features, order, begin, end)], begin, end, cut)
            begins[waiting], ends[waiting] = cut, end
            quotas[waiting], firsts[waiting] = quota - left, first + left
            waiting += 1
            end, quota = cut, left
        for i in range(begin, end):
            groups[order[i]] = first


@njit(nogil=True, cache=True)
@no_type_check
def _widest(features, order, begin, end):
    """The first of the columns in which a part of the rows differs most."""
    best, widest = 0, -np.inf
    for k in range(features.shape[1]):
        low, high = np.inf, -np.inf
        for i in range(begin, end):
            value = features[order[i], k]
            if value < low:
                low = value
            if value > high:
                high = value
        if high - low > widest:
            best, widest = k, high - low
    return best


@njit(nogil=True, cache=True)
@no_type_check
def _select(order, keys, begin, end, cut):
    """Put the rows with the smallest keys of a part before ``cut``; of equal keys, the smaller rows."""
    while end - begin > 1:
        middle = order[(begin + end) // 2]
        pivot, low, high = keys[middle], begin, end - 1
        while low <= high:
            while keys[order[low]] < pivot or (keys[order[low]] == pivot and order[low] < middle):
                low += 1
            while keys[order[high]] > pivot or (keys[order[high]] == pivot and order[high] > middle):
                high -= 1
            if low <= high:
                order[low], order[high] = order[high], order[low]
                low, high = low + 1, high - 1
        if cut <= high:
            end = high + 1
        elif cut >= low:
            begin = low
        else:
            return
