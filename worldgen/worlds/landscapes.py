"""Landscapes: terraced hills, water, paths, trees, rocks, and a hut, a tower or a ruin.

Room: worldgen.worlds; ``layout`` calls it. Fine cells lie around the origin, where people walk; coarse cells
go on to the horizon. Heights are in metres above y = 0, the level of the water where there is some.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from worldgen.worlds import palette, roadside, terrain
from worldgen.worlds.furniture import moved
from worldgen.worlds.growth import standing
from worldgen.worlds.land import (
    CELL_M,
    CELLS,
    PEAK,
    THEME_CHANCES,
    THEMES,
    TOP,
    WET,
    Grid,
    Land,
    Site,
    centres,
    covers_of,
    random_looks,
    with_path,
)
from worldgen.worlds.paths import MAX_CLIMB_M
from worldgen.worlds.rooms import Plan, sun
from worldgen.worlds.scene import Material, Shape, slab
from worldgen.worlds.shells import Rect
from worldgen.worlds.skies import Daylight

Rng = np.random.Generator

COARSE_CELLS, COARSE_M, COARSE_STEP_M = 24, 5.625, 0.9
HOLE = slice(8, 16)
"""Cells of the coarse grid, a side, in whose place the fine grid lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """Heights as a function of place: waves of noise, hills further out, a slope."""

    seed: int
    amplitudes: tuple[float, float]
    waves: tuple[float, float]
    """Metres."""
    rise: float
    """How much the land rises towards the horizon, in metres, on average."""
    slope: tuple[float, float]
    level: float
    has_water: bool

    def at(self, x: Grid, z: Grid) -> Grid:
        """Heights in metres."""
        rng = np.random.Generator(np.random.PCG64(self.seed))
        out = self.level + self.slope[0] * x + self.slope[1] * z
        for amplitude, wave in zip(self.amplitudes, self.waves, strict=True):
            out = out + amplitude * terrain.smooth_noise(rng, x, z, wave=wave)
        far = np.maximum(np.hypot(x, z) - 20.0, 0.0) / 45.0
        return out + self.rise * far**1.3 * (0.7 + terrain.smooth_noise(rng, x, z, wave=20.0))


def random_landscape(rng: Rng, daylight: Daylight) -> Plan:
    """Hills, shores, heaths, deserts or snow."""
    relief, step = _random_relief(rng), rng.uniform(0.28, 0.5)
    heights, site = _with_site(rng, relief.at(*centres(CELLS, CELL_M)))
    levels = np.round(heights / step).astype(np.int64)
    theme = str(rng.choice(list(THEMES), p=THEME_CHANCES))
    cover = with_path(rng, covers_of(rng, levels, step, has_water=relief.has_water), site)
    land = Land(levels=levels, cover=cover, step=step, theme=theme, looks=random_looks(rng, theme))
    bottom = 1.0 - step * float(min(levels.min(), 0))
    shapes = terrain.columns(
        levels,
        cover,
        step=step,
        cell=CELL_M,
        corner=-0.5 * CELLS * CELL_M,
        looks=land.looks,
        bottom=bottom,
    )
    shapes += _far(rng, relief, land, bottom)
    for piece in standing(rng, land, site):
        shapes += piece.shapes
    areas, walk_levels = _walkable(land)
    return Plan(
        shapes=shapes,
        lights=[sun(np.array(daylight.sky.to_sun), np.array(daylight.sun))],
        areas=areas,
        levels=walk_levels,
        ceiling=4.0,
        floor_colour=palette.vector(palette.mean_colour(land.looks[TOP][0])),
        surface_m2=(CELLS * CELL_M) ** 2,
    )


def _random_relief(rng: Rng) -> Relief:
    angle, tilt = rng.uniform(0.0, 2 * math.pi), rng.uniform(0.0, 0.07)
    has_water = bool(rng.random() < 0.55)
    return Relief(
        seed=int(rng.integers(1 << 30)),
        amplitudes=(rng.uniform(0.7, 3.0), rng.uniform(0.2, 0.8)),
        waves=(rng.uniform(13.0, 24.0), rng.uniform(5.0, 9.0)),
        rise=rng.uniform(0.0, 10.0),
        slope=(tilt * math.cos(angle), tilt * math.sin(angle)),
        level=rng.uniform(0.3, 1.6),
        has_water=has_water,
    )


