"""Furniture: small heaps of boxes, cylinders and balls that read as things.

Room: worldgen.worlds; the layouts place it. A piece stands on y = 0 around the origin with its back
towards -z; +y is down, so heights are negative. Metres.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldgen.worlds import palette
from worldgen.worlds._light import OMNI
from worldgen.worlds.scene import Light, Material, Shape, box, cylinder, sphere

Rng = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Something that stands on the floor."""

    shapes: tuple[Shape, ...]
    half_x: float
    half_z: float
    """Half sizes of its footprint."""
    lights: tuple[Light, ...] = ()


def moved(piece: Piece, *, x: float, z: float, yaw: float, floor: float = 0.0) -> Piece:
    """The piece turned by ``yaw`` and set down at (x, floor, z)."""
    cos, sin = math.cos(yaw), math.sin(yaw)

    def at(p: tuple[float, float, float]) -> tuple[float, float, float]:
        return (x + cos * p[0] + sin * p[2], floor + p[1], z + cos * p[2] - sin * p[0])

    shapes = tuple(dataclasses.replace(s, centre=at(s.centre), yaw=s.yaw + yaw) for s in piece.shapes)
    lights = tuple(dataclasses.replace(light, at=at(light.at)) for light in piece.lights)
    half_x = abs(cos) * piece.half_x + abs(sin) * piece.half_z
    half_z = abs(sin) * piece.half_x + abs(cos) * piece.half_z
    return Piece(shapes=shapes, half_x=half_x, half_z=half_z, lights=lights)


def _legs(half_x: float, half_z: float, height: float, thickness: float, look: Material) -> list[Shape]:
    x, z, t = half_x - thickness, half_z - thickness, thickness
    return [box((a * x, -height / 2, b * z), (t, height / 2, t), look) for a in (-1, 1) for b in (-1, 1)]


def _clutter(rng: Rng, *, half_x: float, half_z: float, top: float, count: int) -> list[Shape]:
    """A few small things side by side on a surface at height ``top``."""
    things: list[Shape] = []
    slot = 2 * half_x / max(count, 1)
    for k in range(count):
        x = -half_x + (k + rng.uniform(0.35, 0.65)) * slot
        z, r = rng.uniform(-0.5, 0.5) * half_z, min(rng.uniform(0.05, 0.16), 0.42 * slot, 0.8 * half_z)
        look, h = palette.material(rng, "object"), rng.uniform(0.04, 0.18)
        kind = rng.integers(4)
        if kind == 0:
            things.append(sphere((x, -top - r, z), r, look))
        elif kind == 1:
            things.append(cylinder((x, -top - h, z), 0.7 * r, h, look))
        else:
            half = (0.7 * r, h if kind == 2 else 0.25 * h, 0.7 * r)
            things.append(box((x, -top - half[1], z), half, look, yaw=rng.uniform(-0.6, 0.6)))
    return things


def table(rng: Rng) -> Piece:
    """A table, now and then with things on it and chairs around."""
    hx, hz = rng.uniform(0.4, 1.0), rng.uniform(0.35, 0.55)
    height = rng.uniform(0.4, 0.55) if rng.random() < 0.3 else rng.uniform(0.7, 0.85)
    look, thick = palette.joinery(rng), rng.uniform(0.02, 0.04)
    top = box((0.0, -height + thick, 0.0), (hx, thick, hz), look)
    shapes = [top, *_legs(hx, hz, height - 2 * thick, rng.uniform(0.025, 0.05), look)]
    shapes += _clutter(rng, half_x=hx - 0.1, half_z=hz - 0.1, top=height, count=int(rng.integers(0, 5)))
    if height > 0.6 and rng.random() < 0.7:
        seat = palette.joinery(rng)
        places = [(s * (0.5 * hx * k), side) for side in (-1, 1) for s, k in ((1, 1), (-1, 1))]
        for x, side in places[: int(rng.integers(1, 5))]:
            stool = moved(_chair(rng, seat), x=x, z=side * (hz + 0.12), yaw=math.pi * (side > 0))
            shapes += stool.shapes
        hz += 0.45
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz)


