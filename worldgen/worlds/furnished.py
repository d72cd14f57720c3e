"""Furnished rooms: interiors whose furniture belongs together, by what each room is for.

Room: worldgen.worlds; ``layout`` calls it. Shells, light and decoration are those of ``rooms``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldgen.worlds import furniture, interiors, kitchens
from worldgen.worlds.furniture import Piece
from worldgen.worlds.placing import keep_clear, placed_by_wall, placed_freely
from worldgen.worlds.rooms import Plan, random_room
from worldgen.worlds.shells import Rect, Shell, area

Rng = np.random.Generator
Maker = Callable[[Rng], Piece]

TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What stands in a room: always, perhaps along the walls, perhaps on the floor."""

    first: tuple[Maker, ...]
    """By the walls, before anything else."""
    by_wall: tuple[Maker, ...]
    middle: tuple[Maker, ...]


PURPOSES: dict[str, Purpose] = {
    "living": Purpose(
        first=(furniture.sofa, interiors.media_stand, furniture.shelf),
        by_wall=(
            furniture.cabinet,
            furniture.shelf,
            furniture.plant,
            interiors.armchair,
            interiors.radiator,
            furniture.lamp,
        ),
        middle=(interiors.coffee_table, interiors.armchair, furniture.plant),
    ),
    "kitchen": Purpose(
        first=(kitchens.kitchen, furniture.cabinet),
        by_wall=(furniture.shelf, interiors.radiator, furniture.cabinet, furniture.plant),
        middle=(interiors.dining_table, furniture.chair),
    ),
    "office": Purpose(
        first=(interiors.desk, interiors.desk, interiors.filing_cabinet, furniture.shelf),
        by_wall=(
            interiors.filing_cabinet,
            interiors.whiteboard,
            furniture.shelf,
            furniture.plant,
            interiors.desk,
        ),
        middle=(interiors.desk, interiors.office_chair, furniture.plant),
    ),
    "bedroom": Purpose(
        first=(furniture.bed, interiors.wardrobe),
        by_wall=(furniture.cabinet, interiors.desk, furniture.shelf, interiors.radiator, furniture.lamp),
        middle=(interiors.armchair, furniture.plant),
    ),
}


def random_furnished_room(rng: Rng) -> Plan:
    """One to three rooms, each a living room, a kitchen, an office or a bedroom."""
    return random_room(rng, furnish=_furnished)


def _furnished(rng: Rng, shell: Shell, taken: list[Rect]) -> list[Piece]:
    """Everything in one room; ``taken`` grows."""
    for wall in shell.walls:
        keep_clear(wall, taken)
    purpose = PURPOSES[str(rng.choice(list(PURPOSES)))]
    size, pieces = area(shell.rect), []
    for make in purpose.first:
        pieces += _by_some_wall(rng, make, shell, taken)
    for _ in range(int(min(rng.integers(3, 8), size / 3))):
        make = purpose.by_wall[rng.integers(len(purpose.by_wall))]
        pieces += _by_some_wall(rng, make, shell, taken)
    for make in purpose.middle[: 1 + int(size > 14) + int(size > 24)]:
        pieces += placed_freely(rng, make(rng), shell.rect, taken)
    if rng.random() < 0.6:
        pieces += placed_freely(rng, furniture.rug(rng), shell.rect, [])
    return pieces


def _by_some_wall(rng: Rng, make: Maker, shell: Shell, taken: list[Rect]) -> list[Piece]:
    """A piece by the first wall, in random order, where it fits."""
    piece = make(rng)
    for _ in range(TRIES):
        found = placed_by_wall(rng, piece, shell.walls[rng.integers(len(shell.walls))], taken)
        if found:
            return found
    return []
