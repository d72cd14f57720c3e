"""Compiled kernels that draw Gaussian splats on a CPU, and their gradients.

Room: render (ground floor). Private to ``render.splats``; ``render.splat_twin`` says the same in torch.
Single precision throughout.
Project, sort by depth, list per row of tiles, list per tile, composite front to back. Every pixel is owned by
one job and every list keeps the order of depth, so pictures and gradients do not depend on the threads.
All of it is numba's; where there is a compiler, tiles and their gradients are C++ (``kernels.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt32
from numpy import ndarray

from render._splats.arrays import CHUNK, LAYERS, RECORD, TILE, Canvas, Records, Splats, View
from render._splats.drawing import lay_over
from render._splats.fronts import front_row
from render._splats.kernels import tile_kernels
from render._splats.lists import binned_by_row, binned_by_tile
from render._splats.projection import project_chunk
from render._splats.projection_gradients import places_of, project_chunk_back

__all__ = [
    "LAYERS",
    "Canvas",
    "Drawn",
    "Run",
    "Slopes",
    "Splats",
    "View",
    "draw",
    "find_fronts",
    "paint",
    "paint_bands",
    "runner",
    "slopes_of",
]

Run = Callable[[Callable[[int], object], int], list]
"""``run(job, n)`` calls ``job(0)`` to ``job(n - 1)`` in any order and returns their results in order."""


@contextmanager
def runner(threads: int) -> Iterator[Run]:
    """Jobs on ``threads`` threads; with one thread, on the caller's."""
    if threads == 1:
        yield lambda job, n: [job(i) for i in range(n)]
        return
    with ThreadPoolExecutor(threads) as pool:
        yield lambda job, n: list(pool.map(job, range(n)))


class Drawn(NamedTuple):
    """What drawing leaves behind for gradients."""

    layers: Float32[ndarray, "h w 5"]
    """Colour and depth times the weight of splats, over black, and alpha."""

    records: Records
    counts: Int64[ndarray, " c"]
    """Records a chunk."""

    listed: UInt32[ndarray, " l"]
    """Slots of all rows of tiles, one row after the other."""

    starts: Int64[ndarray, " r"]
    """Where each row begins."""

    rows: list[tuple[ndarray, ndarray, ndarray]]
    """Per row, what drawing reads of its splats, and the lists of its tiles."""

    def seen(self) -> UInt32[ndarray, " v"]:
        """Which Gaussians were projected into the picture, in their order."""
        ids = self.records.ids
        starts = CHUNK * np.arange(len(self.counts))
        parts = [ids[lo : lo + n] for lo, n in zip(starts, self.counts, strict=True)]
        return np.concatenate(parts) if parts else ids[:0]


class Slopes(NamedTuple):
    """Gradients by Gaussians and by the camera."""

    means: Float32[ndarray, "g 3"]
    quats: Float32[ndarray, "g 4"]
    log_scales: Float32[ndarray, "g 3"]
    logit_opacities: Float32[ndarray, " g"]
    sh: Float32[ndarray, "g k 3"]

    screen: Float32[ndarray, " g"]
    """Length of the gradient by the place on the screen, a pixel; what densification goes by."""


def paint(
    splats: Splats, view: View, *, background: Float32[ndarray, "h w 3"], canvas: Canvas, run: Run
) -> None:
    """Draw ``splats`` as ``view`` sees them, over a background."""
    _paint_rows(_listed(splats, view, run), 0, background=background, canvas=canvas, run=run)


def paint_bands(
    splats: Splats, view: View, *, background: Float32[ndarray, "h w 3"], rows: int, run: Run
) -> Iterator[Canvas]:
    """What :func:`paint` draws, in bands of ``rows`` pixel rows (a multiple of TILE) from the top."""
    seen = _listed(splats, view, run)
    for top in range(0, view.height, rows):
        size = min(rows, view.height - top), view.width
        band = Canvas(rgb=np.empty((*size, 3), np.float32), depth=_empty(size), alpha=_empty(size))
        _paint_rows(seen, top, background=background, canvas=band, run=run)
        yield band


def _empty(size: tuple[int, int]) -> Float32[ndarray, "h w"]:
    return np.empty(size, np.float32)


