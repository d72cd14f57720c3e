"""Compiled colour of triangles: textures in perspective, light on lattices, the sky.

Room: worldgen.worlds; private to it. Everything follows from barycentric coordinates, which are linear in
the ray up to scale, so derivatives from pixel to pixel are exact.
"""

from __future__ import annotations

import math
from typing import no_type_check

from numba import njit

from worldgen.worlds._mesh import EXACT, EXACT_INLINE, dot, edge_normals
from worldgen.worlds._texture import bilinear, panorama_colour, sky_colour

TAPS_MAX = 4
"""Samples along the strip that a pixel covers on a slanted surface, at most."""


@njit(**EXACT_INLINE)
@no_type_check
def _texture(texels, first, side, u, v, lod):
    """A square tile at (u, v) in tiles; ``lod`` is log2 of the footprint in its finest texels."""
    top = int(math.log2(side) + 0.5)
    lod = min(max(lod, 0.0), float(top))
    k = min(int(lod), top - 1)
    size = side >> k
    base = first + (4 * (side * side - size * size)) // 3
    mix = lod - k
    r0, g0, b0 = bilinear(texels, base, size, u, v)
    r1, g1, b1 = bilinear(texels, base + size * size, size >> 1, u, v)
    scale = 1.0 / 65535.0
    return (r0 + mix * (r1 - r0)) * scale, (g0 + mix * (g1 - g0)) * scale, (b0 + mix * (b1 - b0)) * scale


@njit(**EXACT_INLINE)
@no_type_check
def lattice_corners(lattices, rows, t, b1, b2):
    """Rows of light around barycentric coordinates (b1, b2) of triangle ``t``, and their weights."""
    parts = lattices[t, 0]
    x, y = min(max(b1 * parts, 0.0), float(parts)), min(max(b2 * parts, 0.0), float(parts))
    a, b = min(int(x), parts - 1), min(int(y), parts - 1)
    if a + b > parts - 1:  # on the side between corners 1 and 2
        a, b = (a - 1, b) if x - a < y - b else (a, b - 1)
    f, g = min(x - a, 1.0), min(y - b, 1.0)
    low = lattices[t, 1] + b * (parts + 1) - (b * (b - 1)) // 2 + a
    high = low + parts + 1 - b
    if f + g <= 1.0 or a + b == parts - 1:
        return rows[low], rows[low + 1], rows[high], 1.0 - f - g, f, g
    return rows[high + 1], rows[high], rows[low + 1], f + g - 1.0, 1.0 - f, 1.0 - g


@njit(**EXACT_INLINE)
@no_type_check
def _light(light, lattices, rows, t, b1, b2):
    """Light at barycentric coordinates (b1, b2) of triangle ``t``, linear in each part of its lattice."""
    i, j, k, h, f, g = lattice_corners(lattices, rows, t, b1, b2)
    return (
        h * light[i, 0] + f * light[j, 0] + g * light[k, 0],
        h * light[i, 1] + f * light[j, 1] + g * light[k, 1],
        h * light[i, 2] + f * light[j, 2] + g * light[k, 2],
    )


