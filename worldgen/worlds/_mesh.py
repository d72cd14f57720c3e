"""Compiled ray and distance queries on triangles.

Room: worldgen.worlds; private to it. Triangles lie in the order of a bounding-box tree whose leaves hold a
few each; trees are walked by skip links. A ray from the origin along ``d`` meets the triangle ``p0 p1 p2``
at ``det / (e0 + e1 + e2)`` with ``det = p0 . (p1 x p2)`` and ``e0 = d . (p1 x p2)`` and so on, if no ``e``
has the sign that ``det`` does not have; ``e / (e0 + e1 + e2)`` are the barycentric coordinates. Neighbours
see the same ``e`` with the other sign, so no ray passes between them: these kernels must not contract
products and sums. Both sides of a triangle are surface. numba's cache of a caller does not see edits
here: after editing, delete ``__pycache__/*.nb*``.
"""

from __future__ import annotations

import math
from typing import NamedTuple, no_type_check

import numpy as np
from numba import njit

from worldgen.worlds._geometry import FAR, away_from_zero, node_interval

EXACT = {"nogil": True, "cache": True, "error_model": "numpy"}
EXACT_INLINE = {**EXACT, "forceinline": True}

NEAREST_HIT = 1e-6
LEAF_TRIANGLES = 3


class MeshWorld(NamedTuple):
    """The arrays of a scene of triangles, in the order and layout the kernels read."""

    corners: np.ndarray
    """t 3 3, float32: world points."""
    uvs: np.ndarray
    """t 3 2, float32: texture coordinates in tiles, v downwards."""
    normals: np.ndarray
    """t 3, float32: unit normals."""
    lattices: np.ndarray
    """t 2: into how many parts the light cuts each side, first entry in ``light_rows``."""
    light_rows: np.ndarray
    """l: the row in ``light`` of every lattice point of every triangle, as in ``mesh_files.lattice_of``."""
    looks: np.ndarray
    """t 2: row in ``materials``, number of the piece it belongs to."""
    nodes: np.ndarray
    """k 6, float32: bounds of tree nodes, depth first."""
    links: np.ndarray
    """k 3: next node if missed, first triangle, how many triangles (0 for inner nodes)."""
    materials: np.ndarray
    """m 8: first texel, side in texels, tint rgb, glow rgb."""
    texels: np.ndarray
    """k 3: linear colour of square tiles, each with its mip levels; 65535 for 1."""
    sky_texels: np.ndarray
    """k 3: the panoramas that ``sky`` refers to."""
    sky: np.ndarray
    """25: as in ``_light.World``."""
    exposure: float
    light: np.ndarray
    """c 3, float32: light arriving at points of the surface, in units of albedo."""


@njit(**EXACT)
@no_type_check
def grow_tree(sizes, bounds, nodes, links):
    """Fill ``nodes`` and ``links`` of the tree whose subtrees have ``sizes`` nodes; returns their number.

    Leaves of ``sizes`` hold one triangle each, in order; here small subtrees become leaves.
    """
    renamed, count, k, first = np.empty(len(sizes) + 1, np.int32), 0, 0, 0
    while k < len(sizes):
        triangles = (sizes[k] + 1) // 2
        for axis in range(3):
            nodes[count, axis] = bounds[first : first + triangles, axis].min()
            nodes[count, axis + 3] = bounds[first : first + triangles, axis + 3].max()
        is_leaf = triangles <= LEAF_TRIANGLES
        renamed[k] = count
        links[count, 0], links[count, 1], links[count, 2] = k + sizes[k], first, triangles if is_leaf else 0
        first, k = (first + triangles, k + sizes[k]) if is_leaf else (first, k + 1)
        count += 1
    renamed[len(sizes)] = count
    for k in range(count):
        links[k, 0] = renamed[links[k, 0]]
    return count


@njit(**EXACT_INLINE)
@no_type_check
def edge_normals(corners, t, ox, oy, oz):
    """Normals of the planes through the eye and the edges of triangle ``t``, opposite corner 0, 1, 2; det."""
    x0, y0, z0 = corners[t, 0, 0] - ox, corners[t, 0, 1] - oy, corners[t, 0, 2] - oz
    x1, y1, z1 = corners[t, 1, 0] - ox, corners[t, 1, 1] - oy, corners[t, 1, 2] - oz
    x2, y2, z2 = corners[t, 2, 0] - ox, corners[t, 2, 1] - oy, corners[t, 2, 2] - oz
    n0 = (y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2)
    n1 = (y2 * z0 - z2 * y0, z2 * x0 - x2 * z0, x2 * y0 - y2 * x0)
    n2 = (y0 * z1 - z0 * y1, z0 * x1 - x0 * z1, x0 * y1 - y0 * x1)
    return n0, n1, n2, x0 * n0[0] + y0 * n0[1] + z0 * n0[2]


