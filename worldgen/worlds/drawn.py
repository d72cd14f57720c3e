"""Drawn tiles: windows, doors, shop fronts, signs and screens, where no photographed tile would do.

Room: worldgen.worlds; ``textures`` appends them to the photographs. Every tile is a flat colour picture in
sRGB; a window's depth comes from the shapes around it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from worldgen.worlds._texture import TILE_PX

Rng = np.random.Generator
Tile = Float[np.ndarray, "s s 3"]
Photos = UInt8[np.ndarray, "t s s 3"]

SEED = 31
COUNTS = {
    "window": 16,
    "shop": 8,
    "door": 8,
    "bay": 12,
    "sign": 8,
    "screen": 6,
    "garage": 4,
    "water": 3,
    "foliage": 6,
}
"""How many tiles of each use are drawn."""

BAY_WALLS = (49, 54, 57, 58, 59, 60, 61, 62, 64, 69, 70, 71, 85, 103, 104)
"""Photographed walls that go around the windows of distant houses."""


def drawn_tiles(photos: Photos) -> tuple[UInt8[np.ndarray, "k s s 3"], dict[str, tuple[int, int]]]:
    """All drawn tiles, and where each use begins and ends among them."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    makers: dict[str, Callable[[Rng], Tile]] = {
        "window": _window,
        "shop": _shop,
        "door": _door,
        "bay": lambda rng: _bay(rng, photos),
        "sign": _sign,
        "screen": _screen,
        "garage": _garage,
        "water": _water,
        "foliage": _foliage,
    }
    tiles: list[Tile] = []
    spans: dict[str, tuple[int, int]] = {}
    for use, count in COUNTS.items():
        spans[use] = (len(tiles), len(tiles) + count)
        tiles += [makers[use](rng) for _ in range(count)]
    return np.round(np.clip(np.stack(tiles), 0.0, 1.0) * 255.0).astype(np.uint8), spans


def _grid() -> tuple[Float[np.ndarray, "s s"], Float[np.ndarray, "s s"]]:
    """Across and down: x to the right and y downwards, in [0, 1]."""
    y, x = np.meshgrid(*[(np.arange(TILE_PX) + 0.5) / TILE_PX] * 2, indexing="ij")
    return x, y


def _fill(image: Tile, rect: tuple[float, float, float, float], colour: np.ndarray) -> None:
    """Paint x0 y0 x1 y1 (shares of the tile) in place."""
    x0, y0, x1, y1 = (round(value * TILE_PX) for value in rect)
    image[max(y0, 0) : y1, max(x0, 0) : x1] = colour


def _plain(rng: Rng) -> np.ndarray:
    """A colour that a builder would choose: near grey, sometimes not."""
    hue = 0.5 + 0.5 * np.cos(2 * np.pi * (rng.random() + np.array([0.0, 1 / 3, 2 / 3])))
    strength = rng.uniform(0.0, 0.1) if rng.random() < 0.5 else rng.uniform(0.2, 0.6)
    return rng.uniform(0.25, 0.9) * (1.0 - strength + strength * hue)


def _frame_colour(rng: Rng) -> np.ndarray:
    kind = rng.random()
    if kind < 0.5:
        return np.full(3, rng.uniform(0.8, 0.95)) * rng.uniform(0.97, 1.0, 3)
    return np.full(3, rng.uniform(0.1, 0.2)) if kind < 0.7 else _plain(rng)


def _glass(rng: Rng) -> Tile:
    """Dark panes that show some sky, a room behind, and perhaps curtains."""
    x, y = _grid()
    dark, sky = rng.uniform(0.2, 0.36), np.array([0.5, 0.6, 0.7]) * rng.uniform(0.8, 1.2)
    streak = np.clip(
        np.sin((x * rng.uniform(1.5, 3.0) + y * rng.uniform(2.0, 5.0)) + rng.uniform(0, 6)), 0, 1
    )
    mix = np.clip(0.6 * (1 - y) + 0.4 * streak - 0.1, 0.0, 0.9)[..., None]
    image = (1 - mix) * dark * np.array([0.9, 1.0, 1.1]) + mix * sky
    kind = rng.random()
    if kind < 0.4:  # curtains
        cloth, open_ = rng.uniform(0.55, 0.9) * rng.uniform(0.9, 1.0, 3), rng.uniform(0.15, 0.32)
        folds = 0.85 + 0.15 * np.sin(x * rng.uniform(60, 110))
        side = (np.minimum(x, 1 - x) < open_)[..., None]
        image = np.where(side, 0.25 * image + 0.75 * cloth * folds[..., None], image)
    elif kind < 0.55:  # a blind
        low = rng.uniform(0.2, 0.8)
        slats = 0.75 + 0.15 * np.sin(y * 160)
        image = np.where((y < low)[..., None], slats[..., None] * rng.uniform(0.85, 1.0, 3), image)
    return image


