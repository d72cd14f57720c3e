"""Compiled pictures: which surface every pixel sees, and what colour it has.

Room: worldgen.worlds; private to it. A picture is drawn in bands of rows. Each band is cut into
tiles; a tile tests only the shapes whose projected rectangles touch it, nearest first, so depth
is exact at pixel centres at the price of a few ray tests per pixel. ``ids`` hold
``8 * shape + face``, or -1 for the sky. ``camera`` is a row: 3x4 c2w (12), fx, fy, cx, cy,
1 / fx, 1 / fy.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from worldgen.worlds._geometry import (
    BOX,
    FAR,
    INLINE,
    OPTIONS,
    away_from_zero,
    closest_hit,
    entry_face,
    interval,
    sort_by,
)
from worldgen.worlds._light import fill_light, light_at, list_unknown, surface
from worldgen.worlds._texture import albedo, panorama_colour, sky_colour, slant
from worldgen.worlds.textures import film_curve

TILE = 8
NEAR = 0.02
"""Depth at which projected outlines are clipped, in metres; hits themselves are not clipped."""

NEAREST_HIT = 1e-6
DOME_NEAR = 20.0
"""The dome is farther than this from wherever cameras are, in metres."""

TONE_STEPS, TONE_MAX = 4096, 8.0


TONE = film_curve(np.linspace(0.0, TONE_MAX, TONE_STEPS + 1))


@njit(**INLINE)
@no_type_check
def tone(x):
    """Displayed colour of exposed light."""
    x = min(max(x, 0.0), TONE_MAX * 0.9999) * (TONE_STEPS / TONE_MAX)
    k = int(x)
    return TONE[k] + (x - k) * (TONE[k + 1] - TONE[k])


@njit(**INLINE)
@no_type_check
def ray(camera, x, y):
    """World direction through image point (x, y), with z-depth 1 at t = 1."""
    cx, cy = (x - camera[14]) * camera[16], (y - camera[15]) * camera[17]
    return (
        away_from_zero(camera[0] * cx + camera[1] * cy + camera[2]),
        away_from_zero(camera[4] * cx + camera[5] * cy + camera[6]),
        away_from_zero(camera[8] * cx + camera[9] * cy + camera[10]),
    )


@njit(**OPTIONS)
@no_type_check
def _corners(shapes, i, camera, out):
    """The eight corners of the box around shape ``i``, in camera axes; returns their least depth."""
    c, s = shapes[i, 6], shapes[i, 7]
    least = FAR
    for k in range(8):
        lx = shapes[i, 3] if k & 1 else -shapes[i, 3]
        ly = shapes[i, 4] if k & 2 else -shapes[i, 4]
        lz = shapes[i, 5] if k & 4 else -shapes[i, 5]
        x = shapes[i, 0] + c * lx + s * lz - camera[3]
        y = shapes[i, 1] + ly - camera[7]
        z = shapes[i, 2] + c * lz - s * lx - camera[11]
        for axis in range(3):
            out[k, axis] = camera[axis] * x + camera[4 + axis] * y + camera[8 + axis] * z
        least = min(least, out[k, 2])
    return least


@njit(**INLINE)
@no_type_check
def _grow(boxes, i, camera, x, y, z):
    u, v = camera[12] * x / z + camera[14], camera[13] * y / z + camera[15]
    boxes[i, 0], boxes[i, 1] = min(boxes[i, 0], u), min(boxes[i, 1], v)
    boxes[i, 2], boxes[i, 3] = max(boxes[i, 2], u), max(boxes[i, 3], v)


@njit(**OPTIONS)
@no_type_check
def _outline(corners, least, camera, boxes, i):
    """Bounding rectangle of the visible part of a box: corners, and edges cut at ``NEAR``."""
    boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = FAR, FAR, -FAR, -FAR
    for k in range(8):
        if corners[k, 2] >= NEAR:
            _grow(boxes, i, camera, corners[k, 0], corners[k, 1], corners[k, 2])
        if least >= NEAR:
            continue
        for bit in (1, 2, 4):
            other = k ^ bit
            if corners[k, 2] < NEAR <= corners[other, 2]:
                f = (NEAR - corners[k, 2]) / (corners[other, 2] - corners[k, 2])
                x = corners[k, 0] + f * (corners[other, 0] - corners[k, 0])
                y = corners[k, 1] + f * (corners[other, 1] - corners[k, 1])
                _grow(boxes, i, camera, x, y, NEAR)


@njit(**OPTIONS)
@no_type_check
def _visible(shapes, camera, width, row0, row1):
    """Shapes that may show in a band, nearest first: members, their number, rectangles by shape."""
    boxes, depths = np.empty((len(shapes), 4)), np.empty(len(shapes))
    members, corners, count = np.empty(len(shapes), np.int64), np.empty((8, 3)), 0
    for i in range(len(shapes)):
        depths[i] = _corners(shapes, i, camera, corners)
        _outline(corners, depths[i], camera, boxes, i)
        # one pixel of slack: a rounded rectangle must never lose a ray
        across = boxes[i, 0] < width + 1 and boxes[i, 2] > -1
        if across and boxes[i, 1] < row1 + 1 and boxes[i, 3] > row0 - 1:
            members[count] = i
            count += 1
    sort_by(depths, members, 0, count)
    return members, count, boxes


@njit(**OPTIONS)
@no_type_check
def _touching(members, among, boxes, x0, y0, x1, y1, out):
    """The first ``among`` members whose rectangles touch a tile; returns how many."""
    count = 0
    for k in range(among):
        i = members[k]
        if boxes[i, 0] < x1 + 1 and boxes[i, 2] > x0 - 1 and boxes[i, 1] < y1 + 1 and boxes[i, 3] > y0 - 1:
            out[count] = i
            count += 1
    return count


@njit(**OPTIONS)
@no_type_check
def _trace_box(shapes, i, camera, rays, count, ts, ids):
    """Put box ``i`` in front of what the rays of a tile have met so far.

    The plain loop over rays, without branches, is what lets the compiler use vector instructions.
    """
    hx, hy, hz, c, s = shapes[i, 3], shapes[i, 4], shapes[i, 5], shapes[i, 6], shapes[i, 7]
    x, y, z = camera[3] - shapes[i, 0], camera[7] - shapes[i, 1], camera[11] - shapes[i, 2]
    x, z = s * z - c * x, -s * x - c * z
    for k in range(count):
        dx, dy, dz = rays[0, k], rays[1, k], rays[2, k]
        ix, iz = 1.0 / away_from_zero(c * dx - s * dz), 1.0 / away_from_zero(s * dx + c * dz)
        iy = 1.0 / dy
        tx, ty, tz = x * ix, -y * iy, z * iz
        ex, ey, ez = hx * abs(ix), hy * abs(iy), hz * abs(iz)
        near, far = max(tx - ex, ty - ey, tz - ez), min(tx + ex, ty + ey, tz + ez)
        # ties between touching shapes go to the lower number, whatever the order of visit
        first = (near < ts[k]) | ((near == ts[k]) & (i < ids[k]))
        take = first & (near <= far) & (near > NEAREST_HIT)
        ts[k] = near if take else ts[k]
        ids[k] = i if take else ids[k]


@njit(**OPTIONS)
@no_type_check
def _trace_curved(shapes, i, camera, rays, count, ts, ids):
    """``_trace_box`` for a cylinder or a ball."""
    for k in range(count):
        near, far = interval(shapes, i, camera[3], camera[7], camera[11], rays[0, k], rays[1, k], rays[2, k])
        if NEAREST_HIT < near <= far and (near < ts[k] or (near == ts[k] and i < ids[k])):
            ts[k], ids[k] = near, i


@njit(**INLINE)
@no_type_check
def dome_distance(sky, camera, dx, dy, dz):
    """Depth at which a ray leaves the dome."""
    ox, oy, oz = camera[3] - sky[0], camera[7] - sky[1], camera[11] - sky[2]
    a, b = dx * dx + dy * dy + dz * dz, ox * dx + oy * dy + oz * dz
    return (-b + math.sqrt(b * b - a * (ox * ox + oy * oy + oz * oz - sky[3] * sky[3]))) / a


@njit(**OPTIONS)
@no_type_check
def _trace(shapes, sky, camera, near, touching, points, count, rays, ts, ids):
    """What each of ``count`` image points of one tile sees: rays, z-depths and ids."""
    for k in range(count):
        rays[0, k], rays[1, k], rays[2, k] = ray(camera, points[k, 0], points[k, 1])
        ts[k], ids[k] = FAR, -1
    for k in range(touching):
        i = near[k]
        if shapes[i, 8] == BOX:
            _trace_box(shapes, i, camera, rays, count, ts, ids)
        else:
            _trace_curved(shapes, i, camera, rays, count, ts, ids)
    for k in range(count):
        dx, dy, dz = rays[0, k], rays[1, k], rays[2, k]
        if ts[k] * ts[k] * (dx * dx + dy * dy + dz * dz) > DOME_NEAR * DOME_NEAR:
            dome = dome_distance(sky, camera, dx, dy, dz)
            if ts[k] >= dome:
                ts[k], ids[k] = dome, -1
                continue
        i = ids[k]
        ids[k] = 8 * i + entry_face(shapes, i, camera[3], camera[7], camera[11], dx, dy, dz)


@njit(**OPTIONS)
@no_type_check
def _list_wanted(shapes, faces, light, origin, rays, ts, ids, count, wanted):
    """Lattice points of light that the colours of some rays need and that are not known yet."""
    found = 0
    for k in range(count):
        if ids[k] < 0:
            continue
        i, face = ids[k] >> 3, ids[k] & 7
        px, py = origin[0] + ts[k] * rays[0, k], origin[1] + ts[k] * rays[1, k]
        u, v, half_u, half_v, _ = surface(shapes, i, face, px, py, origin[2] + ts[k] * rays[2, k])
        x, y = 0.5 + 0.5 * u / half_u, 0.5 + 0.5 * v / half_v
        found = list_unknown(light, faces, i, face, x, y, wanted, found)
    return found


@njit(**INLINE)
@no_type_check
def _radiance(arrays, origin, direction, t, id_, pixel):
    """Linear light leaving the surface point ``origin + t direction`` towards a pixel."""
    shapes, faces, materials, texels, light, ambient, sky = arrays
    dx, dy, dz = direction
    px, py, pz = origin[0] + t * dx, origin[1] + t * dy, origin[2] + t * dz
    if id_ < 0:
        if sky[22] >= 0.0:
            return panorama_colour(texels, sky, px, py, pz)
        return sky_colour(sky, px, py, pz)
    i, face = id_ >> 3, id_ & 7
    coordinates = surface(shapes, i, face, px, py, pz)
    m = faces[i, face, 0]
    slanted = slant(shapes, i, face, px, py, pz, dx, dy, dz)
    r, g, b = albedo(texels, materials, m, coordinates, slanted, pixel)
    if materials[m, 9] > 0.0:  # a lamp shows its own light, whatever falls on it
        return r * materials[m, 9], g * materials[m, 10], b * materials[m, 11]
    x, y = 0.5 + 0.5 * coordinates[0] / coordinates[2], 0.5 + 0.5 * coordinates[1] / coordinates[3]
    lr, lg, lb = light_at(light, ambient, faces, i, face, x, y)
    return r * lr, g * lg, b * lb


@njit(**OPTIONS)
@no_type_check
def linear_light(w, origin, rays, ts, ids, count, pixel_angle, wanted, out):
    """Linear light along the first ``count`` rays (columns), which have been followed already."""
    arrays = (w.shapes, w.faces, w.materials, w.texels, w.light, w.ambient, w.sky)
    missing = _list_wanted(arrays[0], arrays[1], arrays[4], origin, rays, ts, ids, count, wanted)
    if missing > 0:
        fill_light(w, wanted, missing)
    for k in range(count):
        direction = (rays[0, k], rays[1, k], rays[2, k])
        r, g, b = _radiance(arrays, origin, direction, ts[k], ids[k], pixel_angle * ts[k])
        out[k, 0], out[k, 1], out[k, 2] = r, g, b


@njit(**OPTIONS)
@no_type_check
def _shade(w, camera, rays, ts, ids, count, pixel_share, wanted, out):
    """Displayed colour of what ``count`` rays see."""
    pixel_angle, exposure = pixel_share / math.sqrt(camera[12] * camera[13]), w.exposure
    linear_light(w, (camera[3], camera[7], camera[11]), rays, ts, ids, count, pixel_angle, wanted, out)
    for k in range(count):
        for channel in range(3):
            out[k, channel] = tone(out[k, channel] * exposure)


@njit(**OPTIONS)
@no_type_check
def draw_rows(w, camera, row0, row1, depth, ids, rgb):
    """First pass over rows ``row0:row1`` of one picture: exact depth, ids, one colour per pixel."""
    width, shapes, sky = depth.shape[1], w.shapes, w.sky
    members, among, boxes = _visible(shapes, camera, width, row0, row1)
    near = np.empty(len(members), np.int64)
    points, ts = np.empty((TILE * TILE, 2)), np.empty(TILE * TILE)
    tile_ids, colours = np.empty(TILE * TILE, np.int64), np.empty((TILE * TILE, 3))
    wanted, rays = np.empty((4 * TILE * TILE, 5), np.int64), np.empty((3, TILE * TILE))
    for y0 in range(row0, row1, TILE):
        y1 = min(y0 + TILE, row1)
        for x0 in range(0, width, TILE):
            x1 = min(x0 + TILE, width)
            touching, count = _touching(members, among, boxes, x0, y0, x1, y1, near), (y1 - y0) * (x1 - x0)
            for k in range(count):
                points[k, 0], points[k, 1] = x0 + k % (x1 - x0) + 0.5, y0 + k // (x1 - x0) + 0.5
            _trace(shapes, sky, camera, near, touching, points, count, rays, ts, tile_ids)
            _shade(w, camera, rays, ts, tile_ids, count, 1.0, wanted, colours)
            for k in range(count):
                y, x = y0 + k // (x1 - x0), x0 + k % (x1 - x0)
                depth[y, x], ids[y, x] = ts[k], tile_ids[k]
                for channel in range(3):
                    rgb[y, x, channel] = colours[k, channel]


@njit(**INLINE)
@no_type_check
def _is_edge(ids, y, x):
    """Whether a pixel has a neighbour on another face."""
    height, width = ids.shape
    own = ids[y, x]
    left, right = ids[y, max(x - 1, 0)], ids[y, min(x + 1, width - 1)]
    above, below = ids[max(y - 1, 0), x], ids[min(y + 1, height - 1), x]
    return left != own or right != own or above != own or below != own


@njit(**OPTIONS)
@no_type_check
def _edge_points(ids, x0, y0, x1, y1, points, pixels):
    """Four points inside every edge pixel of a tile, on a rotated grid; returns how many pixels."""
    count = 0
    for y in range(y0, y1):
        for x in range(x0, x1):
            if not _is_edge(ids, y, x):
                continue
            pixels[count, 0], pixels[count, 1] = y, x
            for k in range(4):
                points[4 * count + k, 0] = x + 0.125 + 0.25 * ((2 * k + k // 2) % 4)
                points[4 * count + k, 1] = y + 0.125 + 0.25 * k
            count += 1
    return count


@njit(**OPTIONS)
@no_type_check
def smooth_rows(w, camera, row0, row1, ids, rgb):
    """Second pass: pixels at edges between faces get the mean colour of four points inside them."""
    width, shapes, sky = ids.shape[1], w.shapes, w.sky
    members, among, boxes = _visible(shapes, camera, width, row0, row1)
    near, size = np.empty(len(members), np.int64), TILE * TILE
    points, ts, pixels = np.empty((4 * size, 2)), np.empty(4 * size), np.empty((size, 2), np.int64)
    point_ids, colours = np.empty(4 * size, np.int64), np.empty((4 * size, 3))
    wanted, rays = np.empty((16 * size, 5), np.int64), np.empty((3, 4 * size))
    for y0 in range(row0, row1, TILE):
        y1 = min(y0 + TILE, row1)
        for x0 in range(0, width, TILE):
            x1 = min(x0 + TILE, width)
            count = _edge_points(ids, x0, y0, x1, y1, points, pixels)
            if count == 0:
                continue
            touching = _touching(members, among, boxes, x0, y0, x1, y1, near)
            _trace(shapes, sky, camera, near, touching, points, 4 * count, rays, ts, point_ids)
            _shade(w, camera, rays, ts, point_ids, 4 * count, 0.7, wanted, colours)
            for k in range(count):
                for channel in range(3):
                    total = colours[4 * k, channel] + colours[4 * k + 1, channel]
                    total += colours[4 * k + 2, channel] + colours[4 * k + 3, channel]
                    rgb[pixels[k, 0], pixels[k, 1], channel] = 0.25 * total


@njit(**OPTIONS)
@no_type_check
def probe(w, origins, directions):
    """Distances along unit rays from anywhere, and ids: the slow way, for single rays."""
    n = len(origins)
    ts, ids = np.empty(n), np.empty(n, np.int64)
    for k in range(n):
        ox, oy, oz = origins[k, 0], origins[k, 1], origins[k, 2]
        dx, dy = away_from_zero(directions[k, 0]), away_from_zero(directions[k, 1])
        dz = away_from_zero(directions[k, 2])
        sx, sy, sz = ox - w.sky[0], oy - w.sky[1], oz - w.sky[2]
        b = sx * dx + sy * dy + sz * dz
        dome = -b + math.sqrt(b * b - (sx * sx + sy * sy + sz * sz - w.sky[3] * w.sky[3]))
        ts[k], i = closest_hit(w.shapes, w.nodes, w.links, ox, oy, oz, dx, dy, dz, dome)
        ids[k] = 8 * i + entry_face(w.shapes, i, ox, oy, oz, dx, dy, dz) if i >= 0 else -1
    return ts, ids