@njit(**EXACT_INLINE)
@no_type_check
def radiance(arrays, t, o, d, across, down):
    """Linear light that triangle ``t`` sends towards ``o`` along the ray ``o + t d``.

    ``across`` and ``down`` are what a pixel to the right and a pixel below add to ``d``.
    """
    corners, uvs, lattices, rows, looks, materials, texels, light = arrays
    n0, n1, n2, _ = edge_normals(corners, t, o[0], o[1], o[2])
    e0, e1, e2 = dot(n0, d), dot(n1, d), dot(n2, d)
    inverse = 1.0 / (e0 + e1 + e2)
    b0, b1, b2 = e0 * inverse, e1 * inverse, e2 * inverse
    u = b0 * uvs[t, 0, 0] + b1 * uvs[t, 1, 0] + b2 * uvs[t, 2, 0]
    v = b0 * uvs[t, 0, 1] + b1 * uvs[t, 1, 1] + b2 * uvs[t, 2, 1]
    # d(b) = (d(e) - b d(e0 + e1 + e2)) / (e0 + e1 + e2)
    x0, x1, x2 = dot(n0, across) * inverse, dot(n1, across) * inverse, dot(n2, across) * inverse
    y0, y1, y2 = dot(n0, down) * inverse, dot(n1, down) * inverse, dot(n2, down) * inverse
    x, y = x0 + x1 + x2, y0 + y1 + y2
    m = looks[t, 0]
    side = materials[m, 1]
    ux = side * (x0 * uvs[t, 0, 0] + x1 * uvs[t, 1, 0] + x2 * uvs[t, 2, 0] - x * u)
    vx = side * (x0 * uvs[t, 0, 1] + x1 * uvs[t, 1, 1] + x2 * uvs[t, 2, 1] - x * v)
    uy = side * (y0 * uvs[t, 0, 0] + y1 * uvs[t, 1, 0] + y2 * uvs[t, 2, 0] - y * u)
    vy = side * (y0 * uvs[t, 0, 1] + y1 * uvs[t, 1, 1] + y2 * uvs[t, 2, 1] - y * v)
    long_, short = math.sqrt(ux * ux + vx * vx), math.sqrt(uy * uy + vy * vy)
    if long_ < short:
        long_, short, ux, vx = short, long_, uy, vy
    taps = int(min(max(math.ceil(long_ / max(short, 1e-9) - 0.5), 1.0), float(TAPS_MAX)))
    footprint = max(long_ / taps, short)
    lod = math.log2(footprint) if footprint > 1.0 else 0.0
    step_u, step_v = ux / (taps * side), vx / (taps * side)
    u, v = u - 0.5 * (taps - 1) * step_u, v - 0.5 * (taps - 1) * step_v
    r = g = b = 0.0
    for _ in range(taps):
        sr, sg, sb = _texture(texels, int(materials[m, 0]), int(side), u, v, lod)
        r, g, b, u, v = r + sr, g + sg, b + sb, u + step_u, v + step_v
    lr, lg, lb = _light(light, lattices, rows, t, b1, b2)
    share = 1.0 / taps
    return (
        r * share * (lr * materials[m, 2] + materials[m, 5]),
        g * share * (lg * materials[m, 3] + materials[m, 6]),
        b * share * (lb * materials[m, 4] + materials[m, 7]),
    )


@njit(**EXACT_INLINE)
@no_type_check
def dome_light(sky, sky_texels, px, py, pz):
    """Light of the dome at one of its points."""
    if sky[22] >= 0.0:
        return panorama_colour(sky_texels, sky, px, py, pz)
    return sky_colour(sky, px, py, pz)


@njit(**EXACT)
@no_type_check
def mesh_light(w, origin, rays, ts, ids, pixel_angle, out):
    """Linear light along unit rays (columns) that have been followed already."""
    arrays = (w.corners, w.uvs, w.lattices, w.light_rows, w.looks, w.materials, w.texels, w.light)
    sky, sky_texels = w.sky, w.sky_texels
    for k in range(rays.shape[1]):
        d = (rays[0, k], rays[1, k], rays[2, k])
        if ids[k] < 0:
            x, y, z = origin[0] + ts[k] * d[0], origin[1] + ts[k] * d[1], origin[2] + ts[k] * d[2]
            r, g, b = dome_light(sky, sky_texels, x, y, z)
        else:
            level = math.sqrt(d[0] * d[0] + d[2] * d[2]) + 1e-9
            across = (pixel_angle * d[2] / level, 0.0, -pixel_angle * d[0] / level)
            r, g, b = radiance(arrays, ids[k], origin, d, across, (0.0, pixel_angle, 0.0))
        out[k, 0], out[k, 1], out[k, 2] = r, g, b
