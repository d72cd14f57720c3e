"""Walls with openings, and what belongs to walls: frames, doors, pictures, skirting.

Room: worldgen.worlds; the layouts build with it. A wall has a line on its inner side, and runs from
there outwards. Metres; +y is down, so "low" and "high" of an opening are heights above the floor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldgen.worlds import palette
from worldgen.worlds.scene import Material, Shape, Vector, slab

Rng = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A hole in a wall."""

    start: float
    end: float
    """Along the wall, in the world coordinate that it follows."""
    low: float
    high: float
    """Heights above the floor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """A straight wall along x (``axis`` 0) or z (``axis`` 1)."""

    axis: int
    at: float
    """World coordinate of the inner side."""
    outward: int
    """+1 or -1: the side of ``at`` on which the wall's body lies."""
    start: float
    end: float
    height: float
    thickness: float = 0.16
    openings: tuple[Opening, ...] = ()


def block(
    wall: Wall,
    along: tuple[float, float],
    heights: tuple[float, float],
    depth: tuple[float, float],
    *materials: Material,
) -> Shape:
    """A block in a wall's axes: along it, heights above the floor, and depth inwards of its line."""
    near, far = wall.at - wall.outward * depth[0], wall.at - wall.outward * depth[1]
    low: Vector = (along[0], -heights[1], min(near, far))
    high: Vector = (along[1], -heights[0], max(near, far))
    if wall.axis == 1:
        low, high = (low[2], low[1], low[0]), (high[2], high[1], high[0])
    return slab(low, high, *materials)


def built(wall: Wall, look: Material) -> list[Shape]:
    """The pieces of a wall around its openings."""
    depth, shapes, at = (-wall.thickness, 0.0), [], wall.start
    for hole in sorted(wall.openings, key=lambda opening: opening.start):
        if hole.start > at:
            shapes.append(block(wall, (at, hole.start), (0.0, wall.height), depth, look))
        if hole.low > 0.0:
            shapes.append(block(wall, (hole.start, hole.end), (0.0, hole.low), depth, look))
        if hole.high < wall.height:
            shapes.append(block(wall, (hole.start, hole.end), (hole.high, wall.height), depth, look))
        at = hole.end
    if at < wall.end:
        shapes.append(block(wall, (at, wall.end), (0.0, wall.height), depth, look))
    return shapes


def frame(wall: Wall, hole: Opening, look: Material, *, bars: int = 0) -> list[Shape]:
    """A frame around an opening, with upright bars for a window."""
    wide, deep = 0.05, (-wall.thickness - 0.015, 0.02)
    shapes = [
        block(wall, (hole.start - wide, hole.start + 0.01), (hole.low, hole.high + wide), deep, look),
        block(wall, (hole.end - 0.01, hole.end + wide), (hole.low, hole.high + wide), deep, look),
        block(wall, (hole.start, hole.end), (hole.high - 0.01, hole.high + wide - 0.004), deep, look),
    ]
    if hole.low > 0.0:
        sill = (-wall.thickness - 0.03, 0.07)
        shapes.append(
            block(wall, (hole.start - 0.08, hole.end + 0.08), (hole.low - 0.03, hole.low + 0.012), sill, look)
        )
    middle = -0.5 * wall.thickness
    for k in range(bars):
        x = hole.start + (hole.end - hole.start) * (k + 1) / (bars + 1)
        bar = (x - 0.02, x + 0.02)
        shapes.append(block(wall, bar, (hole.low, hole.high), (middle - 0.02, middle + 0.02), look))
    if bars and hole.high - hole.low > 0.9:
        y = hole.low + 0.65 * (hole.high - hole.low)
        shapes.append(
            block(wall, (hole.start, hole.end), (y - 0.02, y + 0.02), (middle - 0.015, middle + 0.015), look)
        )
    return shapes


