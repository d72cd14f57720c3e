"""Streets: a road between rows of houses, with pavements, parked cars, lamp posts and trees.

Room: worldgen.worlds; ``layout`` calls it. The road runs along x through the origin, with its surface at
y = 0; pavements lie a kerb higher. People walk in the middle part; the houses go on beyond.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from worldgen.worlds import facades, palette, roadside
from worldgen.worlds.furniture import Piece, moved
from worldgen.worlds.rooms import Plan, sun
from worldgen.worlds.scene import Material, Shape, box, slab
from worldgen.worlds.shells import Rect
from worldgen.worlds.skies import Daylight
from worldgen.worlds.textures import textures
from worldgen.worlds.walls import Wall

Rng = np.random.Generator

WALK_X = 19.0
"""Half length of the part that people walk in, in metres."""

BUILT_X = 44.0
NEAR_X = 22.0
"""Houses beyond it show their windows in a texture only."""

PIECE_M = 10.5
"""Length of the slabs of which roads are made: light is kept on a lattice of limited size a face."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Of the street's cross-section, in metres."""

    road: float
    """Half width of the road."""
    pavement: float
    """Width of each pavement."""
    kerb: float
    """Height of the pavements."""

    @property
    def front(self) -> float:
        """Distance of the house fronts from the middle of the road."""
        return self.road + self.pavement


def random_street(rng: Rng, daylight: Daylight) -> Plan:
    """A street of houses, one to five storeys high."""
    size = Measures(road=rng.uniform(3.0, 5.2), pavement=rng.uniform(2.0, 4.2), kerb=rng.uniform(0.1, 0.17))
    tar, paving = palette.material(rng, "asphalt"), palette.material(rng, "paving")
    if rng.random() < 0.15:
        tar = palette.material(rng, "paving")  # cobbles
    shapes = _ground(rng, size, tar, paving)
    if rng.random() < 0.85:
        shapes += _markings(rng, size)
    for side in (-1, 1):
        shapes += _row(rng, size, side)
        for piece in _along_kerb(rng, size, side):
            shapes += piece.shapes
    for end in (-1, 1):
        shapes += _end(rng, size, end)
    x, r, f = WALK_X, size.road, size.front
    areas: list[Rect] = [(-x, -r, x, r), (-x, -f, x, -r), (-x, r, x, f)]
    return Plan(
        shapes=shapes,
        lights=[sun(np.array(daylight.sky.to_sun), np.array(daylight.sun))],
        areas=areas,
        levels=(0.0, -size.kerb, -size.kerb),
        ceiling=4.0,
        floor_colour=palette.vector(0.5 * (palette.mean_colour(tar) + palette.mean_colour(paving))),
        surface_m2=4.0 * x * f,
    )


def _ground(rng: Rng, size: Measures, tar: Material, paving: Material) -> list[Shape]:
    """Road, kerbs and pavements in pieces, on a plain that goes on to the horizon."""
    wild = palette.material(rng, "grass" if rng.random() < 0.6 else "earth")
    shapes = [slab((-95.0, 0.06, -95.0), (95.0, 0.5, 95.0), dataclasses.replace(wild, tiles_per_m=0.2))]
    edge = palette.tinted(palette.material(rng, "plain"), rng.uniform(0.5, 0.9) * np.ones(3))
    count = math.ceil(2 * BUILT_X / PIECE_M)
    for k in range(count):
        x0 = -BUILT_X + 2 * BUILT_X * k / count
        x1 = x0 + 2 * BUILT_X / count
        shapes.append(slab((x0, 0.0, -size.road - 0.05), (x1, 0.3, size.road + 0.05), tar))
        for side in (-1, 1):
            a, b, c = side * size.road, side * (size.road + 0.16), side * (size.front + 0.3)
            shapes.append(slab((x0, -size.kerb - 0.004, min(a, b)), (x1, 0.3, max(a, b)), edge))
            shapes.append(slab((x0, -size.kerb, min(b, c)), (x1, 0.3, max(b, c)), paving))
    return shapes


