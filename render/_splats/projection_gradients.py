"""Gradients of what was seen of Gaussians by the Gaussians, and by the camera: projection backwards."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from render._splats.arithmetic import (
    LOG2_E,
    ONE,
    TWO,
    ZERO,
    contracted,
    exp,
    inlined,
    rotated,
    strict,
)
from render._splats.arrays import CHUNK, FALL, MOMENTS, RED, SHEAR, STEEP
from render._splats.harmonics import SH_C0, direction_of, sh_basis, sh_slope
from render._splats.projection import ellipse_of, lens_of, pose_of, screen_axes, transformed


@strict
@no_type_check
def places_of(listed, tile_rows, counts):
    """Where in the lists of all rows each slot stands: ``places[starts[s]:starts[s + 1]]``, top row first."""
    starts = np.zeros(len(tile_rows) + 1, np.int64)
    for chunk in range(len(counts)):
        for slot in range(chunk * CHUNK, chunk * CHUNK + counts[chunk]):
            starts[slot + 1] = tile_rows[slot, 1] - tile_rows[slot, 0] + 1
    starts = np.cumsum(starts)
    at, places = starts[:-1].copy(), np.empty(starts[-1], np.int64)
    for i in range(len(listed)):
        slot = listed[i]
        places[at[slot]] = i
        at[slot] += 1
    return places, starts


@inlined
@no_type_check
def _ellipse_slopes(record, ellipse, m):
    """Gradient by the centre and by the blurred screen covariance (uu, uv, vv)."""
    _, _, vv, det = ellipse
    steep, shear, fall = record[STEEP], record[SHEAR], record[FALL]
    inv_vv = ONE / vv
    d_u = TWO * steep * m[1]
    d_v = TWO * fall * m[3] - d_u * shear
    # STEEP = sqrt(k / e) for e = det / vv = uu - uv^2 / vv, SHEAR = uv / vv and FALL = k / vv.
    d_e = m[2] * vv / det
    d_shear, d_fall = TWO * steep * m[4], -m[5]
    d_uv = d_shear * inv_vv - TWO * shear * d_e
    d_vv = shear * shear * d_e - d_shear * shear * inv_vv - d_fall * fall * inv_vv
    return d_u, d_v, d_e, d_uv, d_vv


@inlined
@no_type_check
def _turn_slopes(quat, row_u, row_v, a, b):
    """Gradient by a quaternion of any length, where that by its matrix is row_u^T a + row_v^T b."""
    w, x, y, z = quat[0], quat[1], quat[2], quat[3]
    norm = w * w + x * x + y * y + z * z
    s = TWO / norm
    (u0, u1, u2), (v0, v1, v2), (a0, a1, a2), (b0, b1, b2) = row_u, row_v, a, b
    g00, g01, g02 = u0 * a0 + v0 * b0, u0 * a1 + v0 * b1, u0 * a2 + v0 * b2
    g10, g11, g12 = u1 * a0 + v1 * b0, u1 * a1 + v1 * b1, u1 * a2 + v1 * b2
    g20, g21, g22 = u2 * a0 + v2 * b0, u2 * a1 + v2 * b1, u2 * a2 + v2 * b2
    # R = 1 + s M(q), where M is quadratic: the slope along q itself is nought.
    d_w = s * (x * (g21 - g12) + y * (g02 - g20) + z * (g10 - g01))
    d_x = s * (w * (g21 - g12) + y * (g10 + g01) + z * (g20 + g02) - TWO * x * (g11 + g22))
    d_y = s * (w * (g02 - g20) + x * (g10 + g01) + z * (g21 + g12) - TWO * y * (g00 + g22))
    d_z = s * (w * (g10 - g01) + x * (g20 + g02) + y * (g21 + g12) - TWO * z * (g00 + g11))
    along = (d_w * w + d_x * x + d_y * y + d_z * z) / norm
    return d_w - along * w, d_x - along * x, d_y - along * y, d_z - along * z


@inlined
@no_type_check
def _times(quat, a):
    """The rotation of ``quat`` times the column ``a``."""
    return rotated(a, (quat[0], -quat[1], -quat[2], -quat[3]))


@inlined
@no_type_check
def _colour_slopes(splats, view, g, record, m, room, out):
    """Gradient by the harmonics, written; by the mean, returned. Black lets nothing through."""
    count = splats.sh.shape[1]
    basis, weights = room
    basis[0] = SH_C0
    direction, inverse = direction_of(splats.means[g], view.origin)
    if count > 1:
        sh_basis(direction, count, basis)
    for k in range(count):
        weights[k] = ZERO
    for channel in range(3):
        slope = m[6 + channel] if record[RED + channel] > ZERO else ZERO
        for k in range(count):
            out.sh[g, k, channel] = slope * basis[k]
            weights[k] += slope * splats.sh[g, k, channel]
    if count == 1:
        return ZERO, ZERO, ZERO
    (x, y, z), (gx, gy, gz) = direction, sh_slope(direction, count, weights)
    along = gx * x + gy * y + gz * z
    return (gx - along * x) * inverse, (gy - along * y) * inverse, (gz - along * z) * inverse


@inlined
@no_type_check
def _add_camera(camera, mean, point, lens, by_u, by_v):
    """Add one Gaussian's gradient by the rows of ``w2c``, from those by its place and its screen axes."""
    jx, jy, sx, sy = lens
    for i in range(3):
        camera[0, i] += point[0] * mean[i] + jx * by_u[i]
        camera[1, i] += point[1] * mean[i] + jy * by_v[i]
        camera[2, i] += point[2] * mean[i] - sx * jx * by_u[i] - sy * jy * by_v[i]
        camera[i, 3] += point[i]


