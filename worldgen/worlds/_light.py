"""Compiled light: how bright a point on a surface is, whoever looks.

Room: worldgen.worlds; private to it. Light is a function of the surface point alone: it is computed
on a lattice of points fixed to every face, the first time a picture needs one, kept in
``World.light``, and interpolated. So two cameras see one colour, and later pictures are cheap.
Lattice values do not depend on who asks, so neither order nor threads can change a picture.
"""

from __future__ import annotations

import math
from typing import NamedTuple, no_type_check

import numpy as np
from numba import njit

from worldgen.worlds._geometry import CYLINDER, INLINE, OPTIONS, SPHERE, is_buried
from worldgen.worlds._occlusion import HEMISPHERE, LAMP_U, LAMP_V, RAYS, gather_along, gather_near, shorten

UNKNOWN, BURIED = np.float32(-1.0), np.float32(-2.0)
"""Marks in ``World.light``; real light is never negative, and NaN would not survive fast maths."""

OMNI, AREA, SUN = 0, 1, 2


class World(NamedTuple):
    """The arrays of a scene, in the order and layout the kernels read."""

    shapes: np.ndarray
    """p 9: see ``_geometry``."""
    nodes: np.ndarray
    links: np.ndarray
    faces: np.ndarray
    """p 6 4: row in ``materials``; first row in ``light`` and the lattice's size (u, v)."""
    materials: np.ndarray
    """m 12: tile, REPEAT or FIT, turned, tiles per metre, offset u v (tiles), tint rgb, glow rgb."""
    texels: np.ndarray
    """k 3: linear colour of all tiles and their mip levels, 65535 for 1."""
    lights: np.ndarray
    """l 16: kind, position or direction (3), half-axes u (3) and v (3), normal (3), colour (3)."""
    ambient: np.ndarray
    """7: light from above rgb, from below rgb, reach of occlusion in metres."""
    sky: np.ndarray
    """25: centre (3), radius, sun direction (3), rgb of zenith, horizon, ground, sun; clouds (3); first texel
    of a panorama (or -1), its turn about the vertical, its gain."""
    exposure: float
    light: np.ndarray
    """c 3: light at the lattice points, filled on demand."""


@njit(**INLINE)
@no_type_check
def surface(shapes, i, face, px, py, pz):
    """Surface coordinates of a point, in metres: u, v, their half ranges, and whether u wraps."""
    lx, ly, lz = px - shapes[i, 0], py - shapes[i, 1], pz - shapes[i, 2]
    c, s = shapes[i, 6], shapes[i, 7]
    lx, lz = c * lx - s * lz, s * lx + c * lz
    hx, hy = shapes[i, 3], shapes[i, 4]
    kind = shapes[i, 8]
    if kind == SPHERE:
        u, v = math.atan2(lz, lx) * hx, math.asin(min(max(ly / hx, -1.0), 1.0)) * hx
        return u, v, math.pi * hx, 0.5 * math.pi * hx, True
    if kind == CYLINDER and face == 0:
        return math.atan2(lz, lx) * hx, ly, math.pi * hx, hy, True
    if face < 2:
        return lz, ly, shapes[i, 5], hy, False
    if face < 4:
        return lx, lz, hx, shapes[i, 5], False
    return lx, ly, hx, hy, False


@njit(**INLINE)
@no_type_check
def point_at(shapes, i, face, u, v):
    """The inverse of ``surface``: world point and outward normal."""
    hx, hy, hz = shapes[i, 3], shapes[i, 4], shapes[i, 5]
    kind = shapes[i, 8]
    nx, ny, nz = 0.0, 0.0, 0.0
    sign = 1.0 if face & 1 else -1.0
    if kind == SPHERE:
        nx, ny, nz = (
            math.cos(u / hx) * math.cos(v / hx),
            math.sin(v / hx),
            math.sin(u / hx) * math.cos(v / hx),
        )
        lx, ly, lz = nx * hx, ny * hx, nz * hx
    elif kind == CYLINDER and face == 0:
        nx, nz = math.cos(u / hx), math.sin(u / hx)
        lx, ly, lz = nx * hx, v, nz * hx
    elif face < 2:
        nx, lx, ly, lz = sign, sign * hx, v, u
    elif face < 4:
        ny, lx, ly, lz = sign, u, sign * hy, v
    else:
        nz, lx, ly, lz = sign, u, v, sign * hz
    if kind == CYLINDER and face >= 2:
        shrink = min(1.0, 0.97 * hx / max(math.sqrt(u * u + v * v), 1e-9))
        lx, lz = lx * shrink, lz * shrink
    c, s = shapes[i, 6], shapes[i, 7]
    point = (shapes[i, 0] + c * lx + s * lz, shapes[i, 1] + ly, shapes[i, 2] + c * lz - s * lx)
    return point, (c * nx + s * nz, ny, c * nz - s * nx)


