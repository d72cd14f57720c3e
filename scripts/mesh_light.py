"""How light spreads in a model: what each source brings to each lattice point, bounces included.

Lamps and panes of windows are sampled with shadow rays, suns are directions, bounces are gathered over a
hemisphere. Every point uses the same samples, so neighbouring points err alike and nothing is speckled.
``scripts/pack_mesh_worlds.py`` calls it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int
from mesh_soup import golden_spiral
from numba import njit
from scipy.spatial import cKDTree

from worldgen.worlds._mesh import EXACT, MeshWorld, closest_triangle
from worldgen.worlds._mesh_shade import lattice_corners
from worldgen.worlds.mesh_files import Surfaces, lattice_of

GATHER_RAYS = 160
BOUNCES = 3
LIFT_M = 4e-3
"""How far above its surface light is computed."""

INSET_M = 0.03
"""How far points of light at the rim of a surface are drawn in."""

SOFTEST_M2 = 0.15
"""Keeps a lamp's light finite beside it, as in ``_light``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitter:
    """Samples of one source: points with normals for lamps and panes, directions for a sun."""

    is_sun: bool
    """Whether ``at`` holds directions."""
    at: Float[np.ndarray, "r 3"]
    normals: Float[np.ndarray, "r 3"]
    """Of panes; zero for lamps, which shine all round."""
    weights: Float[np.ndarray, " r"]
    body_m: float = 0.0
    """Within this distance of a sample nothing casts a shadow: the lamp itself."""


def hemisphere(count: int) -> Float[np.ndarray, "r 3"]:
    """Cosine-weighted directions about +z, on a golden-angle spiral."""
    share, turned = golden_spiral(count)
    return np.column_stack([np.sqrt(share)[:, None] * turned, np.sqrt(1 - share)])


@njit(**EXACT)
@no_type_check
def _direct(corners, nodes, links, points, normals, is_sun, at, towards, weights, body):
    """Light that one source's samples bring to every point, in units of albedo."""
    out = np.zeros(len(points))
    for p in range(len(points)):
        ox, oy, oz = points[p, 0], points[p, 1], points[p, 2]
        for r in range(len(at)):
            x, y, z, end, share = at[r, 0], at[r, 1], at[r, 2], 1e9, weights[r]
            if not is_sun:
                x, y, z, end = x - ox, y - oy, z - oz, 1.0
                squared = x * x + y * y + z * z
                length = math.sqrt(squared) + 1e-9
                end = 1.0 - (1e-3 + body) / length
                facing = 1.0
                if towards[r, 0] != 0.0 or towards[r, 1] != 0.0 or towards[r, 2] != 0.0:
                    facing = -(x * towards[r, 0] + y * towards[r, 1] + z * towards[r, 2]) / length
                share *= max(facing, 0.0) / (length * (squared + SOFTEST_M2))
            share *= x * normals[p, 0] + y * normals[p, 1] + z * normals[p, 2]
            if share <= 1e-6:
                continue
            _, hit = closest_triangle(corners, nodes, links, ox, oy, oz, x, y, z, end)
            if hit < 0:
                out[p] += share
    return out


@njit(**EXACT)
@no_type_check
def _gather(corners, nodes, links, points, normals, rays, hits, places):
    """What the hemisphere over every point sees: triangle, barycentric coordinates; -1 for the open.

    Also returns the share of back faces (by winding) and the mean distance seen, at most 1.
    """
    backs, far = np.zeros(len(points)), np.zeros(len(points))
    for p in range(len(points)):
        nx, ny, nz = normals[p, 0], normals[p, 1], normals[p, 2]
        sign = 1.0 if nz >= 0.0 else -1.0  # an orthonormal basis about n (Duff et al. 2017)
        a = -1.0 / (sign + nz)
        b = nx * ny * a
        ox, oy, oz = points[p, 0], points[p, 1], points[p, 2]
        for r in range(len(rays)):
            x, y, z = rays[r, 0], rays[r, 1], rays[r, 2]
            dx = x * (1.0 + sign * nx * nx * a) + y * b + z * nx
            dy = x * sign * b + y * (sign + ny * ny * a) + z * ny
            dz = -x * sign * nx - y * ny + z * nz
            t, hit = closest_triangle(corners, nodes, links, ox, oy, oz, dx, dy, dz, 100.0)
            hits[p, r] = hit
            far[p] += min(t, 1.0)
            if hit < 0:
                continue
            px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
            c = corners[hit]
            ux, uy, uz = c[1, 0] - c[0, 0], c[1, 1] - c[0, 1], c[1, 2] - c[0, 2]
            vx, vy, vz = c[2, 0] - c[0, 0], c[2, 1] - c[0, 1], c[2, 2] - c[0, 2]
            fx, fy, fz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            area = fx * fx + fy * fy + fz * fz
            px, py, pz = px - c[0, 0], py - c[0, 1], pz - c[0, 2]
            first = (py * vz - pz * vy) * fx + (pz * vx - px * vz) * fy + (px * vy - py * vx) * fz
            other = (uy * pz - uz * py) * fx + (uz * px - ux * pz) * fy + (ux * py - uy * px) * fz
            places[p, r, 0], places[p, r, 1] = first / area, other / area
            if fx * dx + fy * dy + fz * dz > 0.0:
                backs[p] += 1.0
    return backs / len(rays), far / len(rays)


