"""What stands along a road: cars, lamp posts, trees, benches, bollards, fences.

Room: worldgen.worlds; ``streets`` and ``landscapes`` place it. Pieces stand on y = 0 around the origin;
what has a front looks towards +z, what is long lies along x.
"""

from __future__ import annotations

import numpy as np

from worldgen.worlds import palette
from worldgen.worlds.furniture import Piece
from worldgen.worlds.scene import Material, Shape, box, cylinder, sphere
from worldgen.worlds.textures import textures

Rng = np.random.Generator


def _dark(level: float = 0.06) -> Material:
    tile = int(textures().groups["plain"][0])
    return palette.tinted(Material(tile=tile, tiles_per_m=0.6), (level, level, level))


def car(rng: Rng) -> Piece:
    """A car or a van, along x."""
    paint, glass, tyre, grey = palette.lacquer(rng), _dark(0.09), _dark(0.035), _dark(0.25)
    van = rng.random() < 0.25
    hx, hz = rng.uniform(2.2, 2.5) if van else rng.uniform(1.8, 2.2), rng.uniform(0.82, 0.92)
    sill, belt = 0.24, rng.uniform(0.78, 0.92)
    roof = rng.uniform(1.9, 2.1) if van else rng.uniform(1.35, 1.5)
    shapes: list[Shape] = [
        _upright((-hx, hx), (sill, belt), hz, paint),
        _upright((-hx - 0.06, hx + 0.06), (sill + 0.06, sill + 0.26), hz - 0.04, grey),
    ]
    back = -hx + (0.04 if van else rng.uniform(0.1, 0.7))
    ahead = hx - (rng.uniform(0.5, 0.8) if van else rng.uniform(1.1, 1.35))
    steps = 6  # the slant of the windscreens, in steps
    for k in range(steps):
        low, high = (belt + (roof - 0.08 - belt) * (k + i) / steps for i in (0, 1))
        lean = 0.1 * k
        shapes.append(_upright((back + 0.4 * lean, ahead - lean), (low, high), hz - 0.08 - 0.016 * k, glass))
    shapes.append(_upright((back + 0.18, ahead - 0.5), (roof - 0.09, roof), hz - 0.13, paint))
    for x in (back + 0.35, 0.5 * (back + ahead) - 0.15):  # posts between the windows
        shapes.append(_upright((x - 0.05, x + 0.05), (belt, roof - 0.05), hz - 0.07, paint))
    if van:
        shapes.append(_upright((back + 0.01, 0.2), (belt, roof - 0.04), hz - 0.06, paint))
    for x in (-0.62 * hx, 0.62 * hx):
        for side in (-1.0, 1.0):
            shapes.append(sphere((x, -0.31, side * (hz - 0.2)), 0.31, tyre))
    lamp, red = palette.glow((1.0, 1.0, 0.95), 0.9), palette.tinted(_dark(0.5), (1.0, 0.1, 0.08))
    for side in (-1.0, 1.0):
        z = side * (hz - 0.22)
        shapes.append(box((hx + 0.005, -belt + 0.16, z), (0.02, 0.07, 0.16), lamp))
        shapes.append(box((-hx - 0.005, -belt + 0.16, z), (0.02, 0.08, 0.14), red))
    return Piece(shapes=tuple(shapes), half_x=hx + 0.08, half_z=hz)


def _upright(
    along: tuple[float, float], heights: tuple[float, float], half_z: float, look: Material
) -> Shape:
    """A box along x between two heights above the ground."""
    x, y = 0.5 * (along[0] + along[1]), -0.5 * (heights[0] + heights[1])
    return box((x, y, 0.0), (0.5 * (along[1] - along[0]), 0.5 * (heights[1] - heights[0]), half_z), look)


def lamp_post(rng: Rng) -> Piece:
    """A lamp post whose arm reaches towards +z."""
    high, metal = rng.uniform(4.0, 5.5), _dark(rng.uniform(0.06, 0.25))
    shapes: list[Shape] = [
        cylinder((0.0, -0.25, 0.0), 0.11, 0.25, metal),
        cylinder((0.0, -high / 2, 0.0), 0.055, high / 2, metal),
    ]
    if rng.random() < 0.5:
        reach = rng.uniform(0.5, 0.9)
        shapes.append(box((0.0, -high + 0.04, reach / 2), (0.03, 0.03, reach / 2), metal))
        shapes.append(box((0.0, -high + 0.02, reach + 0.15), (0.1, 0.05, 0.25), metal))
    else:
        shapes.append(cylinder((0.0, -high - 0.18, 0.0), 0.14, 0.18, palette.glow((1.0, 0.97, 0.9), 0.8)))
        shapes.append(cylinder((0.0, -high - 0.38, 0.0), 0.2, 0.03, metal))
    return Piece(shapes=tuple(shapes), half_x=0.15, half_z=0.15)