def _chair(rng: Rng, look: Material) -> Piece:
    half, height, back = rng.uniform(0.19, 0.23), rng.uniform(0.42, 0.48), rng.uniform(0.35, 0.5)
    seat = box((0.0, -height, 0.0), (half, 0.02, half), look)
    rest = box((0.0, -height - 0.06 - back / 2, -half + 0.02), (half, back / 2, 0.018), look)
    posts = [
        box((s * (half - 0.03), -height - 0.04, -half + 0.02), (0.02, 0.05, 0.012), look) for s in (-1, 1)
    ]
    return Piece(
        shapes=(seat, rest, *posts, *_legs(half, half, height - 0.02, 0.02, look)), half_x=half, half_z=half
    )


def chair(rng: Rng) -> Piece:
    """A chair."""
    return _chair(rng, palette.joinery(rng))


def shelf(rng: Rng) -> Piece:
    """A case of shelves with books and things."""
    hx, hz, height = rng.uniform(0.35, 0.9), rng.uniform(0.13, 0.2), rng.uniform(0.8, 2.2)
    look, t = palette.joinery(rng), 0.02
    shapes = [box((s * (hx - t), -height / 2, 0.0), (t, height / 2, hz), look) for s in (-1, 1)]
    if rng.random() < 0.6:
        inner = palette.joinery(rng) if rng.random() < 0.5 else look
        shapes.append(box((0.0, -height / 2, -hz + 0.008), (hx - 2 * t, height / 2 - 0.002, 0.008), inner))
    count = max(2, int(height / rng.uniform(0.32, 0.48)) + 1)
    for k in range(count):
        level = t + (height - 2 * t) * k / (count - 1)
        shapes.append(box((0.0, -level, 0.005), (hx - 2 * t, t * 0.9, hz - 0.01), look))
        gap = (height - 2 * t) / (count - 1) - 2 * t
        if k < count - 1 and rng.random() < 0.8:
            shapes += _books(rng, hx - 2 * t, hz, level + t * 0.9, gap)
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz)


def _books(rng: Rng, half_x: float, half_z: float, level: float, gap: float) -> list[Shape]:
    """A row of books, or of boxes, on a shelf."""
    shapes: list[Shape] = []
    x = -half_x + rng.uniform(0.0, 0.4) * half_x
    for _ in range(int(rng.integers(1, 5))):
        width, height = rng.uniform(0.05, 0.3), gap * rng.uniform(0.45, 0.9)
        if x + width > half_x - 0.01:
            break
        depth = half_z * rng.uniform(0.5, 0.8)
        look = palette.material(rng, "object", saturation=0.4)
        shapes.append(box((x + width / 2, -level - height / 2, 0.0), (width / 2, height / 2, depth), look))
        x += width + (rng.uniform(0.0, 0.25) if rng.random() < 0.4 else 0.004)
    return shapes


def cabinet(rng: Rng) -> Piece:
    """A cupboard or chest with doors, knobs and things on top."""
    hx, hz, height = rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.32), rng.uniform(0.6, 2.1)
    body, front = palette.joinery(rng), palette.joinery(rng)
    shapes = [box((0.0, -height / 2, 0.0), (hx, height / 2, hz), body)]
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    w, h = 2 * hx / columns, (height - 0.08) / rows
    for c in range(columns):
        for r in range(rows):
            x, y = -hx + (c + 0.5) * w, -0.06 - (r + 0.5) * h
            shapes.append(box((x, y, hz + 0.006), (w / 2 - 0.015, h / 2 - 0.015, 0.012), front))
            if rng.random() < 0.6:
                shapes.append(sphere((x + 0.3 * w, y, hz + 0.03), 0.018, body))
    if height < 1.3:
        shapes += _clutter(rng, half_x=hx - 0.08, half_z=hz, top=height, count=int(rng.integers(0, 4)))
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz + 0.04)


