"""Compiled pictures of triangles: a z-buffer whose depth is that of the ray through every pixel centre.

Room: worldgen.worlds; private to it. Triangles are drawn by their homogeneous edge functions (Olano and
Greer 1997): what decides whether a pixel is inside is the ray test of ``_mesh``, linear in the pixel, so
nothing is clipped and neighbours leave no gaps. Colour is ``_mesh_shade``'s.
``ids`` hold triangles, or -1 for the sky; ``camera`` is a row as in ``_raster``.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from worldgen.worlds._geometry import FAR
from worldgen.worlds._mesh import EXACT, EXACT_INLINE, NEAREST_HIT, dot
from worldgen.worlds._mesh_shade import dome_light, radiance
from worldgen.worlds._raster import dome_distance, ray, tone

NEAR = 1e-3
"""Depth at which projected outlines are cut, in metres; hits themselves are not."""

CENTRE = np.array([[0.5, 0.5]])
ROTATED = np.array([[0.375, 0.125], [0.875, 0.375], [0.125, 0.625], [0.625, 0.875]])
"""Four places in a pixel, one in each row and column."""

SAME_SLANT = 0.94
"""Cosine between the normals of triangles that count as one smooth surface."""


@njit(**EXACT)
@no_type_check
def _frustum(camera, width, row0, row1):
    """Inward normals of the planes around what rows ``row0:row1`` of a picture see, in world axes."""
    out = np.empty((5, 3))
    left, right = (-1.0 - camera[14]) * camera[16], (width + 1.0 - camera[14]) * camera[16]
    top, bottom = (row0 - 1.0 - camera[15]) * camera[17], (row1 + 1.0 - camera[15]) * camera[17]
    planes = ((1.0, 0.0, -left), (-1.0, 0.0, right), (0.0, 1.0, -top), (0.0, -1.0, bottom), (0.0, 0.0, 1.0))
    for k in range(5):
        x, y, z = planes[k]
        for axis in range(3):
            out[k, axis] = camera[4 * axis] * x + camera[4 * axis + 1] * y + camera[4 * axis + 2] * z
    return out


@njit(**EXACT_INLINE)
@no_type_check
def _outside(nodes, k, planes, ox, oy, oz):
    """Whether the box of node ``k`` lies wholly behind one of the planes through the eye."""
    for j in range(5):
        nx, ny, nz = planes[j, 0], planes[j, 1], planes[j, 2]
        x = nodes[k, 3 if nx > 0.0 else 0] - ox
        y = nodes[k, 4 if ny > 0.0 else 1] - oy
        z = nodes[k, 5 if nz > 0.0 else 2] - oz
        if nx * x + ny * y + nz * z < 0.0:
            return True
    return False


@njit(**EXACT_INLINE)
@no_type_check
def _rectangle(camera, p0, p1, p2):
    """Bounding rectangle of the image of a triangle in camera axes, cut at ``NEAR``: u0 v0 u1 v1."""
    u0, v0, u1, v1 = FAR, FAR, -FAR, -FAR
    ends = (p0, p1, p2)
    for a in range(3):
        p, q = ends[a], ends[(a + 1) % 3]
        if p[2] >= NEAR:
            u, v = p[0] / p[2], p[1] / p[2]
            u0, v0, u1, v1 = min(u0, u), min(v0, v), max(u1, u), max(v1, v)
        if (p[2] >= NEAR) != (q[2] >= NEAR):
            f = (NEAR - p[2]) / (q[2] - p[2])
            u, v = (p[0] + f * (q[0] - p[0])) / NEAR, (p[1] + f * (q[1] - p[1])) / NEAR
            u0, v0, u1, v1 = min(u0, u), min(v0, v), max(u1, u), max(v1, v)
    return (
        camera[12] * u0 + camera[14],
        camera[13] * v0 + camera[15],
        camera[12] * u1 + camera[14],
        camera[13] * v1 + camera[15],
    )


@njit(**EXACT_INLINE)
@no_type_check
def _in_camera(corners, t, a, camera):
    """Corner ``a`` of triangle ``t`` in camera axes."""
    x, y, z = corners[t, a, 0] - camera[3], corners[t, a, 1] - camera[7], corners[t, a, 2] - camera[11]
    return (
        camera[0] * x + camera[4] * y + camera[8] * z,
        camera[1] * x + camera[5] * y + camera[9] * z,
        camera[2] * x + camera[6] * y + camera[10] * z,
    )


@njit(**EXACT_INLINE)
@no_type_check
def _cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@njit(**EXACT)
@no_type_check
def _cover(corners, t, camera, samples, row0, row1, depth, ids):
    """Put triangle ``t`` in front of what every sample (s, rows, columns) has met so far."""
    width = depth.shape[2]
    p0, p1, p2 = (
        _in_camera(corners, t, 0, camera),
        _in_camera(corners, t, 1, camera),
        _in_camera(corners, t, 2, camera),
    )
    if max(p0[2], p1[2], p2[2]) < NEAREST_HIT:
        return
    u0, v0, u1, v1 = _rectangle(camera, p0, p1, p2)
    if u1 < -1.0 or v1 < row0 - 1.0 or u0 > width + 1.0 or v0 > row1 + 1.0:
        return
    n0, n1, n2 = _cross(p1, p2), _cross(p2, p0), _cross(p0, p1)
    det = dot(p0, n0)
    sign = 1.0 if det > 0.0 else -1.0
    det *= sign
    for s in range(len(samples)):
        across, down = samples[s, 0], samples[s, 1]
        x_start = int(max(math.ceil(u0 - across - 1e-6), 0.0))
        x_end = int(min(math.floor(u1 - across + 1e-6), width - 1.0)) + 1
        y_start = int(max(math.ceil(v0 - down - 1e-6), float(row0)))
        y_end = int(min(math.floor(v1 - down + 1e-6), row1 - 1.0)) + 1
        for y in range(y_start, y_end):
            ry = (y + down - camera[15]) * camera[17]
            c0, c1, c2 = ry * n0[1] + n0[2], ry * n1[1] + n1[2], ry * n2[1] + n2[2]
            for x in range(x_start, x_end):
                rx = (x + across - camera[14]) * camera[16]
                e0, e1, e2 = sign * (rx * n0[0] + c0), sign * (rx * n1[0] + c1), sign * (rx * n2[0] + c2)
                total = e0 + e1 + e2
                if e0 >= 0.0 and e1 >= 0.0 and e2 >= 0.0 and total > 0.0:
                    z = det / total
                    old = depth[s, y - row0, x]
                    # ties between triangles go to the lower number, whatever the order of visit
                    if z > NEAREST_HIT and (z < old or (z == old and t < ids[s, y - row0, x])):
                        depth[s, y - row0, x], ids[s, y - row0, x] = z, t


@njit(**EXACT)
@no_type_check
def _cast(w, camera, samples, row0, row1, depth, ids):
    """Z-depth and triangle of every sample of rows ``row0:row1``."""
    corners, nodes, links = w.corners, w.nodes, w.links
    planes = _frustum(camera, depth.shape[2], row0, row1)
    depth[:], ids[:] = FAR, -1
    k = 0
    while k < len(nodes):
        if _outside(nodes, k, planes, camera[3], camera[7], camera[11]):
            k = links[k, 0]
            continue
        for t in range(links[k, 1], links[k, 1] + links[k, 2]):
            _cover(corners, t, camera, samples, row0, row1, depth, ids)
        k += 1


@njit(**EXACT_INLINE)
@no_type_check
def _shade(arrays, sky, sky_texels, exposure, camera, x, y, share, t, depth):
    """Displayed colour of triangle ``t`` at image point (x, y), filtered over a share of a pixel."""
    o = (camera[3], camera[7], camera[11])
    d = ray(camera, x, y)
    if t < 0:
        r, g, b = dome_light(sky, sky_texels, o[0] + depth * d[0], o[1] + depth * d[1], o[2] + depth * d[2])
    else:
        fx, fy = share * camera[16], share * camera[17]
        across = (fx * camera[0], fx * camera[4], fx * camera[8])
        down = (fy * camera[1], fy * camera[5], fy * camera[9])
        r, g, b = radiance(arrays, t, o, d, across, down)
    return tone(r * exposure), tone(g * exposure), tone(b * exposure)


@njit(**EXACT)
@no_type_check
def draw_mesh_rows(w, camera, row0, row1, depth, ids, rgb):
    """First pass over rows ``row0:row1`` of one picture: exact depth, triangles, one colour per pixel."""
    arrays = (w.corners, w.uvs, w.lattices, w.light_rows, w.looks, w.materials, w.texels, w.light)
    sky, sky_texels, exposure, width = w.sky, w.sky_texels, w.exposure, depth.shape[1]
    zs, ts = np.empty((1, row1 - row0, width)), np.empty((1, row1 - row0, width), np.int32)
    _cast(w, camera, CENTRE, row0, row1, zs, ts)
    for y in range(row0, row1):
        for x in range(width):
            t, z = ts[0, y - row0, x], zs[0, y - row0, x]
            if t < 0:
                dx, dy, dz = ray(camera, x + 0.5, y + 0.5)
                z = dome_distance(sky, camera, dx, dy, dz)
            depth[y, x], ids[y, x] = z, t
            colour = _shade(arrays, sky, sky_texels, exposure, camera, x + 0.5, y + 0.5, 1.0, t, z)
            for channel in range(3):
                rgb[y, x, channel] = colour[channel]


@njit(**EXACT_INLINE)
@no_type_check
def _same_surface(looks, normals, a, b):
    """Whether triangles ``a`` and ``b`` look like one smooth surface."""
    if a == b:
        return True
    if a < 0 or b < 0 or looks[a, 0] != looks[b, 0]:
        return False
    slant = normals[a, 0] * normals[b, 0] + normals[a, 1] * normals[b, 1] + normals[a, 2] * normals[b, 2]
    return abs(slant) > SAME_SLANT


@njit(**EXACT)
@no_type_check
def smooth_mesh_rows(w, camera, row0, row1, ids, rgb):
    """Second pass: pixels in which surfaces meet get the mean colour of four points inside them."""
    arrays = (w.corners, w.uvs, w.lattices, w.light_rows, w.looks, w.materials, w.texels, w.light)
    sky, sky_texels, exposure, width = w.sky, w.sky_texels, w.exposure, ids.shape[1]
    looks, normals, count = w.looks, w.normals, len(ROTATED)
    zs, ts = np.empty((count, row1 - row0, width)), np.empty((count, row1 - row0, width), np.int32)
    _cast(w, camera, ROTATED, row0, row1, zs, ts)
    for y in range(row0, row1):
        for x in range(width):
            mixed = False
            for s in range(count):
                mixed |= not _same_surface(looks, normals, ids[y, x], ts[s, y - row0, x])
            if not mixed:
                continue
            r = g = b = 0.0
            for s in range(count):
                t, z = ts[s, y - row0, x], zs[s, y - row0, x]
                px, py = x + ROTATED[s, 0], y + ROTATED[s, 1]
                if t < 0:
                    dx, dy, dz = ray(camera, px, py)
                    z = dome_distance(sky, camera, dx, dy, dz)
                sr, sg, sb = _shade(arrays, sky, sky_texels, exposure, camera, px, py, 0.5, t, z)
                r, g, b = r + sr, g + sg, b + sb
            rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2] = r / count, g / count, b / count