@njit(**EXACT_INLINE)
@no_type_check
def dot(a, b):
    """Inner product of two triples."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(**EXACT_INLINE)
@no_type_check
def meet(corners, t, ox, oy, oz, dx, dy, dz):
    """Where a ray meets triangle ``t``, in lengths of its direction; ``FAR`` where it does not."""
    n0, n1, n2, det = edge_normals(corners, t, ox, oy, oz)
    d = (dx, dy, dz)
    e0, e1, e2 = dot(n0, d), dot(n1, d), dot(n2, d)
    if det < 0.0:
        e0, e1, e2, det = -e0, -e1, -e2, -det
    total = e0 + e1 + e2
    if e0 < 0.0 or e1 < 0.0 or e2 < 0.0 or total <= 0.0 or det <= 0.0:
        return FAR
    return det / total


@njit(**EXACT)
@no_type_check
def closest_triangle(corners, nodes, links, ox, oy, oz, dx, dy, dz, t_max):
    """First triangle before ``t_max``: (t, triangle), or (t_max, -1). Ties go to the lower number."""
    dx, dy, dz = away_from_zero(dx), away_from_zero(dy), away_from_zero(dz)
    ix, iy, iz = 1.0 / dx, 1.0 / dy, 1.0 / dz
    best, found, k = t_max, -1, 0
    while k < len(nodes):
        near, far = node_interval(nodes, k, ox, oy, oz, ix, iy, iz)
        # boxes of flat pieces are flat: a rounded entry must not lose the hit
        if near > far * (1.0 + 1e-12) + 1e-12 or far < 0.0 or near > best:
            k = links[k, 0]
            continue
        for i in range(links[k, 1], links[k, 1] + links[k, 2]):
            t = meet(corners, i, ox, oy, oz, dx, dy, dz)
            if NEAREST_HIT < t < best:
                best, found = t, i
        k += 1
    return best, found


@njit(**EXACT_INLINE)
@no_type_check
def _box_squared(nodes, k, px, py, pz):
    """Squared distance from a point to the box of node ``k``."""
    x = max(nodes[k, 0] - px, px - nodes[k, 3], 0.0)
    y = max(nodes[k, 1] - py, py - nodes[k, 4], 0.0)
    z = max(nodes[k, 2] - pz, pz - nodes[k, 5], 0.0)
    return x * x + y * y + z * z


@njit(**EXACT)
@no_type_check
def _triangle_squared(corners, t, px, py, pz):
    """Squared distance from a point to triangle ``t``: to its plane or to the nearest of its edges."""
    n0, n1, n2, _ = edge_normals(corners, t, px, py, pz)
    # the sum of the edge planes' normals is the triangle's, twice its area long
    n = (n0[0] + n1[0] + n2[0], n0[1] + n1[1] + n2[1], n0[2] + n1[2] + n2[2])
    squared = dot(n, n)
    if squared > 0.0 and dot(n0, n) >= 0.0 and dot(n1, n) >= 0.0 and dot(n2, n) >= 0.0:
        x, y, z = corners[t, 0, 0] - px, corners[t, 0, 1] - py, corners[t, 0, 2] - pz
        height = x * n[0] + y * n[1] + z * n[2]
        return height * height / squared
    best = FAR
    for a in range(3):
        b = a + 1 if a < 2 else 0
        x, y, z = corners[t, a, 0] - px, corners[t, a, 1] - py, corners[t, a, 2] - pz
        ux = float(corners[t, b, 0]) - corners[t, a, 0]
        uy = float(corners[t, b, 1]) - corners[t, a, 1]
        uz = float(corners[t, b, 2]) - corners[t, a, 2]
        share = -(x * ux + y * uy + z * uz) / max(ux * ux + uy * uy + uz * uz, 1e-30)
        share = min(max(share, 0.0), 1.0)
        x, y, z = x + share * ux, y + share * uy, z + share * uz
        best = min(best, x * x + y * y + z * z)
    return best


@njit(**EXACT)
@no_type_check
def nearest_triangles(corners, nodes, links, points):
    """Distance from every point to the nearest triangle."""
    out = np.empty(len(points))
    for row in range(len(points)):
        px, py, pz = points[row, 0], points[row, 1], points[row, 2]
        best, k = FAR, 0
        while links[k, 2] == 0 and links[k, 0] > k + 1:  # a first guess, from the leaf that looks nearest
            other = links[k + 1, 0]
            k = (
                k + 1
                if _box_squared(nodes, k + 1, px, py, pz) <= _box_squared(nodes, other, px, py, pz)
                else other
            )
        for i in range(links[k, 1], links[k, 1] + links[k, 2]):
            best = min(best, _triangle_squared(corners, i, px, py, pz))
        k = 0
        while k < len(nodes):
            if _box_squared(nodes, k, px, py, pz) >= best:
                k = links[k, 0]
                continue
            for i in range(links[k, 1], links[k, 1] + links[k, 2]):
                best = min(best, _triangle_squared(corners, i, px, py, pz))
            k += 1
        out[row] = math.sqrt(best)
    return out


@njit(**EXACT)
@no_type_check
def probe_triangles(w, origins, directions):
    """Distances along unit rays from anywhere, and triangles (-1 for the dome)."""
    n = len(origins)
    ts, ids = np.empty(n), np.empty(n, np.int64)
    corners, nodes, links, sky = w.corners, w.nodes, w.links, w.sky
    for k in range(n):
        ox, oy, oz = origins[k, 0], origins[k, 1], origins[k, 2]
        dx, dy, dz = directions[k, 0], directions[k, 1], directions[k, 2]
        sx, sy, sz = ox - sky[0], oy - sky[1], oz - sky[2]
        b = sx * dx + sy * dy + sz * dz
        dome = -b + math.sqrt(b * b - (sx * sx + sy * sy + sz * sz - sky[3] * sky[3]))
        ts[k], ids[k] = closest_triangle(corners, nodes, links, ox, oy, oz, dx, dy, dz, dome)
    return ts, ids
