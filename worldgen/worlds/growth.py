"""Growth: the building, trees, rocks and smaller things that stand on land.

Room: worldgen.worlds; ``landscapes`` calls it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from worldgen.worlds import buildings, palette, roadside, terrain
from worldgen.worlds.furniture import Piece, moved
from worldgen.worlds.land import CELL_M, CELLS, PATH, WET, Land, Site, centres
from worldgen.worlds.scene import Material

Rng = np.random.Generator


def standing(rng: Rng, land: Land, site: Site | None) -> list[Piece]:
    """A building on its ground, and trees, bushes and rocks wherever the land is dry."""
    pieces: list[Piece] = []
    taken = land.cover < 0
    taken |= land.cover == PATH
    if site is not None:
        rect = terrain.rect_of(site, cell=CELL_M, corner=-0.5 * CELLS * CELL_M)
        x, z = 0.5 * (rect[0] + rect[2]), 0.5 * (rect[1] + rect[3])
        room = (0.5 * (rect[2] - rect[0]) - 0.5, 0.5 * (rect[3] - rect[1]) - 0.5)
        building = buildings.random_building(rng, half_x=room[0], half_z=room[1])
        pieces.append(moved(building, x=x, z=z, yaw=0.0, floor=-land.height(x, z)))
        taken[site[0] : site[2], site[1] : site[3]] = True
    return pieces + _growth(rng, land, taken)


def _growth(rng: Rng, land: Land, taken: Bool[np.ndarray, "n m"]) -> list[Piece]:
    """Trees and rocks where nothing else is, and smaller things in between and along the path."""
    pieces: list[Piece] = []
    forest = terrain.smooth_noise(rng, *centres(CELLS, CELL_M), wave=9.0)
    stone, bare = palette.material(rng, "rock"), land.theme == "desert"
    large, small = int(rng.integers(22, 55)), int(rng.integers(50, 120))
    for k in range(large + small):
        i, j = (int(v) for v in rng.integers(1, CELLS - 1, size=2))
        if taken[i, j] or land.cover[i, j] == WET:
            continue
        x, z = ((v + rng.uniform(0.25, 0.75) - 0.5 * CELLS) * CELL_M for v in (i, j))
        if k < large:
            piece = _tall(rng, forest[i, j], stone, is_bare=bare)
            taken[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2] = True
        else:
            piece = _low(rng, stone, is_bare=bare)
            taken[i, j] = True
        pieces.append(moved(piece, x=x, z=z, yaw=rng.uniform(0.0, 6.0), floor=-land.height(x, z)))
    return pieces


def _tall(rng: Rng, forest: float, stone: Material, *, is_bare: bool) -> Piece:
    """A tree where there is forest, else a single tree, a rock or a few bushes."""
    kind = rng.random()
    if not is_bare and (forest > 0.0 or kind < 0.3):
        return roadside.tree(rng) if rng.random() < 0.55 else roadside.conifer(rng)
    if not is_bare and kind < 0.5:
        return roadside.bush(rng)
    size = rng.uniform(0.4, 1.3)
    return Piece(shapes=tuple(terrain.rock(rng, stone, size)), half_x=size, half_z=size)


def _low(rng: Rng, stone: Material, *, is_bare: bool) -> Piece:
    """Stones, stumps, bushes and flowers; now and then a bench or a signpost."""
    kind = rng.random()
    if kind < 0.04:
        return roadside.bench(rng) if rng.random() < 0.5 else roadside.road_sign(rng)
    if kind < 0.35 or is_bare:
        size = rng.uniform(0.12, 0.4)
        return Piece(shapes=tuple(terrain.rock(rng, stone, size)), half_x=size, half_z=size)
    if kind < 0.5:
        return roadside.stump(rng)
    return roadside.bush(rng) if kind < 0.85 else roadside.flowers(rng)
