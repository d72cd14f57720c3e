"""Shells: the walls, floors and ceilings of one to three rooms that open into each other.

Room: worldgen.worlds; ``rooms`` furnishes them. The main room is centred on the origin; side rooms lie
towards +x and +z and share its wall, windows look towards -x and -z, and out of side rooms.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from worldgen.worlds import palette, walls
from worldgen.worlds.scene import Material, Shape, slab
from worldgen.worlds.walls import Opening, Wall

Rng = np.random.Generator
Rect = tuple[float, float, float, float]
"""x0 z0 x1 z1 in metres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """One room's walls with their looks, before anything stands in it."""

    rect: Rect
    height: float
    walls: tuple[Wall, ...]
    shapes: list[Shape]
    floor: Material


def area(rect: Rect) -> float:
    """Floor area."""
    return (rect[2] - rect[0]) * (rect[3] - rect[1])


def girth(rect: Rect) -> float:
    """Half the length of the walls around."""
    return rect[2] - rect[0] + rect[3] - rect[1]


def random_shells(rng: Rng) -> list[Shell]:
    """The main room and up to two side rooms behind its walls."""
    long = rng.uniform(4.0, 12.0) if rng.random() < 0.5 else rng.uniform(4.0, 7.5)
    hx, hz = 0.5 * long, 0.5 * rng.uniform(max(3.4, 0.45 * long), max(3.6, min(long, 9.0)))
    if rng.random() < 0.5:
        hx, hz = hz, hx
    height = rng.uniform(2.4, 3.1) if rng.random() < 0.6 else rng.uniform(3.1, 4.5)
    main: Rect = (-hx, -hz, hx, hz)
    to_x = _doorway(rng, -hz, hz, height) if rng.random() < 0.65 else None
    to_z = _doorway(rng, -hx, hx, height) if rng.random() < 0.3 else None
    sides = (
        _windows(rng, -hz, hz, height),
        (to_x,) if to_x else (),
        _windows(rng, -hx, hx, height),
        (to_z,) if to_z else (),
    )
    shells = [_shell(rng, main, height, sides)]
    gap = shells[0].walls[0].thickness
    for axis, hole in ((0, to_x), (1, to_z)):
        if hole is None:
            continue
        depth, across = (hx, hz) if axis == 0 else (hz, hx)
        low = rng.uniform(max(-across, hole.start - 2.5), hole.start - 0.1)
        high = rng.uniform(hole.end + 0.1, min(across, hole.end + 2.5))
        deep = rng.uniform(0.8, 1.4) if rng.random() < 0.2 else rng.uniform(2.0, 6.0)
        near, far = depth + gap, depth + gap + deep
        rect = (near, low, far, high) if axis == 0 else (low, near, high, far)
        top = rng.uniform(max(2.3, hole.high + 0.05), max(height, hole.high + 0.3))
        shells.append(_side_room(rng, rect, top, axis, shells[0]))
    return shells


def _doorway(rng: Rng, low: float, high: float, height: float) -> Opening:
    """A passage somewhere in a wall."""
    width = rng.uniform(0.9, min(3.2, 0.6 * (high - low)))
    start = rng.uniform(low + 0.3, high - 0.3 - width)
    top = min(rng.uniform(2.0, 2.6), height - 0.1)
    return Opening(start=start, end=start + width, low=0.0, high=top)


def _windows(rng: Rng, low: float, high: float, height: float) -> tuple[Opening, ...]:
    """A row of equal windows, or none."""
    if rng.random() < 0.45:
        return ()
    count = int(rng.integers(1, 4)) if high - low > 5 else int(rng.integers(1, 3))
    slot = (high - low - 0.6) / count
    width = min(rng.uniform(0.7, 2.2), slot - 0.3)
    sill = rng.uniform(0.1, 0.5) if rng.random() < 0.3 else rng.uniform(0.7, 1.1)
    top = max(sill + 0.7, min(rng.uniform(1.9, 2.6), height - 0.2))
    middles = [low + 0.3 + (k + 0.5) * slot for k in range(count)]
    return tuple(Opening(start=m - width / 2, end=m + width / 2, low=sill, high=top) for m in middles)


def _four_walls(rect: Rect, height: float, sides: tuple[tuple[Opening, ...], ...]) -> tuple[Wall, ...]:
    """Walls towards -x, +x, -z, +z; those along z close the corners."""
    x0, z0, x1, z1 = rect
    t = 0.16
    return (
        Wall(axis=1, at=x0, outward=-1, start=z0 - t, end=z1 + t, height=height, openings=sides[0]),
        Wall(axis=1, at=x1, outward=1, start=z0 - t, end=z1 + t, height=height, openings=sides[1]),
        Wall(axis=0, at=z0, outward=-1, start=x0, end=x1, height=height, openings=sides[2]),
        Wall(axis=0, at=z1, outward=1, start=x0, end=x1, height=height, openings=sides[3]),
    )


