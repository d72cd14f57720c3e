"""Sampling: a mesh that stands in a world, as points like those of the world cache.

Room: reconstruct; the viewer and the command line may import this. Nothing is random: points lie on
grids over the faces, so the same mesh gives the same points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from memory.points import Points
from memory.world import MAX_POINTS
from reconstruct.meshes import Mesh
from render.cameras import Cameras

SHARES = (-0.25, 0.25)
"""Where, in a patch from -0.5 to 0.5 each way, its colour is looked up; the mean counts."""

COARSEST = 3.0
"""Points may lie this much further apart than asked for, where there would be too many. A patch is drawn
up to eight pixels wide, so the surface is still closed from a third of the typical distance."""

APART = 0.02
"""Distance between the two sides of a sheet, as a share of the distance between points."""

SAME = 1e-6
"""Corners are one where they lie this close together, as a share of the size of the mesh."""


def spacing_of(cameras: Cameras, *, scale: float) -> float:
    """How far apart points have to lie to look like what a world is made of: a pixel at typical distance.

    Args:
        cameras: those of the world's pictures.
        scale: world units in a scene unit, which is how far things typically are.
    """
    return scale / float(torch.stack([cameras.K[:, 0, 0], cameras.K[:, 1, 1]]).mean())


def points_of_mesh(mesh: Mesh, *, spacing: float) -> Points:
    """Points that cover the faces of a mesh, each with its patch, in an order in which neighbours are close.

    Faces are divided into parallelograms with sides up to ``spacing``; where faces are smaller than that,
    those that lie and look alike become one point. A body that is closed shows its outside; anything
    else shows both of its sides. Where a texture has holes there are no points.

    Args:
        mesh: in the axes of the world.
        spacing: world units; wider, up to ``COARSEST``, if there would be too many points.

    Raises:
        ValueError: if there are more than ``MAX_POINTS`` even so, or none.
    """
    outward, has_both = _sides(mesh)
    corners = np.where(outward[:, None, None], mesh.corners, mesh.corners[:, ::-1])
    area = 0.5 * np.linalg.norm(_normals(corners), axis=1)
    faces = np.flatnonzero(area > 0)
    if not len(faces):
        raise ValueError("the mesh has no face with an area, so there is nothing to place; export it again")
    step, limit = spacing, COARSEST * spacing
    while True:
        needed = float((area * (1 + has_both)).sum()) / step**2
        patches = _patches(corners, faces, spacing=step) if needed <= 2 * MAX_POINTS else None
        if patches is not None:
            patches = _merged(patches, corners, has_both, spacing=step)
            needed = float((1 + has_both[patches.faces]).sum())
        if patches is not None and needed <= MAX_POINTS:
            break
        step *= max(1.05, math.sqrt(needed / MAX_POINTS)) if patches is not None else 1.25
        if step > limit:
            raise ValueError(
                f"the mesh is too large: points {limit:.3g} apart would be more than {MAX_POINTS:,}; give a "
                "smaller scale, or place parts of it one by one"
            )
    rgba = _colours(mesh, patches, flipped=~outward)
    return _points(patches, rgba, has_both=has_both[patches.faces], gap=APART * step)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patches:
    """Parallelograms on faces."""

    faces: Int64[np.ndarray, " p"]
    centres: Float64[np.ndarray, "p 3"]
    axes: Float64[np.ndarray, "p 2 3"]
    """Half-axes; their cross product looks outwards."""

    weights: Float64[np.ndarray, "p 4 3"]
    """Of the face's corners, at the four places where the colour is looked up."""

    is_whole: Bool[np.ndarray, " p"]
    """Whether the face is not divided."""


