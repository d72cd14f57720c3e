"""Rooms: floor, walls, ceiling, a second room through an opening, windows, lamps, furniture.

Room: worldgen.worlds; ``layout`` calls it. The main room is centred on the origin; side rooms lie
towards +x and +z, windows look towards -x and -z.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from worldgen.worlds import furniture, palette, walls
from worldgen.worlds._light import AREA, SUN
from worldgen.worlds.furniture import Piece
from worldgen.worlds.scene import Light, Material, Shape, Vector, box, slab
from worldgen.worlds.walls import Opening, Wall

Rng = np.random.Generator
LIGHTS_MAX = 5

Rect = tuple[float, float, float, float]
"""x0 z0 x1 z1 in metres."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """One room's walls with their looks, before anything stands in it."""

    rect: Rect
    height: float
    walls: tuple[Wall, ...]
    shapes: list[Shape]
    floor: Material


def random_room(rng: Rng) -> Plan:
    """A furnished interior of one to three rooms."""
    shells = _shells(rng)
    shapes = [shape for shell in shells for shape in shell.shapes]
    lights = _window_lights(rng, shells)
    taken: list[Rect] = []
    for shell in shells:
        fittings, lamps = _ceiling_lamps(rng, shell)
        shapes += fittings
        shapes += _decoration(rng, shell)
        lights += lamps
        pieces = _furnished(rng, shell, taken)
        shapes += [shape for piece in pieces for shape in piece.shapes]
        lights += [light for piece in pieces for light in piece.lights]
    surface = sum(2 * _area(s.rect) + 2 * s.height * _girth(s.rect) for s in shells)
    return Plan(
        shapes=shapes + _outside(rng, lights),
        lights=lights[:LIGHTS_MAX],
        areas=[shell.rect for shell in shells] + _doorways(shells),
        ceiling=min(shell.height for shell in shells),
        floor_colour=palette.vector(palette.mean_colour(shells[0].floor)),
        surface_m2=surface,
    )


def _area(rect: Rect) -> float:
    return (rect[2] - rect[0]) * (rect[3] - rect[1])


def _girth(rect: Rect) -> float:
    return rect[2] - rect[0] + rect[3] - rect[1]


def _shells(rng: Rng) -> list[Shell]:
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
    trim = palette.paint(rng) if rng.random() < 0.6 else palette.material(rng, "object")
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
        wood, count = palette.material(rng, "object"), int(rng.integers(2, 6))
        w, h = rng.uniform(0.05, 0.1), rng.uniform(0.1, 0.22)
        for k in range(count):
            f = (k + 0.5) / count
            if x1 - x0 > z1 - z0:
                at = x0 + f * (x1 - x0)
                shapes.append(slab((at - w, -height - 0.01, z0 - 0.01), (at + w, -height + h, z1 + 0.01), wood))
            else:
                at = z0 + f * (z1 - z0)
                shapes.append(slab((x0 - 0.01, -height - 0.01, at - w), (x1 + 0.01, -height + h, at + w), wood))
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
        shapes.append(walls.block(wall, (wall.start, wall.end), (main.height, height + 0.1), (-t, 0.004), look))
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


def _doorways(shells: list[Shell]) -> list[Rect]:
    """Passages through walls, as walkable areas."""
    rects: list[Rect] = []
    for wall in shells[0].walls:
        for hole in wall.openings:
            if hole.low == 0.0 and hole.end - hole.start > 0.8:
                a, b = wall.at - 0.3, wall.at + 0.46
                rects.append((a, hole.start, b, hole.end) if wall.axis == 1 else (hole.start, a, hole.end, b))
    return rects


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
        flux = strength * max(4 * hx * hz, 0.2) * (0.5 + 0.5 * _area(shell.rect) / (count * 12.0))
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
    for wall in shell.walls:
        if rng.random() < 0.3 and not wall.openings:
            parts, hole = walls.door(rng, wall)
            shapes += parts
            if hole is not None:
                wall = dataclasses.replace(wall, openings=(*wall.openings, hole))
        shapes += walls.pictures(rng, wall, count=int(rng.integers(0, 4)), height=shell.height)
    return shapes


def _overlaps(rect: Rect, taken: list[Rect], gap: float) -> bool:
    return any(
        rect[0] < other[2] + gap and rect[2] > other[0] - gap and rect[1] < other[3] + gap and rect[3] > other[1] - gap
        for other in taken
    )


def _furnished(rng: Rng, shell: Shell, taken: list[Rect]) -> list[Piece]:
    """Pieces along the walls and on the free floor, none in a doorway or in another."""
    area = _area(shell.rect)
    for wall in shell.walls:
        for hole in wall.openings:
            if hole.low == 0.0:
                a, b = wall.at - 1.0, wall.at + 1.0
                keep = (a, hole.start, b, hole.end) if wall.axis == 1 else (hole.start, a, hole.end, b)
                taken.append(keep)
    pieces: list[Piece] = []
    for _ in range(int(min(rng.integers(2, 7), area / 3))):
        make = furniture.BY_THE_WALL[rng.integers(len(furniture.BY_THE_WALL))]
        pieces += placed_by_wall(rng, make(rng), shell.walls[rng.integers(len(shell.walls))], taken)
    for _ in range(int(min(rng.integers(0, 5), area / 8))):
        make = furniture.STANDING[rng.integers(len(furniture.STANDING))]
        pieces += placed_freely(rng, make(rng), shell.rect, taken)
    if area > 20 and rng.random() < 0.4:
        one = furniture.column(rng, shell.height)
        for _ in range(int(rng.integers(1, 4))):
            pieces += placed_freely(rng, one, shell.rect, taken)
    if rng.random() < 0.45:
        pieces += placed_freely(rng, furniture.rug(rng), shell.rect, [])
    return pieces


def placed_by_wall(rng: Rng, piece: Piece, wall: Wall, taken: list[Rect]) -> list[Piece]:
    """The piece with its back to a wall, or nothing where it does not fit."""
    tall = max(-shape.centre[1] + shape.half[1] for shape in piece.shapes)
    # windows stop tall furniture, doorways stop everything (they are in ``taken``)
    blocking = tuple(hole for hole in wall.openings if 0.0 < hole.low < tall)
    middle = walls.free_stretch(rng, dataclasses.replace(wall, openings=blocking), 2 * piece.half_x + 0.4)
    if middle is None or tall > wall.height - 0.1:
        return []
    yaw = (0.5 * math.pi * -wall.outward) if wall.axis == 1 else (math.pi if wall.outward > 0 else 0.0)
    away = wall.at - wall.outward * (piece.half_z + 0.04 + (0.3 * rng.random() if rng.random() < 0.2 else 0.0))
    x, z = (away, middle) if wall.axis == 1 else (middle, away)
    return _settled(furniture.moved(piece, x=x, z=z, yaw=yaw), x, z, taken)


def placed_freely(rng: Rng, piece: Piece, rect: Rect, taken: list[Rect]) -> list[Piece]:
    """The piece turned at random somewhere on the floor, or nothing after a few tries."""
    for _ in range(4):
        turn = 0.5 * math.pi * rng.integers(4) + (rng.uniform(-0.6, 0.6) if rng.random() < 0.5 else 0.0)
        ghost = furniture.moved(piece, x=0.0, z=0.0, yaw=turn)
        room_x, room_z = rect[2] - rect[0] - 2 * ghost.half_x - 0.1, rect[3] - rect[1] - 2 * ghost.half_z - 0.1
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
