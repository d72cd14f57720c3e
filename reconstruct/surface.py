"""Surface: triangles where a field of distances changes its sign (marching cubes).

Room: reconstruct; the command line and the viewer may import this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8

from reconstruct._cell_kernel import ABSENT, number_vertices, write_faces, write_vertices
from reconstruct._cell_table import EDGES, cell_table
from reconstruct.tsdf import Field, keys_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Texture:
    """A picture that lies on triangles."""

    uv: Float32[np.ndarray, "v 2"]
    """Place of each vertex in the picture, in [0, 1]: from the left, and from the top."""

    image: UInt8[np.ndarray, "h w 3"]
    """As displays show it (sRGB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """Coloured triangles."""

    vertices: Float32[np.ndarray, "v 3"]
    """World units; every vertex belongs to a face."""

    faces: Int32[np.ndarray, "f 3"]
    """Counter-clockwise as seen from the side that was seen."""

    rgb: Float32[np.ndarray, "v 3"] | None
    """Colour of each vertex as displays show it (sRGB), in [0, 1]; ``None`` for a shape without colours."""

    texture: Texture | None = None
    """Shown in place of the colours, if there is one."""

    def __len__(self) -> int:
        return len(self.faces)


def surface_of(field: Field) -> Surface:
    """The surface in a field, between lattice points that were seen; neighbouring faces share vertices."""
    neighbours = _neighbours(field.blocks)
    table, counts = cell_table()
    edges = np.array(EDGES, np.int64)
    ids = np.full((*field.distances.shape, 3), ABSENT, np.int32)
    cells = field.distances, field.weights, neighbours, edges, table, counts, ids
    vertex_count, face_count = number_vertices(*cells)
    faces = np.empty((face_count, 3), np.int32)
    write_faces(*cells, faces)
    places = np.empty((vertex_count, 3), np.float64)
    rgb = np.empty((vertex_count, 3), np.float32)
    means = field.distances / np.maximum(field.weights, np.float32(1e-30))
    write_vertices(field.blocks, means, field.colours, neighbours, ids, places, rgb)
    vertices = (places * field.voxel).astype(np.float32)
    return Surface(vertices=vertices, faces=faces, rgb=rgb.clip(0.0, 1.0))


def vertex_normals(surface: Surface) -> Float64[np.ndarray, "v 3"]:
    """Unit normals, means over the faces around a vertex that weigh each by its area."""
    corners = surface.vertices.astype(np.float64)[surface.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    count, places = len(surface.vertices), surface.faces.reshape(-1)
    sums = [np.bincount(places, np.repeat(across[:, k], 3), count) for k in range(3)]
    total = np.stack(sums, axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    upright = np.array([0.0, 0.0, 1.0])  # of what has no area any direction is as good
    return np.where(length > 1e-30, total / np.maximum(length, 1e-30), upright)


def _neighbours(blocks: Int32[np.ndarray, "b 3"]) -> Int32[np.ndarray, "b 8"]:
    """For each block the ones at (0 or 1) along x, y and z, x fastest; ``ABSENT`` where there is none."""
    keys = keys_of(blocks)  # ascending, as the blocks are
    found = np.full((len(blocks), 8), ABSENT, np.int32)
    for turn in range(8):
        wanted = keys_of(blocks + np.array([turn & 1, turn >> 1 & 1, turn >> 2], np.int32))
        at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
        found[:, turn] = np.where(keys[at] == wanted, at, ABSENT)
    return found
