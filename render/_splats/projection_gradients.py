"""Gradients of what was seen of Gaussians by the Gaussians, and by the camera: projection backwards."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from render._splats.arithmetic import (
    LN_2,
    LOG2_E,
    ONE,
    TWO,
    ZERO,
    contracted,
    exp,
    inlined,
    rotated,
)
from render._splats.arrays import CHUNK, FALL, MOMENTS, RED, SHEAR, STEEP
from render._splats.harmonics import SH_C0, direction_of, sh_basis, sh_slope
from render._splats.projection import BLUR, lens_of, pose_of, screen_axes, transformed


@inlined
@no_type_check
def _axis_slopes(record, u, v, scale, m):
    """Gradient by the screen axes in the Gaussian's own frame, before its scales: by the rows u and v.

    STEEP = sqrt(k / e) for e = det / vv = uu - uv^2 / vv, SHEAR = uv / vv and FALL = k / vv.
    """
    (u0, u1, u2), (v0, v1, v2), (s0, s1, s2) = u, v, scale
    w0, w1, w2 = s0 * s0, s1 * s1, s2 * s2
    uu, vv = w0 * u0 * u0 + w1 * u1 * u1 + w2 * u2 * u2, w0 * v0 * v0 + w1 * v1 * v1 + w2 * v2 * v2 + BLUR
    k0, k1, k2 = u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0
    det = w1 * w2 * k0 * k0 + w0 * w2 * k1 * k1 + w0 * w1 * k2 * k2 + BLUR * (uu + vv)
    inv_vv, shear = ONE / vv, record[SHEAR]
    # What is left of u without v, u - SHEAR v, which would cancel along a needle.
    left0 = inv_vv * (BLUR * u0 + w1 * v1 * k2 - w2 * v2 * k1)
    left1 = inv_vv * (BLUR * u1 + w2 * v2 * k0 - w0 * v0 * k2)
    left2 = inv_vv * (BLUR * u2 + w0 * v0 * k1 - w1 * v1 * k0)
    d_e, d_shear = TWO * m[2] * vv / det, TWO * record[STEEP] * m[4] * inv_vv
    d_fall = TWO * m[5] * record[FALL] * inv_vv
    along = d_shear - shear * d_e
    by_u = (
        w0 * (d_e * left0 + d_shear * v0),
        w1 * (d_e * left1 + d_shear * v1),
        w2 * (d_e * left2 + d_shear * v2),
    )
    straight = d_fall - d_shear * shear
    by_v = (
        w0 * (along * left0 + straight * v0),
        w1 * (along * left1 + straight * v1),
        w2 * (along * left2 + straight * v2),
    )
    return by_u, by_v


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
def project_chunk_back(splats, view, lo, count, records, places, sums, out):
    """Write the gradients of the CHUNK of Gaussians from ``lo`` on; return that by the camera.

    Those that were not seen have none: 0. The camera's is by the rows of ``w2c`` and by ``origin``. A slot's
    moments are the rows of ``sums`` that ``places`` names, from its first one on.
    """
    firsts, standing = places
    pose, lens = pose_of(view), lens_of(view)
    (ax, ay, az, _), (bx, by, bz, _), (cx, cy, cz, _) = pose
    fx, fy, _, _, (x_lo, x_hi), (y_lo, y_hi) = lens
    m, camera = np.empty(MOMENTS, np.float32), np.zeros((5, 4), np.float64)
    room, hi = (np.empty(16, np.float32), np.empty(16, np.float32)), lo + CHUNK
    out.means[lo:hi], out.quats[lo:hi], out.log_scales[lo:hi] = ZERO, ZERO, ZERO
    out.logit_opacities[lo:hi], out.sh[lo:hi], out.screen[lo:hi] = ZERO, ZERO, ZERO
    for slot in range(lo, lo + count):
        m[:] = ZERO
        first = firsts[slot]
        for place in standing[first : first + records.tile_rows[slot, 1] - records.tile_rows[slot, 0] + 1]:
            for i in range(MOMENTS):
                m[i] += sums[place, i]
        for i in range(6):
            m[i] *= LN_2
        g, record = records.ids[slot], records.fields[slot]
        mean, quat = splats.means[g], splats.quats[g]
        x, y, z = transformed(pose, mean)
        row_u, row_v = screen_axes(pose, lens, (x, y, z))
        u, v, scale = rotated(row_u, quat), rotated(row_v, quat), splats.log_scales[g]
        scale = exp(scale[0]), exp(scale[1]), exp(scale[2])
        a, b = _axis_slopes(record, u, v, scale, m)
        for i in range(3):
            out.log_scales[g, i] = a[i] * u[i] + b[i] * v[i]
        d_u = TWO * record[STEEP] * m[1]
        d_v = TWO * record[FALL] * m[3] - d_u * record[SHEAR]
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
        out.screen[g] = np.sqrt(d_u * d_u + d_v * d_v)

        _add_camera(camera, mean, (dx, dy, dz), (jx, jy, sx, sy), by_u, by_v)
        camera[4, 0] -= gx
        camera[4, 1] -= gy
        camera[4, 2] -= gz
    return camera