def _paint_rows(
    seen: tuple[Records, ndarray, ndarray, ndarray],
    top: int,
    *,
    background: Float32[ndarray, "h w 3"],
    canvas: Canvas,
    run: Run,
) -> None:
    """Fill a canvas with the pixel rows of the picture from ``top`` on."""
    (records, _, listed, starts), kernels = seen, tile_kernels()

    def one(row: int) -> None:
        below = top + row * TILE
        slots = listed[starts[below // TILE] : starts[below // TILE + 1]]
        strip = Canvas(*(part[row * TILE : (row + 1) * TILE] for part in canvas))
        size = strip.alpha.shape
        layers = np.empty((*size, LAYERS), np.float32)
        kernels.draw_tiles(*binned_by_tile(slots, records.fields, below, size[1]), layers)
        lay_over(layers, background[below : below + TILE], strip)

    run(one, -(-len(canvas.alpha) // TILE))


def draw(splats: Splats, view: View, *, run: Run) -> Drawn:
    """Draw ``splats`` as ``view`` sees them, over black, and keep what gradients need."""
    records, counts, listed, starts = _listed(splats, view, run)
    layers, kernels = np.empty((view.height, view.width, LAYERS), np.float32), tile_kernels()

    def one(row: int) -> tuple[ndarray, ndarray, ndarray]:
        slots, top = listed[starts[row] : starts[row + 1]], row * TILE
        lists = binned_by_tile(slots, records.fields, top, view.width)
        kernels.draw_tiles(*lists, layers[top : top + TILE])
        return lists

    rows = run(one, len(starts) - 1)
    return Drawn(layers=layers, records=records, counts=counts, listed=listed, starts=starts, rows=rows)


def find_fronts(splats: Splats, view: View, *, fronts: Int64[ndarray, "h w"], run: Run) -> None:
    """Write the Gaussian of every pixel at which less than half of the light passes on; -1 where none is."""
    records, _, listed, starts = _listed(splats, view, run)

    def one(row: int) -> None:
        front_row(listed[starts[row] : starts[row + 1]], records, row * TILE, fronts)

    run(one, len(starts) - 1)


def _listed(splats: Splats, view: View, run: Run) -> tuple[Records, ndarray, ndarray, ndarray]:
    """Records of what is seen, how many a chunk, and their slots by row of tiles, nearest first."""
    g, rows = len(splats.means), -(-view.height // TILE)
    fields, keys = np.empty((g, RECORD), np.float32), np.empty(g, np.uint32)
    ids, tile_rows = np.empty(g, np.uint32), np.empty((g, 2), np.int16)
    records = Records(fields=fields, keys=keys, ids=ids, tile_rows=tile_rows)
    counts = run(lambda chunk: project_chunk(splats, view, chunk * CHUNK, records), -(-g // CHUNK))
    counts = np.array(counts, np.int64)
    listed, starts = binned_by_row(keys, tile_rows, counts, rows)
    return records, counts, listed, starts


def slopes_of(
    splats: Splats, view: View, drawn: Drawn, slopes: Float32[ndarray, "h w 5"], *, run: Run
) -> tuple[Slopes, Float64[ndarray, "5 4"]]:
    """Gradients of a loss, given that by the layers of the picture.

    Returns:
        Those by the Gaussians, 0 for all that were not seen; and by the camera: three rows of ``w2c``, one of
        nothing, and ``origin``.
    """
    kernels = tile_kernels()

    def moments(row: int) -> Float32[ndarray, "s 10"]:
        part = slice(row * TILE, (row + 1) * TILE)
        return kernels.sum_tiles(*drawn.rows[row], drawn.layers[part], slopes[part])

    sums = np.concatenate(run(moments, len(drawn.rows)))
    places, starts = places_of(drawn.listed, drawn.records.tile_rows, drawn.counts)
    out = Slopes(
        **{name: np.zeros_like(getattr(splats, name)) for name in Splats._fields},
        screen=np.zeros(len(splats.means), np.float32),
    )

    def one(chunk: int) -> Float64[ndarray, "5 4"]:
        count = int(drawn.counts[chunk])
        return project_chunk_back(
            splats, view, chunk * CHUNK, count, drawn.records, places, starts, sums, out
        )

    cameras = run(one, len(drawn.counts))
    return out, np.sum(cameras, axis=0) if cameras else np.zeros((5, 4))
