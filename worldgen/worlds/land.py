"""Land: what covers the walkable middle of a landscape, and where.

Room: worldgen.worlds; ``landscapes`` shapes it, ``growth`` plants it. Heights are in metres above the world's
zero. Grids go along x first, then along z, and are centred on the origin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from worldgen.worlds import palette, terrain
from worldgen.worlds.scene import Material

Rng = np.random.Generator
Grid = Float[np.ndarray, "n m"]
Levels = Int[np.ndarray, "n m"]
Site = tuple[int, int, int, int]
"""Cells i0 j0 i1 j1 of a building ground, ends excluded."""

CELLS, CELL_M = 36, 1.25
"""Of the fine grid, a side."""

TOP, PATCH, PATH, SHORE, CLIFF, PEAK, WET = 0, 1, 2, 3, 4, 5, -1
"""What covers a cell: an index into the looks of the land, or water."""

SHORE_M, CLIFF_M = 0.55, 1.0
"""Land lower than that is shore; land that is so much higher than a neighbour is rock."""

THEMES = {
    "meadow": ("grass", "grass", "gravel", "sand", "rock", "rock"),
    "heath": ("grass", "earth", "earth", "gravel", "rock", "rock"),
    "desert": ("sand", "earth", "gravel", "sand", "rock", "rock"),
    "autumn": ("earth", "grass", "gravel", "sand", "rock", "stone"),
    "winter": ("snow", "snow", "earth", "gravel", "rock", "snow"),
}
"""Materials of TOP ... PEAK."""

THEME_CHANCES = (0.45, 0.2, 0.1, 0.15, 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Land:
    """The walkable middle of a landscape."""

    levels: Levels
    cover: Levels
    step: float
    """Metres a level."""
    theme: str
    looks: list[tuple[Material, Material]]
    """Materials of the top and of the sides of every cover."""

    def cell_of(self, x: float, z: float) -> tuple[int, int]:
        """The fine cell at a place."""
        i, j = (int(min(max(v / CELL_M + 0.5 * CELLS, 0.0), CELLS - 1.0)) for v in (x, z))
        return i, j

    def height(self, x: float, z: float) -> float:
        """Height of the ground in metres."""
        return self.step * float(self.levels[self.cell_of(x, z)])


def centres(cells: int, side: float) -> tuple[Grid, Grid]:
    """World x and z of the middles of the cells of a grid about the origin."""
    at = (np.arange(cells) + 0.5 - 0.5 * cells) * side
    x, z = np.meshgrid(at, at, indexing="ij")
    return x, z


def covers_of(rng: Rng, levels: Levels, step: float, *, has_water: bool) -> Levels:
    """What lies on each cell, by height, steepness and chance."""
    patches = terrain.smooth_noise(rng, *centres(CELLS, CELL_M), wave=4.0)
    cover = np.where(patches > 0.42, PATCH, TOP)
    around = np.pad(levels, 1, mode="edge")
    low = np.minimum.reduce([around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]])
    cover[(levels - low) * step > CLIFF_M] = CLIFF
    if has_water:
        cover[levels * step < SHORE_M] = SHORE
        cover[levels <= 0] = WET
    return cover


def with_path(rng: Rng, cover: Levels, site: Site | None) -> Levels:
    """The covers with a winding path over dry land, from the site or from an edge."""
    if rng.random() < 0.25:
        return cover
    cover = cover.copy()
    at = np.array([0.0, rng.uniform(8.0, CELLS - 8.0)])
    heading = rng.uniform(-0.5, 0.5)
    if site is not None:
        at, heading = np.array([site[0] - 0.5, 0.5 * (site[1] + site[3])]), math.pi + rng.uniform(-0.7, 0.7)
    wide = rng.uniform(0.5, 0.95)
    i, j = np.meshgrid(np.arange(CELLS) + 0.5, np.arange(CELLS) + 0.5, indexing="ij")
    for _ in range(70):
        near = np.hypot(i - at[0], j - at[1]) < wide
        cover[near & (cover >= 0)] = PATH
        heading += rng.normal(0.0, 0.16)
        at = at + 0.6 * np.array([math.cos(heading), math.sin(heading)])
    return cover


def random_looks(rng: Rng, theme: str) -> list[tuple[Material, Material]]:
    """Top and sides of every cover; sides show soil or rock in the shade of what lies on it."""
    tops = [_natural(palette.material(rng, use), use) for use in THEMES[theme]]
    tops[PATCH] = _towards(tops[PATCH], palette.mean_colour(tops[TOP]), 0.65)
    soil = palette.material(rng, "earth" if rng.random() < 0.5 else "rock")
    blend = rng.uniform(0.3, 0.8)
    sides = [_towards(soil, 0.8 * palette.mean_colour(top), blend) for top in tops]
    sides[CLIFF] = tops[CLIFF]
    return list(zip(tops, sides, strict=True))


def _natural(look: Material, use: str) -> Material:
    """Grass a little greyer than the lawns that were photographed."""
    return palette.tinted(look, (1.06, 0.9, 1.2)) if use == "grass" else look


def _towards(look: Material, colour: np.ndarray, share: float) -> Material:
    """A material whose mean colour has moved part of the way to another."""
    mean = palette.mean_colour(look)
    return palette.tinted(look, 1.0 - share + share * colour / np.maximum(mean, 1e-3))
