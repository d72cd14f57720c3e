"""Compiled kernels that draw Gaussian splats on a CPU, and their gradients.

Room: render (ground floor). Private to ``render.splats``; ``render.splat_twin`` says the same in torch.
Single precision throughout.
Project, list per row of tiles, sort it by depth, list per tile, composite front to back. Every pixel is owned
by one job and every list keeps the order of depth, so pictures and gradients do not depend on the threads.
All of it is numba's; where there is a compiler, all that takes long is C++ (``kernels.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt32
from numpy import ndarray

from render._splats.arrays import (
    CHUNK,
    LAYERS,
    MOMENTS,
    PIXEL_SLOPES,
    RECORD,
    TILE,
    Canvas,
    Records,
    Slopes,
    Splats,
    View,
)
from render._splats.finishing import lay_over, lay_over_back
from render._splats.fronts import front_row
from render._splats.kernels import splat_kernels
from render._splats.lists import binned_by_row
from render.jobs import spread

__all__ = [
    "LAYERS",
    "Canvas",
    "Drawn",
    "Slopes",
    "Splats",
    "View",
    "draw",
    "find_fronts",
    "paint",
    "paint_bands",
    "slopes_of",
]


class Drawn(NamedTuple):
    """What drawing leaves behind for gradients."""

    layers: Float32[ndarray, "h w 5"]
    """Colour and depth times the weight of splats, over black, and alpha."""

    records: Records
    counts: Int64[ndarray, " c"]
    """Records a chunk."""

    places: tuple[Int64[ndarray, " g"], UInt32[ndarray, " l"]]
    """Where the places of each slot begin, and all places: those where it stands in the lists of all rows."""

    starts: Int64[ndarray, " r"]
    """Where the list of each row of tiles begins, were they one after the other."""

    rows: list[tuple[ndarray, ndarray, ndarray]]
    """Per row, what drawing reads of its splats, and the lists of its tiles."""

    def seen(self) -> UInt32[ndarray, " v"]:
        """Which Gaussians were projected into the picture, in their order."""
        ids = self.records.ids
        starts = CHUNK * np.arange(len(self.counts))
        parts = [ids[lo : lo + n] for lo, n in zip(starts, self.counts, strict=True)]
        return np.concatenate(parts) if parts else ids[:0]


class _Listed(NamedTuple):
    """What a camera sees, by row of tiles."""

    records: Records
    counts: Int64[ndarray, " c"]
    """Records a chunk."""

    slots: UInt32[ndarray, " l"]
    """Slots of all rows, one row after the other."""

    starts: Int64[ndarray, " r"]
    """Where each row begins."""

    firsts: Int64[ndarray, " g"]
    """Per slot, the number of the first of its places."""

    places: UInt32[ndarray, " l"]
    """Where slots stand among those of all rows."""

    def row(self, row: int) -> UInt32[ndarray, " s"]:
        """Slots of one row of tiles."""
        return self.slots[self.starts[row] : self.starts[row + 1]]


def paint(
    splats: Splats, view: View, *, background: Float32[ndarray, "h w 3"], canvas: Canvas, threads: int
) -> None:
    """Draw ``splats`` as ``view`` sees them, over a background."""
    _paint_rows(_listed(splats, view, threads), 0, background=background, canvas=canvas, threads=threads)


def paint_bands(
    splats: Splats, view: View, *, background: Float32[ndarray, "h w 3"], rows: int, threads: int
) -> Iterator[Canvas]:
    """What :func:`paint` draws, in bands of ``rows`` pixel rows (a multiple of TILE) from the top."""
    seen = _listed(splats, view, threads)
    for top in range(0, view.height, rows):
        size = min(rows, view.height - top), view.width
        band = Canvas(rgb=np.empty((*size, 3), np.float32), depth=_empty(size), alpha=_empty(size))
        _paint_rows(seen, top, background=background, canvas=band, threads=threads)
        yield band


def _empty(size: tuple[int, int]) -> Float32[ndarray, "h w"]:
    return np.empty(size, np.float32)


def _paint_rows(
    seen: _Listed, top: int, *, background: Float32[ndarray, "h w 3"], canvas: Canvas, threads: int
) -> None:
    """Fill a canvas with the pixel rows of the picture from ``top`` on."""
    kernels = splat_kernels()

    def one(row: int) -> None:
        below, strip = top + row * TILE, _strip(canvas, row)
        size = strip.alpha.shape
        lists = kernels.binned_by_tile(seen.row(below // TILE), seen.records, below, size[1])
        layers = np.empty((*size, LAYERS), np.float32)
        kernels.draw_tiles(*lists, layers)
        lay_over(layers, background[below : below + TILE], strip)

    spread(one, range(-(-len(canvas.alpha) // TILE)), threads=threads)


def _strip(canvas: Canvas, row: int) -> Canvas:
    """One row of tiles of a picture."""
    return Canvas(*(part[row * TILE : (row + 1) * TILE] for part in canvas))


def draw(
    splats: Splats, view: View, *, background: Float32[ndarray, "h w 3"], canvas: Canvas, threads: int
) -> Drawn:
    """Do what :func:`paint` does, and keep what gradients need."""
    seen, kernels = _listed(splats, view, threads), splat_kernels()
    layers = np.empty((view.height, view.width, LAYERS), np.float32)

    def one(row: int) -> tuple[ndarray, ndarray, ndarray]:
        top = row * TILE
        lists = kernels.binned_by_tile(seen.row(row), seen.records, top, view.width)
        kernels.draw_tiles(*lists, layers[top : top + TILE])
        lay_over(layers[top : top + TILE], background[top : top + TILE], _strip(canvas, row))
        return lists

    rows = spread(one, range(len(seen.starts) - 1), threads=threads)
    return Drawn(
        layers=layers,
        records=seen.records,
        counts=seen.counts,
        places=(seen.firsts, seen.places),
        starts=seen.starts,
        rows=rows,
    )


def find_fronts(splats: Splats, view: View, *, fronts: Int64[ndarray, "h w"], threads: int) -> None:
    """Write the Gaussian of every pixel at which less than half of the light passes on; -1 where none is."""
    seen = _listed(splats, view, threads)
    rows = range(len(seen.starts) - 1)
    spread(lambda row: front_row(seen.row(row), seen.records, row * TILE, fronts), rows, threads=threads)


def _listed(splats: Splats, view: View, threads: int) -> _Listed:
    """What is seen, by row of tiles."""
    g, rows = len(splats.means), -(-view.height // TILE)
    records = Records(
        fields=np.empty((g, RECORD), np.float32),
        keys=np.empty(g, np.uint32),
        ids=np.empty(g, np.uint32),
        tile_rows=np.empty((g, 2), np.int16),
    )
    project_chunk, chunks = splat_kernels().project_chunk, range(-(-g // CHUNK))
    counts = spread(
        lambda chunk: project_chunk(splats, view, chunk * CHUNK, records), chunks, threads=threads
    )
    counts = np.array(counts, np.int64)
    return _Listed(records, counts, *binned_by_row(records.tile_rows, counts, rows))


def slopes_of(
    splats: Splats,
    view: View,
    drawn: Drawn,
    by: Canvas,
    *,
    background: Float32[ndarray, "h w 3"],
    threads: int,
) -> tuple[Slopes, Float64[ndarray, "5 4"]]:
    """Gradients of a loss, given that by the picture.

    Returns:
        Those by the Gaussians, 0 for all that were not seen; and by the camera: three rows of ``w2c``, one of
        nothing, and ``origin``.
    """
    kernels, sums = splat_kernels(), np.empty((drawn.starts[-1], MOMENTS), np.float32)

    def moments(row: int) -> None:
        part = slice(row * TILE, (row + 1) * TILE)
        slopes = np.empty((*drawn.layers[part].shape[:2], PIXEL_SLOPES), np.float32)
        lay_over_back(drawn.layers[part], background[part], _strip(by, row), slopes)
        own = sums[drawn.starts[row] : drawn.starts[row + 1]]
        kernels.sum_tiles(*drawn.rows[row], slopes, own)

    spread(moments, range(len(drawn.rows)), threads=threads)
    out = Slopes(*map(np.empty_like, splats), screen=np.empty(len(splats.means), np.float32))

    def one(chunk: int) -> Float64[ndarray, "5 4"]:
        count = int(drawn.counts[chunk])
        given = drawn.records, drawn.places, sums
        return kernels.project_chunk_back(splats, view, chunk * CHUNK, count, *given, out)

    cameras = spread(one, range(len(drawn.counts)), threads=threads)
    return out, np.sum(cameras, axis=0) if cameras else np.zeros((5, 4))
