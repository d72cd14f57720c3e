"""Kernels: whether tiles are drawn, and their gradients summed, by C++ or by numba.

Both say the same. C++ is faster and needs a compiler; numba is always there. The choice is made here, once a
process.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt32
from numpy import ndarray

from render._splats import building, drawing, tile_gradients
from render._splats.arrays import MOMENTS

VARIABLE = "WORLDGEN_SPLAT_KERNELS"
"""The environment's say: ``numba``, ``cpp``, or nothing for C++ where it can be had."""


class TileKernels(NamedTuple):
    """What is done to a row of tiles; see ``drawing.draw_tiles`` and ``tile_gradients.sum_tiles``."""

    name: str
    """``cpp`` or ``numba``."""

    reason: str
    """Why it is these."""

    draw_tiles: Callable[..., None]
    sum_tiles: Callable[..., Float32[ndarray, "s 10"]]


_lock = threading.Lock()


def tile_kernels() -> TileKernels:
    """The kernels that this process uses.

    Raises:
        ValueError: if the environment asks for something else than there is.
    """
    with _lock:
        return _chosen()


@cache
def _chosen() -> TileKernels:
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "cpp", "numba"):
        raise ValueError(f"{VARIABLE} is 'cpp', 'numba' or not set, got {wanted!r}")
    if wanted == "numba":
        return _numba(f"{VARIABLE} asks for it")
    built = _cpp()
    if isinstance(built, TileKernels):
        return built
    if wanted == "cpp":
        raise ValueError(
            f"{VARIABLE} asks for C++ kernels, which cannot be had: {built}; unset it to use numba"
        )
    return _numba(built)


def _numba(reason: str) -> TileKernels:
    return TileKernels("numba", reason, drawing.draw_tiles, tile_gradients.sum_tiles)


@cache
def _cpp() -> TileKernels | str:
    """The C++ kernels, or why there are none; a build that failed is not tried again."""
    try:
        file = building.library()
    except building.BuildError as error:
        return str(error)
    library = ctypes.CDLL(str(file))

    def draw_tiles(
        near: Float32[ndarray, "s f"],
        members: UInt32[ndarray, " m"],
        starts: Int64[ndarray, " c"],
        layers: Float32[ndarray, "h w 5"],
    ) -> None:
        lists = *map(_at, (near, members, starts)), ctypes.c_int64(len(starts) - 1)
        library.draw_tiles(*lists, _at(layers), *map(ctypes.c_int64, layers.shape[:2]))

    def sum_tiles(
        near: Float32[ndarray, "s f"],
        members: UInt32[ndarray, " m"],
        starts: Int64[ndarray, " c"],
        layers: Float32[ndarray, "h w 5"],
        slopes: Float32[ndarray, "h w 5"],
    ) -> Float32[ndarray, "s 10"]:
        sums = np.zeros((len(near), MOMENTS), np.float32)
        lists = *map(_at, (near, members, starts)), ctypes.c_int64(len(starts) - 1)
        size = map(ctypes.c_int64, layers.shape[:2])
        library.sum_tiles(*lists, _at(layers), _at(slopes), *size, _at(sums))
        return sums

    return TileKernels("cpp", f"built as {file}", draw_tiles, sum_tiles)


def _at(array: ndarray) -> ctypes.c_void_p:
    """Where a packed array begins."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
