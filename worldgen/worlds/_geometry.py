"""Compiled ray and distance queries on boxes, cylinders and spheres.

Room: worldgen.worlds; private to it. A shape is one row ``cx cy cz hx hy hz cos sin kind``: centre,
half extents, yaw about the vertical, and BOX, CYLINDER (vertical, radius ``hx``) or SPHERE.
``local = (cos wx - sin wz, wy, sin wx + cos wz)``. Rays are ``o + t d`` with ``d`` of any length.
numba's cache of a caller does not see edits here: after editing, delete ``__pycache__/*.nb*``.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract"}}
"""No ``nnan`` or ``ninf``: slabs parallel to a ray rely on infinities."""

INLINE = {**OPTIONS, "forceinline": True}
"""For what runs per pixel: an array argument is seven words, so calls would cost more than work."""

BOX, CYLINDER, SPHERE = 0, 1, 2
FAR = 1e30


@njit(**INLINE)
@no_type_check
def away_from_zero(d):
    """A direction component that can be inverted without making NaN in slab tests."""
    return d if abs(d) > 1e-12 else 1e-12


@njit(**INLINE)
@no_type_check
def interval(shapes, i, ox, oy, oz, dx, dy, dz):
    """Where a ray is inside convex shape ``i``: (near, far), empty when near > far; ``dy`` is not 0."""
    hy = shapes[i, 4]
    lx, ly, lz = ox - shapes[i, 0], oy - shapes[i, 1], oz - shapes[i, 2]
    kind = shapes[i, 8]
    if kind == BOX:
        c, s = shapes[i, 6], shapes[i, 7]
        lx, lz = c * lx - s * lz, s * lx + c * lz
        ix, iy = 1.0 / away_from_zero(c * dx - s * dz), 1.0 / dy
        iz = 1.0 / away_from_zero(s * dx + c * dz)
        tx, ty, tz = -lx * ix, -ly * iy, -lz * iz
        ex, ey, ez = shapes[i, 3] * abs(ix), hy * abs(iy), shapes[i, 5] * abs(iz)
        return max(tx - ex, ty - ey, tz - ez), min(tx + ex, ty + ey, tz + ez)
    r = shapes[i, 3]
    if kind == CYLINDER:
        a, b, c = dx * dx + dz * dz, lx * dx + lz * dz, lx * lx + lz * lz - r * r
    else:
        a, b = dx * dx + dy * dy + dz * dz, lx * dx + ly * dy + lz * dz
        c = lx * lx + ly * ly + lz * lz - r * r
    root = b * b - a * c
    if root < 0.0:
        return FAR, -FAR
    root, ia = math.sqrt(root), 1.0 / max(a, 1e-18)
    near, far = (-b - root) * ia, (-b + root) * ia
    if kind == CYLINDER:
        iy = 1.0 / dy
        near, far = max(near, -ly * iy - hy * abs(iy)), min(far, -ly * iy + hy * abs(iy))
    return near, far


@njit(**INLINE)
@no_type_check
def entry_face(shapes, i, ox, oy, oz, dx, dy, dz):
    """Face through which a ray enters shape ``i``: -x +x -y +y -z +z; a curved side is face 0."""
    if shapes[i, 8] == SPHERE:
        return 0
    wx, ly, wz = ox - shapes[i, 0], oy - shapes[i, 1], oz - shapes[i, 2]
    near_y = -ly / dy - shapes[i, 4] / abs(dy)
    if shapes[i, 8] == CYLINDER:
        a, b = dx * dx + dz * dz, wx * dx + wz * dz
        root = b * b - a * (wx * wx + wz * wz - shapes[i, 3] * shapes[i, 3])
        if a > 1e-18 and (-b - math.sqrt(max(root, 0.0))) / a >= near_y:
            return 0
        return 2 if dy > 0.0 else 3
    c, s = shapes[i, 6], shapes[i, 7]
    lx, lz = c * wx - s * wz, s * wx + c * wz
    ex, ez = away_from_zero(c * dx - s * dz), away_from_zero(s * dx + c * dz)
    near_x = -lx / ex - shapes[i, 3] / abs(ex)
    near_z = -lz / ez - shapes[i, 5] / abs(ez)
    if near_x >= near_y and near_x >= near_z:
        return 0 if ex > 0.0 else 1
    if near_y >= near_z:
        return 2 if dy > 0.0 else 3
    return 4 if ez > 0.0 else 5


@njit(**INLINE)
@no_type_check
def node_interval(nodes, k, ox, oy, oz, ix, iy, iz):
    """The interval of a ray in the bounding box of tree node ``k``, from inverse directions."""
    x0, x1 = (nodes[k, 0] - ox) * ix, (nodes[k, 3] - ox) * ix
    y0, y1 = (nodes[k, 1] - oy) * iy, (nodes[k, 4] - oy) * iy
    z0, z1 = (nodes[k, 2] - oz) * iz, (nodes[k, 5] - oz) * iz
    near = max(min(x0, x1), min(y0, y1), min(z0, z1))
    return near, min(max(x0, x1), max(y0, y1), max(z0, z1))


@njit(**OPTIONS)
@no_type_check
def closest_hit(shapes, nodes, links, ox, oy, oz, dx, dy, dz, t_max):
    """First surface from outside before ``t_max``: (t, shape), or (t_max, -1)."""
    dx, dy, dz = away_from_zero(dx), away_from_zero(dy), away_from_zero(dz)
    ix, iy, iz = 1.0 / dx, 1.0 / dy, 1.0 / dz
    best, found = t_max, -1
    k = 0
    while k < len(nodes):
        near, far = node_interval(nodes, k, ox, oy, oz, ix, iy, iz)
        if near > far or far < 0.0 or near > best:
            k = links[k, 0]
            continue
        if links[k, 2] == 1:
            near, far = interval(shapes, links[k, 1], ox, oy, oz, dx, dy, dz)
            if 1e-9 < near < best and near <= far:
                best, found = near, links[k, 1]
        k += 1
    return best, found


@njit(**INLINE)
@no_type_check
def signed_distance(shapes, i, px, py, pz):
    """Distance from a point to the surface of shape ``i``, negative inside."""
    lx, ly, lz = px - shapes[i, 0], py - shapes[i, 1], pz - shapes[i, 2]
    if shapes[i, 8] == SPHERE:
        return math.sqrt(lx * lx + ly * ly + lz * lz) - shapes[i, 3]
    qy = abs(ly) - shapes[i, 4]
    if shapes[i, 8] == CYLINDER:
        qx, qz = math.sqrt(lx * lx + lz * lz) - shapes[i, 3], -FAR
    else:
        c, s = shapes[i, 6], shapes[i, 7]
        qx, qz = abs(c * lx - s * lz) - shapes[i, 3], abs(s * lx + c * lz) - shapes[i, 5]
    outside = math.sqrt(max(qx, 0.0) ** 2 + max(qy, 0.0) ** 2 + max(qz, 0.0) ** 2)
    return outside + min(max(qx, qy, qz), 0.0)


@njit(**OPTIONS)
@no_type_check
def nearest_surface(shapes, px, py, pz):
    """Distance from a point to the nearest shape, negative inside one."""
    best = FAR
    for i in range(len(shapes)):
        best = min(best, signed_distance(shapes, i, px, py, pz))
    return best


@njit(**OPTIONS)
@no_type_check
def nearest_surfaces(shapes, points):
    """``nearest_surface`` of every row of ``points``."""
    out = np.empty(len(points))
    for k in range(len(points)):
        out[k] = nearest_surface(shapes, points[k, 0], points[k, 1], points[k, 2])
    return out


@njit(**OPTIONS)
@no_type_check
def is_buried(shapes, nodes, links, px, py, pz):
    """Whether a point lies more than half a millimetre inside some shape."""
    k = 0
    while k < len(nodes):
        x, y, z = nodes[k, 0] <= px <= nodes[k, 3], nodes[k, 1] <= py <= nodes[k, 4], nodes[k, 2] <= pz
        if not (x and y and z and pz <= nodes[k, 5]):
            k = links[k, 0]
            continue
        if links[k, 2] == 1 and signed_distance(shapes, links[k, 1], px, py, pz) < -5e-4:
            return True
        k += 1
    return False


def shape_bounds(shapes: Float[np.ndarray, "p 9"]) -> Float[np.ndarray, "p 6"]:
    """Axis-aligned bounds of every shape: x0 y0 z0 x1 y1 z1."""
    c, s = np.abs(shapes[:, 6]), np.abs(shapes[:, 7])
    hx, hy, hz = shapes[:, 3], shapes[:, 4], shapes[:, 5]
    round_ = shapes[:, 8] != BOX
    half = np.stack(
        [np.where(round_, hx, c * hx + s * hz), hy, np.where(round_, hx, s * hx + c * hz)], axis=1
    )
    return np.concatenate([shapes[:, :3] - half, shapes[:, :3] + half], axis=1)


@njit(**OPTIONS)
@no_type_check
def sort_by(keys, members, start, end):
    """Sort ``members[start:end]`` by ``keys[member]``, stably; by insertion, since there are few."""
    for k in range(start + 1, end):
        moving, j = members[k], k - 1
        while j >= start and keys[members[j]] > keys[moving]:
            members[j + 1] = members[j]
            j -= 1
        members[j + 1] = moving


@njit(**OPTIONS)
@no_type_check
def _sweep(bounds, members, first, last, step, box, areas):
    """Grow ``box`` over ``members`` from ``first`` to ``last``; half its surface area after each."""
    for axis in range(3):
        box[axis], box[axis + 3] = FAR, -FAR
    k = first
    while True:
        for axis in range(3):
            box[axis] = min(box[axis], bounds[members[k], axis])
            box[axis + 3] = max(box[axis + 3], bounds[members[k], axis + 3])
        x, y, z = box[3] - box[0], box[4] - box[1], box[5] - box[2]
        areas[k] = x * y + y * z + z * x
        if k == last:
            return
        k += step


@njit(**OPTIONS)
@no_type_check
def _split(bounds, members, start, end, work):
    """Order ``members[start:end]`` along the axis of the cut of least surface-area cost; the cut."""
    box, keys, left, right = work
    best_cost, best_axis, best_cut = FAR, 0, (start + end) // 2
    for axis in range(4):
        # the fourth time round sorts along the best axis again
        along = axis if axis < 3 else best_axis
        for k in range(start, end):
            keys[members[k]] = bounds[members[k], along] + bounds[members[k], along + 3]
        sort_by(keys, members, start, end)
        if axis == 3:
            break
        _sweep(bounds, members, start, end - 1, 1, box, left)
        _sweep(bounds, members, end - 1, start, -1, box, right)
        for cut in range(start + 1, end):
            cost = left[cut - 1] * (cut - start) + right[cut] * (end - cut)
            if cost < best_cost:
                best_cost, best_axis, best_cut = cost, axis, cut
    return best_cut


@njit(**OPTIONS)
@no_type_check
def build_tree(bounds):
    """A bounding-box tree in depth-first order, walked without a stack.

    Returns ``nodes`` (bounds), ``links`` (next node if missed, shape, 1 for leaves) and
    ``order``, in which the shapes have to be stored.
    """
    n = len(bounds)
    order = np.arange(n)
    nodes, links = np.empty((2 * n - 1, 6)), np.zeros((2 * n - 1, 3), np.int32)
    stack, depth = np.empty((2 * n, 2), np.int64), 1
    stack[0, 0], stack[0, 1] = 0, n
    box, areas = np.empty(6), np.empty(n)
    work = (box, np.empty(n), areas, np.empty(n))
    for count in range(2 * n - 1):
        depth -= 1
        start, end = stack[depth, 0], stack[depth, 1]
        _sweep(bounds, order, start, end - 1, 1, box, areas)
        for axis in range(6):
            nodes[count, axis] = box[axis]
        if end - start == 1:
            links[count, 1], links[count, 2] = start, 1
        else:
            cut = _split(bounds, order, start, end, work)
            stack[depth, 0], stack[depth, 1] = cut, end
            stack[depth + 1, 0], stack[depth + 1, 1] = start, cut
            depth += 2
    size = np.ones(2 * n, np.int64)
    for k in range(2 * n - 2, -1, -1):
        if links[k, 2] == 0:
            size[k] = 1 + size[k + 1] + size[k + 1 + size[k + 1]]
        links[k, 0] = k + size[k]
    return nodes, links, order
