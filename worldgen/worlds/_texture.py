"""Compiled colour: textures with mip levels, and the sky.

Room: worldgen.worlds; private to it. Colour is linear light. A texture is a square tile of
``TILE_PX`` texels, stored with all its box-filtered halvings, finest first.
"""

from __future__ import annotations

import math
from typing import no_type_check

from numba import njit

from worldgen.worlds._geometry import CYLINDER, INLINE, OPTIONS, SPHERE

TILE_PX = 128
TILE_TEXELS = 21845
"""128² + 64² + ... + 1²."""

REPEAT, FIT = 0, 1
"""Tile over the face by the metre, or stretch one tile over the whole face."""

PANORAMA_WIDTH, PANORAMA_HEIGHT = 512, 256
PANORAMA_MAX = 8.0
"""Radiance that 65535 stands for in the texels of a panorama."""


@njit(**INLINE)
@no_type_check
def bilinear(texels, base, size, u, v):
    """Texture at (u, v) in tiles, wrapping, from one mip level."""
    x, y = (u - math.floor(u)) * size + (size - 0.5), (v - math.floor(v)) * size + (size - 0.5)
    ix, iy = int(x), int(y)
    fx, fy, mask = x - ix, y - iy, size - 1
    x0, x1, y0, y1 = ix & mask, (ix + 1) & mask, base + (iy & mask) * size, base + ((iy + 1) & mask) * size
    w00, w01, w10, w11 = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
    a, b, c, d = y0 + x0, y0 + x1, y1 + x0, y1 + x1
    return (
        w00 * texels[a, 0] + w01 * texels[b, 0] + w10 * texels[c, 0] + w11 * texels[d, 0],
        w00 * texels[a, 1] + w01 * texels[b, 1] + w10 * texels[c, 1] + w11 * texels[d, 1],
        w00 * texels[a, 2] + w01 * texels[b, 2] + w10 * texels[c, 2] + w11 * texels[d, 2],
    )


@njit(**INLINE)
@no_type_check
def trilinear(texels, tile, level, u, v):
    """Texture at (u, v) in tiles; ``level`` is log2 of the footprint in finest texels."""
    level = min(max(level, 0.0), 7.0)
    k = min(int(level), 6)
    size = TILE_PX >> k
    base = tile * TILE_TEXELS + (4 * (TILE_PX * TILE_PX - size * size)) // 3
    mix = level - k
    r0, g0, b0 = bilinear(texels, base, size, u, v)
    r1, g1, b1 = bilinear(texels, base + size * size, size >> 1, u, v)
    scale = 1.0 / 65535.0
    return (r0 + mix * (r1 - r0)) * scale, (g0 + mix * (g1 - g0)) * scale, (b0 + mix * (b1 - b0)) * scale


@njit(**INLINE)
@no_type_check
def slant(shapes, i, face, px, py, pz, dx, dy, dz):
    """A direction in the axes of a surface: along u, along v, along the normal."""
    if shapes[i, 8] == SPHERE:
        r = shapes[i, 3]
        return 0.0, 0.0, ((px - shapes[i, 0]) * dx + (py - shapes[i, 1]) * dy + (pz - shapes[i, 2]) * dz) / r
    if shapes[i, 8] == CYLINDER and face == 0:
        nx, nz = (px - shapes[i, 0]) / shapes[i, 3], (pz - shapes[i, 2]) / shapes[i, 3]
        return nx * dz - nz * dx, dy, nx * dx + nz * dz
    c, s = shapes[i, 6], shapes[i, 7]
    lx, lz = c * dx - s * dz, s * dx + c * dz
    if face < 2:
        return lz, dy, lx
    if face < 4:
        return lx, lz, dy
    return lx, dy, lz


@njit(**INLINE)
@no_type_check
def _tile_coordinates(materials, m, u, v, half_u, half_v, wraps):
    """Position in tiles on a face, and tiles per metre along u and v."""
    if materials[m, 1] == FIT:
        return 0.5 + 0.5 * u / half_u, 0.5 + 0.5 * v / half_v, 0.5 / half_u, 0.5 / half_v
    rate = materials[m, 3]
    rate_u = max(1.0, math.floor(2.0 * half_u * rate + 0.5)) / (2.0 * half_u) if wraps else rate
    return u * rate_u + materials[m, 4], v * rate + materials[m, 5], rate_u, rate


@njit(**INLINE)
@no_type_check
def albedo(texels, materials, m, coordinates, slanted, pixel):
    """Filtered colour of material ``m``; ``pixel`` is the size of a pixel at that depth in metres.

    A pixel seen at a slant covers a long strip: up to four samples along it keep detail across it.
    """
    u, v, rate_u, rate_v = _tile_coordinates(materials, m, *coordinates)
    du, dv, dn = slanted
    flat = du * du + dv * dv
    stretch = math.sqrt((flat + dn * dn) / max(dn * dn, 1e-3 * flat + 1e-12))
    taps = 1 if stretch < 1.8 else (2 if stretch < 4.0 else 4)
    footprint = pixel * max(1.0, stretch / taps) * max(rate_u, rate_v) * TILE_PX
    level = math.log2(footprint) if footprint > 1.0 else 0.0
    if materials[m, 2] == 1.0:
        u, v, du, dv, rate_u, rate_v = v, u, dv, du, rate_v, rate_u
    along = pixel * stretch / (taps * math.sqrt(flat + 1e-12))
    step_u, step_v = along * du * rate_u, along * dv * rate_v
    u, v = u - 0.5 * (taps - 1) * step_u, v - 0.5 * (taps - 1) * step_v
    r = g = b = 0.0
    for _ in range(taps):
        sr, sg, sb = trilinear(texels, int(materials[m, 0]), level, u, v)
        r, g, b, u, v = r + sr, g + sg, b + sb, u + step_u, v + step_v
    scale = 1.0 / taps
    return r * scale * materials[m, 6], g * scale * materials[m, 7], b * scale * materials[m, 8]