@njit(**EXACT)
@no_type_check
def _bounced(lattices, rows, albedo, hits, places, light):
    """Mean over every hemisphere of the light thrown back by what it sees; ``light`` is p by s."""
    out = np.zeros_like(light)
    for p in range(len(hits)):
        for r in range(hits.shape[1]):
            t = hits[p, r]
            if t < 0:
                continue
            i, j, k, h, f, g = lattice_corners(lattices, rows, t, places[p, r, 0], places[p, r, 1])
            for s in range(light.shape[1]):
                out[p, s] += albedo[t] * (h * light[i, s] + f * light[j, s] + g * light[k, s])
        for s in range(light.shape[1]):
            out[p, s] /= hits.shape[1]
    return out


def lattice_points(
    found: Surfaces, corner_normals: Float[np.ndarray, "t 3 3"]
) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, "p 3"]]:
    """Every point of light with its normal: means over the lattices that share it.

    Each lattice is drawn in a little towards the middle of its triangle. Within a surface that cancels; at
    its rim it keeps points out of the seams between walls and floors, where they would see behind both.
    """
    count = int(found.light_rows.max()) + 1
    middles = found.corners.mean(axis=1, keepdims=True)
    reach = np.linalg.norm(found.corners - middles, axis=2).mean(axis=1)
    drawn_in = np.minimum(0.3, INSET_M / np.maximum(reach, 1e-9))[:, None, None]
    points, normals = np.zeros((count, 3)), np.zeros((count, 3))
    for n in np.unique(found.lattices[:, 0]):
        chosen, weights = np.flatnonzero(found.lattices[:, 0] == n), lattice_of(int(n))
        rows = found.light_rows[found.lattices[chosen, 1][:, None] + np.arange(len(weights))]
        at = np.einsum("lc,tcx->tlx", weights, found.corners[chosen])
        np.add.at(points, rows, at + drawn_in[chosen] * (middles[chosen] - at))
        np.add.at(normals, rows, np.einsum("lc,tcx->tlx", weights, corner_normals[chosen]))
    points /= np.bincount(found.light_rows, minlength=count)[:, None]
    return points, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)


def baked(
    world: MeshWorld,
    points: Float[np.ndarray, "p 3"],
    normals: Float[np.ndarray, "p 3"],
    emitters: tuple[Emitter, ...],
    albedo: Float[np.ndarray, " t"],
    *,
    cramped_m: float,
    well_wound: bool,
) -> Float[np.ndarray, "p s"]:
    """Light of every source at every point; points inside things take that of their neighbours.

    So do points that see no farther than ``cramped_m`` in the mean: they are wedged in between things. Where
    triangles are not ``well_wound``, a sheet that is seen from behind is lit from behind.
    """
    tree = (world.corners, world.nodes, world.links)
    rays = hemisphere(GATHER_RAYS)
    hits = np.empty((len(points), GATHER_RAYS), np.int32)
    places = np.zeros((len(points), GATHER_RAYS, 2), np.float32)
    backs, far = _gather(*tree, points + LIFT_M * normals, normals, rays, hits, places)
    few = rays[::8]
    spare = (np.empty((len(points), len(few)), np.int32), np.empty((len(points), len(few), 2), np.float32))
    _, behind = _gather(*tree, points - LIFT_M * normals, -normals, few, *spare)
    turned = (far < 0.25 * behind) & (backs > 0.5) & (not well_wound)
    normals = np.where(turned[:, None], -normals, normals)
    again = np.flatnonzero(turned)
    part_hits, part_places = hits[again], places[again]
    moved = points[again] + LIFT_M * normals[again]
    backs[again], far[again] = _gather(*tree, moved, normals[again], rays, part_hits, part_places)
    hits[again], places[again] = part_hits, part_places
    raised = points + LIFT_M * normals
    columns = [
        _direct(*tree, raised, normals, one.is_sun, one.at, one.normals, one.weights, one.body_m)
        for one in emitters
    ]
    direct = np.stack(columns, axis=1)
    valid = (backs < 0.5) & (far > cramped_m)
    healed = _healing(points, normals, valid)
    direct = healed(direct)
    light = direct
    for _ in range(BOUNCES):
        light = healed(direct + _bounced(world.lattices, world.light_rows, albedo, hits, places, light))
    return light


def _healing(
    points: Float[np.ndarray, "p 3"], normals: Float[np.ndarray, "p 3"], valid: Bool[np.ndarray, " p"]
):
    """A function that gives points which are inside something the light of the nearest that are not."""
    tree = cKDTree(np.concatenate([points, 0.5 * normals], axis=1)[valid])
    rows: Int[np.ndarray, " v"] = np.flatnonzero(valid)
    lost = np.flatnonzero(~valid)
    distance, near = tree.query(np.concatenate([points, 0.5 * normals], axis=1)[lost], k=4)
    weights = 1.0 / (distance + 1e-3) ** 2
    weights /= weights.sum(axis=1, keepdims=True)

    def heal(light: Float[np.ndarray, "p s"]) -> Float[np.ndarray, "p s"]:
        out = light.copy()
        out[lost] = (light[rows[near]] * weights[..., None]).sum(axis=1)
        return out

    return heal
