"""Houses in a row: fronts with windows, doors, shops, ledges and roofs.

Room: worldgen.worlds; ``streets`` and ``landscapes`` build with it. A front is a ``Wall`` whose inner side
faces the street; heights are above y = 0. Nothing lies in the plane of anything else.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from worldgen.worlds import palette, walls
from worldgen.worlds.scene import Material, Shape
from worldgen.worlds.textures import textures
from worldgen.worlds.walls import Opening, Wall

Rng = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What one house is built of."""

    look: Material
    trim: Material
    window: Material
    roof: Material
    storey: float
    """Height of a storey in metres."""
    bay: float
    """Distance between windows in metres."""


def random_style(rng: Rng) -> Style:
    """Materials and measures of a house."""
    look = palette.material(rng, "facade") if rng.random() < 0.7 else palette.paint(rng)
    trim = palette.paint(rng) if rng.random() < 0.6 else palette.material(rng, "stone")
    return Style(
        look=look,
        trim=trim,
        window=palette.drawn(rng, "window"),
        roof=palette.material(rng, "roof"),
        storey=rng.uniform(2.8, 3.5),
        bay=rng.uniform(2.0, 3.4),
    )


def house(rng: Rng, front: Wall, *, deep: float, foot: float) -> list[Shape]:
    """A house whose details can be walked up to; ``foot`` is the height of the pavement."""
    style = random_style(rng)
    storeys = max(1, round((front.height - foot) / style.storey))
    front = dataclasses.replace(front, height=foot + storeys * style.storey + rng.uniform(0.1, 0.5))
    along = (front.start, front.end)
    shapes = [walls.block(front, along, (0.0, front.height), (-deep, 0.0), style.look)]
    shapes += _top(rng, front, style, deep)
    ground, taken = _ground_floor(rng, front, style, foot)
    shapes += ground
    columns = max(1, int((front.end - front.start - 0.6) / style.bay))
    size = (rng.uniform(0.38, 0.62) * style.bay, rng.uniform(0.45, 0.6) * style.storey)
    kind = rng.random()
    for level in range(storeys):
        base = foot + level * style.storey
        if level > 0 and kind > 0.3:  # a string course
            shapes.append(
                walls.block(front, along, (base - 0.07, base + 0.07), (-0.02, 0.05 + 0.08 * kind), style.trim)
            )
        for c in range(columns):
            middle = front.start + (front.end - front.start) * (c + 0.5) / columns
            hidden = level == 0 and any(h.start - 0.5 < middle < h.end + 0.5 for h in taken)
            if not hidden and not (level == 0 and kind > 0.85):
                shapes += _window(rng, front, style, middle, base + 0.3 * style.storey, size, kind)
    if kind > 0.55 and columns > 1:  # piers between the windows, from the ground up
        for c in range(columns + 1):
            at = front.start + (front.end - front.start) * c / columns
            span = (max(at - 0.16, front.start), min(at + 0.16, front.end))
            if not any(h.start - 0.1 < span[1] and span[0] < h.end + 0.1 for h in taken):
                shapes.append(walls.block(front, span, (0.0, front.height - 0.02), (-0.02, 0.09), style.trim))
    return shapes


def _window(
    rng: Rng,
    front: Wall,
    style: Style,
    middle: float,
    low: float,
    size: tuple[float, float],
    kind: float,
) -> list[Shape]:
    """A window with a sill, and with shutters or a balcony where the house has them."""
    a, b, high = middle - size[0] / 2, middle + size[0] / 2, low + size[1]
    shapes = [walls.block(front, (a, b), (low, high), (-0.02, 0.035), style.window)]
    shapes.append(
        walls.block(front, (a - 0.08, b + 0.08), (low - 0.09, low - 0.002), (-0.02, 0.14), style.trim)
    )
    if kind < 0.25:
        for span in ((a - 0.45 * size[0], a - 0.02), (b + 0.02, b + 0.45 * size[0])):
            shapes.append(walls.block(front, span, (low, high), (-0.02, 0.05), style.trim))
    elif kind < 0.45:
        shapes.append(
            walls.block(front, (a - 0.1, b + 0.1), (high + 0.002, high + 0.14), (-0.02, 0.1), style.trim)
        )
    if 0.25 < kind < 0.35 and low > 3.0 and rng.random() < 0.5:
        shapes += _balcony(front, style, (a - 0.3, b + 0.3), low - 0.12)
    return shapes