@njit(**INLINE)
@no_type_check
def _lattice_value(ix, iy, seed):
    """A hash of two integers, in [0, 1)."""
    h = (ix * 374761393 + iy * 668265263 + seed * 974634721) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFFFF) / 16777216.0


@njit(**INLINE)
@no_type_check
def _noise(x, y, seed):
    """Smooth value noise in [0, 1)."""
    fx, fy = math.floor(x), math.floor(y)
    ix, iy = int(fx), int(fy)
    x, y = x - fx, y - fy
    x, y = x * x * (3.0 - 2.0 * x), y * y * (3.0 - 2.0 * y)
    top = _lattice_value(ix, iy, seed) * (1.0 - x) + _lattice_value(ix + 1, iy, seed) * x
    low = _lattice_value(ix, iy + 1, seed) * (1.0 - x) + _lattice_value(ix + 1, iy + 1, seed) * x
    return top * (1.0 - y) + low * y


@njit(**OPTIONS)
@no_type_check
def _clouds(sky, x, y, z):
    """How much cloud covers the sky in a direction, in [0, 1]."""
    if y > -0.02 or sky[19] <= 0.0:
        return 0.0
    scale = sky[21] / (0.12 - y)
    seed = int(sky[20])
    density, weight = 0.0, 0.5
    for octave in range(3):
        density += weight * _noise(x * scale + 7.3 * octave, z * scale, seed + octave)
        weight, scale = 0.5 * weight, 2.0 * scale
    edge = min(max((density / 0.875 - (0.75 - 0.5 * sky[19])) / 0.22, 0.0), 1.0)
    return edge * edge * (3.0 - 2.0 * edge) * min(1.0, (-0.02 - y) * 8.0)


@njit(**OPTIONS)
@no_type_check
def sky_colour(sky, px, py, pz):
    """Light of the dome at one of its points."""
    x, y, z = (px - sky[0]) / sky[3], (py - sky[1]) / sky[3], (pz - sky[2]) / sky[3]
    height = -y
    cloud = _clouds(sky, x, y, z)
    towards_sun = max(0.0, x * sky[4] + y * sky[5] + z * sky[6])
    glow = 0.25 * towards_sun**8 + 0.6 * towards_sun**64 + 4.0 * towards_sun**1500
    mix = math.sqrt(min(max(height, 0.0), 1.0)) if height > 0.0 else 0.0
    below = min(1.0, max(0.0, -height * 12.0))
    r = sky[10] + mix * (sky[7] - sky[10])
    g = sky[11] + mix * (sky[8] - sky[11])
    b = sky[12] + mix * (sky[9] - sky[12])
    white = 0.55 + 0.45 * (sky[10] + sky[11] + sky[12]) / 3.0
    r, g, b = r + cloud * (white - r), g + cloud * (white - g), b + cloud * (white - b)
    shine = glow * (1.0 - 0.6 * cloud)
    r, g, b = r + shine * sky[16], g + shine * sky[17], b + shine * sky[18]
    r, g, b = r + below * (sky[13] - r), g + below * (sky[14] - g), b + below * (sky[15] - b)
    return r, g, b


@njit(**OPTIONS)
@no_type_check
def panorama_colour(texels, sky, px, py, pz):
    """Light of a dome at one of its points, from a panorama: equirectangular, rows from the zenith down."""
    x, y, z = (px - sky[0]) / sky[3], (py - sky[1]) / sky[3], (pz - sky[2]) / sky[3]
    turns = (math.atan2(x, z) - sky[23]) / (2.0 * math.pi) + 0.5
    u = (turns - math.floor(turns)) * PANORAMA_WIDTH + (PANORAMA_WIDTH - 0.5)
    v = (0.5 + math.asin(min(max(y, -1.0), 1.0)) / math.pi) * PANORAMA_HEIGHT - 0.5
    v = min(max(v, 0.0), PANORAMA_HEIGHT - 1.001)
    iu, iv = int(u), int(v)
    fu, fv = u - iu, v - iv
    row = int(sky[22]) + iv * PANORAMA_WIDTH
    a, b = row + iu % PANORAMA_WIDTH, row + (iu + 1) % PANORAMA_WIDTH
    c, d = a + PANORAMA_WIDTH, b + PANORAMA_WIDTH
    wa, wb, wc, wd = (1 - fu) * (1 - fv), fu * (1 - fv), (1 - fu) * fv, fu * fv
    scale = sky[24] * PANORAMA_MAX / 65535.0
    return (
        scale * (wa * texels[a, 0] + wb * texels[b, 0] + wc * texels[c, 0] + wd * texels[d, 0]),
        scale * (wa * texels[a, 1] + wb * texels[b, 1] + wc * texels[c, 1] + wd * texels[d, 1]),
        scale * (wa * texels[a, 2] + wb * texels[b, 2] + wc * texels[c, 2] + wd * texels[d, 2]),
    )