def sofa(rng: Rng) -> Piece:
    """A sofa or armchair with cushions."""
    hx, hz = rng.uniform(0.45, 1.15), rng.uniform(0.38, 0.48)
    look, seat, back = palette.cloth(rng), rng.uniform(0.3, 0.38), rng.uniform(0.7, 0.9)
    arm = rng.uniform(0.08, 0.14)
    shapes = [
        box((0.0, -seat / 2 - 0.03, 0.0), (hx - 2 * arm, seat / 2 - 0.03, hz), look),
        box((0.0, -back / 2 - 0.02, -hz + 0.11), (hx - 2 * arm, back / 2 - 0.02, 0.1), look),
    ]
    shapes += [box((s * (hx - arm), -0.3, 0.0), (arm, 0.3, hz + 0.01), look) for s in (-1, 1)]
    count, soft = int(rng.integers(1, 4)), palette.cloth(rng)
    w = (hx - 2 * arm) / count
    for k in range(count):
        x = -(hx - 2 * arm) + (2 * k + 1) * w
        shapes.append(box((x, -seat - 0.06, 0.1), (w - 0.012, 0.06, hz - 0.11), soft))
        if rng.random() < 0.4:
            pillow = palette.cloth(rng)
            shapes.append(
                box((x, -seat - 0.3, -hz + 0.27), (0.2, 0.17, 0.06), pillow, yaw=rng.uniform(-0.3, 0.3))
            )
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz)


def bed(rng: Rng) -> Piece:
    """A bed."""
    hx, hz = rng.uniform(0.45, 0.9), 1.02
    frame, cover, linen = palette.joinery(rng), palette.cloth(rng), palette.cloth(rng)
    high = rng.uniform(0.3, 0.42)
    shapes = [
        box((0.0, -0.17, 0.0), (hx, 0.13, hz), frame),
        box((0.0, -high - 0.02, 0.02), (hx - 0.03, 0.1, hz - 0.05), linen),
        box((0.0, -high - 0.06, 0.28), (hx + 0.01, 0.09, hz - 0.3), cover),
        box((0.0, -rng.uniform(0.45, 0.65), -hz - 0.03), (hx + 0.02, 0.5, 0.03), frame),
    ]
    for x in (-0.5, 0.5) if hx > 0.65 else (0.0,):
        shapes.append(
            box((x * hx, -high - 0.17, -hz + 0.28), (0.27, 0.06, 0.18), linen, yaw=rng.uniform(-0.2, 0.2))
        )
    return Piece(shapes=tuple(shapes), half_x=hx + 0.02, half_z=hz + 0.06)


def crates(rng: Rng) -> Piece:
    """A stack of turned boxes."""
    size, top = rng.uniform(0.25, 0.55), 0.0
    shapes: list[Shape] = []
    half = size
    for _ in range(int(rng.integers(1, 4))):
        look = palette.material(rng, "object")
        hx, hy, hz = (
            size * rng.uniform(0.75, 1.0),
            size * rng.uniform(0.5, 1.0),
            size * rng.uniform(0.75, 1.0),
        )
        yaw = rng.uniform(-0.7, 0.7)
        shapes.append(box((0.0, -top - hy, 0.0), (hx, hy, hz), look, yaw=yaw))
        top, size = top + 2 * hy, size * rng.uniform(0.6, 0.85)
    return Piece(shapes=tuple(shapes), half_x=1.25 * half, half_z=1.25 * half)


def column(rng: Rng, height: float) -> Piece:
    """A round or square column with base and capital, from floor to ceiling."""
    r, look = rng.uniform(0.12, 0.28), palette.wall(rng)
    ends = palette.paint(rng)
    foot = rng.uniform(0.06, 0.2)
    if rng.random() < 0.6:
        shaft = cylinder((0.0, -height / 2, 0.0), r, height / 2, look)
    else:
        shaft = box((0.0, -height / 2, 0.0), (r, height / 2, r), look)
    base = box((0.0, -foot / 2, 0.0), (r + 0.06, foot / 2, r + 0.06), ends)
    capital = box((0.0, -height + foot / 2, 0.0), (r + 0.05, foot / 2, r + 0.05), ends)
    return Piece(shapes=(shaft, base, capital), half_x=r + 0.06, half_z=r + 0.06)


def pedestal(rng: Rng) -> Piece:
    """A sculpture on a pedestal."""
    r, height = rng.uniform(0.15, 0.3), rng.uniform(0.4, 1.1)
    stone, art = palette.material(rng, "object"), palette.material(rng, "object")
    if rng.random() < 0.5:
        foot = cylinder((0.0, -height / 2, 0.0), r, height / 2, stone)
    else:
        foot = box((0.0, -height / 2, 0.0), (r, height / 2, r), stone)
    kind, size = rng.integers(3), rng.uniform(0.6, 1.1) * r
    if kind == 0:
        thing = sphere((0.0, -height - size, 0.0), size, art)
    elif kind == 1:
        thing = box((0.0, -height - size, 0.0), (0.7 * size, size, 0.7 * size), art, yaw=rng.uniform(0, 1.5))
    else:
        thing = cylinder((0.0, -height - 1.4 * size, 0.0), 0.5 * size, 1.4 * size, art)
    return Piece(shapes=(foot, thing), half_x=max(r, size), half_z=max(r, size))


