"""Kitchens: a row of cupboards with everything that belongs to it.

Room: worldgen.worlds; ``furnished`` places them. A row stands on y = 0 around the origin with its back
towards -z, as in ``furniture``.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from worldgen.worlds import palette
from worldgen.worlds.furniture import Piece
from worldgen.worlds.interiors import block_between, grey
from worldgen.worlds.scene import Material, Shape, box, cylinder

Rng = np.random.Generator


def kitchen(rng: Rng) -> Piece:
    """A row of cupboards with a worktop, sink, cooker, hood, cupboards above and a fridge."""
    count, width = int(rng.integers(3, 6)), 0.6
    hx, hz, top = 0.5 * width * count, 0.31, rng.uniform(0.86, 0.94)
    body, front, stone, metal = (
        palette.joinery(rng),
        palette.joinery(rng),
        palette.material(rng, "stone"),
        grey(0.55),
    )
    shapes = [
        block_between((-hx, hx), (0.0, 0.1), (-hz, hz - 0.06), grey(0.1)),
        block_between((-hx, hx), (0.1, top - 0.04), (-hz, hz - 0.02), body),
        block_between((-hx - 0.01, hx + 0.01), (top - 0.04, top), (-hz, hz + 0.02), stone),
        block_between((-hx, hx), (top, top + 0.5), (-hz, -hz + 0.012), palette.material(rng, "wall")),
    ]
    cooker, sink = (int(k) for k in rng.permutation(count)[:2])
    for k in range(count):
        a, b = -hx + k * width + 0.01, -hx + (k + 1) * width - 0.01
        if k == cooker:
            shapes += _cooker(a, b, top, hz)
            continue
        parts = (
            ((0.12, top - 0.06),) if rng.random() < 0.6 else ((0.12, 0.4), (0.415, 0.64), (0.655, top - 0.06))
        )
        for low, high in parts:
            shapes.append(block_between((a, b), (low, high), (hz - 0.02, hz), front))
            shapes.append(
                block_between((a + 0.15, b - 0.15), (high - 0.06, high - 0.04), (hz, hz + 0.03), metal)
            )
        if k == sink:
            shapes.append(block_between((a + 0.05, b - 0.05), (top, top + 0.006), (-0.2, 0.18), grey(0.3)))
            x = 0.5 * (a + b)
            shapes.append(cylinder((x, -top - 0.14, -0.23), 0.014, 0.14, metal))
            shapes.append(box((x, -top - 0.28, -0.15), (0.014, 0.014, 0.09), metal))
    shapes += _wall_cupboards(rng, count, width, hx, hz, cooker, front)
    if rng.random() < 0.75:
        shapes += _fridge(rng, hx, hz)
        shapes = [dataclasses.replace(s, centre=(s.centre[0] - 0.33, *s.centre[1:])) for s in shapes]
        hx += 0.33
    return Piece(shapes=tuple(shapes), half_x=hx + 0.01, half_z=hz + 0.04)


def _cooker(a: float, b: float, top: float, hz: float) -> list[Shape]:
    """An oven with a window and four plates."""
    steel, black = grey(0.5), grey(0.04)
    shapes = [
        block_between((a, b), (0.1, top - 0.05), (hz - 0.02, hz + 0.004), steel),
        block_between((a + 0.06, b - 0.06), (0.28, 0.6), (hz, hz + 0.012), black),
        block_between((a + 0.05, b - 0.05), (0.66, 0.685), (hz, hz + 0.04), steel),
        block_between((a + 0.02, b - 0.02), (top, top + 0.008), (-0.26, 0.26), black),
    ]
    for x in (a + 0.16, b - 0.16):
        for z in (-0.13, 0.13):
            shapes.append(cylinder((x, -top - 0.01, z), 0.085, 0.006, grey(0.2)))
    return shapes


def _wall_cupboards(
    rng: Rng, count: int, width: float, hx: float, hz: float, cooker: int, front: Material
) -> list[Shape]:
    """Cupboards above the worktop, and the hood above the cooker."""
    shapes: list[Shape] = []
    low, high = 1.45, rng.uniform(2.0, 2.2)
    for k in range(count):
        a, b = -hx + k * width, -hx + (k + 1) * width
        if k == cooker:
            shapes.append(block_between((a + 0.01, b - 0.01), (1.6, 1.7), (-hz, 0.1), grey(0.5)))
            shapes.append(block_between((a + 0.18, b - 0.18), (1.7, high), (-hz, -0.06), grey(0.5)))
        elif rng.random() < 0.8:
            shapes.append(block_between((a, b), (low, high), (-hz, 0.0), front))
            shapes.append(
                block_between((a + 0.015, b - 0.015), (low + 0.015, high - 0.015), (0.0, 0.015), front)
            )
            shapes.append(
                block_between((b - 0.08, b - 0.06), (low + 0.05, low + 0.2), (0.015, 0.035), grey(0.5))
            )
    return shapes


def _fridge(rng: Rng, hx: float, hz: float) -> list[Shape]:
    """A fridge at the right end."""
    look = grey(rng.uniform(0.3, 0.75)) if rng.random() < 0.7 else palette.lacquer(rng)
    high, cut = rng.uniform(1.65, 1.95), rng.uniform(0.6, 1.2)
    a, b = hx + 0.03, hx + 0.63
    return [
        block_between((a, b), (0.03, high), (-hz, hz), grey(0.25)),
        block_between((a, b), (0.05, cut - 0.008), (hz, hz + 0.03), look),
        block_between((a, b), (cut + 0.008, high - 0.01), (hz, hz + 0.03), look),
        block_between((a + 0.04, a + 0.065), (cut + 0.1, cut + 0.5), (hz + 0.03, hz + 0.06), grey(0.5)),
    ]