@contracted
@no_type_check
def project_chunk_back(splats, view, lo, count, records, places, starts, sums, out):
    """Write the gradients of the Gaussians seen among the CHUNK from ``lo`` on; return that by the camera.

    That is the gradient by the rows of ``w2c`` and by ``origin``, added up in order.
    """
    pose, lens = pose_of(view), lens_of(view)
    (ax, ay, az, _), (bx, by, bz, _), (cx, cy, cz, _) = pose
    fx, fy, _, _, (x_lo, x_hi), (y_lo, y_hi) = lens
    m, camera = np.empty(MOMENTS, np.float32), np.zeros((5, 4), np.float64)
    room = np.empty(16, np.float32), np.empty(16, np.float32)
    for slot in range(lo, lo + count):
        m[:] = ZERO
        for place in places[starts[slot] : starts[slot + 1]]:
            for i in range(MOMENTS):
                m[i] += sums[place, i]
        g, record = records.ids[slot], records.fields[slot]
        mean, quat = splats.means[g], splats.quats[g]
        x, y, z = transformed(pose, mean)
        row_u, row_v = screen_axes(pose, lens, (x, y, z))
        ellipse = ellipse_of((row_u, row_v), quat, splats.log_scales[g])
        d_u, d_v, d_uu, d_uv, d_vv = _ellipse_slopes(record, ellipse, m)

        (u0, u1, u2), (v0, v1, v2) = rotated(row_u, quat), rotated(row_v, quat)
        scale = splats.log_scales[g]
        s0, s1, s2 = exp(scale[0]), exp(scale[1]), exp(scale[2])
        w0, w1, w2 = s0 * s0, s1 * s1, s2 * s2
        # By the rows of the screen axes in the Gaussian's own frame, before its scales.
        a0, b0 = w0 * (TWO * u0 * d_uu + v0 * d_uv), w0 * (TWO * v0 * d_vv + u0 * d_uv)
        a1, b1 = w1 * (TWO * u1 * d_uu + v1 * d_uv), w1 * (TWO * v1 * d_vv + u1 * d_uv)
        a2, b2 = w2 * (TWO * u2 * d_uu + v2 * d_uv), w2 * (TWO * v2 * d_vv + u2 * d_uv)
        a, b = (a0, a1, a2), (b0, b1, b2)
        out.log_scales[g, 0] = a0 * u0 + b0 * v0
        out.log_scales[g, 1] = a1 * u1 + b1 * v1
        out.log_scales[g, 2] = a2 * u2 + b2 * v2
        turn = _turn_slopes(quat, row_u, row_v, a, b)
        out.quats[g, 0], out.quats[g, 1], out.quats[g, 2], out.quats[g, 3] = turn
        out.logit_opacities[g] = LOG2_E * m[0] * (ONE - ONE / (ONE + exp(-splats.logit_opacities[g])))

        by_u, by_v = _times(quat, a), _times(quat, b)
        (pu0, pu1, pu2), (pv0, pv1, pv2) = by_u, by_v
        inv_z = ONE / z
        jx, jy, tx, ty = fx * inv_z, fy * inv_z, x * inv_z, y * inv_z
        in_x, in_y = x_lo <= tx <= x_hi, y_lo <= ty <= y_hi
        sx = x_lo if tx < x_lo else (x_hi if tx > x_hi else tx)
        sy = y_lo if ty < y_lo else (y_hi if ty > y_hi else ty)
        d_jx = pu0 * (ax - sx * cx) + pu1 * (ay - sx * cy) + pu2 * (az - sx * cz)
        d_jy = pv0 * (bx - sy * cx) + pv1 * (by - sy * cy) + pv2 * (bz - sy * cz)
        d_tx = d_u * fx - (jx * (pu0 * cx + pu1 * cy + pu2 * cz) if in_x else ZERO)
        d_ty = d_v * fy - (jy * (pv0 * cx + pv1 * cy + pv2 * cz) if in_y else ZERO)
        dx, dy = d_tx * inv_z, d_ty * inv_z
        dz = m[9] - (d_tx * tx + d_ty * ty + d_jx * jx + d_jy * jy) * inv_z
        gx, gy, gz = _colour_slopes(splats, view, g, record, m, room, out)
        out.means[g, 0] = ax * dx + bx * dy + cx * dz + gx
        out.means[g, 1] = ay * dx + by * dy + cy * dz + gy
        out.means[g, 2] = az * dx + bz * dy + cz * dz + gz
        out.screen[g] = np.hypot(d_u, d_v)

        _add_camera(camera, mean, (dx, dy, dz), (jx, jy, sx, sy), by_u, by_v)
        camera[4, 0] -= gx
        camera[4, 1] -= gy
        camera[4, 2] -= gz
    return camera