def _balcony(front: Wall, style: Style, along: tuple[float, float], level: float) -> list[Shape]:
    """A slab with a railing."""
    shapes = [walls.block(front, along, (level - 0.14, level), (-0.02, 0.85), style.trim)]
    shapes.append(walls.block(front, along, (level + 0.85, level + 0.9), (0.8, 0.84), style.trim))
    count = max(3, int((along[1] - along[0]) / 0.3))
    for k in range(count):
        at = along[0] + 0.02 + (along[1] - along[0] - 0.04) * k / (count - 1)
        shapes.append(
            walls.block(front, (at - 0.014, at + 0.014), (level, level + 0.86), (0.805, 0.835), style.trim)
        )
    return shapes


def _ground_floor(
    rng: Rng, front: Wall, style: Style, foot: float
) -> tuple[list[Shape], tuple[Opening, ...]]:
    """Doors, shop fronts and garage doors, and the stretches of the front that they take."""
    length, kind = front.end - front.start, rng.random()
    if kind < 0.45 and length > 4.0:
        return _shop(rng, front, style, foot)
    shapes, holes = _door(rng, front, style, foot)
    if kind > 0.75 and length > 7.0:
        width = rng.uniform(2.3, 2.9)
        middle = walls.free_stretch(rng, dataclasses.replace(front, openings=holes), width + 0.4)
        if middle is not None:
            span = (middle - width / 2, middle + width / 2)
            top = foot + min(2.4, style.storey - 0.3)
            shapes.append(walls.block(front, span, (foot, top), (-0.02, 0.03), palette.drawn(rng, "garage")))
            lintel = (span[0] - 0.1, span[1] + 0.1)
            shapes.append(walls.block(front, lintel, (top, top + 0.16), (-0.02, 0.08), style.trim))
            holes = (*holes, Opening(start=span[0], end=span[1], low=0.0, high=top))
    if rng.random() < 0.6:  # a plinth
        at = front.start
        for hole in sorted(holes, key=lambda hole: hole.start):
            shapes.append(
                walls.block(front, (at, hole.start), (0.0, foot + 0.45), (-0.02, 0.025), style.trim)
            )
            at = hole.end
        shapes.append(walls.block(front, (at, front.end), (0.0, foot + 0.45), (-0.02, 0.025), style.trim))
    return shapes, holes


def _door(rng: Rng, front: Wall, style: Style, foot: float) -> tuple[list[Shape], tuple[Opening, ...]]:
    """A front door with a step and perhaps a canopy."""
    width, high = rng.uniform(0.95, 1.3), rng.uniform(2.1, 2.3)
    middle = walls.free_stretch(rng, front, width + 0.6)
    if middle is None:
        return [], ()
    a, b, top = middle - width / 2, middle + width / 2, foot + 0.12 + high
    shapes = [
        walls.block(front, (a, b), (foot, top), (-0.02, 0.03), palette.drawn(rng, "door")),
        walls.block(front, (a - 0.14, a), (0.0, top + 0.12), (-0.02, 0.07), style.trim),
        walls.block(front, (b, b + 0.14), (0.0, top + 0.12), (-0.02, 0.07), style.trim),
        walls.block(front, (a, b), (top, top + 0.118), (-0.02, 0.068), style.trim),
        walls.block(front, (a - 0.2, b + 0.2), (0.0, foot + 0.12), (-0.02, 0.3), style.trim),
    ]
    if rng.random() < 0.4:
        shapes.append(
            walls.block(front, (a - 0.3, b + 0.3), (top + 0.2, top + 0.28), (-0.02, 0.8), style.roof)
        )
    return shapes, (Opening(start=a - 0.25, end=b + 0.25, low=0.0, high=top),)