def _normals(corners: Float64[np.ndarray, "f 3 3"]) -> Float64[np.ndarray, "f 3"]:
    """Twice as long as the area."""
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _patches(
    corners: Float64[np.ndarray, "f 3 3"], faces: Int64[np.ndarray, " u"], *, spacing: float
) -> _Patches | None:
    """Grids over faces, from the corner across the longest side, so that what hangs over does so there.

    Two triangles that make a rectangle meet at that side, and there it does no harm. ``None`` if there
    would be far too many.
    """
    own = corners[faces]
    opposite = np.linalg.norm(np.roll(own, -1, axis=1) - np.roll(own, 1, axis=1), axis=2)
    first = opposite.argmax(axis=1)
    order = (first[:, None] + np.arange(3)) % 3
    own = np.take_along_axis(own, order[:, :, None], axis=1)
    sides = own[:, 1:] - own[:, :1]
    counts = np.maximum(np.ceil(np.linalg.norm(sides, axis=2) / spacing), 1.0)
    if counts[:, 0].sum() > 8 * MAX_POINTS:
        return None
    # A row of the grid after the other, and in a row the cells of which enough lies within the face.
    face = np.repeat(np.arange(len(faces)), counts[:, 0].astype(np.int64))
    i = _within_runs(counts[:, 0].astype(np.int64))
    steps = 1.0 / counts[face]
    room = 1.0 - i * steps[:, 0] - 0.25 * steps.sum(axis=1)
    cells = np.maximum(np.ceil(room / steps[:, 1] - 1e-9), 0.0).astype(np.int64)
    if cells.sum() > 4 * MAX_POINTS + len(faces):
        return None
    row, j = np.repeat(np.arange(len(face)), cells), _within_runs(cells)
    face, i, steps = face[row], i[row], steps[row]
    middle = np.stack([(i + 0.5) * steps[:, 0], (j + 0.5) * steps[:, 1]], axis=1)
    looks = np.array([(a, b) for a in SHARES for b in SHARES])
    st = middle[:, None] + looks * steps[:, None]
    weights = np.concatenate([1.0 - st.sum(axis=2, keepdims=True), st], axis=2).clip(min=0.0)
    weights /= weights.sum(axis=2, keepdims=True)
    back = np.empty_like(weights)
    np.put_along_axis(back, np.broadcast_to(order[face][:, None], weights.shape), weights, axis=2)
    return _Patches(
        faces=faces[face],
        centres=own[face, 0] + (middle[:, :, None] * sides[face]).sum(axis=1),
        axes=0.5 * steps[:, :, None] * sides[face],
        weights=back,
        is_whole=(counts == 1).all(axis=1)[face],
    )


def _within_runs(lengths: Int64[np.ndarray, " r"]) -> Int64[np.ndarray, " n"]:
    """0, 1, ... for each of several runs."""
    starts = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) - np.repeat(starts, lengths)


