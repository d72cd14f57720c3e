"""Compiled marching cubes over sparse blocks. Room: reconstruct; private to ``reconstruct.surface``.

Everything runs on the calling thread in the order of the blocks, so the same volume gives the same mesh.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from reconstruct._tsdf_kernel import SIDE

MARGIN = 0.01
"""Vertices stay this share of an edge away from its ends, so that no two meet and no face vanishes."""

ABSENT = -1


@njit(nogil=True, cache=True)
@no_type_check
def number_vertices(distances, weights, neighbours, edges, table, counts, ids):
    """Number the crossings of the surface; how many vertices there are, and how many faces.

    A cell counts where all its corners were seen. ``neighbours[b]`` are the blocks at (0 or 1) along x, y
    and z, x fastest, ``ABSENT`` where there is none. ``ids[b, 512, 3]``, ``ABSENT`` before, become the
    vertices on the edges that begin at each lattice point.
    """
    places = np.empty((8, 2), np.int64)
    vertices, faces = 0, 0
    for b in range(distances.shape[0]):
        for row in range(SIDE * SIDE * SIDE):
            case = _case(b, row, distances, weights, neighbours, places)
            for t in range(counts[case]):
                for corner in range(3):
                    edge = table[case, t, corner]
                    at, axis = places[edges[edge, 1]], edges[edge, 0]
                    if ids[at[0], at[1], axis] == ABSENT:
                        ids[at[0], at[1], axis] = vertices
                        vertices += 1
            faces += counts[case]
    return vertices, faces


@njit(nogil=True, cache=True)
@no_type_check
def write_faces(distances, weights, neighbours, edges, table, counts, ids, faces):
    """Write the faces, as numbers of vertices."""
    places = np.empty((8, 2), np.int64)
    f = 0
    for b in range(distances.shape[0]):
        for row in range(SIDE * SIDE * SIDE):
            case = _case(b, row, distances, weights, neighbours, places)
            for t in range(counts[case]):
                for corner in range(3):
                    edge = table[case, t, corner]
                    at = places[edges[edge, 1]]
                    faces[f, corner] = ids[at[0], at[1], edges[edge, 0]]
                f += 1


@njit(nogil=True, cache=True)
@no_type_check
def write_vertices(blocks, distances, colours, neighbours, ids, vertices, rgb):
    """Write where the surface crosses each numbered edge, in voxels, and its colour; grey if unknown."""
    for b in range(ids.shape[0]):
        for row in range(SIDE * SIDE * SIDE):
            for axis in range(3):
                vertex = ids[b, row, axis]
                if vertex == ABSENT:
                    continue
                other, beyond = _stepped(b, row, 1 << axis, neighbours)
                here, there = distances[b, row], distances[other, beyond]
                share = min(max(here / (here - there), MARGIN), 1.0 - MARGIN)
                vertices[vertex, 0] = SIDE * blocks[b, 0] + row % SIDE
                vertices[vertex, 1] = SIDE * blocks[b, 1] + row // SIDE % SIDE
                vertices[vertex, 2] = SIDE * blocks[b, 2] + row // (SIDE * SIDE)
                vertices[vertex, axis] += share
                near, far = (1.0 - share) * colours[b, row, 3], share * colours[other, beyond, 3]
                for k in range(3):
                    if near + far > 0.0:
                        mixed = (1.0 - share) * colours[b, row, k] + share * colours[other, beyond, k]
                        rgb[vertex, k] = mixed / (near + far)
                    else:
                        rgb[vertex, k] = 0.5


@njit(nogil=True, cache=True)
@no_type_check
def _case(b, row, distances, weights, neighbours, places):
    """Which corners of a cell are inside, and where all its corners are; 0 if one was not seen."""
    case = 0
    for corner in range(8):
        at, there = _stepped(b, row, corner, neighbours)
        if at == ABSENT or not weights[at, there] > 0.0:
            return 0
        places[corner, 0], places[corner, 1] = at, there
        if distances[at, there] < 0.0:
            case |= 1 << corner
    return case


@njit(nogil=True, cache=True)
@no_type_check
def _stepped(b, row, corner, neighbours):
    """Block and row of a corner of the cell that begins at a lattice point."""
    x, y, z = row % SIDE + (corner & 1), row // SIDE % SIDE + (corner >> 1 & 1), row // 64 + (corner >> 2)
    turn = (x == SIDE) | (y == SIDE) << 1 | (z == SIDE) << 2
    return neighbours[b, turn], ((z % SIDE) * SIDE + y % SIDE) * SIDE + x % SIDE
