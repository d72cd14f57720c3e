"""Kernels: whether C++ or numba projects splats, lists and draws tiles, and takes gradients back.

Both say the same. C++ is faster and needs a compiler; numba is always there. The choice is made here, once a
process.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from ctypes import byref, c_int64
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt32
from numpy import ndarray

from render._splats import building, drawing, lists, projection, projection_gradients, tile_gradients
from render._splats.arrays import CHUNK, DRAWN, TILE, Records, Slopes, Splats, View

VARIABLE = "WORLDGEN_SPLAT_KERNELS"
"""The environment's say: ``numba``, ``cpp``, or nothing for C++ where it can be had."""


class SplatKernels(NamedTuple):
    """What is done to a chunk of Gaussians and to a row of tiles; the numba functions say what."""

    name: str
    """``cpp`` or ``numba``."""

    reason: str
    """Why it is these."""

    project_chunk: Callable[..., int]
    binned_by_tile: Callable[..., tuple[Float32[ndarray, "s f"], UInt32[ndarray, " m"], Int64[ndarray, " c"]]]
    draw_tiles: Callable[..., None]
    sum_tiles: Callable[..., None]
    project_chunk_back: Callable[..., Float64[ndarray, "5 4"]]


_lock = threading.Lock()


def splat_kernels() -> SplatKernels:
    """The kernels that this process uses.

    Raises:
        ValueError: if the environment asks for something else than there is.
    """
    with _lock:
        return _chosen()


@cache
def _chosen() -> SplatKernels:
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "cpp", "numba"):
        raise ValueError(f"{VARIABLE} is 'cpp', 'numba' or not set, got {wanted!r}")
    if wanted == "numba":
        return _numba(f"{VARIABLE} asks for it")
    built = _cpp()
    if isinstance(built, SplatKernels):
        return built
    if wanted == "cpp":
        raise ValueError(
            f"{VARIABLE} asks for C++ kernels, which cannot be had: {built}; unset it to use numba"
        )
    return _numba(built)


def _numba(reason: str) -> SplatKernels:
    return SplatKernels(
        "numba",
        reason,
        projection.project_chunk,
        lists.binned_by_tile,
        drawing.draw_tiles,
        tile_gradients.sum_tiles,
        projection_gradients.project_chunk_back,
    )


@cache
def _cpp() -> SplatKernels | str:
    """The C++ kernels, or why there are none; a build that failed is not tried again."""
    try:
        file = building.library()
    except building.BuildError as error:
        return str(error)
    library = ctypes.CDLL(str(file))
    library.project.restype = c_int64

    def project_chunk(splats: Splats, view: View, lo: int, records: Records) -> int:
        end = min(lo + CHUNK, len(splats.means))
        given = byref(_gaussians(splats)), byref(_camera(view)), c_int64(lo), c_int64(end)
        return library.project(*given, byref(_struct(*records)))

    def binned_by_tile(
        slots: UInt32[ndarray, " s"], records: Records, top: int, width: int
    ) -> tuple[Float32[ndarray, "s f"], UInt32[ndarray, " m"], Int64[ndarray, " c"]]:
        count, columns = len(slots), -(-width // TILE)
        near, spans = np.empty((count, DRAWN), np.float32), np.empty((count, 2), np.int32)
        order, starts = np.empty(2 * count, np.uint64), np.zeros(columns + 1, np.int64)
        given = byref(_struct(*records)), _at(slots), *map(c_int64, (count, top, width))
        library.list_row(*given, *map(_at, (near, spans, order, starts)), c_int64(columns))
        members, at = np.empty(starts[-1], np.uint32), starts[:-1].copy()
        library.fill_row(_at(spans), _at(order), c_int64(count), _at(at), _at(members))
        return near, members, starts

    def draw_tiles(
        near: Float32[ndarray, "s f"],
        members: UInt32[ndarray, " m"],
        starts: Int64[ndarray, " c"],
        layers: Float32[ndarray, "h w 5"],
    ) -> None:
        lists = *map(_at, (near, members, starts)), c_int64(len(starts) - 1)
        library.draw_tiles(*lists, _at(layers), *map(c_int64, layers.shape[:2]))

    def sum_tiles(
        near: Float32[ndarray, "s f"],
        members: UInt32[ndarray, " m"],
        starts: Int64[ndarray, " c"],
        slopes: Float32[ndarray, "h w 6"],
        sums: Float32[ndarray, "s 12"],
    ) -> None:
        sums[:] = 0.0
        lists = *map(_at, (near, members, starts)), c_int64(len(starts) - 1)
        library.sum_tiles(*lists, _at(slopes), *map(c_int64, slopes.shape[:2]), _at(sums))

    def project_chunk_back(
        splats: Splats,
        view: View,
        lo: int,
        count: int,
        records: Records,
        places: tuple[Int64[ndarray, " g"], UInt32[ndarray, " l"]],
        sums: Float32[ndarray, "l 12"],
        out: Slopes,
    ) -> Float64[ndarray, "5 4"]:
        camera, end = np.zeros((5, 4), np.float64), min(lo + CHUNK, len(splats.means))
        given = byref(_gaussians(splats)), byref(_camera(view)), *map(c_int64, (lo, end, count))
        found = byref(_struct(*records)), *map(_at, (*places, sums))
        library.project_back(*given, *found, byref(_struct(*out)), _at(camera))
        return camera

    reason = f"built as {file}"
    kernels = project_chunk, binned_by_tile, draw_tiles, sum_tiles, project_chunk_back
    return SplatKernels("cpp", reason, *kernels)


def _at(array: ndarray) -> Any:
    """Where a packed array begins, as an argument, which keeps the array while it lives."""
    assert array.flags.c_contiguous
    return array.ctypes


def _struct(*parts: ndarray | int) -> ctypes.Array[c_int64]:
    """Where packed arrays begin, and numbers, one after the other, as a struct of the C++ source has them."""
    return (c_int64 * len(parts))(*(part if isinstance(part, int) else _at(part).data for part in parts))


def _gaussians(splats: Splats) -> ctypes.Array[c_int64]:
    return _struct(*splats, *splats.sh.shape[:2])


def _camera(view: View) -> ctypes.Array[c_int64]:
    return _struct(*view)