def _window(rng: Rng) -> Tile:
    image, trim = _glass(rng), _frame_colour(rng)
    rim, bar = rng.uniform(0.05, 0.09), rng.uniform(0.02, 0.04)
    columns, rows = ((1, 1), (2, 1), (2, 2), (2, 3), (3, 2), (1, 2))[rng.integers(6)]
    _lattice(image, trim, (columns, rows), bar)
    for rect in (
        (0.0, 0.0, 1.0, rim),
        (0.0, 1 - rim, 1.0, 1.0),
        (0.0, 0.0, rim, 1.0),
        (1 - rim, 0.0, 1.0, 1.0),
    ):
        _fill(image, rect, trim)
    return image


def _lattice(image: Tile, trim: np.ndarray, counts: tuple[int, int], bar: float) -> None:
    """Bars between panes."""
    for k in range(1, counts[0]):
        at = k / counts[0]
        _fill(image, (at - bar / 2, 0.0, at + bar / 2, 1.0), trim)
    for k in range(1, counts[1]):
        at = k / counts[1]
        _fill(image, (0.0, at - bar / 2, 1.0, at + bar / 2), trim)


def _shop(rng: Rng) -> Tile:
    """A lit shop window with goods."""
    x, y = _grid()
    warm = np.array([1.0, 0.9, 0.72]) * rng.uniform(0.3, 0.75)
    image = np.broadcast_to(warm * (0.75 + 0.25 * (1 - y[..., None])), (TILE_PX, TILE_PX, 3)).copy()
    for shelf in np.linspace(0.45, 0.95, int(rng.integers(2, 4))):
        left = 0.06
        while left < 0.9:
            width, high = rng.uniform(0.04, 0.14), rng.uniform(0.08, 0.3)
            _fill(image, (left, shelf - high, min(left + width, 0.94), shelf), _plain(rng))
            left += width + rng.uniform(0.01, 0.1)
        _fill(image, (0.0, shelf, 1.0, shelf + 0.02), warm * 0.45)
    shine = 0.2 * np.clip(np.sin(4 * x + 3 * y + rng.uniform(0, 6)), 0, 1)[..., None]
    image = image * (1 - shine) + shine * np.array([0.7, 0.8, 0.9])
    trim = _frame_colour(rng)
    _lattice(image, trim, (int(rng.integers(1, 4)), 1), 0.025)
    for rect in ((0.0, 0.0, 1.0, 0.04), (0.0, 0.94, 1.0, 1.0), (0.0, 0.0, 0.03, 1.0), (0.97, 0.0, 1.0, 1.0)):
        _fill(image, rect, trim)
    return image


def _door(rng: Rng) -> Tile:
    """A front door with panels or panes, and a handle."""
    paint = np.maximum(_plain(rng) * rng.uniform(0.7, 1.0), 0.22)
    image = np.broadcast_to(paint, (TILE_PX, TILE_PX, 3)).copy()
    columns, rows = int(rng.integers(1, 3)), int(rng.integers(2, 5))
    glazed = rng.random() < 0.5
    glass = _glass(rng)
    for c in range(columns):
        for r in range(rows):
            x0, y0 = 0.1 + 0.84 * c / columns, 0.05 + 0.92 * r / rows
            x1, y1 = x0 + 0.84 / columns - 0.06, y0 + 0.92 / rows - 0.04
            _fill(image, (x0, y0, x1, y1), paint * 0.72)
            _fill(image, (x0 + 0.02, y0 + 0.012, x1 - 0.02, y1 - 0.012), paint * 1.06)
            if glazed and r < rows - 1:
                rect = [round(value * TILE_PX) for value in (x0 + 0.02, y0 + 0.012, x1 - 0.02, y1 - 0.012)]
                rows_, columns_ = slice(rect[1], rect[3]), slice(rect[0], rect[2])
                image[rows_, columns_] = glass[rows_, columns_]
    _fill(image, (0.88, 0.5, 0.94, 0.56), np.array([0.75, 0.7, 0.5]))
    return image


