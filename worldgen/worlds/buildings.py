"""Buildings that stand alone: huts, towers, ruins.

Room: worldgen.worlds; ``landscapes`` places one. A building stands on y = 0 around the origin
inside the half sizes that it is given, and looks towards -x.
"""

from __future__ import annotations

import numpy as np

from worldgen.worlds import palette, roadside
from worldgen.worlds.furniture import Piece, moved
from worldgen.worlds.scene import Material, Shape, box, cylinder

Rng = np.random.Generator


def random_building(rng: Rng, *, half_x: float, half_z: float) -> Piece:
    """A hut, a ruin or a tower."""
    kind = rng.random()
    make = hut if kind < 0.55 else (ruin if kind < 0.85 else tower)
    return make(rng, half_x=half_x, half_z=half_z)


def hut(rng: Rng, *, half_x: float, half_z: float) -> Piece:
    """A hut with a stepped roof, a door, windows, a chimney, perhaps a fence."""
    hx, hz = half_x * rng.uniform(0.55, 0.75), half_z * rng.uniform(0.6, 0.85)
    high, rise = rng.uniform(2.3, 2.9), rng.uniform(1.2, 2.0)
    look = palette.material(rng, ("wood", "stone", "facade")[rng.integers(3)])
    roof, trim = palette.material(rng, "roof"), palette.material(rng, "wood")
    shapes: list[Shape] = [
        box((0.0, -high / 2, 0.0), (hx, high / 2, hz), look),
        box((0.0, -0.12, 0.0), (hx + 0.08, 0.12, hz + 0.08), palette.material(rng, "stone")),
        box((-hx - 0.5, -0.06, 0.0), (0.5, 0.06, 0.9), palette.material(rng, "stone")),
    ]
    steps = 6
    for k in range(steps):
        across = (hx + 0.35) * (1.0 - k / steps)
        y = -high - rise * (k + 0.5) / steps
        shapes.append(box((0.0, y, 0.0), (across, 0.5 * rise / steps, hz + 0.3 - 0.002 * k), roof))
        if k < steps - 1:  # the gables under the roof
            shapes.append(box((0.0, y, 0.0), (across - 0.3, 0.5 * rise / steps, hz + 0.31), look))
    shapes.append(box((-hx, -1.17, 0.0), (0.04, 0.95, 0.45), palette.drawn(rng, "door")))
    shapes += [box((-hx, -1.15, z), (0.06, 1.0, 0.06), trim) for z in (-0.5, 0.5)]
    window = palette.drawn(rng, "window")
    for x, z in ((-hx, 0.6 * hz + 0.2), (-hx, -0.6 * hz - 0.2), (hx, 0.0), (hx, 0.6 * hz)):
        if abs(z) + 0.45 < hz and (x > 0 or abs(z) > 1.0):
            shapes.append(box((x, -1.45, z), (0.04, 0.4, 0.38), window))
            shapes.append(box((x, -1.02, z), (0.1, 0.03, 0.46), trim))
    for side in (-1.0, 1.0):
        shapes.append(box((0.2 * hx, -1.45, side * hz), (0.4, 0.4, 0.04), window))
    stack = palette.material(rng, "stone")
    shapes.append(box((0.45 * hx, -high - 0.5 * rise - 0.4, 0.4 * hz), (0.25, 0.9, 0.25), stack))
    if rng.random() < 0.5:
        fence = roadside.fence(rng, length=2 * half_z - 0.2)
        shapes += moved(fence, x=half_x - 0.15, z=0.0, yaw=0.5 * np.pi).shapes
    return Piece(shapes=tuple(shapes), half_x=half_x, half_z=half_z)


def ruin(rng: Rng, *, half_x: float, half_z: float) -> Piece:
    """Walls that have crumbled to different heights, with a gate, columns and fallen blocks."""
    look, hx, hz, t = palette.material(rng, "stone"), half_x - 0.3, half_z - 0.3, 0.25
    shapes: list[Shape] = []
    top = rng.uniform(1.6, 3.2)
    for axis, at, reach in ((0, -hz, hx), (0, hz, hx), (1, -hx, hz), (1, hx, hz)):
        x = -reach
        while x < reach - 0.05:
            width = min(rng.uniform(0.5, 1.3), reach - x)
            level = top * float(np.clip(rng.normal(0.55, 0.35), 0.0, 1.0))
            x += width
            if level < 0.25 or (axis == 1 and at < 0 and abs(x - width / 2) < 0.9):
                continue
            middle, half = x - width / 2, (width / 2, t)
            centre = (middle, -level / 2, at) if axis == 0 else (at, -level / 2, middle)
            size = (half[0], level / 2, half[1]) if axis == 0 else (half[1], level / 2, half[0])
            shapes.append(box(centre, size, look))
    for _ in range(int(rng.integers(0, 5))):
        level, r = rng.uniform(0.5, top + 0.6), rng.uniform(0.16, 0.26)
        cx, cz = (float(v) for v in rng.uniform(-0.65, 0.65, 2) * (hx, hz))
        shapes.append(cylinder((cx, -level / 2, cz), r, level / 2, look))
        shapes.append(box((cx, -0.08, cz), (r + 0.1, 0.08, r + 0.1), look))
    for _ in range(int(rng.integers(3, 9))):
        half = rng.uniform(0.12, 0.35, 3)
        cx, cz = (float(v) for v in rng.uniform(-1.0, 1.0, 2) * (hx, hz))
        yaw = float(rng.uniform(0.0, 3.0))
        shapes.append(box((cx, -0.8 * float(half[1]), cz), tuple(half.tolist()), look, yaw=yaw))
    shapes.append(box((0.0, -0.01, 0.0), (hx, 0.03, hz), _flags(rng)))
    return Piece(shapes=tuple(shapes), half_x=half_x, half_z=half_z)


def _flags(rng: Rng) -> Material:
    return palette.material(rng, "paving")


def tower(rng: Rng, *, half_x: float, half_z: float) -> Piece:
    """A round tower with a crown of merlons."""
    r, high = 0.75 * min(half_x, half_z), rng.uniform(5.0, 9.0)
    look, stone = palette.material(rng, "stone"), palette.material(rng, "stone")
    shapes: list[Shape] = [
        cylinder((0.0, -high / 2, 0.0), r, high / 2, look),
        cylinder((0.0, -0.2, 0.0), r + 0.15, 0.2, stone),
        cylinder((0.0, -high - 0.1, 0.0), r + 0.25, 0.12, stone),
    ]
    count = 10
    for k in range(count):
        angle = 2 * np.pi * k / count
        x, z = float((r + 0.12) * np.cos(angle)), float((r + 0.12) * np.sin(angle))
        shapes.append(box((x, -high - 0.45, z), (0.12, 0.3, 0.28), look, yaw=-angle))
    shapes.append(box((-r, -1.1, 0.0), (0.12, 1.1, 0.5), palette.drawn(rng, "door")))
    for k in range(3):
        angle = float(rng.uniform(0.0, 6.28))
        x, z = float(r * np.cos(angle)), float(r * np.sin(angle))
        window = palette.drawn(rng, "window")
        shapes.append(box((x, -2.0 - 0.25 * high * k, z), (0.06, 0.4, 0.2), window, yaw=-angle))
    return Piece(shapes=tuple(shapes), half_x=half_x, half_z=half_z)
