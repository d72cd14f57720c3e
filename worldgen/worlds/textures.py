"""Textures: photographed tiles and drawn pictures, with mip levels, loaded once.

Room: worldgen.worlds; the layouts ask it for tile numbers, the kernels for texels. Tiles are
named by what they suit: floor, wall, ceiling, ground, roof, object; ``picture`` tiles are drawn here.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources

import numpy as np
from jaxtyping import Float, UInt8, UInt16
from PIL import Image

from worldgen.worlds._texture import PANORAMA_HEIGHT, PANORAMA_MAX, PANORAMA_WIDTH, TILE_PX
from worldgen.worlds.drawn import drawn_tiles

PICTURES = 72
PICTURE_SEED = 20
SATURATION_MAX = 0.72
"""Of a tile's mean linear colour, 1 - least / greatest channel."""

FILM_LIGHT = np.linspace(0.0, PANORAMA_MAX, 4097)
BRIGHTEST_SHOWN = 0.99
"""White in a sky photograph is clipped; it is taken to be as bright as this."""

_FOLDER = resources.files("worldgen.worlds") / "textures"
_SKIES = resources.files("worldgen.worlds") / "skies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Textures:
    """All tiles of the package, in linear light."""

    texels: UInt16[np.ndarray, "k 3"]
    """Tile after tile, each with its mip levels; 65535 is 1."""

    means: Float[np.ndarray, "t 3"]
    """Mean linear colour of every tile."""

    groups: dict[str, tuple[int, ...]]
    """Tile numbers by use."""

    panoramas: dict[str, int]
    """First texel of every sky panorama; its rows follow, zenith first, ``PANORAMA_MAX`` for 65535."""


def linear_from_srgb(srgb: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Undo the sRGB curve; values in [0, 1]."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def film_curve(light: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Linear light to sRGB in [0, 1]: a film-like shoulder (Narkowicz 2015), then gamma."""
    y = np.clip(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14), 0.0, 1.0)
    return np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055)


def mip_levels(tiles: Float[np.ndarray, "t s s 3"]) -> Float[np.ndarray, "t k 3"]:
    """Square tiles and their box-filtered halvings down to one texel, finest first."""
    levels = [tiles.reshape(len(tiles), -1, 3)]
    while tiles.shape[1] > 1:
        rows = tiles[:, ::2] + tiles[:, 1::2]
        tiles = 0.25 * (rows[:, :, ::2] + rows[:, :, 1::2])
        levels.append(tiles.reshape(len(tiles), -1, 3))
    return np.concatenate(levels, axis=1)


@functools.cache
def textures() -> Textures:
    """Read the atlas, draw the pictures, and filter everything; about a second, once a process."""
    index = json.loads((_FOLDER / "index.json").read_text())
    with (_FOLDER / "atlas.webp").open("rb") as file:
        atlas = np.asarray(Image.open(file).convert("RGB"))
    photos = _cut(atlas, count=len(index["tiles"]), columns=index["columns"], margin=index["margin_px"])
    rng = np.random.Generator(np.random.PCG64(PICTURE_SEED))
    drawn = [_picture(rng, photos) for _ in range(PICTURES)]
    curve = linear_from_srgb(np.arange(256) / 255.0).astype(np.float32)
    tiles = _calmed(curve[np.stack([*photos, *drawn])])
    groups = {name: tuple(numbers) for name, numbers in index["groups"].items()}
    groups["picture"] = tuple(range(len(photos), len(tiles)))
    others, spans = drawn_tiles(photos)
    groups |= {use: tuple(range(len(tiles) + a, len(tiles) + b)) for use, (a, b) in spans.items()}
    texels = np.concatenate([mip_levels(tiles), mip_levels(curve[others])])
    skies = _panoramas()
    first = len(texels) * texels.shape[1]
    return Textures(
        texels=np.concatenate(
            [np.round(texels * 65535.0).astype(np.uint16).reshape(-1, 3), *skies.values()], axis=0
        ),
        means=texels[:, -1].astype(np.float64),
        groups=groups,
        panoramas={name: first + k * PANORAMA_WIDTH * PANORAMA_HEIGHT for k, name in enumerate(skies)},
    )


def _panoramas() -> dict[str, UInt16[np.ndarray, "p 3"]]:
    """Radiance of the sky photographs that the film curve of pictures shows as they are."""
    shown = np.arange(256) / 255.0
    radiance = np.interp(np.minimum(shown, BRIGHTEST_SHOWN), film_curve(FILM_LIGHT), FILM_LIGHT)
    table = np.round(radiance * (65535.0 / PANORAMA_MAX)).astype(np.uint16)
    found: dict[str, UInt16[np.ndarray, "p 3"]] = {}
    for entry in json.loads((_SKIES / "index.json").read_text())["panoramas"]:
        with (_SKIES / f"{entry['name']}.webp").open("rb") as file:
            found[entry["name"]] = table[np.asarray(Image.open(file).convert("RGB"))].reshape(-1, 3)
    return found


def _cut(
    atlas: UInt8[np.ndarray, "h w 3"], *, count: int, columns: int, margin: int
) -> UInt8[np.ndarray, "t s s 3"]:
    """Tiles in reading order, without the wrapped margins that keep neighbours out of their edges."""
    cell = TILE_PX + 2 * margin
    grid = atlas.reshape(-1, cell, columns, cell, 3).swapaxes(1, 2).reshape(-1, cell, cell, 3)
    return np.ascontiguousarray(grid[:count, margin:-margin, margin:-margin])


