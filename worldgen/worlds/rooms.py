"""Rooms: floor, walls, ceiling, a second room through an opening, windows, lamps, furniture.

Room: worldgen.worlds; ``layout`` calls it. The main room is centred on the origin; side rooms lie
towards +x and +z, windows look towards -x and -z.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldgen.worlds import furniture, palette, walls
from worldgen.worlds._light import AREA, SUN
from worldgen.worlds.furniture import Piece
from worldgen.worlds.placing import keep_clear, placed_by_wall, placed_freely
from worldgen.worlds.scene import Light, Shape, Vector, box, slab
from worldgen.worlds.shells import Rect, Shell, area, doorways, girth, random_shells
from worldgen.worlds.walls import Opening, Wall

Rng = np.random.Generator
Furnish = Callable[[Rng, Shell, list[Rect]], list[Piece]]
"""What fills one room: pieces, none of which stands on floor that is taken already."""

LIGHTS_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a layout hands over to be packed."""

    shapes: list[Shape]
    lights: list[Light]
    areas: list[Rect]
    """Where people can be."""
    ceiling: float
    floor_colour: Vector
    surface_m2: float
    """Area of everything that bounces light, roughly."""
    levels: tuple[float, ...] = ()
    """World y of the ground of every area; empty means 0 everywhere."""


def random_room(rng: Rng, *, furnish: Furnish | None = None) -> Plan:
    """An interior of one to three rooms; ``furnish`` fills them, at random if it is None."""
    furnish = furnish or _furnished
    shells = random_shells(rng)
    shapes = [shape for shell in shells for shape in shell.shapes]
    lights = _window_lights(rng, shells)
    taken: list[Rect] = []
    for shell in shells:
        fittings, lamps = _ceiling_lamps(rng, shell)
        shapes += fittings
        shapes += _decoration(rng, shell)
        lights += lamps
        pieces = furnish(rng, shell, taken)
        shapes += [shape for piece in pieces for shape in piece.shapes]
        lights += [light for piece in pieces for light in piece.lights]
    surface = sum(2 * area(s.rect) + 2 * s.height * girth(s.rect) for s in shells)
    return Plan(
        shapes=shapes + _outside(rng, lights),
        lights=lights[:LIGHTS_MAX],
        areas=[shell.rect for shell in shells] + doorways(shells),
        ceiling=min(shell.height for shell in shells),
        floor_colour=palette.vector(palette.mean_colour(shells[0].floor)),
        surface_m2=surface,
    )


def _window_lights(rng: Rng, shells: list[Shell]) -> list[Light]:
    """Daylight through windows: one lamp per window, and perhaps the sun."""
    lights: list[Light] = []
    day = rng.uniform(0.8, 2.2)
    colour = np.array([0.85, 0.95, 1.1]) * rng.uniform(0.92, 1.08, 3) * day
    for shell in shells:
        for wall in shell.walls:
            holes = [hole for hole in wall.openings if hole.low > 0.0]
            if holes and len(lights) < 2:
                lights.append(_window_light(wall, holes, colour))
    if lights and rng.random() < 0.6:
        angle, up = rng.uniform(math.pi + 0.2, 1.5 * math.pi - 0.2), rng.uniform(0.35, 0.9)
        to_sun = np.array([math.cos(angle), -math.tan(up), math.sin(angle)])
        to_sun /= np.linalg.norm(to_sun)
        lights.insert(0, sun(to_sun, np.array([1.0, 0.93, 0.8]) * day * rng.uniform(1.5, 4.0)))
    return lights


def _window_light(wall: Wall, holes: list[Opening], radiance: np.ndarray) -> Light:
    """All windows of one wall as one lamp in their middle."""
    start, end = holes[0].start, holes[-1].end
    low, high = holes[0].low, holes[0].high
    area = sum(hole.end - hole.start for hole in holes) * (high - low)
    inner = wall.at - wall.outward * 0.05
    along, up = 0.5 * (start + end), -0.5 * (low + high)
    at = (inner, up, along) if wall.axis == 1 else (along, up, inner)
    half = min(0.5 * (end - start), 0.6)  # wide lamps make slow shadows
    half_u = (0.0, 0.0, half) if wall.axis == 1 else (half, 0.0, 0.0)
    inward = float(-wall.outward)
    normal = (inward, 0.0, 0.0) if wall.axis == 1 else (0.0, 0.0, inward)
    return Light(
        kind=AREA,
        at=at,
        colour=palette.vector(radiance * area),
        half_u=half_u,
        half_v=(0.0, min(0.5 * (high - low), 0.6), 0.0),
        normal=normal,
    )