def _paint(rng: Rng) -> Material:
    tile = int(textures().groups["plain"][0])
    return palette.tinted(Material(tile=tile, tiles_per_m=0.7), rng.uniform(0.6, 0.8) * np.ones(3))


def _markings(rng: Rng, size: Measures) -> list[Shape]:
    """A dashed line in the middle, lines along parked cars, a zebra crossing."""
    white, shapes, high = _paint(rng), [], 0.004
    crossing = float(rng.uniform(-14.0, 14.0)) if rng.random() < 0.6 else None
    dash, gap = rng.uniform(1.5, 3.0), rng.uniform(1.5, 4.0)
    x = -BUILT_X + 1.0
    while x < BUILT_X - dash:
        if crossing is None or not crossing - 2.5 < x + dash / 2 < crossing + 2.5:
            shapes.append(slab((x, -high, -0.06), (x + dash, 0.05, 0.06), white))
        x += dash + gap
    if rng.random() < 0.4:
        for z in (-size.road + 0.25, size.road - 0.25):
            shapes.append(slab((-BUILT_X, -high, z - 0.05), (BUILT_X, 0.05, z + 0.05), white))
    if crossing is not None:
        count = int(size.road / 0.5)
        for k in range(count):
            z = -size.road + 0.3 + (2 * size.road - 0.6) * (k + 0.5) / count
            shapes.append(
                slab((crossing - 1.4, -high - 0.001, z - 0.22), (crossing + 1.4, 0.05, z + 0.22), white)
            )
    return shapes


def _row(rng: Rng, size: Measures, side: int) -> list[Shape]:
    """Houses and gaps along one side."""
    shapes: list[Shape] = []
    base, x = rng.uniform(4.0, 12.0), -BUILT_X
    while x < BUILT_X - 4.0:
        width = min(rng.uniform(5.5, 12.0), BUILT_X - x)
        middle = x + width / 2
        if rng.random() < 0.14:
            shapes += _gap(rng, size, side, (x, x + width))
        else:
            back = 0.0 if rng.random() < 0.7 else rng.uniform(0.0, 0.5)
            high = float(np.clip(base + rng.normal(0.0, 2.5), 3.2, 17.0))
            front = Wall(
                axis=0,
                at=side * (size.front + back),
                outward=side,
                start=x,
                end=x + width - 0.004,
                height=high,
            )
            deep = rng.uniform(7.0, 11.0)
            if abs(middle) < NEAR_X:
                shapes += facades.house(rng, front, deep=deep, foot=size.kerb)
            else:
                shapes += facades.distant_house(rng, front, deep=deep)
        x += width
    return shapes


def _gap(rng: Rng, size: Measures, side: int, along: tuple[float, float]) -> list[Shape]:
    """A garden or a yard behind a fence or a wall, with trees and a house further back."""
    z, far = side * (size.front + 0.32), side * (size.front + 16.0)
    lawn = palette.material(rng, "grass" if rng.random() < 0.7 else "gravel")
    low, high = (along[0], -size.kerb + 0.03, min(z, far)), (along[1], 0.3, max(z, far))
    shapes = [slab(low, high, lawn)]
    middle, length = 0.5 * (along[0] + along[1]), along[1] - along[0]
    if rng.random() < 0.5:
        piece = roadside.fence(rng, length=length - 0.2)
        shapes += moved(piece, x=middle, z=z, yaw=0.0, floor=-size.kerb).shapes
    else:
        top, look = rng.uniform(0.8, 1.8), palette.material(rng, "facade")
        shapes.append(slab((along[0], -top, z - 0.1), (along[1], 0.0, z + 0.1), look))
        shapes.append(slab((along[0], -top - 0.08, z - 0.14), (along[1], -top, z + 0.14), palette.paint(rng)))
    for _ in range(int(rng.integers(1, 4))):
        make = roadside.tree if rng.random() < 0.7 else roadside.conifer
        at = (rng.uniform(along[0] + 1.0, along[1] - 1.0), side * (size.front + rng.uniform(3.0, 8.0)))
        shapes += moved(make(rng), x=at[0], z=at[1], yaw=rng.uniform(0, 6), floor=-size.kerb + 0.03).shapes
    wall = Wall(axis=0, at=far, outward=side, start=along[0] - 2, end=along[1] + 2, height=rng.uniform(5, 14))
    return shapes + facades.distant_house(rng, wall, deep=8.0)


