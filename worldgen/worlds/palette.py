"""Materials at random: which tile, what size, what tint.

Room: worldgen.worlds; the layouts choose with it. Tints bring tiles into a natural range of
brightness, so that one exposure suits a whole scene.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from worldgen.worlds.scene import Material, Vector
from worldgen.worlds.textures import textures

BRIGHTNESS = {
    "floor": (0.12, 0.42),
    "wall": (0.25, 0.62),
    "plain": (0.35, 0.72),
    "ceiling": (0.5, 0.78),
    "ground": (0.14, 0.38),
    "roof": (0.12, 0.35),
    "object": (0.1, 0.55),
    "wood": (0.12, 0.5),
    "cloth": (0.12, 0.55),
    "picture": (0.15, 0.5),
    "leaf": (0.08, 0.25),
    "grass": (0.1, 0.24),
    "earth": (0.12, 0.3),
    "sand": (0.28, 0.5),
    "rock": (0.14, 0.36),
    "gravel": (0.18, 0.38),
    "asphalt": (0.07, 0.16),
    "paving": (0.2, 0.42),
    "facade": (0.22, 0.62),
    "bark": (0.07, 0.2),
    "stone": (0.16, 0.42),
    "metal": (0.15, 0.5),
    "snow": (0.6, 0.8),
}
"""Mean albedo of a material, by use."""

TILES_PER_M = {
    "floor": (0.45, 1.1),
    "wall": (0.45, 1.1),
    "plain": (0.3, 0.8),
    "ceiling": (0.4, 0.9),
    "ground": (0.35, 0.8),
    "roof": (0.4, 0.9),
    "object": (0.9, 2.5),
    "wood": (0.9, 2.0),
    "cloth": (1.2, 3.0),
    "picture": (1.0, 1.0),
    "leaf": (0.8, 1.6),
    "grass": (0.5, 0.9),
    "earth": (0.5, 0.9),
    "sand": (0.5, 0.9),
    "rock": (0.4, 0.9),
    "gravel": (0.5, 0.9),
    "asphalt": (0.6, 1.0),
    "paving": (0.6, 1.2),
    "facade": (0.7, 1.3),
    "bark": (0.8, 1.6),
    "stone": (0.4, 0.9),
    "metal": (0.5, 1.2),
    "snow": (0.3, 0.6),
}


def material(rng: np.random.Generator, use: str, *, saturation: float = 0.12) -> Material:
    """A random material for a use (a group of tiles), with its tint."""
    group = textures().groups[use]
    tile = int(group[rng.integers(len(group))])
    mean = float(textures().means[tile].mean())
    low, high = BRIGHTNESS[use]
    target = min(max(mean * rng.uniform(0.8, 1.5), rng.uniform(low, 0.5 * (low + high))), high)
    # a dark tile is lifted by at most 3: more would only show its compression
    gain = min(max(target / max(mean, 1e-3), 0.4), 3.0)
    tint = gain * (1.0 + saturation * rng.uniform(-1.0, 1.0, 3))
    offset = rng.uniform(0.0, 1.0, 2)
    return Material(
        tile=tile,
        tint=vector(tint),
        tiles_per_m=float(rng.uniform(*TILES_PER_M[use])),
        offset=(float(offset[0]), float(offset[1])),
        turned=bool(use not in {"wall", "picture"} and rng.random() < 0.5),
    )


def paint(rng: np.random.Generator) -> Material:
    """A plain wall colour: mostly pale, sometimes strong."""
    strength = rng.uniform(0.0, 0.12) if rng.random() < 0.6 else rng.uniform(0.15, 0.55)
    hue = rng.uniform(0.0, 1.0)
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * (hue + np.array([0.0, 1 / 3, 2 / 3])))
    base = material(rng, "plain", saturation=0.02)
    tint = np.array(base.tint) * (1.0 - strength + strength * wave)
    return dataclasses.replace(base, tint=vector(tint))


def wall(rng: np.random.Generator) -> Material:
    """Paint or a photographed wall."""
    return paint(rng) if rng.random() < 0.45 else material(rng, "wall")


def joinery(rng: np.random.Generator) -> Material:
    """What furniture and doors are made of: mostly wood, sometimes painted."""
    kind = rng.random()
    return material(rng, "wood") if kind < 0.6 else (paint(rng) if kind < 0.8 else material(rng, "object"))


def cloth(rng: np.random.Generator) -> Material:
    """Upholstery, blankets, rugs."""
    return material(rng, "cloth" if rng.random() < 0.8 else "object", saturation=0.25)


def picture(rng: np.random.Generator) -> Material:
    """A picture that fills its face."""
    return dataclasses.replace(material(rng, "picture", saturation=0.05), fits=True)


def drawn(rng: np.random.Generator, use: str) -> Material:
    """A drawn tile (a window, a door, a sign, ...) that fills its face, in its own colours."""
    group = textures().groups[use]
    gain = rng.uniform(0.85, 1.1)
    return Material(tile=int(group[rng.integers(len(group))]), tint=(gain, gain, gain), fits=True)


def tinted(base: Material, colour: Vector | np.ndarray) -> Material:
    """A material whose colour is multiplied."""
    return dataclasses.replace(base, tint=vector(np.array(base.tint) * np.array(colour)))


def lacquer(rng: np.random.Generator) -> Material:
    """A smooth strong colour or a grey: cars, bins, doors."""
    hue = 0.5 + 0.5 * np.cos(2 * np.pi * (rng.random() + np.array([0.0, 1 / 3, 2 / 3])))
    strength = 0.0 if rng.random() < 0.5 else rng.uniform(0.5, 0.9)
    base = Material(tile=int(textures().groups["plain"][0]), tiles_per_m=0.5)
    return tinted(base, rng.uniform(0.06, 0.9) * (1.0 - strength + strength * hue))


def glow(colour: Vector, strength: float) -> Material:
    """A lamp's surface."""
    tile = textures().groups["plain"][0]
    brightness = float(textures().means[tile].mean())
    return Material(tile=int(tile), glow=vector(np.array(colour) * (strength / brightness)))


def warm_white(rng: np.random.Generator) -> Vector:
    """The colour of a lamp, from candle to cool white; brightest channel 1."""
    warmth = rng.uniform(-0.12, 0.45)
    colour = np.array([1.0, 1.0 - 0.45 * max(warmth, 0.0), 1.0 - 1.1 * warmth])
    return vector(colour / colour.max())


def mean_colour(of: Material) -> np.ndarray:
    """Mean linear albedo of a material."""
    return textures().means[of.tile] * np.array(of.tint)


def vector(values: np.ndarray) -> Vector:
    """Three numbers as a hashable tuple."""
    return (float(values[0]), float(values[1]), float(values[2]))


def foliage(rng: np.random.Generator) -> Material:
    """The crown of a tree or a bush, from dark green to autumn."""
    base = dataclasses.replace(drawn(rng, "foliage"), fits=False, tiles_per_m=float(rng.uniform(0.7, 1.2)))
    season = np.array([1.7, 1.0, 0.6]) if rng.random() < 0.15 else np.array([1.0, 1.0, 1.0])
    return tinted(base, season * rng.uniform(0.8, 1.25, 3) * rng.uniform(0.7, 1.3))


def leaves(rng: np.random.Generator) -> Material:
    """Foliage."""
    base = material(rng, "leaf", saturation=0.25)
    return dataclasses.replace(base, tint=vector(np.array(base.tint) * rng.uniform(0.7, 1.2)))