def plant(rng: Rng, scale: float = 1.0) -> Piece:
    """A pot with a ball-shaped bush or a small tree."""
    r, h = scale * rng.uniform(0.12, 0.24), scale * rng.uniform(0.2, 0.45)
    pot, trunk = palette.material(rng, "object"), palette.material(rng, "object")
    leaf = dataclasses.replace(palette.leaves(rng), tiles_per_m=1.5)
    stem = scale * rng.uniform(0.1, 0.9)
    shapes = [
        cylinder((0.0, -h / 2, 0.0), r, h / 2, pot),
        cylinder((0.0, -h - stem / 2, 0.0), 0.02, stem / 2, trunk),
    ]
    for _ in range(int(rng.integers(1, 5))):
        size = scale * rng.uniform(0.13, 0.32)
        x, z = rng.uniform(-0.5, 0.5, 2) * size
        shapes.append(sphere((x, -h - stem - 0.5 * size * rng.uniform(0.2, 1.6), z), size, leaf))
    return Piece(shapes=tuple(shapes), half_x=max(r, 0.3 * scale), half_z=max(r, 0.3 * scale))


def lamp(rng: Rng) -> Piece:
    """A floor lamp that gives light."""
    height, r = rng.uniform(1.2, 1.8), rng.uniform(0.12, 0.22)
    metal, colour = palette.material(rng, "object"), palette.warm_white(rng)
    strength = rng.uniform(0.5, 1.6)
    shapes = (
        cylinder((0.0, -0.015, 0.0), 0.16, 0.015, metal),
        cylinder((0.0, -height / 2, 0.0), 0.015, height / 2, metal),
        cylinder((0.0, -height - 0.14, 0.0), r, 0.14, palette.glow(colour, 3.0)),
    )
    light = Light(
        kind=OMNI,
        at=(0.0, -height - 0.14, 0.0),
        colour=palette.vector(np.array(colour) * strength),
        half_u=(r, 0.0, 0.0),
        half_v=(0.0, 0.0, r),
        normal=(r + 0.15, 0.0, 0.0),
    )
    return Piece(shapes=shapes, half_x=0.25, half_z=0.25, lights=(light,))


def stairs(rng: Rng) -> Piece:
    """A straight flight that ends in a landing at its back."""
    hx, rise, run = rng.uniform(0.45, 0.9), rng.uniform(0.15, 0.19), rng.uniform(0.25, 0.3)
    count, look = int(rng.integers(3, 8)), palette.material(rng, "floor")
    landing = rng.uniform(0.5, 1.0)
    hz = (run * count + landing) / 2
    shapes = []
    for k in range(count):
        deep = run if k < count - 1 else run + landing
        z = hz - run * k - deep / 2
        shapes.append(box((0.0, -rise * (k + 1) / 2, z), (hx, rise * (k + 1) / 2, deep / 2), look))
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz)


def rug(rng: Rng) -> Piece:
    """A flat carpet; things may stand on it."""
    look = palette.cloth(rng)
    edge = palette.cloth(rng)
    hx, hz = rng.uniform(0.6, 1.6), rng.uniform(0.5, 1.1)
    shapes = (
        box((0.0, -0.005, 0.0), (hx, 0.005, hz), edge),
        box((0.0, -0.008, 0.0), (hx - 0.1, 0.008, hz - 0.1), look),
    )
    return Piece(shapes=shapes, half_x=hx, half_z=hz)


STANDING: tuple[Callable[[Rng], Piece], ...] = (table, table, crates, pedestal, plant, chair, lamp, stairs)
BY_THE_WALL: tuple[Callable[[Rng], Piece], ...] = (
    shelf,
    shelf,
    cabinet,
    cabinet,
    sofa,
    bed,
    table,
    plant,
    crates,
)