def _with_site(rng: Rng, heights: Grid) -> tuple[Grid, Site | None]:
    """A level building ground (i0 j0 i1 j1) in dry land, now and then, and the heights around it."""
    if rng.random() < 0.2:
        return heights, None
    for _ in range(12):
        n, m = rng.integers(5, 9, 2)
        i, j = int(rng.integers(4, CELLS - 4 - n)), int(rng.integers(4, CELLS - 4 - m))
        part = heights[i : i + n, j : j + m]
        if part.min() > 0.5 and np.ptp(part) < 2.0 and max(abs(i + n / 2 - 18), abs(j + m / 2 - 18)) > 5:
            heights = heights.copy()
            heights[i : i + n, j : j + m] = np.median(part)
            return heights, (i, j, i + int(n), j + int(m))
    return heights, None


def _far(rng: Rng, relief: Relief, land: Land, bottom: float) -> list[Shape]:
    """Coarse land up to the horizon, the sea or plain below it, and far trees."""
    x, z = centres(COARSE_CELLS, COARSE_M)
    heights = relief.at(x, z)
    levels = np.round(heights / COARSE_STEP_M).astype(np.int64)
    cover = np.where(heights > 7.0, PEAK, TOP)
    if relief.has_water:
        cover[levels <= 0] = WET
    cover[HOLE, HOLE] = WET
    corner = -0.5 * COARSE_CELLS * COARSE_M
    far = terrain.columns(
        levels, cover, step=COARSE_STEP_M, cell=COARSE_M, corner=corner, looks=land.looks, bottom=bottom + 6.0
    )
    if relief.has_water:
        far += _water(rng)
    else:
        far.append(slab((-95.0, bottom - 0.1, -95.0), (95.0, bottom + 1.0, 95.0), land.looks[TOP][0]))
    if land.theme == "desert":
        return far
    for _ in range(int(rng.integers(0, 26))):
        i, j = rng.integers(COARSE_CELLS, size=2)
        if cover[i, j] < 0:
            continue
        piece = roadside.conifer(rng) if rng.random() < 0.5 else roadside.tree(rng)
        floor = -COARSE_STEP_M * float(levels[i, j])
        far += moved(piece, x=float(x[i, j]), z=float(z[i, j]), yaw=0.0, floor=floor).shapes
    return far


def _water(rng: Rng) -> list[Shape]:
    """Still water up to the horizon; in pieces near by, where shadows fall on it."""
    look = palette.drawn(rng, "water")
    look = Material(tile=look.tile, tint=look.tint, tiles_per_m=rng.uniform(0.12, 0.3))
    half = 0.5 * CELLS * CELL_M
    shapes = [slab((-95.0, 0.02, -95.0), (95.0, 0.5, 95.0), look)]
    count = 4
    for i in range(count):
        for j in range(count):
            x, z = (-half + 2 * half * k / count for k in (i, j))
            shapes.append(slab((x, 0.0, z), (x + 2 * half / count, 0.3, z + 2 * half / count), look))
    return shapes


def _walkable(land: Land) -> tuple[list[Rect], tuple[float, ...]]:
    """Rectangles of the largest dry piece of land that one can walk through, and their world y."""
    best: Bool[np.ndarray, "n m"] = np.zeros(land.levels.shape, bool)
    free = land.cover >= 0
    free[[0, -1]] = free[:, [0, -1]] = False
    climb = int(MAX_CLIMB_M / land.step)
    while free.any():
        start = np.unravel_index(int(np.argmax(free)), free.shape)
        found = terrain.reachable(land.levels, free, climb=climb, start=(int(start[0]), int(start[1])))
        free &= ~found
        best = found if found.sum() > best.sum() else best
    rects, levels = [], []
    key = np.where(best, land.levels - land.levels.min(), -1)
    for cells in terrain.merged(key):
        if key[cells[0], cells[1]] >= 0:
            rects.append(terrain.rect_of(cells, cell=CELL_M, corner=-0.5 * CELLS * CELL_M))
            levels.append(-land.step * float(land.levels[cells[0], cells[1]]))
    return rects, tuple(levels)