def _along_kerb(rng: Rng, size: Measures, side: int) -> list[Piece]:
    """Cars on the road and things at the edge of the pavement of one side."""
    pieces: list[Piece] = []
    cars, things = rng.uniform(0.0, 0.75), rng.uniform(0.3, 0.9)
    z_car = side * (size.road - 1.1)
    x = -BUILT_X + rng.uniform(1.0, 4.0)
    while size.road > 3.4 and x < BUILT_X - 4.0:
        if rng.random() < cars:
            yaw = math.pi * (side < 0) + rng.normal(0.0, 0.02)
            pieces.append(moved(roadside.car(rng), x=x + 2.4, z=z_car + rng.normal(0.0, 0.06), yaw=yaw))
        x += rng.uniform(5.2, 6.4)
    z = side * (size.road + 0.55)
    trees, posts = rng.random() < 0.6, rng.uniform(10.0, 16.0)
    makers = [roadside.bollard, roadside.bin_, roadside.bench, roadside.road_sign, roadside.planter]
    if size.pavement > 3.2:
        makers.append(roadside.cafe_table)
    inward = math.pi if side > 0 else 0.0
    x, last_post = -BUILT_X + rng.uniform(0.0, 3.0), -100.0
    while x < BUILT_X:
        if x - last_post > posts:
            pieces.append(_set_down(roadside.lamp_post(rng), x, z, inward, size))
            last_post = x
        elif trees and rng.random() < 0.35:
            pit = box((0.0, -0.004, 0.0), (0.45, 0.02, 0.45), palette.material(rng, "earth"))
            tree = roadside.tree(rng)
            tree = dataclasses.replace(tree, shapes=(*tree.shapes, pit))
            pieces.append(_set_down(tree, x, z + side * 0.15, 0.0, size))
        elif rng.random() < things and abs(x) < 30.0:
            make = makers[rng.integers(len(makers))]
            piece = make(rng)
            depth = 0.9 + piece.half_z if make is roadside.cafe_table else max(piece.half_z - 0.25, 0.0)
            pieces.append(_set_down(piece, x, z + side * depth, inward, size))
        x += rng.uniform(2.2, 4.5)
    return pieces


def _set_down(piece: Piece, x: float, z: float, yaw: float, size: Measures) -> Piece:
    return moved(piece, x=x, z=z, yaw=yaw, floor=-size.kerb)


def _end(rng: Rng, size: Measures, end: int) -> list[Shape]:
    """What the street leads to: houses across a junction, or the open with a few trees and towers."""
    at = end * (BUILT_X + rng.uniform(7.0, 12.0))
    shapes: list[Shape] = []
    if rng.random() < 0.6:
        z = -30.0
        while z < 30.0:
            width = rng.uniform(7.0, 14.0)
            wall = Wall(axis=1, at=at, outward=end, start=z, end=z + width, height=rng.uniform(5.0, 16.0))
            shapes += facades.distant_house(rng, wall, deep=9.0)
            z += width
        return shapes
    for _ in range(int(rng.integers(4, 10))):
        x, z = end * rng.uniform(BUILT_X + 5.0, 75.0), rng.uniform(-30.0, 30.0)
        shapes += moved(roadside.tree(rng, high=rng.uniform(6.0, 11.0)), x=x, z=z, yaw=0.0, floor=0.06).shapes
    for _ in range(int(rng.integers(0, 3))):
        z = rng.uniform(-25.0, 15.0)
        far, high = end * rng.uniform(62.0, 74.0), rng.uniform(8.0, 26.0)
        wall = Wall(axis=1, at=far, outward=end, start=z, end=z + rng.uniform(8.0, 14.0), height=high)
        shapes += facades.distant_house(rng, wall, deep=10.0)
    return shapes