def tree(rng: Rng, *, high: float | None = None) -> Piece:
    """A broad-leaved tree: a trunk and a crown of balls."""
    high = rng.uniform(4.0, 7.5) if high is None else high
    bark, leaf = palette.material(rng, "bark"), palette.foliage(rng)
    other = palette.tinted(leaf, rng.uniform(0.75, 1.15, 3))
    r, trunk = 0.025 * high + rng.uniform(0.0, 0.05), 0.45 * high
    shapes: list[Shape] = [cylinder((0.0, -trunk / 2, 0.0), r, trunk / 2, bark)]
    crown = 0.2 * high
    shapes.append(sphere((0.0, -0.66 * high, 0.0), 1.15 * crown, leaf))
    for k in range(int(rng.integers(4, 7))):
        angle, up = 2.4 * k + rng.uniform(-0.4, 0.4), rng.uniform(0.48, 0.85)
        out = crown * rng.uniform(0.6, 1.0) * (1.15 - abs(up - 0.62))
        size = crown * rng.uniform(0.6, 0.85)
        at = (out * np.cos(angle), -up * high, out * np.sin(angle))
        shapes.append(sphere(palette.vector(np.array(at)), size, leaf if k % 2 else other))
    return Piece(shapes=tuple(shapes), half_x=r + 0.05, half_z=r + 0.05)


def conifer(rng: Rng) -> Piece:
    """A conifer: a trunk and discs that narrow to the top."""
    high = rng.uniform(3.0, 8.0)
    bark = palette.material(rng, "bark")
    leaf = palette.tinted(palette.foliage(rng), (0.55, 0.75, 0.65))
    shapes: list[Shape] = [cylinder((0.0, -0.15 * high, 0.0), 0.03 * high, 0.15 * high, bark)]
    steps, wide = 8, rng.uniform(0.17, 0.24) * high
    for k in range(steps):
        low, top = (0.16 + 0.84 * (k + i) / steps for i in (0, 1))
        radius = wide * (1.0 - (k + 0.25) / steps)
        shapes.append(cylinder((0.0, -0.5 * (low + top) * high, 0.0), radius, 0.5 * (top - low) * high, leaf))
    return Piece(shapes=tuple(shapes), half_x=0.1 * high, half_z=0.1 * high)


def bush(rng: Rng) -> Piece:
    """A few balls of leaves half in the ground."""
    leaf, shapes = palette.foliage(rng), []
    for _ in range(int(rng.integers(1, 4))):
        r, (x, z) = rng.uniform(0.25, 0.6), rng.uniform(-0.35, 0.35, 2)
        shapes.append(sphere((float(x), -0.55 * r, float(z)), r, leaf))
    return Piece(shapes=tuple(shapes), half_x=0.6, half_z=0.6)


def stump(rng: Rng) -> Piece:
    """What is left of a tree, or a fallen trunk."""
    bark, wood = palette.material(rng, "bark"), palette.material(rng, "wood")
    if rng.random() < 0.4:
        half, r = rng.uniform(0.6, 1.4), rng.uniform(0.1, 0.2)
        trunk = box((0.0, -0.85 * r, 0.0), (half, r, r), wood, wood, bark, bark, bark, bark)
        return Piece(shapes=(trunk,), half_x=half, half_z=r)
    r, high = rng.uniform(0.15, 0.35), rng.uniform(0.2, 0.5)
    shape = cylinder((0.0, -high / 2, 0.0), r, high / 2, bark, bark, wood, wood, bark, bark)
    return Piece(shapes=(shape,), half_x=r, half_z=r)


def _petals(rng: Rng) -> Material:
    """White, yellow, red or violet."""
    hues = ((0.9, 0.9, 0.85), (0.9, 0.7, 0.1), (0.8, 0.12, 0.1), (0.5, 0.25, 0.7))
    return palette.tinted(_dark(1.0), hues[rng.integers(len(hues))])


def flowers(rng: Rng) -> Piece:
    """A clump of stalks with heads."""
    leaf, head = palette.leaves(rng), _petals(rng)
    shapes: list[Shape] = []
    for k in range(int(rng.integers(3, 6))):
        (x, z), high = rng.uniform(-0.3, 0.3, 2), rng.uniform(0.2, 0.5)
        shapes.append(box((float(x), -high / 2, float(z)), (0.015, high / 2, 0.015), leaf))
        shapes.append(sphere((float(x), -high, float(z)), 0.05, head if k else leaf))
    return Piece(shapes=tuple(shapes), half_x=0.35, half_z=0.35)


def bollard(rng: Rng) -> Piece:
    """A short post."""
    high, look = rng.uniform(0.7, 0.95), _dark(rng.uniform(0.05, 0.4))
    shapes = (
        cylinder((0.0, -high / 2, 0.0), 0.07, high / 2, look),
        cylinder((0.0, -high + 0.12, 0.0), 0.075, 0.04, _dark(0.8)),
        sphere((0.0, -high, 0.0), 0.07, look),
    )
    return Piece(shapes=shapes, half_x=0.08, half_z=0.08)