def _bay(rng: Rng, photos: Photos) -> Tile:
    """A square of house front with one window, to be repeated storey by storey."""
    photo = photos[BAY_WALLS[rng.integers(len(BAY_WALLS))]] / 255.0
    small = 0.25 * (photo[::2, ::2] + photo[1::2, ::2] + photo[::2, 1::2] + photo[1::2, 1::2])
    image = np.tile(small, (2, 2, 1)) * rng.uniform(0.75, 1.1, 3)
    window = _window(rng)
    half, top, low = rng.uniform(0.16, 0.3), rng.uniform(0.16, 0.24), rng.uniform(0.68, 0.8)
    rows = np.linspace(0, TILE_PX - 1, round(low * TILE_PX) - round(top * TILE_PX)).astype(int)
    x0, x1 = round((0.5 - half) * TILE_PX), round((0.5 + half) * TILE_PX)
    columns = np.linspace(0, TILE_PX - 1, x1 - x0).astype(int)
    _fill(image, (0.5 - half - 0.03, top - 0.04, 0.5 + half + 0.03, top), np.full(3, 0.7))
    image[round(top * TILE_PX) : round(low * TILE_PX), x0:x1] = window[rows][:, columns]
    _fill(image, (0.5 - half - 0.04, low, 0.5 + half + 0.04, low + 0.035), np.full(3, 0.75))
    _fill(
        image, (0.5 - half - 0.02, low + 0.035, 0.5 + half + 0.02, low + 0.06), image.mean(axis=(0, 1)) * 0.55
    )
    return image


def _sign(rng: Rng) -> Tile:
    """A name over a shop: bars that stand for letters."""
    back = _plain(rng) * rng.uniform(0.4, 1.0)
    ink = np.full(3, 0.95) if back.mean() < 0.45 else np.full(3, 0.08)
    image = np.broadcast_to(back, (TILE_PX, TILE_PX, 3)).copy()
    left = rng.uniform(0.05, 0.25)
    while left < 0.85:
        width = rng.uniform(0.025, 0.06)
        _fill(image, (left, 0.25, left + 0.016, 0.75), ink)
        level = rng.uniform(0.25, 0.65)
        _fill(image, (left, level, left + width, level + 0.12), ink)
        left += width + (0.02 if rng.random() < 0.8 else 0.09)
    return image


def _screen(rng: Rng) -> Tile:
    """What a television or a computer shows."""
    x, y = _grid()
    if rng.random() < 0.5:
        image = np.broadcast_to(_plain(rng) * 0.5, (TILE_PX, TILE_PX, 3)).copy()
        for _ in range(int(rng.integers(3, 7))):
            x0, y0 = rng.uniform(0.03, 0.6, 2)
            _fill(image, (x0, y0, x0 + rng.uniform(0.15, 0.4), y0 + rng.uniform(0.1, 0.4)), _plain(rng))
    else:
        a, b = _plain(rng), _plain(rng) * 0.4
        ridge = 0.5 + 0.12 * np.sin(x * rng.uniform(4, 12) + rng.uniform(0, 6))
        image = np.where((y < ridge)[..., None], a * (1 - 0.4 * y[..., None]), b)
    inside = (np.minimum(x, 1 - x) > 0.025) & (np.minimum(y, 1 - y) > 0.035)
    return np.where(inside[..., None], image, 0.04)


def _garage(rng: Rng) -> Tile:
    """A garage door or a shutter of horizontal slats."""
    _, y = _grid()
    count, paint = int(rng.integers(4, 14)), _plain(rng) * rng.uniform(0.6, 1.0)
    place = (y * count) % 1.0
    image = paint * (0.8 + 0.25 * place[..., None])
    return np.where((place < 0.08)[..., None], 0.5 * paint, image)


def _water(rng: Rng) -> Tile:
    """Ripples that repeat, from waves of whole numbers a tile."""
    x, y = _grid()
    height = np.zeros_like(x)
    for _ in range(24):
        k, m = rng.integers(-9, 10, 2)
        height += np.sin(2 * np.pi * (k * x + m * y + rng.random())) / (2.0 + np.hypot(k, m))
    height /= np.abs(height).max()
    deep, light = np.array([0.24, 0.32, 0.34]), np.array([0.5, 0.58, 0.6])
    mix = (0.35 + 0.3 * height + 0.35 * np.clip(height - 0.45, 0, 1))[..., None]
    return deep + mix * (light - deep)


def _foliage(rng: Rng) -> Tile:
    """Leaves in tufts, dark between them; repeats."""
    image = np.full((TILE_PX, TILE_PX, 3), 0.16) * np.array([0.9, 1.1, 0.7])
    hue = np.array([0.36, 0.5, 0.18]) * rng.uniform(0.75, 1.25, 3)
    y, x = np.meshgrid(np.arange(TILE_PX), np.arange(TILE_PX), indexing="ij")
    for k in range(420):
        cx, cy = rng.uniform(0, TILE_PX, 2)
        # the shortest way round the tile, so that it repeats
        dx = (x - cx + TILE_PX / 2) % TILE_PX - TILE_PX / 2
        dy = (y - cy + TILE_PX / 2) % TILE_PX - TILE_PX / 2
        angle, long = rng.uniform(0, np.pi), rng.uniform(3.0, 7.0)
        u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        inside = (u / long) ** 2 + (v / (0.5 * long)) ** 2 < 1.0
        image[inside] = hue * (0.55 + 0.6 * k / 420) * rng.uniform(0.75, 1.25)
    return image
