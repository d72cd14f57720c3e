"""Projection: what one camera sees of every Gaussian (EWA splatting, as gsplat does it).

Kernels carry no annotations and ``no_type_check``, because numba must see the bare function.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from render._splats.arithmetic import (
    HALF,
    LN_2,
    LOG2_255,
    LOG2_E,
    ONE,
    PIXEL_SLACK,
    TWO,
    ZERO,
    clipped,
    contracted,
    exp,
    inlined,
    rotated,
)
from render._splats.arrays import (
    CHUNK,
    DEPTH,
    FALL,
    HALF_U,
    LOG_O,
    REACH_V,
    RED,
    SHEAR,
    STEEP,
    TILE,
    U,
    V,
)
from render._splats.harmonics import SH_C0, direction_of, sh_basis

NEAR, FAR = np.float32(0.01), np.float32(1e10)
BLUR = np.float32(0.3)
FRUSTUM_SLACK = np.float32(0.3)


@inlined
@no_type_check
def pose_of(view):
    """Rows of the world-to-camera matrix."""
    W = view.w2c
    return (
        (W[0, 0], W[0, 1], W[0, 2], W[0, 3]),
        (W[1, 0], W[1, 1], W[1, 2], W[1, 3]),
        (W[2, 0], W[2, 1], W[2, 2], W[2, 3]),
    )


@inlined
@no_type_check
def lens_of(view):
    """Focal lengths, principal point, and the tangents that bound a slightly widened frustum."""
    fx, fy, cx, cy = view.K[0, 0], view.K[1, 1], view.K[0, 2], view.K[1, 2]
    width, height = np.float32(view.width), np.float32(view.height)
    slack_x, slack_y = FRUSTUM_SLACK * HALF * width / fx, FRUSTUM_SLACK * HALF * height / fy
    bounds_x = -cx / fx - slack_x, (width - cx) / fx + slack_x
    bounds_y = -cy / fy - slack_y, (height - cy) / fy + slack_y
    return fx, fy, cx, cy, bounds_x, bounds_y


@inlined
@no_type_check
def screen_axes(pose, lens, point):
    """Rows of the Jacobian of projection at a camera point, times the rotation into the camera.

    The point is moved into the widened frustum first, where the linearisation is sane.
    """
    (ax, ay, az, _), (bx, by, bz, _), (cx, cy, cz, _) = pose
    fx, fy, _, _, (x_lo, x_hi), (y_lo, y_hi) = lens
    inv_z = ONE / point[2]
    tx, ty = clipped(point[0] * inv_z, x_lo, x_hi), clipped(point[1] * inv_z, y_lo, y_hi)
    jx, jy = fx * inv_z, fy * inv_z
    row_u = jx * (ax - tx * cx), jx * (ay - tx * cy), jx * (az - tx * cz)
    row_v = jy * (bx - ty * cx), jy * (by - ty * cy), jy * (bz - ty * cz)
    return row_u, row_v


@inlined
@no_type_check
def ellipse_of(axes, quat, log_scale):
    """Blurred screen covariance (uu, uv, vv) and its determinant."""
    (u0, u1, u2), (v0, v1, v2) = rotated(axes[0], quat), rotated(axes[1], quat)
    s0, s1, s2 = exp(log_scale[0]), exp(log_scale[1]), exp(log_scale[2])
    u0, u1, u2, v0, v1, v2 = u0 * s0, u1 * s1, u2 * s2, v0 * s0, v1 * s1, v2 * s2
    uu, uv, vv = u0 * u0 + u1 * u1 + u2 * u2, u0 * v0 + u1 * v1 + u2 * v2, v0 * v0 + v1 * v1 + v2 * v2
    # |u x v|^2 equals uu vv - uv^2, which would cancel for long thin ellipses.
    c0, c1, c2 = u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0
    det = c0 * c0 + c1 * c1 + c2 * c2 + BLUR * (uu + vv + BLUR)
    return uu + BLUR, uv, vv + BLUR, det


@inlined
@no_type_check
def _write_outline(record, u, v, ellipse, level):
    """Fill a record's geometry; return how far its outline reaches sideways and up or down."""
    uu, uv, vv, det = ellipse
    inv_vv, reach_u, reach_v = ONE / vv, np.sqrt(level * uu), np.sqrt(level * vv)
    record[U], record[V] = u, v
    record[STEEP], record[SHEAR] = np.sqrt(HALF * LOG2_E * vv / det), uv * inv_vv
    record[FALL], record[LOG_O] = HALF * LOG2_E * inv_vv, level * (HALF * LOG2_E) - LOG2_255
    record[REACH_V] = reach_v + PIXEL_SLACK
    record[HALF_U] = np.sqrt(HALF * LOG2_E * level) / record[STEEP] + PIXEL_SLACK
    return reach_u + PIXEL_SLACK, reach_v + PIXEL_SLACK