def _shell(rng: Rng, rect: Rect, height: float, sides: tuple[tuple[Opening, ...], ...]) -> Shell:
    around = _four_walls(rect, height, sides)
    look, accent = palette.wall(rng), palette.wall(rng)
    special = int(rng.integers(0, 8))  # one wall of four differs in half of the rooms
    shapes: list[Shape] = []
    trim = palette.joinery(rng)
    board = rng.uniform(0.06, 0.16) if rng.random() < 0.6 else 0.0
    for k, wall in enumerate(around):
        shapes += walls.built(wall, accent if k == special else look)
        if board:
            shapes += walls.skirting(wall, trim, height=board)
        for hole in wall.openings:
            bars = int(rng.integers(0, 3)) if hole.low > 0 else 0
            shapes += walls.frame(wall, hole, trim, bars=bars)
    floor = palette.material(rng, "floor")
    shapes += _floor_and_ceiling(rng, rect, height, floor)
    return Shell(rect=rect, height=height, walls=around, shapes=shapes, floor=floor)


def _floor_and_ceiling(rng: Rng, rect: Rect, height: float, floor: Material) -> list[Shape]:
    x0, z0, x1, z1 = rect
    t = 0.16
    top = palette.material(rng, "ceiling") if rng.random() < 0.5 else palette.paint(rng)
    shapes = [
        slab((x0 - t, 0.0, z0 - t), (x1 + t, 0.2, z1 + t), floor),
        slab((x0 - t, -height - 0.15, z0 - t), (x1 + t, -height, z1 + t), top),
    ]
    if rng.random() < 0.25:  # beams across the shorter side
        wood, count = palette.joinery(rng), int(rng.integers(2, 6))
        w, h = rng.uniform(0.05, 0.1), rng.uniform(0.1, 0.22)
        for k in range(count):
            f = (k + 0.5) / count
            if x1 - x0 > z1 - z0:
                at = x0 + f * (x1 - x0)
                shapes.append(
                    slab((at - w, -height - 0.01, z0 - 0.01), (at + w, -height + h, z1 + 0.01), wood)
                )
            else:
                at = z0 + f * (z1 - z0)
                shapes.append(
                    slab((x0 - 0.01, -height - 0.01, at - w), (x1 + 0.01, -height + h, at + w), wood)
                )
    return shapes


def _side_room(rng: Rng, rect: Rect, height: float, axis: int, main: Shell) -> Shell:
    """A room behind the +x (axis 0) or +z (axis 1) wall of the main room, whose wall they share."""
    x0, z0, x1, z1 = rect
    far = _windows(rng, z0, z1, height) if axis == 0 else _windows(rng, x0, x1, height)
    sides = ((), far, (), ()) if axis == 0 else ((), (), (), far)
    shell = _shell(rng, rect, height, sides)
    shared = 0 if axis == 0 else 2
    others = tuple(wall for k, wall in enumerate(shell.walls) if k != shared)
    t = 0.16
    # the shared wall stands already: drop this room's own copy, floor and ceiling stop at it
    shapes = [s for s in shell.shapes if not _in_shared_wall(s, rect, axis)]
    shapes = [_cut_at(s, rect[axis], axis) for s in shapes]
    if main.height < height:  # the main room's wall is too low for this room: close the gap
        wall = dataclasses.replace(shell.walls[shared], height=height + 0.1)
        look = palette.wall(rng)
        shapes.append(
            walls.block(wall, (wall.start, wall.end), (main.height, height + 0.1), (-t, 0.004), look)
        )
    return dataclasses.replace(shell, shapes=shapes, walls=others)


def _in_shared_wall(shape: Shape, rect: Rect, axis: int) -> bool:
    """Whether a shape belongs to the wall on the low side of ``rect``."""
    k = 0 if axis == 0 else 2
    return shape.centre[k] + shape.half[k] < rect[axis] + 0.03


def _cut_at(shape: Shape, edge: float, axis: int) -> Shape:
    """Move the low side of a slab up to ``edge``."""
    k = 0 if axis == 0 else 2
    start, end = shape.centre[k] - shape.half[k], shape.centre[k] + shape.half[k]
    if start >= edge - 1e-6:
        return shape
    centre, half = list(shape.centre), list(shape.half)
    centre[k], half[k] = 0.5 * (edge + end), 0.5 * (end - edge)
    return dataclasses.replace(shape, centre=tuple(centre), half=tuple(half))


def doorways(shells: list[Shell]) -> list[Rect]:
    """Passages through walls, as walkable areas."""
    rects: list[Rect] = []
    for wall in shells[0].walls:
        for hole in wall.openings:
            if hole.low == 0.0 and hole.end - hole.start > 0.8:
                a, b = wall.at - 0.3, wall.at + 0.46
                rects.append((a, hole.start, b, hole.end) if wall.axis == 1 else (hole.start, a, hole.end, b))
    return rects
