"""Courtyards: open sky, ground, walls and house fronts around, things to walk among.

Room: worldgen.worlds; ``layout`` calls it. The court is centred on the origin.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from worldgen.worlds import furniture, palette, walls
from worldgen.worlds.furniture import Piece
from worldgen.worlds.placing import keep_clear, placed_by_wall, placed_freely
from worldgen.worlds.rooms import Plan, sun
from worldgen.worlds.scene import Shape, box, cylinder, slab, sphere
from worldgen.worlds.shells import Rect
from worldgen.worlds.walls import Opening, Wall

Rng = np.random.Generator


def random_courtyard(rng: Rng, *, to_sun: np.ndarray) -> Plan:
    """A court between house fronts and walls, under the open sky."""
    hx, hz = 0.5 * rng.uniform(7.0, 20.0), 0.5 * rng.uniform(7.0, 16.0)
    rect: Rect = (-hx, -hz, hx, hz)
    ground = palette.material(rng, "ground")
    shapes = [
        slab((-hx - 0.4, 0.0, -hz - 0.4), (hx + 0.4, 0.3, hz + 0.4), ground),
        slab((-70.0, 0.12, -70.0), (70.0, 0.4, 70.0), palette.material(rng, "ground")),
    ]
    around = _sides(rng, rect)
    fronts: list[Wall] = []
    for wall in around:
        parts, front = _front(rng, wall)
        shapes += parts
        fronts.append(front)
    shapes += _patches(rng, rect) + _skyline(rng, hx, hz)
    taken: list[Rect] = []
    for piece in _standing(rng, rect, fronts, taken):
        shapes += piece.shapes
    day = rng.uniform(1.5, 3.0)
    return Plan(
        shapes=shapes,
        lights=[sun(to_sun, np.array([1.0, 0.94, 0.82]) * rng.uniform(0.95, 1.05, 3) * day)],
        areas=[rect],
        ceiling=4.0,
        floor_colour=palette.vector(palette.mean_colour(ground)),
        surface_m2=4 * hx * hz,
    )


def _sides(rng: Rng, rect: Rect) -> list[Wall]:
    """Four sides of different heights: garden walls and house fronts."""
    x0, z0, x1, z1 = rect
    heights = [rng.uniform(1.8, 3.0) if rng.random() < 0.4 else rng.uniform(3.2, 7.5) for _ in range(4)]
    t = 0.35
    return [
        Wall(axis=1, at=x0, outward=-1, start=z0 - t, end=z1 + t, height=heights[0], thickness=t),
        Wall(axis=1, at=x1, outward=1, start=z0 - t, end=z1 + t, height=heights[1], thickness=t),
        Wall(axis=0, at=z0, outward=-1, start=x0, end=x1, height=heights[2], thickness=t),
        Wall(axis=0, at=z1, outward=1, start=x0, end=x1, height=heights[3], thickness=t),
    ]


def _front(rng: Rng, wall: Wall) -> tuple[list[Shape], Wall]:
    """A side of the court; tall ones are houses with doors, windows and a roof's edge."""
    look = palette.material(rng, "wall") if rng.random() < 0.75 else palette.paint(rng)
    trim = palette.paint(rng) if rng.random() < 0.5 else palette.material(rng, "object")
    along = (wall.start, wall.end)
    if wall.height < 3.1:
        gate = _gate(rng, wall)
        wall = dataclasses.replace(wall, openings=gate)
        shapes = walls.built(wall, look)
        cap = (wall.height - 0.004, wall.height + 0.1)
        shapes.append(walls.block(wall, along, cap, (-wall.thickness - 0.06, 0.06), trim))
        for hole in gate:
            shapes += walls.frame(wall, hole, trim)
        return shapes, wall
    shapes = [walls.block(wall, along, (0.0, wall.height), (-2.5, 0.0), look)]
    roof, over = palette.material(rng, "roof"), rng.uniform(0.1, 0.6)
    shapes.append(walls.block(wall, along, (wall.height, wall.height + 0.18), (-2.6, over), roof))
    base = rng.uniform(0.2, 1.0)
    if rng.random() < 0.5:
        shapes.append(walls.block(wall, along, (0.0, base), (-0.05, 0.04), palette.material(rng, "wall")))
    holes: tuple[Opening, ...] = ()
    parts, door = walls.door(rng, wall)
    if door is not None and rng.random() < 0.7:
        shapes += parts
        holes = (door,)
    wall = dataclasses.replace(wall, openings=holes)
    return shapes + _front_windows(rng, wall), wall


