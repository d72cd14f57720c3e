"""Compiled kernels that draw Gaussian splats on a CPU; the twin in ``splats.py`` says the same in torch.

Room: render (ground floor). Private to ``render.splats``. Single precision throughout.
Project, sort by depth, list per row of tiles, list per tile, composite front to back. Every pixel is
owned by one job and every list keeps the order of depth, so pictures do not depend on the threads.
Kernels carry no annotations and ``no_type_check``, because numba must see the bare function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float32, Int16, UInt32
from numba import njit
from numpy import ndarray

CHUNK = 16384
"""Gaussians per projection job; fixed, so that a record's slot does not depend on the threads."""

TILE = 16
BATCH = 32
"""Splats drawn between two looks at which rows of a tile can still change."""

NEAR, FAR = np.float32(0.01), np.float32(1e10)
BLUR = np.float32(0.3)
FRUSTUM_SLACK = np.float32(0.3)
MAX_ALPHA, MIN_TRANSMITTANCE = np.float32(0.999), np.float32(1e-4)
LOG2_255 = np.float32(math.log2(255.0))
LOG2_E, LN_2 = np.float32(math.log2(math.e)), np.float32(math.log(2.0))
PIXEL_SLACK = np.float32(1e-3)
"""Widens every range of pixels a little; whether a pixel is touched is decided by its alpha alone."""

ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)

# 2^f for f in [-0.5, 0.5]: polynomial of least relative error (Remez exchange), 7.5e-8.
P0, P1, P2 = np.float32(1.0000001), np.float32(0.69314694), np.float32(0.2402212)
P3, P4, P5 = np.float32(0.05550713), np.float32(0.00967554), np.float32(0.0013276472)
ROUND = np.float32(1.5 * 2**23 + 127)
"""Added to t, it leaves round(t) + 127, the exponent bits of 2^round(t), in the lowest bits."""

# A record is what later stages need of one Gaussian in one view, within one cache line.
# Alpha at an offset (dx, dy) from (U, V) is 2^(LOG_O - FALL dy^2 - (STEEP (dx - SHEAR dy))^2). This
# form, a Cholesky factor, keeps its precision along thin splats, where the usual conic cancels.
U, V, STEEP, SHEAR, FALL, LOG_O, RED, GREEN, BLUE, DEPTH = range(10)
# The outline where alpha is 1/255 reaches REACH_V up and down and is farthest right at dy = RIGHT_DV.
REACH_V, RIGHT_DV = 10, 11
RECORD = 16
DRAWN = REACH_V + 1
"""Fields of a record that drawing reads."""

FUSED = {"contract", "nsz", "arcp"}
"""Fused multiply-adds and shared reciprocals; NaN keeps its meaning, so that NaN is culled."""

_strict = njit(nogil=True, cache=True, error_model="numpy")
_contracted = njit(nogil=True, cache=True, error_model="numpy", fastmath=FUSED)
_inlined = njit(nogil=True, cache=True, error_model="numpy", fastmath=FUSED, inline="always")


class Splats(NamedTuple):
    """Gaussians as arrays; colour is ``max(colours * gain + bias, 0)``."""

    means: Float32[ndarray, "g 3"]
    quats: Float32[ndarray, "g 4"]
    log_scales: Float32[ndarray, "g 3"]
    logit_opacities: Float32[ndarray, " g"]
    colours: Float32[ndarray, "g 3"]
    gain: np.float32
    bias: np.float32


class View(NamedTuple):
    """One camera."""

    w2c: Float32[ndarray, "4 4"]
    K: Float32[ndarray, "3 3"]
    width: int
    height: int


class Records(NamedTuple):
    """What projection writes, one slot per visible Gaussian; chunk c fills slots from c * CHUNK on."""

    fields: Float32[ndarray, "g 16"]
    keys: UInt32[ndarray, " g"]
    """Bits of the depth, which sort like the depth because it is positive."""

    tile_rows: Int16[ndarray, "g 2"]
    """First and last row of tiles touched."""


class Canvas(NamedTuple):
    """The picture being drawn."""

    rgb: Float32[ndarray, "h w 3"]
    depth: Float32[ndarray, "h w"]
    alpha: Float32[ndarray, "h w"]