def _merged(
    patches: _Patches,
    corners: Float64[np.ndarray, "f 3 3"],
    has_both: Bool[np.ndarray, " f"],
    *,
    spacing: float,
) -> _Patches:
    """One patch for all small faces that lie in one cube of the given side and look the same way."""
    small = np.flatnonzero(patches.is_whole)
    if not len(small):
        return patches
    faces = patches.faces[small]
    centroids, towards = corners[faces].mean(axis=1), _normals(corners[faces])
    area = np.linalg.norm(towards, axis=1)
    axis = np.abs(towards).argmax(axis=1)
    facing = 2 * axis + (np.take_along_axis(towards, axis[:, None], axis=1)[:, 0] < 0)
    cube = np.floor((centroids - centroids.min(axis=0)) / spacing)
    keys = np.column_stack([cube, facing, has_both[faces]])
    _, first, group, sizes = np.unique(
        keys, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    group = group.reshape(-1)
    total = np.bincount(group, weights=area, minlength=len(first))[:, None]
    centre = _summed(centroids * area[:, None], group, len(first)) / total
    normal = _summed(towards, group, len(first))  # one axis leads all of them, so they do not cancel
    largest = np.lexsort((-area, group))[np.cumsum(sizes) - sizes]
    alone = sizes == 1
    chosen = small[np.where(alone, first, largest)]
    square = 0.6 * spacing * _tangents(normal)
    centre = np.where(alone[:, None], patches.centres[chosen], centre)
    axes = np.where(alone[:, None, None], patches.axes[chosen], square)
    kept = np.flatnonzero(~patches.is_whole)
    return _Patches(
        faces=np.concatenate([patches.faces[kept], patches.faces[chosen]]),
        centres=np.concatenate([patches.centres[kept], centre]),
        axes=np.concatenate([patches.axes[kept], axes]),
        weights=np.concatenate([patches.weights[kept], patches.weights[chosen]]),
        is_whole=np.concatenate([patches.is_whole[kept], patches.is_whole[chosen]]),
    )


def _summed(values: np.ndarray, group: np.ndarray, n: int) -> np.ndarray:
    return np.stack([np.bincount(group, weights=column, minlength=n) for column in values.T], axis=1)


def _tangents(normals: Float64[np.ndarray, "p 3"]) -> Float64[np.ndarray, "p 2 3"]:
    """Two unit vectors across each normal, and across each other; their cross product is along it."""
    unit = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    a = np.cross(np.eye(3)[np.abs(unit).argmin(axis=1)], unit)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    return np.stack([a, np.cross(unit, a)], axis=1)


def _sides(mesh: Mesh) -> tuple[Bool[np.ndarray, " f"], Bool[np.ndarray, " f"]]:
    """Which faces are wound so that their normal looks out, and which are sheets that show both sides.

    A body is closed where each of its edges joins two faces that run along it in opposite directions.
    Corners are the same where they are as good as in one place, whatever their texture coordinates.
    """
    corners = mesh.corners
    low, extent = corners.min(axis=(0, 1)), max(float(np.ptp(corners, axis=(0, 1)).max()), 1e-30)
    grid = np.rint((corners.reshape(-1, 3) - low) / (SAME * extent)).astype(np.int64)
    _, names = np.unique(grid, axis=0, return_inverse=True)
    faces = names.reshape(-1, 3)
    start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    pair = np.stack([np.minimum(start, end), np.maximum(start, end)], axis=1)
    _, edge = np.unique(pair, axis=0, return_inverse=True)
    edge, of = edge.reshape(-1), np.repeat(np.arange(len(faces)), 3)
    is_sound = (np.bincount(edge) == 2) & (np.bincount(edge, weights=np.sign(end - start)) == 0)
    joined = coo_array((np.ones(len(of)), (of, edge)), shape=(len(faces), len(is_sound))).tocsr()
    _, body = connected_components(joined @ joined.T, directed=False)
    broken = np.bincount(body, weights=(~is_sound[edge]).reshape(-1, 3).any(axis=1)) > 0
    centred = corners - low
    volume = np.bincount(body, weights=np.einsum("fi,fi->f", centred[:, 0], _normals(centred)))
    has_both = broken[body] | (volume[body] == 0)
    return has_both | (volume[body] > 0), has_both


def _colours(mesh: Mesh, patches: _Patches, *, flipped: Bool[np.ndarray, " f"]) -> Float64[np.ndarray, "p 4"]:
    """The mean colour of each patch, and how much of it is there at all."""
    weights = np.where(
        flipped[patches.faces][:, None, None], patches.weights[:, :, ::-1], patches.weights
    )  # its corners were taken in the opposite order
    result = np.empty((len(patches.faces), 4))
    start = 0
    for part in mesh.parts:
        own = np.flatnonzero((patches.faces >= start) & (patches.faces < start + len(part.corners)))
        looks = weights.shape[1]
        faces = np.repeat(patches.faces[own] - start, looks)
        rgba = part.paint(faces, weights[own].reshape(-1, 3)).reshape(-1, looks, 4)
        opacity = rgba[..., 3:]
        result[own, :3] = (rgba[..., :3] * opacity).sum(axis=1) / opacity.sum(axis=1).clip(min=1e-9)
        result[own, 3] = opacity[..., 0].mean(axis=1)
        start += len(part.corners)
    return result


def _points(
    patches: _Patches,
    rgba: Float64[np.ndarray, "p 4"],
    *,
    has_both: Bool[np.ndarray, " p"],
    gap: float,
) -> Points:
    """Patches as points; sheets twice, a little apart, so that each side hides the other."""
    order = np.argsort(_morton(patches.centres), kind="stable")
    order = order[rgba[order, 3] >= 0.5]
    if not len(order):
        raise ValueError("the mesh is transparent, so there is nothing to place; make it opaque")
    rows = np.repeat(order, 1 + has_both[order])
    is_back = np.zeros(len(rows), dtype=bool)
    is_back[1:] = rows[1:] == rows[:-1]
    axes = np.where(is_back[:, None, None], patches.axes[rows, ::-1], patches.axes[rows])
    normals = np.cross(axes[:, 0], axes[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    apart = np.where(has_both[rows], 0.5 * gap, 0.0)[:, None]
    return Points(
        positions=torch.from_numpy(patches.centres[rows] + apart * normals).float(),
        rgb=torch.from_numpy(rgba[rows, :3].clip(0.0, 1.0)).float(),
        normals=torch.from_numpy(normals).float(),
        confidence=torch.ones(len(rows)),
        axes=torch.from_numpy(axes).float(),
        source=torch.full((len(rows),), -1, dtype=torch.int64),
    )


def _morton(places: Float64[np.ndarray, "p 3"]) -> Int64[np.ndarray, " p"]:
    """Numbers that are close for places that are close: their bits, taken in turn."""
    low = places.min(axis=0)
    cells = ((places - low) / max(float((places - low).max()), 1e-30) * 1023).astype(np.int64)
    codes = np.zeros(len(places), dtype=np.int64)
    for bit in range(10):
        for axis in range(3):
            codes |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return codes