def _gate(rng: Rng, wall: Wall) -> tuple[Opening, ...]:
    """Now and then a way out through a garden wall."""
    if rng.random() < 0.5 or wall.height < 2.5:
        return ()
    width = rng.uniform(1.0, 2.2)
    start = rng.uniform(wall.start + 0.8, wall.end - 0.8 - width)
    return (Opening(start=start, end=start + width, low=0.0, high=min(2.2, wall.height - 0.15)),)


def _front_windows(rng: Rng, wall: Wall) -> list[Shape]:
    """Rows of equal windows: dark panes with frames, bars and sills."""
    length, shapes = wall.end - wall.start, []
    shade = rng.uniform(0.03, 0.2) * np.array([0.8, 1.0, 1.2])
    glass = dataclasses.replace(palette.material(rng, "plain"), tint=palette.vector(shade))
    trim = palette.paint(rng)
    floors, columns = max(1, int(wall.height / 2.9)), max(1, int(length / rng.uniform(2.2, 4.0)))
    width, high = rng.uniform(0.7, 1.3), rng.uniform(1.0, 1.5)
    for level in range(min(floors, 2)):
        for c in range(min(columns, 5)):
            middle = wall.start + length * (c + 0.5) / min(columns, 5)
            low = 0.95 + 2.8 * level
            hidden = any(hole.start - 0.7 < middle < hole.end + 0.7 for hole in wall.openings)
            if low + high > wall.height - 0.2 or (hidden and level == 0):
                continue
            a, b = middle - width / 2, middle + width / 2
            shapes.append(
                walls.block(wall, (a - 0.06, b + 0.06), (low - 0.06, low + high + 0.06), (-0.01, 0.045), trim)
            )
            for half in ((a, middle - 0.02), (middle + 0.02, b)):
                shapes.append(walls.block(wall, half, (low, low + high), (0.0, 0.05), glass))
            shapes.append(walls.block(wall, (a - 0.1, b + 0.1), (low - 0.1, low - 0.04), (-0.01, 0.14), trim))
    return shapes


def _patches(rng: Rng, rect: Rect) -> list[Shape]:
    """Lawns, terraces and paths lying on the ground."""
    shapes: list[Shape] = []
    for k in range(int(rng.integers(0, 4))):
        hx, hz = rng.uniform(0.8, 0.35 * (rect[2] - rect[0])), rng.uniform(0.8, 0.35 * (rect[3] - rect[1]))
        x, z = rng.uniform(rect[0] + hx, rect[2] - hx), rng.uniform(rect[1] + hz, rect[3] - hz)
        high = rng.uniform(0.03, 0.18) + 0.017 * k  # never level with another patch
        look = palette.material(rng, "ground" if rng.random() < 0.7 else "floor")
        shapes.append(slab((x - hx, -high, z - hz), (x + hx, 0.05, z + hz), look))
    return shapes


def _skyline(rng: Rng, hx: float, hz: float) -> list[Shape]:
    """Taller houses behind the walls."""
    shapes: list[Shape] = []
    for _ in range(int(rng.integers(2, 8))):
        angle, far = rng.uniform(0, 2 * math.pi), rng.uniform(9.0, 24.0)
        half = (rng.uniform(1.5, 4.0), rng.uniform(2.5, 7.5), rng.uniform(1.5, 4.0))
        x, z = (hx + far) * math.cos(angle), (hz + far) * math.sin(angle)
        look, roof = palette.material(rng, "wall"), palette.material(rng, "roof")
        yaw = rng.uniform(0, 1.5)
        shapes.append(box((x, 0.3 - half[1], z), half, look, yaw=yaw))
        top = (half[0] + 0.3, 0.2, half[2] + 0.3)
        shapes.append(box((x, 0.3 - 2 * half[1] - 0.15, z), top, roof, yaw=yaw))
    return shapes


def _tree(rng: Rng) -> Piece:
    bark, leaf = palette.material(rng, "object"), palette.leaves(rng)
    trunk, r = rng.uniform(1.2, 2.6), rng.uniform(0.07, 0.18)
    shapes: list[Shape] = [cylinder((0.0, -trunk / 2, 0.0), r, trunk / 2, bark)]
    for _ in range(int(rng.integers(3, 7))):
        size = rng.uniform(0.45, 1.0)
        x, z = rng.uniform(-0.8, 0.8, 2)
        shapes.append(sphere((x, -trunk - rng.uniform(0.1, 1.3), z), size, leaf))
    return Piece(shapes=tuple(shapes), half_x=0.5, half_z=0.5)