@_inlined
@no_type_check
def _exp2(t):
    """2^t for -126 <= t <= 127, in instructions that every SIMD unit has."""
    shifted = np.float32(t + ROUND)
    f = t - (shifted - ROUND)
    power = ((((P5 * f + P4) * f + P3) * f + P2) * f + P1) * f + P0
    return power * np.int32(np.float32(shifted).view(np.int32) << np.int32(23)).view(np.float32)


@_inlined
@no_type_check
def _exp(x):
    """e^x, saturated at 2^-126 and 2^126; NaN stays NaN."""
    t = x * LOG2_E
    t = np.float32(-126.0) if t < np.float32(-126.0) else t
    return _exp2(np.float32(126.0) if t > np.float32(126.0) else t)


@_inlined
@no_type_check
def _clipped(x, lo, hi):
    return lo if x < lo else (hi if x > hi else x)


@_inlined
@no_type_check
def _rotated(axis, quat):
    """The row vector ``axis`` times the rotation of ``quat``."""
    (x, y, z), (qw, qx, qy, qz) = axis, (quat[0], quat[1], quat[2], quat[3])
    s = TWO / (qw * qw + qx * qx + qy * qy + qz * qz)
    # v R = v + s ((v x q) x q + qw (v x q)) for the vector part q.
    cx, cy, cz = y * qz - z * qy, z * qx - x * qz, x * qy - y * qx
    return (
        x + s * (cy * qz - cz * qy + qw * cx),
        y + s * (cz * qx - cx * qz + qw * cy),
        z + s * (cx * qy - cy * qx + qw * cz),
    )


@_inlined
@no_type_check
def _lens(view):
    """Focal lengths, principal point, and the tangents that bound a slightly widened frustum."""
    fx, fy, cx, cy = view.K[0, 0], view.K[1, 1], view.K[0, 2], view.K[1, 2]
    width, height = np.float32(view.width), np.float32(view.height)
    slack_x, slack_y = FRUSTUM_SLACK * HALF * width / fx, FRUSTUM_SLACK * HALF * height / fy
    bounds_x = -cx / fx - slack_x, (width - cx) / fx + slack_x
    bounds_y = -cy / fy - slack_y, (height - cy) / fy + slack_y
    return fx, fy, cx, cy, bounds_x, bounds_y


@_inlined
@no_type_check
def _screen_axes(pose, lens, point):
    """Rows of the Jacobian of projection at a camera point, times the rotation into the camera.

    The point is moved into the widened frustum first, where the linearisation is sane.
    """
    (ax, ay, az, _), (bx, by, bz, _), (cx, cy, cz, _) = pose
    fx, fy, _, _, (x_lo, x_hi), (y_lo, y_hi) = lens
    inv_z = ONE / point[2]
    tx, ty = _clipped(point[0] * inv_z, x_lo, x_hi), _clipped(point[1] * inv_z, y_lo, y_hi)
    jx, jy = fx * inv_z, fy * inv_z
    row_u = jx * (ax - tx * cx), jx * (ay - tx * cy), jx * (az - tx * cz)
    row_v = jy * (bx - ty * cx), jy * (by - ty * cy), jy * (bz - ty * cz)
    return row_u, row_v


@_inlined
@no_type_check
def _ellipse(axes, quat, log_scale):
    """Blurred screen covariance (uu, uv, vv) and its determinant."""
    (u0, u1, u2), (v0, v1, v2) = _rotated(axes[0], quat), _rotated(axes[1], quat)
    s0, s1, s2 = _exp(log_scale[0]), _exp(log_scale[1]), _exp(log_scale[2])
    u0, u1, u2, v0, v1, v2 = u0 * s0, u1 * s1, u2 * s2, v0 * s0, v1 * s1, v2 * s2
    uu, uv, vv = u0 * u0 + u1 * u1 + u2 * u2, u0 * v0 + u1 * v1 + u2 * v2, v0 * v0 + v1 * v1 + v2 * v2
    # |u x v|^2 equals uu vv - uv^2, which would cancel for long thin ellipses.
    c0, c1, c2 = u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0
    det = c0 * c0 + c1 * c1 + c2 * c2 + BLUR * (uu + vv + BLUR)
    return uu + BLUR, uv, vv + BLUR, det