@inlined
@no_type_check
def _write_colour(record, splats, g):
    """Colour that does not depend on where it is seen from."""
    for channel in range(3):
        record[RED + channel] = max(HALF + SH_C0 * splats.sh[g, 0, channel], ZERO)


@contracted
@no_type_check
def _write_harmonics(splats, view, lo, hi, records):
    """Colours of records as seen from the camera: a loop of its own, so that projection stays small."""
    count, basis = splats.sh.shape[1], np.empty(16, np.float32)
    basis[0] = SH_C0
    for slot in range(lo, hi):
        g, record = records.ids[slot], records.fields[slot]
        direction, _ = direction_of(splats.means[g], view.origin)
        sh_basis(direction, count, basis)
        for channel in range(3):
            colour = HALF
            for k in range(count):
                colour += basis[k] * splats.sh[g, k, channel]
            record[RED + channel] = max(colour, ZERO)


@inlined
@no_type_check
def transformed(pose, mean):
    x, y, z = mean[0], mean[1], mean[2]
    (ax, ay, az, a), (bx, by, bz, b), (cx, cy, cz, c) = pose
    return ax * x + ay * y + az * z + a, bx * x + by * y + bz * z + b, cx * x + cy * y + cz * z + c


@contracted
@no_type_check
def project_chunk(splats, view, lo, records):
    """Write records of the visible Gaussians among the CHUNK from ``lo`` on; return how many."""
    pose, lens, slot = pose_of(view), lens_of(view), lo
    width, height = np.float32(view.width), np.float32(view.height)
    for g in range(lo, min(lo + CHUNK, len(splats.means))):
        x, y, z = transformed(pose, splats.means[g])
        if not NEAR < z < FAR:
            continue
        # Alpha is 1/255 where dx^2 + dy^2, in standard deviations, equals this level.
        level = TWO * LN_2 * (LOG2_255 - np.log2(ONE + exp(-splats.logit_opacities[g])))
        if not level > ZERO:
            continue
        axes = screen_axes(pose, lens, (x, y, z))
        ellipse = ellipse_of(axes, splats.quats[g], splats.log_scales[g])
        record, u, v = records.fields[slot], lens[0] * x / z + lens[2], lens[1] * y / z + lens[3]
        reach_u, reach_v = _write_outline(record, u, v, ellipse, level)
        if not (u + reach_u > HALF and u - reach_u < width - HALF):
            continue
        first = clipped(np.ceil(v - reach_v - HALF), ZERO, height)
        last = clipped(np.floor(v + reach_v - HALF), -ONE, height - ONE)
        if not first <= last:
            continue
        _write_colour(record, splats, g)
        record[DEPTH] = z
        records.ids[slot] = g
        records.keys[slot] = np.float32(z).view(np.uint32)
        records.tile_rows[slot, 0], records.tile_rows[slot, 1] = (
            np.int32(first) // TILE,
            np.int32(last) // TILE,
        )
        slot += 1
    if splats.sh.shape[1] > 1:
        _write_harmonics(splats, view, lo, slot, records)
    return slot - lo
