"""Compiled kernels of point rendering and depth geometry. Private to render.

``no_type_check`` keeps run-time shape checkers from wrapping what numba has to compile and cache.
Every kernel releases the interpreter lock and runs on the calling thread: results do not depend on
how many threads there are. No fast-math: the torch twins must agree.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

EMPTY = -1

FLAT = np.float32(1e-3)
"""A patch whose projection covers less than four times this many pixels is seen from its edge."""

OVERLAP = np.float32(1.02)
"""Patches are drawn this much wider than they are: where two meet, rounding would leave cracks."""


@njit(nogil=True, cache=True)
@no_type_check
def draw_range(positions, axes, start, stop, stretch, w2c, K, near, reach, depth, winner):  # noqa: C901, PLR0915
    """Z-buffer points from ``start`` to before ``stop``; ``depth`` is inf where empty, ``winner`` -1.

    ``axes`` are the half-axes of the patch of surface that a point stands for, ``stretch`` times as large
    if it stands for its neighbours too; it covers the pixel that the point falls into, and those whose
    centres its projection covers, up to ``reach`` pixels away. The nearest point wins; of two at one
    depth, the one with the lower index.
    """
    height, width = depth.shape
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    xx, xy, xz, xt = w2c[0, 0], w2c[0, 1], w2c[0, 2], w2c[0, 3]  # out of the loop: stores below may alias
    yx, yy, yz, yt = w2c[1, 0], w2c[1, 1], w2c[1, 2], w2c[1, 3]
    zx, zy, zz, zt = w2c[2, 0], w2c[2, 1], w2c[2, 2], w2c[2, 3]
    half, one = np.float32(0.5), np.float32(1.0)
    u_end, v_end = np.float32(width) + reach, np.float32(height) + reach
    for index in range(start, stop):
        px, py, pz = positions[index, 0], positions[index, 1], positions[index, 2]
        z = zx * px + zy * py + zz * pz + zt
        if not z > near:
            continue
        x = xx * px + xy * py + xz * pz + xt
        u = fx * x / z + cx
        if not (u > -reach and u < u_end):
            continue
        y = yx * px + yy * py + yz * pz + yt
        v = fy * y / z + cy
        if not (v > -reach and v < v_end):
            continue
        ax, ay, az = stretch * axes[index, 0, 0], stretch * axes[index, 0, 1], stretch * axes[index, 0, 2]
        bx, by, bz = stretch * axes[index, 1, 0], stretch * axes[index, 1, 1], stretch * axes[index, 1, 2]
        tilt = zx * ax + zy * ay + zz * az
        au = fx * (xx * ax + xy * ay + xz * az - x / z * tilt) / z
        av = fy * (yx * ax + yy * ay + yz * az - y / z * tilt) / z
        tilt = zx * bx + zy * by + zz * bz
        bu = fx * (xx * bx + xy * by + xz * bz - x / z * tilt) / z
        bv = fy * (yx * bx + yy * by + yz * bz - y / z * tilt) / z
        wide, high = abs(au) + abs(bu), abs(av) + abs(bv)
        column, row = math.floor(u), math.floor(v)
        if 0 <= column < width and 0 <= row < height:
            held = depth[row, column]
            if z < held or (z == held and index < winner[row, column]):
                depth[row, column] = z
                winner[row, column] = index
        if max(wide, high) <= half:
            continue
        shrink = min(one, reach / max(wide, high))
        au, av, bu, bv = au * shrink, av * shrink, bu * shrink, bv * shrink
        wide, high = OVERLAP * wide * shrink, OVERLAP * high * shrink
        area = OVERLAP * abs(au * bv - av * bu)
        if not area > FLAT:
            continue
        left = max(math.ceil(u - wide - half), 0)
        right = min(math.floor(u + wide - half), width - 1)
        top = max(math.ceil(v - high - half), 0)
        bottom = min(math.floor(v + high - half), height - 1)
        for i in range(top, bottom + 1):
            dv = np.float32(i) + half - v
            for j in range(left, right + 1):
                if z > depth[i, j] or (z == depth[i, j] and index >= winner[i, j]):
                    continue
                du = np.float32(j) + half - u
                if abs(du * bv - dv * bu) <= area and abs(dv * au - du * av) <= area:
                    depth[i, j] = z
                    winner[i, j] = index


@njit(nogil=True, cache=True)
@no_type_check
def planar_spread(inverse_depth, valid, radius, spread):
    """Largest relative departure of inverse depth from its tangent plane in a window.

    A plane is linear in inverse depth, so a slanted wall has none and a step has all of it. Pixels
    whose window holds an unknown depth are judged by what is known of it.
    """
    height, width = inverse_depth.shape
    for i in range(height):
        for j in range(width):
            spread[i, j] = np.inf
            if not valid[i, j]:
                continue
            centre = inverse_depth[i, j]
            slope_x = _slope(inverse_depth, valid, i, j, 0, 1)
            slope_y = _slope(inverse_depth, valid, i, j, 1, 0)
            worst = np.float32(0.0)
            for di in range(-radius, radius + 1):
                for dj in range(-radius, radius + 1):
                    r, c = i + di, j + dj
                    if r < 0 or c < 0 or r >= height or c >= width or not valid[r, c]:
                        continue
                    expected = centre + slope_x * np.float32(dj) + slope_y * np.float32(di)
                    worst = max(worst, abs(inverse_depth[r, c] - expected))
            spread[i, j] = worst / centre


@njit(nogil=True, cache=True)
@no_type_check
def _slope(image, valid, i, j, di, dj):
    """The smaller of the two one-sided differences, so that one side of a step keeps its own slope."""
    height, width = image.shape
    best = np.float32(0.0)
    found = False
    for sign in (-1, 1):
        r, c = i + sign * di, j + sign * dj
        if r < 0 or c < 0 or r >= height or c >= width or not valid[r, c]:
            continue
        difference = (image[r, c] - image[i, j]) * np.float32(sign)
        if not found or abs(difference) < abs(best):
            best = difference
            found = True
    return best


@njit(nogil=True, cache=True)
@no_type_check
def surface_normals(points, depth, valid, edge, origin, normals):
    """Unit normals of a lifted depth map, towards the camera; zero where there is no neighbour.

    ``edge`` is the largest relative depth step to a neighbour that still counts as one surface.
    Differences are central where both neighbours are on the surface and one-sided where one is.
    """
    height, width = depth.shape
    zero = np.float32(0.0)
    for i in range(height):
        above, below = max(i - 1, 0), min(i + 1, height - 1)  # clamped indices: a test for each is 10x slower
        for j in range(width):
            normals[i, j, 0], normals[i, j, 1], normals[i, j, 2] = zero, zero, zero
            if not valid[i, j]:
                continue
            before, after = max(j - 1, 0), min(j + 1, width - 1)
            z = depth[i, j]
            step = edge * z
            top = above if valid[above, j] and abs(depth[above, j] - z) < step else i
            bottom = below if valid[below, j] and abs(depth[below, j] - z) < step else i
            left = before if valid[i, before] and abs(depth[i, before] - z) < step else j
            right = after if valid[i, after] and abs(depth[i, after] - z) < step else j
            if left == right or top == bottom:
                continue
            ax, ay, az = _difference(points, i, right, i, left)
            bx, by, bz = _difference(points, bottom, j, top, j)
            nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            length = math.sqrt(nx * nx + ny * ny + nz * nz)
            if length < 1e-20:
                continue
            facing = (
                nx * (origin[0] - points[i, j, 0])
                + ny * (origin[1] - points[i, j, 1])
                + nz * (origin[2] - points[i, j, 2])
            )
            scale = 1.0 / length if facing >= 0.0 else -1.0 / length
            normals[i, j, 0], normals[i, j, 1], normals[i, j, 2] = nx * scale, ny * scale, nz * scale


@njit(nogil=True, cache=True)
@no_type_check
def _difference(points, r1, c1, r0, c0):
    return (
        points[r1, c1, 0] - points[r0, c0, 0],
        points[r1, c1, 1] - points[r0, c0, 1],
        points[r1, c1, 2] - points[r0, c0, 2],
    )
