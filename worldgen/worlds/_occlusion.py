"""Compiled shadows: which of a few rays from one point are blocked.

Room: worldgen.worlds; private to it. One walk through the tree gathers what can matter to a whole bundle of
``RAYS`` rays; then every gathered shape meets all rays in a loop that fills a vector register.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from worldgen.worlds._geometry import BOX, INLINE, OPTIONS, away_from_zero, interval

RAYS = 8

LAMP_U = np.array([-0.875, -0.625, -0.375, -0.125, 0.125, 0.375, 0.625, 0.875])
LAMP_V = np.array([-0.125, 0.625, -0.875, 0.125, 0.875, -0.625, -0.375, 0.375])
"""Places on a lamp, in its half axes: one in each of eight rows and columns."""


def _hemisphere() -> np.ndarray:
    """Cosine-weighted directions about +z, one row an axis, on a golden-angle spiral."""
    share = (np.arange(RAYS) + 0.5) / RAYS
    turn = np.arange(RAYS) * (math.pi * (3.0 - math.sqrt(5.0)))
    return np.stack([np.sqrt(share) * np.cos(turn), np.sqrt(share) * np.sin(turn), np.sqrt(1.0 - share)])


HEMISPHERE = _hemisphere()


@njit(**INLINE)
@no_type_check
def _height_above(nodes, k, p, n):
    """How far node ``k`` rises above the plane through ``p`` with normal ``n``."""
    x, y, z = (
        nodes[k, 3 if n[0] > 0.0 else 0],
        nodes[k, 4 if n[1] > 0.0 else 1],
        nodes[k, 5 if n[2] > 0.0 else 2],
    )
    return n[0] * (x - p[0]) + n[1] * (y - p[1]) + n[2] * (z - p[2])


@njit(**OPTIONS)
@no_type_check
def gather_near(nodes, links, p, n, reach, out):
    """Shapes within ``reach`` of ``p`` that rise above its tangent plane."""
    count, k = 0, 0
    while k < len(nodes):
        x = max(nodes[k, 0] - p[0], p[0] - nodes[k, 3], 0.0)
        y = max(nodes[k, 1] - p[1], p[1] - nodes[k, 4], 0.0)
        z = max(nodes[k, 2] - p[2], p[2] - nodes[k, 5], 0.0)
        if x * x + y * y + z * z > reach * reach or _height_above(nodes, k, p, n) < 1e-3:
            k = links[k, 0]
            continue
        if links[k, 2] > 0:
            out[count] = links[k, 1]
            count += 1
        k += 1
    return count


@njit(**OPTIONS)
@no_type_check
def gather_along(nodes, links, p, n, d, pads, spread, share_max, t_max, out):
    """Shapes that a beam from ``p`` along ``d`` may touch.

    Along each axis the beam reaches ``pads`` beyond ``d``, times a share that grows by ``spread`` a
    metre up to ``share_max``.
    """
    ix, iy, iz = 1.0 / away_from_zero(d[0]), 1.0 / away_from_zero(d[1]), 1.0 / away_from_zero(d[2])
    count, k = 0, 0
    while k < len(nodes):
        x0, y0, z0 = nodes[k, 0] - p[0], nodes[k, 1] - p[1], nodes[k, 2] - p[2]
        x1, y1, z1 = nodes[k, 3] - p[0], nodes[k, 4] - p[1], nodes[k, 5] - p[2]
        farthest = max(abs(x0), abs(x1)) + max(abs(y0), abs(y1)) + max(abs(z0), abs(z1))
        share = min(spread * farthest, share_max)
        x, y, z = share * pads[0], share * pads[1], share * pads[2]
        ax, bx, ay, by = (x0 - x) * ix, (x1 + x) * ix, (y0 - y) * iy, (y1 + y) * iy
        az, bz = (z0 - z) * iz, (z1 + z) * iz
        near = max(min(ax, bx), min(ay, by), min(az, bz))
        far = min(max(ax, bx), max(ay, by), max(az, bz))
        if near > far or far < 0.0 or near > t_max or _height_above(nodes, k, p, n) < 1e-3:
            k = links[k, 0]
            continue
        if links[k, 2] > 0:
            out[count] = links[k, 1]
            count += 1
        k += 1
    return count


@njit(**OPTIONS)
@no_type_check
def shorten(shapes, i, p, rays, ends):
    """Cut a bundle of rays from ``p`` at shape ``i``: ``ends`` holds how far each gets."""
    if shapes[i, 8] != BOX:
        for k in range(RAYS):
            near, far = interval(shapes, i, p[0], p[1], p[2], rays[0, k], rays[1, k], rays[2, k])
            if near <= far and far > 0.0:
                ends[k] = min(ends[k], max(near, 0.0))
        return
    hx, hy, hz, c, s = shapes[i, 3], shapes[i, 4], shapes[i, 5], shapes[i, 6], shapes[i, 7]
    x, y, z = p[0] - shapes[i, 0], p[1] - shapes[i, 1], p[2] - shapes[i, 2]
    x, z = s * z - c * x, -s * x - c * z
    for k in range(RAYS):
        dx, dy, dz = rays[0, k], away_from_zero(rays[1, k]), rays[2, k]
        ix, iz = 1.0 / away_from_zero(c * dx - s * dz), 1.0 / away_from_zero(s * dx + c * dz)
        iy = 1.0 / dy
        tx, ty, tz = x * ix, -y * iy, z * iz
        ex, ey, ez = hx * abs(ix), hy * abs(iy), hz * abs(iz)
        near, far = max(tx - ex, ty - ey, tz - ez), min(tx + ex, ty + ey, tz + ez)
        cut = max(near, 0.0)
        ends[k] = cut if (near <= far) & (far > 0.0) & (cut < ends[k]) else ends[k]
