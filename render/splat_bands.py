"""Bands: a large picture of splats drawn a few rows at a time, so that only those are held.

Room: render (ground floor). Imports cameras, gaussians and splats; every other room may import this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from render._splats.bridge import painted_bands
from render.cameras import Cameras
from render.gaussians import Gaussians
from render.splats import (
    SplatImage,
    available_threads,
    blended_normals,
    painted_by_normals,
    pick_backend,
    render_splats,
)

ROWS = 256
"""Pixel rows of a band, a multiple of the kernels' tiles: 4096 pixels wide, 1 M pixels."""


def splat_bands(
    gaussians: Gaussians, camera: Cameras, *, threads: int | None = None, normals: bool = False
) -> Iterator[SplatImage]:
    """What :func:`render.splats.render_splats` draws over black, in bands of rows from the top.

    Splats are projected once for the whole picture, so bands join bit for bit. Nothing has gradients. On a
    CUDA device the picture is drawn whole and then cut.

    Args:
        gaussians: What to draw.
        camera: One camera, on the same device.
        threads: Threads on a CPU, all available cores by default.
        normals: Whether bands have normals too, for a little more than a picture costs.
    """
    if pick_backend(gaussians.means.device) != "numba":
        yield from _cut(render_splats(gaussians, camera, normals=normals), camera.height)
        return
    count = available_threads() if threads is None else threads
    bands = _painted(gaussians, camera, threads=count)
    if not normals:
        yield from bands
        return
    facing = _painted(painted_by_normals(gaussians, camera), camera, threads=count)
    for band, towards in zip(bands, facing, strict=True):
        yield replace(band, normals=blended_normals(towards))


def _painted(gaussians: Gaussians, camera: Cameras, *, threads: int) -> Iterator[SplatImage]:
    for rgb, depth, alpha in painted_bands(gaussians, camera, rows=ROWS, threads=threads):
        yield SplatImage(rgb=rgb, depth=depth, alpha=alpha)


def _cut(image: SplatImage, height: int) -> Iterator[SplatImage]:
    for top in range(0, height, ROWS):
        rows = slice(top, top + ROWS)
        normals = None if image.normals is None else image.normals[:, rows]
        rgb, depth, alpha = image.rgb[:, rows], image.depth[:, rows], image.alpha[:, rows]
        yield SplatImage(rgb=rgb, depth=depth, alpha=alpha, normals=normals)