def _fountain(rng: Rng) -> Piece:
    r, stone = rng.uniform(0.7, 1.5), palette.material(rng, "wall")
    water = dataclasses.replace(palette.material(rng, "object"), tint=(0.12, 0.3, 0.38))
    shapes: list[Shape] = [
        cylinder((0.0, -0.22, 0.0), r, 0.22, stone),
        cylinder((0.0, -0.225, 0.0), r - 0.15, 0.225, water),
        cylinder((0.0, -0.6, 0.0), 0.12, 0.6, stone),
        cylinder((0.0, -1.2, 0.0), 0.45 * r, 0.06, stone),
        sphere((0.0, -1.35, 0.0), 0.16, stone),
    ]
    return Piece(shapes=tuple(shapes), half_x=r, half_z=r)


def _bench(rng: Rng) -> Piece:
    hx, wood, stone = rng.uniform(0.6, 1.0), palette.material(rng, "object"), palette.material(rng, "wall")
    shapes = [box((0.0, -0.44, z), (hx, 0.025, 0.09), wood) for z in (-0.1, 0.1)]
    shapes += [box((s * 0.7 * hx, -0.21, 0.0), (0.06, 0.21, 0.18), stone) for s in (-1, 1)]
    shapes.append(box((0.0, -0.75, -0.2), (hx, 0.14, 0.02), wood))
    shapes += [box((s * 0.7 * hx, -0.5, -0.225), (0.03, 0.35, 0.015), stone) for s in (-1, 1)]
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=0.26)


def _planter(rng: Rng) -> Piece:
    hx, hz, h = rng.uniform(0.4, 1.4), rng.uniform(0.25, 0.5), rng.uniform(0.3, 0.7)
    rim, leaf = palette.material(rng, "wall"), palette.leaves(rng)
    shapes: list[Shape] = [box((0.0, -h / 2, 0.0), (hx, h / 2, hz), rim)]
    shapes.append(box((0.0, -h - 0.005, 0.0), (hx - 0.06, 0.02, hz - 0.06), leaf))
    for _ in range(int(rng.integers(2, 6))):
        size = rng.uniform(0.12, 0.35)
        shapes.append(
            sphere(
                (rng.uniform(-0.9, 0.9) * (hx - 0.1), -h - 0.5 * size, rng.uniform(-0.3, 0.3) * hz),
                size,
                leaf,
            )
        )
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz)


def _low_wall(rng: Rng) -> Piece:
    hx, h, look = rng.uniform(0.6, 2.2), rng.uniform(0.35, 1.3), palette.material(rng, "wall")
    cap = palette.material(rng, "object")
    shapes = (
        box((0.0, -h / 2, 0.0), (hx, h / 2, 0.14), look),
        box((0.0, -h - 0.03, 0.0), (hx + 0.03, 0.03, 0.18), cap),
    )
    return Piece(shapes=shapes, half_x=hx, half_z=0.2)


def _arcade(rng: Rng, rect: Rect, taken: list[Rect]) -> list[Piece]:
    """A row of columns that carry a roof along one side."""
    x0, z0, x1, _ = rect
    deep, high, count = rng.uniform(1.4, 2.4), rng.uniform(2.4, 3.0), int(rng.integers(3, 7))
    one, roof = furniture.column(rng, high), palette.material(rng, "roof")
    pieces = []
    for k in range(count):
        x = x0 + (x1 - x0) * (k + 0.5) / count
        piece = furniture.moved(one, x=x, z=z0 + deep, yaw=0.0)
        taken.append((x - piece.half_x, z0 + deep - piece.half_z, x + piece.half_x, z0 + deep + piece.half_z))
        pieces.append(piece)
    top = slab((x0 + 0.01, -high - 0.15, z0 - 0.01), (x1 - 0.01, -high, z0 + deep + 0.3), roof)
    return [*pieces, Piece(shapes=(top,), half_x=0.0, half_z=0.0)]


def _standing(rng: Rng, rect: Rect, fronts: list[Wall], taken: list[Rect]) -> list[Piece]:
    """Everything that stands in the court."""
    for wall in fronts:
        keep_clear(wall, taken)
    pieces = _arcade(rng, rect, taken) if fronts[2].height > 3.1 and rng.random() < 0.35 else []
    makers = (
        _tree,
        _tree,
        _fountain,
        _low_wall,
        _planter,
        furniture.stairs,
        furniture.pedestal,
        furniture.crates,
        furniture.table,
        _bench,
    )
    by_wall = (_bench, _planter, _planter, furniture.crates, furniture.plant, furniture.cabinet)
    for _ in range(int(rng.integers(2, 7))):
        make = by_wall[rng.integers(len(by_wall))]
        pieces += placed_by_wall(rng, make(rng), fronts[rng.integers(4)], taken)
    for _ in range(int(rng.integers(3, 10))):
        make = makers[rng.integers(len(makers))]
        pieces += placed_freely(rng, make(rng), rect, taken)
    return pieces