def _shop(rng: Rng, front: Wall, style: Style, foot: float) -> tuple[list[Shape], tuple[Opening, ...]]:
    """Wide panes with a door, a sign above and perhaps an awning."""
    length = front.end - front.start
    a, b = front.start + rng.uniform(0.3, 0.6), front.end - rng.uniform(0.3, 0.6)
    top, base = foot + min(2.55, style.storey - 0.45), foot + rng.uniform(0.25, 0.6)
    panes = max(1, int((b - a - 1.2) / rng.uniform(1.8, 3.0)))
    wide, glass = (b - a - 1.2) / panes, palette.drawn(rng, "shop")
    door_at = int(rng.integers(panes + 1))
    shapes = [walls.block(front, (a - 0.1, b + 0.1), (0.0, base), (-0.02, 0.06), style.trim)]
    x = a
    for k in range(panes + 1):
        if k == door_at:
            shapes.append(
                walls.block(front, (x + 0.1, x + 1.1), (foot, top), (-0.02, 0.07), palette.drawn(rng, "door"))
            )
            x += 1.2
        if k < panes:
            pane = palette.drawn(rng, "shop") if rng.random() < 0.6 else glass
            shapes.append(walls.block(front, (x + 0.06, x + wide - 0.06), (base, top), (-0.02, 0.03), pane))
            x += wide
    sign = dataclasses.replace(palette.drawn(rng, "sign"), fits=False, tiles_per_m=rng.uniform(0.8, 1.6))
    board = (top + 0.05, min(top + rng.uniform(0.4, 0.6), foot + style.storey - 0.02))
    paint = palette.lacquer(rng)
    shapes.append(walls.block(front, (a - 0.1, b + 0.1), (board[0], board[1]), (-0.02, 0.12), paint))
    middle, half = 0.5 * (a + b), min(0.3 * length, 2.0)
    fits = dataclasses.replace(sign, fits=True)
    shapes.append(
        walls.block(
            front, (middle - half, middle + half), (board[0] + 0.04, board[1] - 0.04), (0.0, 0.135), fits
        )
    )
    if rng.random() < 0.55:
        cloth, reach = palette.cloth(rng), rng.uniform(0.8, 1.4)
        for k in range(5):
            near, far = reach * k / 5, reach * (k + 1) / 5
            level = board[0] - 0.02 - 0.1 * k
            shapes.append(walls.block(front, (a, b), (level - 0.1, level), (0.13 + near, 0.13 + far), cloth))
    return shapes, (Opening(start=front.start, end=front.end, low=0.0, high=board[1]),)


def _top(rng: Rng, front: Wall, style: Style, deep: float) -> list[Shape]:
    """A cornice and a flat roof with a parapet, or a stepped slope of tiles, and chimneys."""
    along, high = (front.start, front.end), front.height
    over = rng.uniform(0.15, 0.4)
    shapes = [walls.block(front, along, (high, high + 0.22), (-deep - 0.1, over), style.trim)]
    rise = 0.0
    if rng.random() < 0.5:
        shapes.append(
            walls.block(front, along, (high + 0.22, high + rng.uniform(0.5, 1.0)), (-0.3, 0.02), style.look)
        )
        shapes.append(walls.block(front, along, (high + 0.22, high + 0.26), (-deep, -0.3), style.roof))
    else:
        steps, rise = 6, rng.uniform(1.6, 2.8)
        for k in range(steps):
            inset = 0.5 * deep * k / steps
            level = high + 0.22 + rise * k / steps
            depth = (-deep + inset - 0.05, over - 0.1 - inset)
            shapes.append(walls.block(front, along, (level, level + rise / steps), depth, style.roof))
    for _ in range(int(rng.integers(0, 3))):
        x, back = rng.uniform(front.start + 0.5, front.end - 0.5), -rng.uniform(0.25, 0.6) * deep
        top = high + max(rise, 0.5) + rng.uniform(0.6, 1.2)
        shapes.append(walls.block(front, (x - 0.3, x + 0.3), (high, top), (back - 0.6, back), style.look))
    return shapes


def distant_house(rng: Rng, front: Wall, *, deep: float) -> list[Shape]:
    """A house seen from afar: one block with windows in its texture, a ledge and a roof."""
    group = textures().groups["bay"]
    storey, gain = rng.uniform(2.8, 3.6), rng.uniform(0.8, 1.1)
    storeys = max(1, round(front.height / storey))
    front = dataclasses.replace(front, height=storeys * storey)
    look = Material(
        tile=int(group[rng.integers(len(group))]), tint=(gain, gain, gain), tiles_per_m=1.0 / storey
    )
    trim, roof = palette.paint(rng), palette.material(rng, "roof")
    along, high = (front.start, front.end), front.height
    shapes = [walls.block(front, along, (0.0, high), (-deep, 0.0), look)]
    shapes.append(walls.block(front, along, (high, high + 0.25), (-deep - 0.15, 0.25), trim))
    if rng.random() < 0.6:
        rise = rng.uniform(1.5, 3.0)
        for k in range(4):
            inset, level = 0.5 * deep * (k + 0.3) / 4, high + 0.25 + rise * k / 4
            shapes.append(walls.block(front, along, (level, level + rise / 4), (-deep + inset, -inset), roof))
    return shapes