def _calmed(tiles: Float[np.ndarray, "t s s 3"]) -> Float[np.ndarray, "t s s 3"]:
    """Tiles with loud colours, made paler: few real surfaces reflect one colour only."""
    mean = tiles.mean(axis=(1, 2))
    saturation = 1.0 - mean.min(axis=1) / np.maximum(mean.max(axis=1), 1e-3)
    keep = np.minimum(1.0, SATURATION_MAX / np.maximum(saturation, 1e-3))[:, None, None, None]
    grey = tiles @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return keep * tiles + (1.0 - keep) * grey[..., None]


def _palette(rng: np.random.Generator, count: int) -> Float[np.ndarray, "count 3"]:
    """A few colours that go together: one hue, its complement, light and dark."""
    base, spread = rng.uniform(0.0, 1.0), rng.uniform(0.05, 0.5)
    hues = base + spread * rng.integers(0, 3, count)
    waves = 0.5 + 0.5 * np.cos(2 * np.pi * (hues[:, None] + np.array([0.0, 1 / 3, 2 / 3])))
    strength, value = rng.uniform(0.0, 0.9, (count, 1)), rng.uniform(0.2, 1.0, (count, 1))
    return value * (1.0 - strength + strength * waves)


def _picture(rng: np.random.Generator, photos: UInt8[np.ndarray, "t s s 3"]) -> UInt8[np.ndarray, "s s 3"]:
    """A picture to hang on a wall: a framed landscape, pattern, heap of shapes, or photograph."""
    style = rng.integers(5)
    y, x = np.meshgrid(*[(np.arange(TILE_PX) + 0.5) / TILE_PX] * 2, indexing="ij")
    if style == 0:
        image = _landscape(rng, x, y)
    elif style == 1:
        image = _pattern(rng, x, y)
    elif style == 4:
        image = photos[rng.integers(len(photos))] / 255.0 * rng.uniform(0.6, 1.2, 3)
    else:
        image = _shapes(rng, x, y)
    margin = rng.uniform(0.0, 0.14)
    inside = (np.minimum(x, 1 - x) > margin) & (np.minimum(y, 1 - y) > margin)
    mount = _palette(rng, 1)[0] * 0.3 + 0.65 * rng.uniform(0.1, 1.0)
    return np.round(np.clip(np.where(inside[..., None], image, mount), 0, 1) * 255).astype(np.uint8)


def _landscape(
    rng: np.random.Generator, x: Float[np.ndarray, "s s"], y: Float[np.ndarray, "s s"]
) -> Float[np.ndarray, "s s 3"]:
    colours = _palette(rng, 6)
    image = colours[0] * (1 - y[..., None]) + (0.4 + 0.6 * colours[1]) * y[..., None]
    sun = np.hypot(x - rng.uniform(0.2, 0.8), y - rng.uniform(0.15, 0.4)) < rng.uniform(0.04, 0.12)
    image = np.where(sun[..., None], 0.5 + 0.5 * colours[2], image)
    for layer in range(3):
        phase, waves = rng.uniform(0, 6.3, 3), rng.uniform(3.0, 14.0, 3)
        ridge = 0.4 + 0.17 * layer + sum(0.05 * np.sin(waves[k] * x + phase[k]) for k in range(3))
        image = np.where((y > ridge)[..., None], colours[3 + layer] * (0.9 - 0.2 * layer), image)
    return image


def _pattern(
    rng: np.random.Generator, x: Float[np.ndarray, "s s"], y: Float[np.ndarray, "s s"]
) -> Float[np.ndarray, "s s 3"]:
    colours, count, kind = _palette(rng, 4), rng.integers(3, 9), rng.integers(4)
    angle = rng.choice([0.0, 0.5 * np.pi, 0.25 * np.pi, rng.uniform(0, 3.1)])
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if kind == 0:
        number = np.floor(along * count)
    elif kind == 1:
        number = np.floor(along * count) + np.floor(across * count)
    elif kind == 2:
        number = np.floor(np.hypot(x - rng.uniform(0.3, 0.7), y - rng.uniform(0.3, 0.7)) * count * 1.5)
    else:
        number = (np.hypot((x * count) % 1 - 0.5, (y * count) % 1 - 0.5) < rng.uniform(0.25, 0.45)) * 1.0
    return colours[number.astype(int) % rng.integers(2, 5)]


def _shapes(
    rng: np.random.Generator, x: Float[np.ndarray, "s s"], y: Float[np.ndarray, "s s"]
) -> Float[np.ndarray, "s s 3"]:
    colours = _palette(rng, 12)
    image = np.broadcast_to(colours[0], (*x.shape, 3))
    for k in range(1, rng.integers(4, 12)):
        cx, cy, angle = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0, 3.1)
        half = rng.uniform(0.05, 0.35, 2)
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        if rng.random() < 0.5:
            inside = np.maximum(np.abs(u) - half[0], np.abs(v) - half[1]) < 0
        else:
            inside = np.hypot(u, v) < half[0]
        image = np.where(inside[..., None], colours[k], image)
    return image