@njit(**OPTIONS)
@no_type_check
def _visibility(shapes, nodes, links, lights, k, p, n, buffers):
    """Share of light ``k`` that is seen from ``p``."""
    near, rays, ends = buffers
    x, y, z, t_max, spread, share_max = lights[k, 1], lights[k, 2], lights[k, 3], 1e9, 1.0, 1e9
    half_x, half_y = abs(lights[k, 4]) + abs(lights[k, 7]), abs(lights[k, 5]) + abs(lights[k, 8])
    half_z = abs(lights[k, 6]) + abs(lights[k, 9])
    if lights[k, 0] != SUN:
        x, y, z = x - p[0], y - p[1], z - p[2]
        distance = math.sqrt(x * x + y * y + z * z + 1e-12)
        # stop short of the lamp's own body: an omni's radius stands in the normal's place
        t_max = 1.0 - (0.01 + (lights[k, 10] if lights[k, 0] == OMNI else 0.0)) / distance
        spread, share_max = 1.0 / max(distance - half_x - half_y - half_z, 1e-3), 1.0
    pads = (half_x, half_y, half_z)
    count = gather_along(nodes, links, p, n, (x, y, z), pads, spread, share_max, t_max, near)
    if count == 0:
        return 1.0
    for r in range(RAYS):
        u, v = LAMP_U[r], LAMP_V[r]
        rays[0, r] = x + u * lights[k, 4] + v * lights[k, 7]
        rays[1, r] = y + u * lights[k, 5] + v * lights[k, 8]
        rays[2, r] = z + u * lights[k, 6] + v * lights[k, 9]
        ends[r] = t_max
    for j in range(count):
        shorten(shapes, near[j], p, rays, ends)
    seen = 0
    for r in range(RAYS):
        if ends[r] >= t_max and rays[0, r] * n[0] + rays[1, r] * n[1] + rays[2, r] * n[2] > 0.0:
            seen += 1
    return seen / RAYS


@njit(**INLINE)
@no_type_check
def _unshadowed(lights, k, p, n):
    """Light arriving from light ``k`` at ``p`` per unit of its colour, if nothing is in between."""
    if lights[k, 0] == SUN:
        return max(0.0, lights[k, 1] * n[0] + lights[k, 2] * n[1] + lights[k, 3] * n[2])
    x, y, z = lights[k, 1] - p[0], lights[k, 2] - p[1], lights[k, 3] - p[2]
    squared = x * x + y * y + z * z
    length = math.sqrt(squared) + 1e-9
    gain = (x * n[0] + y * n[1] + z * n[2]) / length
    if lights[k, 0] == AREA:
        gain *= max(0.0, -(x * lights[k, 10] + y * lights[k, 11] + z * lights[k, 12]) / length)
    return max(0.0, gain) / (squared + 0.15)


@njit(**OPTIONS)
@no_type_check
def _openness(shapes, nodes, links, reach, p, n, buffers):
    """How free the hemisphere over ``p`` is of near surfaces, in [0, 1]."""
    near, rays, ends = buffers
    count = gather_near(nodes, links, p, n, reach, near)
    if count == 0:
        return 1.0
    sign = 1.0 if n[2] >= 0.0 else -1.0  # an orthonormal basis about n (Duff et al. 2017)
    a = -1.0 / (sign + n[2])
    b = n[0] * n[1] * a
    for r in range(RAYS):
        x, y, z = HEMISPHERE[0, r], HEMISPHERE[1, r], HEMISPHERE[2, r]
        rays[0, r] = x * (1.0 + sign * n[0] * n[0] * a) + y * b + z * n[0]
        rays[1, r] = x * sign * b + y * (sign + n[1] * n[1] * a) + z * n[1]
        rays[2, r] = -x * sign * n[0] - y * n[1] + z * n[2]
        ends[r] = reach
    for j in range(count):
        shorten(shapes, near[j], p, rays, ends)
    hidden = 0.0
    for r in range(RAYS):
        hidden += (1.0 - ends[r] / reach) ** 2
    return 1.0 - hidden / RAYS


@njit(**INLINE)
@no_type_check
def _lattice_point(shapes, faces, i, face, a, b):
    """Point (a, b) of the lattice of one face, two millimetres above it, and the normal."""
    _, _, half_u, half_v, _ = surface(shapes, i, face, 0.0, 0.0, 0.0)
    inset_u, inset_v = max(half_u - 0.02, 0.75 * half_u), max(half_v - 0.02, 0.75 * half_v)
    u = -inset_u + 2.0 * inset_u * a / (faces[i, face, 2] - 1)
    v = -inset_v + 2.0 * inset_v * b / (faces[i, face, 3] - 1)
    p, n = point_at(shapes, i, face, u, v)
    return (p[0] + 2e-3 * n[0], p[1] + 2e-3 * n[1], p[2] + 2e-3 * n[2]), n


