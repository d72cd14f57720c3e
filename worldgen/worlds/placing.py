"""Placing: where furniture goes, so that nothing stands in anything else or in a doorway.

Room: worldgen.worlds; the layouts use it. ``taken`` lists the floor that is in use; placing adds to it.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from worldgen.worlds import furniture, walls
from worldgen.worlds.furniture import Piece
from worldgen.worlds.shells import Rect
from worldgen.worlds.walls import Wall

Rng = np.random.Generator


def keep_clear(wall: Wall, taken: list[Rect]) -> None:
    """Take the floor before and behind the doors and passages of a wall."""
    for hole in wall.openings:
        if hole.low == 0.0:
            a, b = wall.at - 1.0, wall.at + 1.0
            taken.append((a, hole.start, b, hole.end) if wall.axis == 1 else (hole.start, a, hole.end, b))


def _overlaps(rect: Rect, taken: list[Rect], gap: float) -> bool:
    return any(
        rect[0] < other[2] + gap
        and rect[2] > other[0] - gap
        and rect[1] < other[3] + gap
        and rect[3] > other[1] - gap
        for other in taken
    )


def placed_by_wall(rng: Rng, piece: Piece, wall: Wall, taken: list[Rect]) -> list[Piece]:
    """The piece with its back to a wall, or nothing where it does not fit."""
    tall = max(-shape.centre[1] + shape.half[1] for shape in piece.shapes)
    # windows stop tall furniture, doorways stop everything (they are in ``taken``)
    blocking = tuple(hole for hole in wall.openings if 0.0 < hole.low < tall)
    middle = walls.free_stretch(rng, dataclasses.replace(wall, openings=blocking), 2 * piece.half_x + 0.4)
    if middle is None or tall > wall.height - 0.1:
        return []
    yaw = (0.5 * math.pi * -wall.outward) if wall.axis == 1 else (math.pi if wall.outward > 0 else 0.0)
    away = wall.at - wall.outward * (
        piece.half_z + 0.04 + (0.3 * rng.random() if rng.random() < 0.2 else 0.0)
    )
    x, z = (away, middle) if wall.axis == 1 else (middle, away)
    return _settled(furniture.moved(piece, x=x, z=z, yaw=yaw), x, z, taken)


def placed_freely(rng: Rng, piece: Piece, rect: Rect, taken: list[Rect]) -> list[Piece]:
    """The piece turned at random somewhere on the floor, or nothing after a few tries."""
    for _ in range(4):
        turn = 0.5 * math.pi * rng.integers(4) + (rng.uniform(-0.6, 0.6) if rng.random() < 0.5 else 0.0)
        ghost = furniture.moved(piece, x=0.0, z=0.0, yaw=turn)
        room_x, room_z = (
            rect[2] - rect[0] - 2 * ghost.half_x - 0.1,
            rect[3] - rect[1] - 2 * ghost.half_z - 0.1,
        )
        if min(room_x, room_z) <= 0:
            continue
        x = rect[0] + 0.05 + ghost.half_x + rng.uniform(0, room_x)
        z = rect[1] + 0.05 + ghost.half_z + rng.uniform(0, room_z)
        found = _settled(furniture.moved(piece, x=x, z=z, yaw=turn), x, z, taken)
        if found:
            return found
    return []


def _settled(piece: Piece, x: float, z: float, taken: list[Rect]) -> list[Piece]:
    rect = (x - piece.half_x, z - piece.half_z, x + piece.half_x, z + piece.half_z)
    if _overlaps(rect, taken, 0.03):
        return []
    taken.append(rect)
    return [piece]
