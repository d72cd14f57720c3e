"""Fittings of rooms with a purpose: offices, living rooms, dining rooms, bedrooms.

Room: worldgen.worlds; ``furnished`` places them. Pieces are as in ``furniture``: they stand on y = 0
around the origin with their back towards -z.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from worldgen.worlds import palette
from worldgen.worlds.furniture import Piece, chair, moved
from worldgen.worlds.scene import Material, Shape, box, cylinder, sphere
from worldgen.worlds.textures import textures

Rng = np.random.Generator


def grey(level: float) -> Material:
    """A smooth surface of a given albedo."""
    tile = int(textures().groups["plain"][0])
    return palette.tinted(Material(tile=tile, tiles_per_m=0.6), level / 0.8 * np.ones(3))


def block_between(
    x: tuple[float, float], heights: tuple[float, float], z: tuple[float, float], look: Material
) -> Shape:
    """A box between heights above the floor."""
    centre = (0.5 * (x[0] + x[1]), -0.5 * (heights[0] + heights[1]), 0.5 * (z[0] + z[1]))
    half = (0.5 * (x[1] - x[0]), 0.5 * (heights[1] - heights[0]), 0.5 * (z[1] - z[0]))
    return box(centre, half, look)


def desk(rng: Rng) -> Piece:
    """A desk with a screen, a keyboard, a lamp, papers and an office chair in front."""
    hx, hz, top = rng.uniform(0.6, 0.9), rng.uniform(0.33, 0.42), rng.uniform(0.71, 0.76)
    wood, dark = palette.joinery(rng), grey(0.05)
    shapes = [block_between((-hx, hx), (top - 0.03, top), (-hz, hz), wood)]
    shapes += [
        block_between((s - 0.02, s + 0.02), (0.0, top - 0.03), (-hz + 0.03, hz - 0.03), wood)
        for s in (-hx + 0.05, hx - 0.05)
    ]
    if rng.random() < 0.6:
        body = (hx - 0.5, hx - 0.08)
        shapes.append(block_between(body, (0.05, top - 0.04), (-hz + 0.02, hz - 0.04), wood))
        for k in range(3):
            shapes.append(
                block_between(
                    (body[0] + 0.01, body[1] - 0.01),
                    (0.07 + 0.21 * k, 0.26 + 0.21 * k),
                    (hz - 0.04, hz - 0.025),
                    wood,
                )
            )
    for x in (-0.34, 0.34) if hx > 0.75 and rng.random() < 0.4 else (rng.uniform(-0.15, 0.15),):
        shapes += monitor(rng, float(x), top, -hz + 0.12)
    shapes.append(block_between((-0.22, 0.22), (top, top + 0.02), (0.05, 0.2), dark))
    shapes.append(block_between((0.27, 0.33), (top, top + 0.025), (0.07, 0.17), dark))
    paper = grey(0.75)
    for _ in range(int(rng.integers(0, 4))):
        x, z = rng.uniform(-hx + 0.15, hx - 0.15), rng.uniform(-0.1, hz - 0.12)
        shapes.append(
            box(
                (float(x), -top - 0.006, float(z)),
                (0.1, 0.006, 0.14),
                paper,
                yaw=float(rng.uniform(-0.6, 0.6)),
            )
        )
    mug = palette.lacquer(rng)
    shapes.append(cylinder((-hx + 0.12, -top - 0.05, 0.1), 0.04, 0.05, mug))
    seat = moved(
        office_chair(rng),
        x=float(rng.uniform(-0.15, 0.15)),
        z=hz + 0.22,
        yaw=math.pi + float(rng.normal(0, 0.4)),
    )
    return Piece(shapes=(*shapes, *seat.shapes), half_x=hx, half_z=hz + 0.5)


def monitor(rng: Rng, x: float, top: float, z: float) -> list[Shape]:
    """A screen on a foot."""
    half, dark = rng.uniform(0.24, 0.3), grey(0.05)
    high = 0.6 * half
    centre = top + 0.12 + high
    return [
        box((x, -top - 0.01, z), (0.1, 0.01, 0.08), dark),
        box((x, -top - 0.08, z - 0.03), (0.02, 0.08, 0.015), dark),
        box((x, -centre, z), (half, high, 0.018), dark),
        box((x, -centre, z + 0.01), (half - 0.012, high - 0.012, 0.012), screen(rng)),
    ]


def screen(rng: Rng) -> Material:
    """A picture that gives some light."""
    base = palette.drawn(rng, "screen")
    return dataclasses.replace(base, glow=palette.vector(rng.uniform(0.6, 1.6) * np.ones(3)))


def office_chair(rng: Rng) -> Piece:
    """A chair on one leg with a star of feet."""
    cloth, dark = palette.cloth(rng), grey(0.06)
    shapes = [
        cylinder((0.0, -0.25, 0.0), 0.03, 0.2, dark),
        box((0.0, -0.06, 0.0), (0.28, 0.02, 0.03), dark),
        box((0.0, -0.06, 0.0), (0.28, 0.02, 0.03), dark, yaw=math.pi / 2),
        box((0.0, -0.47, 0.0), (0.24, 0.035, 0.23), cloth),
        box((0.0, -0.82, -0.22), (0.22, 0.26, 0.03), cloth),
        box((0.0, -0.55, -0.23), (0.03, 0.1, 0.015), dark),
    ]
    shapes += [box((s * 0.26, -0.66, -0.02), (0.025, 0.015, 0.14), dark) for s in (-1, 1)]
    shapes += [
        sphere((x, -0.035, z), 0.035, dark) for x, z in ((0.26, 0.0), (-0.26, 0.0), (0.0, 0.26), (0.0, -0.26))
    ]
    return Piece(shapes=tuple(shapes), half_x=0.3, half_z=0.3)


def media_stand(rng: Rng) -> Piece:
    """A low cupboard with a television and loudspeakers."""
    hx, hz, top = rng.uniform(0.6, 1.0), rng.uniform(0.19, 0.24), rng.uniform(0.38, 0.55)
    wood, front, dark = palette.joinery(rng), palette.joinery(rng), grey(0.04)
    shapes = [block_between((-hx, hx), (0.08, top), (-hz, hz), wood)]
    count = int(rng.integers(2, 5))
    for k in range(count):
        a, b = -hx + 2 * hx * k / count + 0.012, -hx + 2 * hx * (k + 1) / count - 0.012
        shapes.append(block_between((a, b), (0.1, top - 0.03), (hz, hz + 0.015), front if k % 2 else wood))
    shapes += [
        block_between((s - 0.03, s + 0.03), (0.0, 0.08), (-hz + 0.03, hz - 0.03), dark)
        for s in (-hx + 0.1, hx - 0.1)
    ]
    wide = min(hx, rng.uniform(0.5, 0.75))
    high = 0.56 * wide
    centre = top + 0.06 + high
    shapes.append(box((0.0, -top - 0.015, 0.0), (0.25, 0.015, 0.1), dark))
    shapes.append(box((0.0, -top - 0.05, -0.01), (0.05, 0.05, 0.02), dark))
    shapes.append(box((0.0, -centre, 0.0), (wide, high, 0.025), dark))
    shapes.append(box((0.0, -centre, 0.012), (wide - 0.02, high - 0.02, 0.018), screen(rng)))
    if hx - wide > 0.15 and rng.random() < 0.6:
        for side in (-1, 1):
            shapes.append(box((side * (hx - 0.08), -top - 0.16, 0.0), (0.06, 0.16, 0.08), dark))
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz + 0.02)


def coffee_table(rng: Rng) -> Piece:
    """A low table with books, a bowl and a lower shelf."""
    hx, hz, top = rng.uniform(0.4, 0.65), rng.uniform(0.25, 0.4), rng.uniform(0.36, 0.46)
    wood, second = palette.joinery(rng), palette.joinery(rng)
    shapes: list[Shape] = []
    if rng.random() < 0.35:
        shapes += [
            cylinder((0.0, -top + 0.02, 0.0), hz, 0.02, wood),
            cylinder((0.0, -top / 2, 0.0), 0.06, top / 2 - 0.02, second),
        ]
        shapes.append(cylinder((0.0, -0.015, 0.0), 0.6 * hz, 0.015, second))
        hx = hz
    else:
        shapes.append(block_between((-hx, hx), (top - 0.035, top), (-hz, hz), wood))
        shapes.append(block_between((-hx + 0.04, hx - 0.04), (0.12, 0.14), (-hz + 0.04, hz - 0.04), second))
        for x in (-hx + 0.04, hx - 0.04):
            for z in (-hz + 0.04, hz - 0.04):
                shapes.append(
                    block_between((x - 0.025, x + 0.025), (0.0, top - 0.035), (z - 0.025, z + 0.025), wood)
                )
    level = top
    for _ in range(int(rng.integers(0, 4))):
        thick = rng.uniform(0.012, 0.03)
        look = palette.material(rng, "object", saturation=0.4)
        shapes.append(
            box(
                (-0.35 * hx, -level - thick, 0.0),
                (0.11, thick, 0.08),
                look,
                yaw=float(rng.uniform(-0.4, 0.4)),
            )
        )
        level += 2 * thick
    if rng.random() < 0.6:
        shapes.append(sphere((0.4 * hx, -top - 0.05, 0.0), 0.07, palette.lacquer(rng)))
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz)


def armchair(rng: Rng) -> Piece:
    """An upholstered chair with a cushion."""
    cloth, soft, hx, hz = palette.cloth(rng), palette.cloth(rng), rng.uniform(0.38, 0.45), 0.42
    shapes = [
        block_between((-hx + 0.12, hx - 0.12), (0.1, 0.3), (-hz + 0.1, hz), cloth),
        block_between((-hx + 0.13, hx - 0.13), (0.3, 0.43), (-hz + 0.18, hz - 0.02), soft),
        block_between((-hx, hx), (0.1, rng.uniform(0.8, 0.95)), (-hz, -hz + 0.18), cloth),
    ]
    for side in (-1, 1):
        a, b = sorted((side * hx, side * (hx - 0.12)))
        shapes.append(block_between((a, b), (0.1, 0.58), (-hz + 0.1, hz - 0.03), cloth))
    for x in (-hx + 0.06, hx - 0.06):
        for z in (-hz + 0.08, hz - 0.08):
            shapes.append(cylinder((x, -0.05, z), 0.025, 0.05, grey(0.08)))
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz)


def dining_table(rng: Rng) -> Piece:
    """A set table with chairs on both sides, or round with stools."""
    wood, seat = palette.joinery(rng), palette.joinery(rng)
    places, top = int(rng.integers(2, 4)), 0.75
    hx, hz = 0.33 * places + 0.1, rng.uniform(0.38, 0.48)
    shapes = [block_between((-hx, hx), (top - 0.04, top), (-hz, hz), wood)]
    for x in (-hx + 0.08, hx - 0.08):
        for z in (-hz + 0.08, hz - 0.08):
            shapes.append(
                block_between((x - 0.035, x + 0.035), (0.0, top - 0.04), (z - 0.035, z + 0.035), wood)
            )
    plate = grey(0.75)
    one = dataclasses.replace(chair(rng))
    one = dataclasses.replace(
        one, shapes=tuple(dataclasses.replace(s, materials=(seat,)) for s in one.shapes)
    )
    for k in range(places):
        x = -hx + 2 * hx * (k + 0.5) / places
        for side in (-1, 1):
            if rng.random() < 0.85:
                shapes += moved(one, x=x, z=side * (hz + 0.1), yaw=math.pi * (side > 0)).shapes
            if rng.random() < 0.6:
                shapes.append(cylinder((x, -top - 0.006, side * (hz - 0.17)), 0.11, 0.006, plate))
                shapes.append(cylinder((x + 0.17, -top - 0.05, side * (hz - 0.22)), 0.03, 0.05, grey(0.6)))
    shapes.append(cylinder((0.0, -top - 0.1, 0.0), 0.05, 0.1, palette.lacquer(rng)))
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz + 0.35)


def filing_cabinet(rng: Rng) -> Piece:
    """A cabinet of drawers with handles."""
    look, hx, hz = palette.lacquer(rng) if rng.random() < 0.4 else grey(rng.uniform(0.2, 0.6)), 0.24, 0.3
    count = int(rng.integers(2, 5))
    high = 0.33 * count + 0.04
    shapes = [block_between((-hx, hx), (0.0, high), (-hz, hz), look)]
    for k in range(count):
        low = 0.03 + 0.33 * k
        shapes.append(block_between((-hx + 0.015, hx - 0.015), (low, low + 0.31), (hz, hz + 0.012), look))
        shapes.append(
            block_between((-0.07, 0.07), (low + 0.2, low + 0.225), (hz + 0.012, hz + 0.035), grey(0.5))
        )
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz + 0.03)


def whiteboard(rng: Rng) -> Piece:
    """A board on wheels with writing on it."""
    hx, low, high = rng.uniform(0.6, 1.0), 0.8, 1.9
    shapes = [
        block_between((-hx, hx), (low, high), (-0.015, 0.015), grey(0.35)),
        block_between((-hx + 0.03, hx - 0.03), (low + 0.03, high - 0.03), (-0.01, 0.018), grey(0.8)),
    ]
    for side in (-1, 1):
        shapes.append(box((side * (hx - 0.05), -0.9, 0.0), (0.02, 0.9, 0.02), grey(0.3)))
        shapes.append(box((side * (hx - 0.05), -0.05, 0.0), (0.025, 0.025, 0.25), grey(0.3)))
    for _ in range(int(rng.integers(2, 8))):
        x, y, long = (
            rng.uniform(-0.7, 0.2) * hx,
            rng.uniform(low + 0.1, high - 0.1),
            rng.uniform(0.1, 0.5) * hx,
        )
        ink = palette.tinted(grey(0.3), rng.choice([[0.1, 0.1, 0.1], [1.0, 0.15, 0.1], [0.1, 0.2, 1.0]]))
        shapes.append(block_between((x, x + long), (y - 0.006, y + 0.006), (0.0, 0.0195), ink))
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=0.26)


def wardrobe(rng: Rng) -> Piece:
    """A tall cupboard with doors, one of which may be a mirror's frame."""
    hx, hz, high = rng.uniform(0.5, 1.1), 0.29, rng.uniform(1.9, 2.2)
    body, front = palette.joinery(rng), palette.joinery(rng)
    shapes = [block_between((-hx, hx), (0.0, high), (-hz, hz), body)]
    count = max(2, round(2 * hx / 0.5))
    for k in range(count):
        a, b = -hx + 2 * hx * k / count + 0.008, -hx + 2 * hx * (k + 1) / count - 0.008
        shapes.append(block_between((a, b), (0.08, high - 0.05), (hz, hz + 0.018), front))
        knob = b - 0.05 if k % 2 == 0 else a + 0.05
        shapes.append(
            block_between((knob - 0.01, knob + 0.01), (0.9, 1.1), (hz + 0.018, hz + 0.045), grey(0.4))
        )
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz + 0.03)


def radiator(rng: Rng) -> Piece:
    """Ribs on two pipes."""
    hx, high, look = rng.uniform(0.3, 0.7), rng.uniform(0.5, 0.7), grey(0.72)
    count = int(2 * hx / 0.08)
    shapes = [
        block_between((-hx + 0.08 * k + 0.008, -hx + 0.08 * k + 0.072), (0.1, high), (-0.05, 0.04), look)
        for k in range(count)
    ]
    shapes += [block_between((-hx, hx), (y, y + 0.03), (-0.03, 0.02), grey(0.6)) for y in (0.13, high - 0.08)]
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=0.06)