@njit(**OPTIONS)
@no_type_check
def _compute_light(shapes, nodes, links, lights, ambient, p, n, buffers):
    """Light arriving at a point with normal ``n``, as (r, g, b)."""
    if is_buried(shapes, nodes, links, p[0], p[1], p[2]):
        return (BURIED, BURIED, BURIED)
    open_share, up = _openness(shapes, nodes, links, ambient[6], p, n, buffers), 0.5 - 0.5 * n[1]
    r = open_share * (up * ambient[0] + (1.0 - up) * ambient[3])
    g = open_share * (up * ambient[1] + (1.0 - up) * ambient[4])
    b = open_share * (up * ambient[2] + (1.0 - up) * ambient[5])
    for k in range(len(lights)):
        gain = _unshadowed(lights, k, p, n)
        if gain * lights[k, 14] > 0.02 * ambient[1]:  # fainter light than that cannot be seen
            gain *= _visibility(shapes, nodes, links, lights, k, p, n, buffers)
            r, g, b = r + gain * lights[k, 13], g + gain * lights[k, 14], b + gain * lights[k, 15]
    return (np.float32(r), np.float32(g), np.float32(b))


@njit(**OPTIONS)
@no_type_check
def fill_light(w, wanted, count):
    """Compute the lattice values listed in ``wanted`` (row, shape, face, a, b) that are still unknown.

    Racing threads write the same numbers. Kernels take ``w`` apart before they loop, here and
    elsewhere: references to it inside a loop cost more (reference counts) than the loop's work.
    """
    shapes, nodes, links, faces, lights, ambient = w.shapes, w.nodes, w.links, w.faces, w.lights, w.ambient
    light = w.light
    buffers = (np.empty(len(shapes), np.int64), np.empty((3, RAYS)), np.empty(RAYS))
    for k in range(count):
        row = wanted[k, 0]
        if not _is_unknown(light, row):
            continue
        p, n = _lattice_point(shapes, faces, wanted[k, 1], wanted[k, 2], wanted[k, 3], wanted[k, 4])
        value = _compute_light(shapes, nodes, links, lights, ambient, p, n, buffers)
        for channel in range(3):
            light[row, channel] = value[channel]


@njit(**INLINE)
@no_type_check
def _is_unknown(light, row):
    return light[row, 0] == UNKNOWN or light[row, 1] == UNKNOWN or light[row, 2] == UNKNOWN


@njit(**INLINE)
@no_type_check
def _cell(faces, i, face, x, y):
    """The lattice cell of point (x, y) in [0, 1]² of a face, and the place in the cell."""
    nu, nv = faces[i, face, 2], faces[i, face, 3]
    x, y = min(max(x, 0.0), 1.0) * (nu - 1), min(max(y, 0.0), 1.0) * (nv - 1)
    a, b = min(int(x), nu - 2), min(int(y), nv - 2)
    return a, b, x - a, y - b


@njit(**INLINE)
@no_type_check
def list_unknown(light, faces, i, face, x, y, wanted, count):
    """Append the unknown lattice points around (x, y) of a face to ``wanted``; the new count."""
    a, b, _, _ = _cell(faces, i, face, x, y)
    start, nu = faces[i, face, 1], faces[i, face, 2]
    for corner in range(4):
        u, v = a + (corner & 1), b + (corner >> 1)
        if _is_unknown(light, start + v * nu + u):
            wanted[count, 0], wanted[count, 1], wanted[count, 2] = start + v * nu + u, i, face
            wanted[count, 3], wanted[count, 4] = u, v
            count += 1
    return count


@njit(**INLINE)
@no_type_check
def light_at(light, ambient, faces, i, face, x, y):
    """Interpolated light at (x, y) in [0, 1]² of a face; buried lattice points do not count.

    A nook with buried points all around gets a little of the ambient light.
    """
    a, b, x, y = _cell(faces, i, face, x, y)
    start, nu = faces[i, face, 1], faces[i, face, 2]
    r = g = b_ = total = 0.0
    for corner in range(4):
        da, db = corner & 1, corner >> 1
        row = start + (b + db) * nu + a + da
        weight = (x if da else 1.0 - x) * (y if db else 1.0 - y)
        if light[row, 0] >= 0.0:
            total += weight
            r, g, b_ = r + weight * light[row, 0], g + weight * light[row, 1], b_ + weight * light[row, 2]
    if total <= 1e-6:
        return (
            0.15 * (ambient[0] + ambient[3]),
            0.15 * (ambient[1] + ambient[4]),
            0.15 * (ambient[2] + ambient[5]),
        )
    return r / total, g / total, b_ / total
