"""Compiled kernels of textures: which face a texel lies on, and what frames show there.

Room: reconstruct; private to ``reconstruct.painted``. A texel is worked on by one thread, frame after frame:
results do not depend on how many threads there are.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

SHARPNESS = 3
"""Power of a frame's weight: high, so that the best views decide and their detail is not averaged away."""


@njit(nogil=True, cache=True)
@no_type_check
def lay_faces(corners, owners, shares):
    """Write for each texel whose centre a face covers that face, and the weights of its corners.

    ``corners[f, 3, 2]`` are in texels from the left and from the top; ``owners[h, w]`` are -1 before. Of two
    faces that meet in a texel's centre the first one owns it.
    """
    height, width = owners.shape
    for f in range(corners.shape[0]):
        ax, ay, bx, by = corners[f, 0, 0], corners[f, 0, 1], corners[f, 1, 0], corners[f, 1, 1]
        cx, cy = corners[f, 2, 0], corners[f, 2, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area == 0.0:
            continue
        left, right = (
            max(math.ceil(min(ax, bx, cx) - 0.5), 0),
            min(math.floor(max(ax, bx, cx) - 0.5), width - 1),
        )
        top, low = (
            max(math.ceil(min(ay, by, cy) - 0.5), 0),
            min(math.floor(max(ay, by, cy) - 0.5), height - 1),
        )
        for i in range(top, low + 1):
            for j in range(left, right + 1):
                x, y = j + 0.5, i + 0.5
                b = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
                c = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
                if b >= 0.0 and c >= 0.0 and b + c <= 1.0 and owners[i, j] < 0:
                    owners[i, j] = f
                    shares[i, j, 0], shares[i, j, 1], shares[i, j, 2] = 1.0 - b - c, b, c


@njit(nogil=True, cache=True)
@no_type_check
def paint(start, stop, places, normals, sums, pictures, cameras, voxel):
    """Add what frames show at places from ``start`` to before ``stop`` to weighted sums ``[p 4]``.

    A frame shows a place if it lies within two voxels, or pixels where those are larger, of the plane that
    its pixel shows, and faces the camera. ``pictures`` and ``cameras`` are those of ``reconstruct.tsdf``.
    """
    depths, planes, trusts, rgbs, _ = pictures
    w2c, lens = cameras
    count, height, width = depths.shape
    for p in range(start, stop):
        px, py, pz = places[p, 0], places[p, 1], places[p, 2]
        for n in range(count):
            fx, fy, cx, cy = lens[n, 0], lens[n, 1], lens[n, 2], lens[n, 3]
            z = w2c[n, 2, 0] * px + w2c[n, 2, 1] * py + w2c[n, 2, 2] * pz + w2c[n, 2, 3]
            if not z > 0.0:
                continue
            x = w2c[n, 0, 0] * px + w2c[n, 0, 1] * py + w2c[n, 0, 2] * pz + w2c[n, 0, 3]
            y = w2c[n, 1, 0] * px + w2c[n, 1, 1] * py + w2c[n, 1, 2] * pz + w2c[n, 1, 3]
            u, v = fx * x / z + cx, fy * y / z + cy
            if not (u >= 0.0 and v >= 0.0 and u < width and v < height):
                continue
            i, j = int(v), int(u)
            depth = depths[n, i, j]
            distance = (
                planes[n, i, j, 0] * (x - (j + 0.5 - cx) / fx * depth)
                + planes[n, i, j, 1] * (y - (i + 0.5 - cy) / fy * depth)
                + planes[n, i, j, 2] * (z - depth)
            )
            facing = 0.0
            for k in range(3):
                along = w2c[n, 0, k] * x + w2c[n, 1, k] * y + w2c[n, 2, k] * z
                facing -= along * normals[p, k]
            if abs(distance) > 2.0 * max(voxel, depth / fx) or not facing > 0.0:
                continue
            weight = np.float64(trusts[n, i, j]) ** SHARPNESS
            if not weight > 0.0:
                continue
            across, down = min(max(u - 0.5, 0.0), width - 1.0), min(max(v - 0.5, 0.0), height - 1.0)
            left, top = min(int(across), width - 2), min(int(down), height - 2)
            a, b = across - left, down - top
            for k in range(3):
                upper = (1.0 - a) * rgbs[n, top, left, k] + a * rgbs[n, top, left + 1, k]
                lower = (1.0 - a) * rgbs[n, top + 1, left, k] + a * rgbs[n, top + 1, left + 1, k]
                sums[p, k] += weight * ((1.0 - b) * upper + b * lower)
            sums[p, 3] += weight
