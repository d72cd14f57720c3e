"""Painted: a surface with a texture that shows what frames show of it.

Room: reconstruct; the command line and the viewer may import this. The surface is cut into charts that lie
flat in a picture (xatlas), and every texel takes its colour from the frames that see its place best.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import xatlas
from jaxtyping import Bool, Float32, Float64, Int64, UInt8
from scipy.ndimage import distance_transform_edt

from reconstruct._paint_kernel import lay_faces, paint
from reconstruct.surface import Surface, Texture
from reconstruct.tsdf import Field, pictures_of, views_of
from render.frames import Frames
from render.jobs import spread
from render.splats import available_threads

PADDING = 2
"""Texels between charts."""

SMALLEST, LARGEST = 64, 8192
"""Texels along the side of a picture."""

JOB_TEXELS = 8192

GREY = 0.5
"""Of what no frame shows, on a surface without colours."""


def painted(
    surface: Surface, field: Field, batches: Iterable[Frames], *, size: int, threads: int | None = None
) -> Surface:
    """The surface with a texture. Cutting 20,000 faces into charts takes some 7 s, 50,000 nearly a minute.

    Args:
        surface: of the field; where no frame shows it, it keeps its colours. Vertices on the edges of charts
            become several.
        field: what the frames were fused into.
        batches: the frames.
        size: texels along the sides of the picture, about.
        threads: all cores where not given; any number gives the same texture.

    Raises:
        ValueError: if the size is not between ``SMALLEST`` and ``LARGEST``.
    """
    check_size(size)
    cut, uv, (height, width) = _charted(surface, size)
    owners, shares = np.full((height, width), -1, np.int32), np.zeros((height, width, 3), np.float32)
    corners = (uv.astype(np.float64) * (width, height))[cut.faces]
    lay_faces(corners, owners, shares)
    rows, columns = np.nonzero(owners >= 0)
    faces, weights = owners[rows, columns].astype(np.int64), shares[rows, columns].astype(np.float64)
    sums = _shown(cut, faces, weights, field, batches, available_threads() if threads is None else threads)
    seen = sums[:, 3:] > 0.0
    own = np.full((len(faces), 3), GREY) if cut.rgb is None else _mixed(cut.rgb, cut, faces, weights)
    rgb = np.where(seen, sums[:, :3] / np.where(seen, sums[:, 3:], 1.0), own)
    image = np.zeros((height, width, 3), np.uint8)
    image[rows, columns] = np.rint(255.0 * rgb.clip(0.0, 1.0)).astype(np.uint8)
    return replace(cut, texture=Texture(uv=uv, image=_spread(image, owners >= 0)))


def _spread(image: UInt8[np.ndarray, "h w 3"], own: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with every texel like the nearest one that lies on a face: viewers blend across edges."""
    if not own.any():
        return image
    nearest = np.empty((2, *own.shape), np.int32)
    distance_transform_edt(~own, return_distances=False, return_indices=True, indices=nearest)
    return image[nearest[0], nearest[1]]


def check_size(size: int) -> None:
    """Refuse pictures that are too small to show anything, or too large for other programs."""
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"a texture has {SMALLEST} to {LARGEST:,} texels a side, got {size}")


def _charted(surface: Surface, size: int) -> tuple[Surface, Float32[np.ndarray, "v 2"], tuple[int, int]]:
    """The surface cut into charts, places of its vertices in the picture, and its height and width."""
    atlas = xatlas.Atlas()
    atlas.add_mesh(surface.vertices, surface.faces.astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding, packing.bilinear = size, PADDING, True
    atlas.generate(pack_options=packing)
    old, faces, uv = atlas[0]
    rgb = None if surface.rgb is None else surface.rgb[old]
    cut = Surface(vertices=surface.vertices[old], faces=faces.astype(np.int32), rgb=rgb)
    return cut, uv.astype(np.float32), (atlas.height, atlas.width)


def _shown(
    surface: Surface,
    faces: Int64[np.ndarray, " p"],
    weights: Float64[np.ndarray, "p 3"],
    field: Field,
    batches: Iterable[Frames],
    threads: int,
) -> Float64[np.ndarray, "p 4"]:
    """Weighted sums of what frames show at places on faces, and of the weights."""
    places = _mixed(surface.vertices, surface, faces, weights)
    a, b, c = (surface.vertices[surface.faces[:, k]].astype(np.float64) for k in range(3))
    normals = np.cross(b - a, c - a)[faces]
    sums = np.zeros((len(faces), 4))
    for frames in batches:
        pictures, views = pictures_of(frames, field.depth), views_of(frames.cameras)

        def job(start: int, pictures=pictures, views=views) -> None:
            stop = min(start + JOB_TEXELS, len(places))
            paint(start, stop, places, normals, sums, pictures, views, field.voxel)

        spread(job, range(0, len(places), JOB_TEXELS), threads=threads)
    return sums


def _mixed(
    values: Float32[np.ndarray, "v 3"],
    surface: Surface,
    faces: Int64[np.ndarray, " p"],
    weights: Float64[np.ndarray, "p 3"],
) -> Float64[np.ndarray, "p 3"]:
    """What vertices have, at places on faces."""
    return (values[surface.faces[faces]] * weights[:, :, None]).sum(axis=1)