def bench(rng: Rng) -> Piece:
    """A bench of planks with a back, looking towards +z."""
    hx, wood, iron = rng.uniform(0.7, 1.0), palette.material(rng, "wood"), _dark(0.08)
    shapes = [box((0.0, -0.45, z), (hx, 0.02, 0.065), wood) for z in (-0.15, 0.0, 0.15)]
    shapes += [box((0.0, -y, -0.25), (hx, 0.06, 0.018), wood) for y in (0.65, 0.82)]
    for side in (-1, 1):
        shapes.append(box((side * 0.8 * hx, -0.215, 0.0), (0.03, 0.215, 0.2), iron))
        shapes.append(box((side * 0.8 * hx, -0.66, -0.275), (0.025, 0.23, 0.012), iron))
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=0.3)


def bin_(rng: Rng) -> Piece:
    """A litter bin or a hydrant."""
    if rng.random() < 0.35:
        red = palette.tinted(_dark(0.45), (1.0, 0.2, 0.12))
        parts = (cylinder((0.0, -0.3, 0.0), 0.11, 0.3, red), sphere((0.0, -0.6, 0.0), 0.11, red))
        caps = (box((0.0, -0.45, 0.0), (0.18, 0.05, 0.05), red),)
        return Piece(shapes=(*parts, *caps), half_x=0.18, half_z=0.12)
    look, high = palette.lacquer(rng), rng.uniform(0.75, 1.0)
    parts = (
        cylinder((0.0, -high / 2, 0.0), 0.24, high / 2, look),
        cylinder((0.0, -high - 0.02, 0.0), 0.26, 0.03, _dark(0.12)),
    )
    return Piece(shapes=parts, half_x=0.26, half_z=0.26)


def road_sign(rng: Rng) -> Piece:
    """A plate on a pole, facing along x."""
    high, plate = rng.uniform(2.1, 2.6), palette.drawn(rng, "sign")
    half = rng.uniform(0.2, 0.35)
    shapes = (
        cylinder((0.0, -high / 2, 0.0), 0.03, high / 2, _dark(0.35)),
        box((0.0, -high + half, 0.0), (0.045, half, half), plate),
    )
    return Piece(shapes=shapes, half_x=0.05, half_z=half)


def planter(rng: Rng) -> Piece:
    """A box with a clipped bush."""
    hx, hz, high = rng.uniform(0.4, 0.9), rng.uniform(0.25, 0.4), rng.uniform(0.35, 0.6)
    rim, leaf = palette.material(rng, "stone"), palette.foliage(rng)
    shapes: list[Shape] = [
        box((0.0, -high / 2, 0.0), (hx, high / 2, hz), rim),
        box((0.0, -high - 0.12, 0.0), (hx - 0.07, 0.15, hz - 0.07), leaf),
    ]
    for k in range(int(rng.integers(1, 4))):
        shapes.append(sphere((rng.uniform(-0.6, 0.6) * hx, -high - 0.2, 0.0), 0.14 + 0.05 * k, leaf))
    return Piece(shapes=tuple(shapes), half_x=hx, half_z=hz)


def cafe_table(rng: Rng) -> Piece:
    """A round table with stools and a parasol."""
    wood, metal, cloth = palette.material(rng, "wood"), _dark(0.12), palette.cloth(rng)
    shapes: list[Shape] = [
        cylinder((0.0, -0.74, 0.0), 0.38, 0.015, wood),
        cylinder((0.0, -0.37, 0.0), 0.03, 0.37, metal),
        cylinder((0.0, -0.015, 0.0), 0.22, 0.015, metal),
    ]
    for k in range(int(rng.integers(2, 4))):
        angle = 2.1 * k + rng.uniform(-0.3, 0.3)
        x, z = 0.62 * np.cos(angle), 0.62 * np.sin(angle)
        shapes.append(cylinder((float(x), -0.45, float(z)), 0.17, 0.02, wood))
        shapes.append(cylinder((float(x), -0.22, float(z)), 0.03, 0.22, metal))
    if rng.random() < 0.6:
        shapes.append(cylinder((0.0, -1.25, 0.0), 0.02, 1.25, metal))
        for k in range(4):
            shapes.append(cylinder((0.0, -2.2 - 0.09 * k, 0.0), 1.15 - 0.3 * k, 0.05, cloth))
    return Piece(shapes=tuple(shapes), half_x=0.8, half_z=0.8)


def fence(rng: Rng, *, length: float, look: Material | None = None) -> Piece:
    """Posts and rails along x, centred."""
    look = palette.joinery(rng) if look is None else look
    high, count = rng.uniform(0.9, 1.2), max(2, round(length / 1.6) + 1)
    shapes = [
        box(
            (-length / 2 + length * k / (count - 1), -high / 2 - 0.03, 0.0),
            (0.05, high / 2 + 0.03, 0.05),
            look,
        )
        for k in range(count)
    ]
    for share in (0.3, 0.6, 0.9):
        shapes.append(box((0.0, -share * high, 0.0), (length / 2, 0.045, 0.018), look))
    return Piece(shapes=tuple(shapes), half_x=length / 2, half_z=0.06)