@_inlined
@no_type_check
def _write_outline(record, u, v, ellipse, level):
    """Fill a record's geometry; return how far its outline reaches sideways and up or down."""
    uu, uv, vv, det = ellipse
    inv_vv, reach_u, reach_v = ONE / vv, np.sqrt(level * uu), np.sqrt(level * vv)
    record[U], record[V] = u, v
    record[STEEP], record[SHEAR] = np.sqrt(HALF * LOG2_E * vv / det), uv * inv_vv
    record[FALL], record[LOG_O] = HALF * LOG2_E * inv_vv, level * (HALF * LOG2_E) - LOG2_255
    record[REACH_V], record[RIGHT_DV] = reach_v + PIXEL_SLACK, reach_u * uv / uu
    return reach_u + PIXEL_SLACK, reach_v + PIXEL_SLACK


@_inlined
@no_type_check
def _write_colour(record, splats, g):
    for channel in range(3):
        colour = splats.colours[g, channel] * splats.gain + splats.bias
        record[RED + channel] = colour if colour > ZERO else ZERO


@_inlined
@no_type_check
def _transformed(pose, mean):
    x, y, z = mean[0], mean[1], mean[2]
    (ax, ay, az, a), (bx, by, bz, b), (cx, cy, cz, c) = pose
    return ax * x + ay * y + az * z + a, bx * x + by * y + bz * z + b, cx * x + cy * y + cz * z + c


@_contracted
@no_type_check
def _project_chunk(splats, view, lo, records):
    """Write records of the visible Gaussians among the CHUNK from ``lo`` on; return how many."""
    W, lens, slot = view.w2c, _lens(view), lo
    pose = (
        (W[0, 0], W[0, 1], W[0, 2], W[0, 3]),
        (W[1, 0], W[1, 1], W[1, 2], W[1, 3]),
        (W[2, 0], W[2, 1], W[2, 2], W[2, 3]),
    )
    width, height = np.float32(view.width), np.float32(view.height)
    for g in range(lo, min(lo + CHUNK, len(splats.means))):
        x, y, z = _transformed(pose, splats.means[g])
        if not NEAR < z < FAR:
            continue
        # Alpha is 1/255 where dx^2 + dy^2, in standard deviations, equals this level.
        level = TWO * LN_2 * (LOG2_255 - np.log2(ONE + _exp(-splats.logit_opacities[g])))
        if not level > ZERO:
            continue
        axes = _screen_axes(pose, lens, (x, y, z))
        ellipse = _ellipse(axes, splats.quats[g], splats.log_scales[g])
        record, u, v = records.fields[slot], lens[0] * x / z + lens[2], lens[1] * y / z + lens[3]
        reach_u, reach_v = _write_outline(record, u, v, ellipse, level)
        if not (u + reach_u > HALF and u - reach_u < width - HALF):
            continue
        first = _clipped(np.ceil(v - reach_v - HALF), ZERO, height)
        last = _clipped(np.floor(v + reach_v - HALF), -ONE, height - ONE)
        if not first <= last:
            continue
        _write_colour(record, splats, g)
        record[DEPTH] = z
        records.keys[slot] = np.float32(z).view(np.uint32)
        records.tile_rows[slot, 0], records.tile_rows[slot, 1] = (
            np.int32(first) // TILE,
            np.int32(last) // TILE,
        )
        slot += 1
    return slot - lo


@_strict
@no_type_check
def _listed(keys, counts):
    """Used slots, their keys, and how often each value of each 11-bit digit occurs among the keys."""
    slots = np.empty(counts.sum(), np.uint32)
    listed_keys, histograms = np.empty_like(slots), np.zeros((3, 2048), np.uint32)
    i = 0
    for chunk in range(len(counts)):
        for slot in range(chunk * CHUNK, chunk * CHUNK + counts[chunk]):
            key = keys[slot]
            slots[i], listed_keys[i] = slot, key
            for digit in range(3):
                histograms[digit, (key >> np.uint32(11 * digit)) & np.uint32(2047)] += np.uint32(1)
            i += 1
    return slots, listed_keys, histograms


@_strict
@no_type_check
def _sorted_slots(keys, counts):
    """Used slots, nearest first, ties in order of slot: a stable radix sort."""
    slots, key, histograms = _listed(keys, counts)
    other_slots, other_key = np.empty_like(slots), np.empty_like(key)
    for digit in range(3):
        shift, histogram = np.uint32(11 * digit), histograms[digit]
        at = np.cumsum(histogram) - histogram
        for i in range(len(slots)):
            bucket = (key[i] >> shift) & np.uint32(2047)
            other_slots[at[bucket]], other_key[at[bucket]] = slots[i], key[i]
            at[bucket] += 1
        slots, other_slots, key, other_key = other_slots, slots, other_key, key
    return slots


