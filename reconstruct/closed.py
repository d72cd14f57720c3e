"""Closed: a solid whose front is the surface that was seen, for printers, physics and boolean operations.

Room: reconstruct; the command line and the viewer may import this. The solid is the wall behind the surface,
``WALL`` voxels thick. The space that was seen free would be the other choice, as its boundary is closed, too;
but it is the cast of a room and not the room, its faces look away from who walks inside, and out of doors
and round a thing it needs a lid where nothing is. A wall is right for rooms, things and land alike: its
front is the open mesh, and its volume is positive. Holes that nobody looks through are spanned by films
first (``reconstruct.holes``); where there is an opening, the wall ends in an edge.

A lattice point is in the solid if it lies behind the surface and no further from it than the wall is thick:
"behind" is what the field says where frames saw the point, and the tangent plane of the nearest place where
they did not. Marching cubes over a lattice of which every point is decided closes what it makes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.spatial import KDTree

from reconstruct._tsdf_kernel import FREE, OUTSIDE, SIDE, claim_blocks
from reconstruct._wall_kernel import find_nearest
from reconstruct.holes import Places, films, joined
from reconstruct.surface import Surface, surface_of, vertex_normals
from reconstruct.tidy import only, pieces_of, without_islands
from reconstruct.tsdf import Field, keys_of, unpacked
from render.frames import Frames

WALL = 2.5
"""Voxels from the front of a wall to its back."""

PADDED = WALL + 1.5
"""Voxels around a surface within which every lattice point is decided, so that the solid ends inside."""

BLOCK_BYTES = SIDE**3 * (7 * 4 + 3 * 4)
"""Of a block: a distance, its mean, its weight and a colour, and what extraction writes beside."""

JOB_BLOCKS = 1024
"""Blocks that are decided at a time."""


def closed(field: Field, surface: Surface, batches: Iterable[Frames], *, memory_bytes: int) -> Surface:
    """A closed surface, every edge of which belongs to two faces, around the wall behind a surface.

    Args:
        field: what the frames were fused into.
        surface: of the field, with at least one face.
        batches: the frames; they say which holes are openings.
        memory_bytes: what the lattice may take, beside the field.

    Raises:
        ValueError: if it takes more.
    """
    normals, vertices = vertex_normals(surface), surface.vertices.astype(np.float64)
    rgb = np.full(vertices.shape, 0.5) if surface.rgb is None else surface.rgb.astype(np.float64)
    seen = Places(points=vertices, normals=normals, rgb=rgb)
    places = joined([seen, *films(surface, batches, voxel=field.voxel)])
    made = without_islands(surface_of(_wall(field, places, memory_bytes)))
    return _without_voids(made, places, limit=0.5 * WALL * field.voxel)


def _wall(field: Field, places: Places, memory_bytes: int) -> Field:
    """The field of the solid: negative inside, and every lattice point near it counts as seen."""
    blocks = _blocks_near(places, field.voxel, memory_bytes)
    keys, shape = keys_of(blocks), (len(blocks), SIDE**3)
    away, nearest = np.full(shape, PADDED**2, np.float32), np.full(shape, -1, np.int32)
    find_nearest(keys, places.points / field.voxel, PADDED, away, nearest)
    owners = _owners(keys, field)
    wall = Field(
        voxel=field.voxel,
        depth=field.depth,
        blocks=blocks,
        distances=np.empty(shape, np.float32),
        weights=np.ones(shape, np.float32),
        colours=np.ones((*shape, 4), np.float32),
    )
    for start in range(0, len(blocks), JOB_BLOCKS):
        rows = slice(start, start + JOB_BLOCKS)
        near = nearest[rows]
        offsets = _lattice(blocks[rows]) - places.points[near] / field.voxel
        distances = (offsets * places.normals[near]).sum(axis=2).astype(np.float32)
        colours = places.rgb[near].astype(np.float32)
        mine = owners[rows] >= 0
        theirs = owners[rows][mine]
        distances[mine] = _where_seen(field.distances[theirs], field.weights[theirs], distances[mine])
        colours[mine] = _where_seen(field.colours[theirs, :, :3], field.colours[theirs, :, 3:], colours[mine])
        solid = np.maximum(distances, np.sqrt(away[rows]) - np.float32(WALL))
        wall.distances[rows] = np.where(near >= 0, solid, np.float32(1.0))
        wall.colours[rows, :, :3] = colours
    return wall


def _blocks_near(places: Places, voxel: float, memory_bytes: int) -> np.ndarray:
    """The blocks in which the solid and the padding around it lie, sorted."""
    most = max(1, memory_bytes // BLOCK_BYTES)
    table = np.full(1 << max(4, (2 * most).bit_length()), FREE, np.int64)
    reach = np.full(len(places), PADDED * voxel)
    count = int(claim_blocks(places.points, reach, SIDE * voxel, table, 0, most))
    if count > most or count == OUTSIDE:
        raise ValueError(
            f"closing a mesh of voxels of {voxel:.3g} takes more than {memory_bytes >> 20:,} MiB; "
            "use larger voxels, or more memory"
        )
    return unpacked(np.sort(table[table != FREE]))


def _owners(keys: Int64[np.ndarray, " b"], field: Field) -> Int64[np.ndarray, " b"]:
    """Which block of the field has a key; -1 where there is none."""
    theirs = keys_of(field.blocks)
    at = np.searchsorted(theirs, keys).clip(max=len(theirs) - 1)
    return np.where(theirs[at] == keys, at, -1)


def _lattice(blocks: np.ndarray) -> Float64[np.ndarray, "b 512 3"]:
    """Lattice points of blocks, in voxels; x fastest."""
    z, y, x = np.indices((SIDE,) * 3).reshape(3, -1)
    return SIDE * blocks[:, None].astype(np.float64) + np.stack([x, y, z], axis=1)


def _where_seen(
    sums: Float32[np.ndarray, "*n"], weights: Float32[np.ndarray, "*m"], other: Float32[np.ndarray, "*n"]
) -> Float32[np.ndarray, "*n"]:
    """Means where anything was seen, else what stands for them."""
    return np.where(weights > 0, sums / np.where(weights > 0, weights, np.float32(1.0)), other)


def _without_voids(surface: Surface, places: Places, *, limit: float) -> Surface:
    """Without the walls of voids that nobody saw: what was seen from all round becomes one solid body.

    A void is a piece that encloses air, which gives it a negative volume, and lies further than ``limit``
    from what was seen; the inside of a room is seen, and stays.
    """
    if not len(surface):
        return surface
    piece = pieces_of(surface)
    a, b, c = (surface.vertices[surface.faces[:, k]].astype(np.float64) for k in range(3))
    volumes = np.bincount(piece, (a * np.cross(b, c)).sum(axis=1))
    hollow = np.flatnonzero((volumes < 0)[piece])
    if not len(hollow):
        return surface
    from_seen, _ = KDTree(places.points).query(surface.vertices[surface.faces[hollow, 0]])
    means = np.bincount(piece[hollow], from_seen, len(volumes)) / np.maximum(
        np.bincount(piece[hollow], minlength=len(volumes)), 1
    )
    return only(surface, ~((volumes < 0) & (means > limit))[piece])