def skirting(wall: Wall, look: Material, *, height: float) -> list[Shape]:
    """A board along the foot of a wall, left out where openings reach the floor."""
    shapes, at = [], wall.start
    for hole in sorted(wall.openings, key=lambda opening: opening.start):
        if hole.low > 0.0:
            continue
        if hole.start - 0.06 > at:
            shapes.append(block(wall, (at, hole.start - 0.06), (0.0, height), (-0.01, 0.015), look))
        at = hole.end + 0.06
    if at < wall.end:
        shapes.append(block(wall, (at, wall.end), (0.0, height), (-0.01, 0.015), look))
    return shapes


def free_stretch(rng: Rng, wall: Wall, width: float, *, tries: int = 6) -> float | None:
    """Where along a wall something of ``width`` fits between the openings; its middle, or None."""
    room = wall.end - wall.start - width - 0.2
    for _ in range(tries if room > 0 else 0):
        middle = wall.start + 0.1 + 0.5 * width + rng.uniform(0.0, room)
        gap = 0.5 * width + 0.12
        if all(hole.end < middle - gap or hole.start > middle + gap for hole in wall.openings):
            return float(middle)
    return None


def pictures(rng: Rng, wall: Wall, *, count: int, height: float) -> list[Shape]:
    """Framed pictures that do not overlap each other."""
    shapes: list[Shape] = []
    taken = wall
    for _ in range(count):
        w, h = rng.uniform(0.35, 1.5), rng.uniform(0.35, min(1.1, 0.4 * height))
        middle = free_stretch(rng, taken, w + 0.1)
        if middle is None:
            continue
        eye = min(rng.uniform(1.35, 1.75), height - 0.5 * h - 0.2)
        rim, wood = rng.uniform(0.015, 0.05), palette.joinery(rng)
        along, heights = (middle - w / 2, middle + w / 2), (eye - h / 2, eye + h / 2)
        shapes.append(block(wall, along, heights, (-0.01, 0.03), wood))
        inner, heights = (along[0] + rim, along[1] - rim), (heights[0] + rim, heights[1] - rim)
        shapes.append(block(wall, inner, heights, (-0.01, 0.034), palette.picture(rng)))
        hole = Opening(start=along[0], end=along[1], low=0.0, high=height)
        taken = _with_opening(taken, hole)
    return shapes


def door(rng: Rng, wall: Wall) -> tuple[list[Shape], Opening | None]:
    """A shut door with frame and knob, and the stretch of wall that it takes."""
    width, height = rng.uniform(0.8, 1.1), min(rng.uniform(2.0, 2.2), wall.height - 0.15)
    middle = free_stretch(rng, wall, width)
    if middle is None:
        return [], None
    wood, trim = palette.joinery(rng), palette.joinery(rng)
    along = (middle - width / 2, middle + width / 2)
    shapes = [block(wall, along, (0.0, height), (-0.01, 0.02), wood)]
    shapes.append(block(wall, (along[0] - 0.07, along[0]), (0.0, height + 0.07), (-0.01, 0.035), trim))
    shapes.append(block(wall, (along[1], along[1] + 0.07), (0.0, height + 0.07), (-0.01, 0.035), trim))
    shapes.append(block(wall, along, (height, height + 0.066), (-0.01, 0.034), trim))
    if rng.random() < 0.5:
        for low, high in ((0.2, 0.9), (1.05, height - 0.15)):
            shapes.append(block(wall, (along[0] + 0.13, along[1] - 0.13), (low, high), (0.0, 0.03), trim))
    shapes.append(block(wall, (along[1] - 0.1, along[1] - 0.05), (1.0, 1.04), (0.0, 0.07), trim))
    return shapes, Opening(start=along[0] - 0.1, end=along[1] + 0.1, low=0.0, high=height)


def _with_opening(wall: Wall, hole: Opening) -> Wall:
    return Wall(
        axis=wall.axis,
        at=wall.at,
        outward=wall.outward,
        start=wall.start,
        end=wall.end,
        height=wall.height,
        thickness=wall.thickness,
        openings=(*wall.openings, hole),
    )