@_strict
@no_type_check
def _scattered(spans, columns):
    """Lists from spans (first, last): ``members[starts[c]:starts[c + 1]]`` are the spans over c, in order."""
    starts = np.zeros(columns + 1, np.int64)
    for i in range(len(spans)):
        for column in range(spans[i, 0], spans[i, 1] + 1):
            starts[column + 1] += 1
    starts = np.cumsum(starts)
    at, members = starts[:-1].copy(), np.empty(starts[-1], np.uint32)
    for i in range(len(spans)):
        for column in range(spans[i, 0], spans[i, 1] + 1):
            members[at[column]] = i
            at[column] += 1
    return members, starts


@_strict
@no_type_check
def _binned_by_row(keys, tile_rows, counts, row_count):
    """Slots per row of tiles, nearest first, and where each row's list starts."""
    slots = _sorted_slots(keys, counts)
    members, starts = _scattered(tile_rows[slots], row_count)
    return slots[members], starts


@_inlined
@no_type_check
def _tile_span(record, top, width):
    """First and last tile that an outline reaches in the TILE pixel rows from ``top`` on."""
    centre, reach = record[V] - np.float32(top) - HALF, record[REACH_V]
    lo, hi = max(-centre, -reach), min(np.float32(TILE - 1) - centre, reach)
    dv_right, dv_left = _clipped(record[RIGHT_DV], lo, hi), _clipped(-record[RIGHT_DV], lo, hi)
    rise, fall = record[LOG_O] + LOG2_255, record[FALL]
    half_right = np.sqrt(max(rise - fall * dv_right * dv_right, ZERO)) / record[STEEP] + PIXEL_SLACK
    half_left = np.sqrt(max(rise - fall * dv_left * dv_left, ZERO)) / record[STEEP] + PIXEL_SLACK
    right = record[U] - HALF + record[SHEAR] * dv_right + half_right
    left = record[U] - HALF + record[SHEAR] * dv_left - half_left
    first, last = max(np.ceil(left), ZERO), min(np.floor(right), np.float32(width - 1))
    # Also the way out for NaN, which no comparison lets through.
    return (np.int32(first) // TILE, np.int32(last) // TILE) if first <= last else (1, 0)


@_strict
@no_type_check
def _binned_by_tile(slots, fields, top, width):
    """One row of tiles: what drawing needs of its records, nearest first, and per tile who is in it.

    Each outline is tested once and the answer kept; counting and filling must not evaluate it apart.
    Centres are moved so that whole numbers are pixel centres and rows count from ``top``.
    """
    near = np.empty((len(slots), DRAWN), np.float32)
    spans = np.empty((len(slots), 2), np.int32)
    for i in range(len(slots)):
        record = fields[slots[i]]
        spans[i, 0], spans[i, 1] = _tile_span(record, top, width)
        for field in range(DRAWN):
            near[i, field] = record[field]
        near[i, U] -= HALF
        near[i, V] -= np.float32(top) + HALF
    members, starts = _scattered(spans, (width + TILE - 1) // TILE)
    return near, members, starts


@_contracted
@no_type_check
def _draw_splat(near, k, left, rows, tile):
    """Lay splat ``k`` behind what a tile shows already, in the rows given.

    The inner loop has one SIMD lane per pixel: fixed length, unsigned indices, separate buffers, and
    selects for branches. Time it after every edit. A full pixel has its transmittance negated.
    """
    (lo, hi), (T, red, green, blue, depth) = rows, tile
    u, v, steep, shear = near[k, U] - np.float32(left), near[k, V], near[k, STEEP], near[k, SHEAR]
    r, g, b, z = near[k, RED], near[k, GREEN], near[k, BLUE], near[k, DEPTH]
    for j in range(lo, hi + 1):
        dy = np.float32(j) - v
        peak, middle = near[k, LOG_O] - near[k, FALL] * dy * dy, steep * (u + shear * dy)
        row = np.uintp(j * TILE)
        for i in range(TILE):
            at = row + np.uintp(i)
            slope = steep * np.float32(i) - middle
            t = peak - slope * slope
            alpha = _exp2(t if t > -LOG2_255 else -LOG2_255)
            alpha = alpha if alpha < MAX_ALPHA else MAX_ALPHA
            alpha = alpha if t >= -LOG2_255 else ZERO
            before = T[at]
            after = before - before * alpha
            is_open = after > MIN_TRANSMITTANCE
            weight = before * alpha if is_open else ZERO
            T[at] = after if is_open else -abs(before)
            red[at] += weight * r
            green[at] += weight * g
            blue[at] += weight * b
            depth[at] += weight * z


@_strict
@no_type_check
def _open_rows(T, rows):
    """The rows among ``rows`` between the first and the last that more splats can still change."""
    lo, hi = rows
    while lo <= hi and not np.any(T[lo * TILE : (lo + 1) * TILE] > ZERO):
        lo += 1
    while lo <= hi and not np.any(T[hi * TILE : (hi + 1) * TILE] > ZERO):
        hi -= 1
    return lo, hi


@_contracted
@no_type_check
def _draw_tile(members, near, left, tile):
    """Composite one tile front to back."""
    tile[0][:] = ONE
    for channel in tile[1:]:
        channel[:] = ZERO
    lo, hi = 0, TILE - 1
    for i in range(len(members)):
        if i % BATCH == BATCH - 1:
            lo, hi = _open_rows(tile[0], (lo, hi))
            if lo > hi:
                return
        k = members[i]
        first = np.ceil(_clipped(near[k, V] - near[k, REACH_V], np.float32(lo), np.float32(TILE)))
        last = np.floor(_clipped(near[k, V] + near[k, REACH_V], -ONE, np.float32(hi)))
        _draw_splat(near, k, left, (np.int32(first), np.int32(last)), tile)


@_strict
@no_type_check
def _show_tile(tile, top, left, background, canvas):
    """Copy a finished tile into the picture."""
    T, red, green, blue, depth = tile
    height, width = canvas.alpha.shape
    for j in range(min(TILE, height - top)):
        for i in range(min(TILE, width - left)):
            at, row, column = j * TILE + i, top + j, left + i
            through = abs(T[at])
            alpha = ONE - through
            canvas.rgb[row, column, 0] = red[at] + through * background[0]
            canvas.rgb[row, column, 1] = green[at] + through * background[1]
            canvas.rgb[row, column, 2] = blue[at] + through * background[2]
            canvas.alpha[row, column] = alpha
            canvas.depth[row, column] = depth[at] / alpha if alpha > ZERO else ZERO


@_strict
@no_type_check
def _draw_row(slots, fields, top, background, canvas):
    """Draw one row of tiles into the picture."""
    near, members, starts = _binned_by_tile(slots, fields, top, canvas.alpha.shape[1])
    size = TILE * TILE
    T, red, green = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    tile = T, red, green, np.empty(size, np.float32), np.empty(size, np.float32)
    for column in range(len(starts) - 1):
        _draw_tile(members[starts[column] : starts[column + 1]], near, column * TILE, tile)
        _show_tile(tile, top, column * TILE, background, canvas)


Run = Callable[[Callable[[int], object], int], list]
"""``run(job, n)`` calls ``job(0)`` to ``job(n - 1)`` in any order and returns their results in order."""


@contextmanager
def runner(threads: int) -> Iterator[Run]:
    """Jobs on ``threads`` threads; with one thread, on the caller's."""
    if threads == 1:
        yield lambda job, n: [job(i) for i in range(n)]
        return
    with ThreadPoolExecutor(threads) as pool:
        yield lambda job, n: list(pool.map(job, range(n)))


def draw(splats: Splats, view: View, *, background: Float32[ndarray, " 3"], canvas: Canvas, run: Run) -> None:
    """Draw ``splats`` as ``view`` sees them, over a plain background, into ``canvas``."""
    g, rows = len(splats.means), -(-view.height // TILE)
    fields, keys = np.empty((g, RECORD), np.float32), np.empty(g, np.uint32)
    records = Records(fields=fields, keys=keys, tile_rows=np.empty((g, 2), np.int16))
    counts = run(lambda chunk: _project_chunk(splats, view, chunk * CHUNK, records), -(-g // CHUNK))
    slots, starts = _binned_by_row(keys, records.tile_rows, np.array(counts, np.int64), rows)
    run(
        lambda row: _draw_row(slots[starts[row] : starts[row + 1]], fields, row * TILE, background, canvas),
        rows,
    )