def sun(to_sun: np.ndarray, colour: np.ndarray) -> Light:
    """The sun, softened to about two degrees."""
    side = np.cross(to_sun, [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    up = np.cross(side, to_sun)
    return Light(
        kind=SUN,
        at=palette.vector(to_sun),
        colour=palette.vector(colour),
        half_u=palette.vector(0.025 * side),
        half_v=palette.vector(0.025 * up),
    )


def _ceiling_lamps(rng: Rng, shell: Shell) -> tuple[list[Shape], list[Light]]:
    """One or two lamp panels or bars under the ceiling."""
    shapes, lights = [], []
    x0, z0, x1, z1 = shell.rect
    count = 2 if max(x1 - x0, z1 - z0) > 6 and rng.random() < 0.7 else 1
    colour, strength = palette.warm_white(rng), rng.uniform(5.0, 12.0)
    hx, hz = rng.uniform(0.12, 0.45, 2)
    drop = 0.03 if rng.random() < 0.7 else rng.uniform(0.2, 0.25 * shell.height)
    for k in range(count):
        f = (k + 0.5) / count
        x = x0 + (x1 - x0) * (f if x1 - x0 >= z1 - z0 else rng.uniform(0.4, 0.6))
        z = z0 + (z1 - z0) * (f if x1 - x0 < z1 - z0 else rng.uniform(0.4, 0.6))
        y = -shell.height + drop
        shapes.append(box((x, y, z), (hx, 0.03, hz), palette.glow(colour, 3.0)))
        if drop > 0.1:
            metal = palette.material(rng, "object")
            shapes.append(box((x, y - drop / 2 - 0.01, z), (0.012, drop / 2, 0.012), metal))
        flux = strength * max(4 * hx * hz, 0.2) * (0.5 + 0.5 * area(shell.rect) / (count * 12.0))
        lights.append(
            Light(
                kind=AREA,
                at=(x, y + 0.045, z),
                colour=palette.vector(np.array(colour) * flux),
                half_u=(hx, 0.0, 0.0),
                half_v=(0.0, 0.0, hz),
                normal=(0.0, 1.0, 0.0),
            )
        )
    return shapes, lights


def _decoration(rng: Rng, shell: Shell) -> list[Shape]:
    """Doors and pictures on the walls."""
    shapes: list[Shape] = []
    for bare in shell.walls:
        wall = bare
        if rng.random() < 0.3 and not bare.openings:
            parts, hole = walls.door(rng, bare)
            shapes += parts
            if hole is not None:
                wall = dataclasses.replace(bare, openings=(hole,))
        shapes += walls.pictures(rng, wall, count=int(rng.integers(0, 4)), height=shell.height)
    return shapes


def _furnished(rng: Rng, shell: Shell, taken: list[Rect]) -> list[Piece]:
    """Pieces along the walls and on the free floor, none in a doorway or in another."""
    size = area(shell.rect)
    for wall in shell.walls:
        keep_clear(wall, taken)
    pieces: list[Piece] = []
    for _ in range(int(min(rng.integers(4, 11), size / 2.5))):
        make = furniture.BY_THE_WALL[rng.integers(len(furniture.BY_THE_WALL))]
        pieces += placed_by_wall(rng, make(rng), shell.walls[rng.integers(len(shell.walls))], taken)
    for _ in range(int(min(rng.integers(1, 6), size / 5))):
        make = furniture.STANDING[rng.integers(len(furniture.STANDING))]
        pieces += placed_freely(rng, make(rng), shell.rect, taken)
    if size > 20 and rng.random() < 0.4:
        one = furniture.column(rng, shell.height)
        for _ in range(int(rng.integers(1, 4))):
            pieces += placed_freely(rng, one, shell.rect, taken)
    if rng.random() < 0.45:
        pieces += placed_freely(rng, furniture.rug(rng), shell.rect, [])
    return pieces


def _outside(rng: Rng, lights: list[Light]) -> list[Shape]:
    """Ground and a few distant blocks, where there are windows to see them through."""
    if not lights:
        return []
    ground = dataclasses.replace(palette.material(rng, "ground"), tiles_per_m=0.25)
    shapes = [slab((-70.0, 0.35, -70.0), (70.0, 0.6, 70.0), ground)]
    for _ in range(int(rng.integers(2, 7))):
        angle, far = rng.uniform(0, 2 * math.pi), rng.uniform(16.0, 34.0)
        half = (rng.uniform(1.5, 5.0), rng.uniform(1.5, 5.0), rng.uniform(1.5, 5.0))
        centre = (far * math.cos(angle), 0.35 - half[1], far * math.sin(angle))
        shapes.append(box(centre, half, palette.material(rng, "wall"), yaw=rng.uniform(0, 1.5)))
    return shapes
