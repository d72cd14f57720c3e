"""Plans: a world from above, with the way of its cameras.

Room: render (ground floor). Imports nothing of ours; every other room may import this. Only what lies
below the cameras is drawn, so that no ceiling hides the plan.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, UInt8

MARGIN = 0.06
"""Empty share on every side."""

MOST_POINTS = 200_000
"""Points that are drawn; of more, an even choice."""

GROUND, TRACK = (32, 34, 38), (255, 146, 43)

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A square map, and how places become pixels on it."""

    image: UInt8[np.ndarray, "side side 3"]

    pixels_from_world: Float64[np.ndarray, "2 4"]
    """Takes a world point (x, y, z, 1) to column and row."""

    def place(self, points: Float[np.ndarray, "p 3"]) -> Float64[np.ndarray, "p 2"]:
        """Columns and rows of world points, outside of the map too."""
        return points @ self.pixels_from_world[:, :3].T + self.pixels_from_world[:, 3]

    @property
    def width(self) -> float:
        """World units from side to side."""
        return len(self.image) / float(np.linalg.norm(self.pixels_from_world[0, :3]))


def plan_of(
    centers: Float[np.ndarray, "p 3"],
    rgbs: UInt8[np.ndarray, "p 3"],
    *,
    c2w: Float[np.ndarray, "n 4 4"],
    up: Float[np.ndarray, " 3"],
    side: int,
) -> Plan:
    """The map of a world.

    Args:
        centers: what there is, world units.
        rgbs: its colours.
        c2w: the world's cameras, at least one; the first looks to the top of the map.
        up: the world's up, any length.
        side: pixels along each side of the map.
    """
    up = up / np.linalg.norm(up)
    eyes = c2w[:, :3, 3]
    below = centers @ up <= np.median(eyes @ up)
    if below.any():
        centers, rgbs = centers[below], rgbs[below]
    stride = max(1, len(centers) // MOST_POINTS)
    centers, rgbs = centers[::stride], rgbs[::stride]
    image = np.empty((side, side, 3), dtype=np.uint8)
    image[:] = GROUND
    plan = Plan(image=image, pixels_from_world=_fitted(eyes, centers, up=up, ahead=c2w[0, :3, 2], side=side))
    lowest_first = np.argsort(centers @ up, kind="stable")
    dots(image, plan.place(centers[lowest_first]), rgbs[lowest_first])
    ways = plan.place(eyes)
    for a, b in itertools.pairwise(ways):
        line(image, a, b, TRACK)
    dots(image, ways[:1], np.array([TRACK], dtype=np.uint8))
    return plan


def dots(
    image: UInt8[np.ndarray, "h w 3"], places: Float[np.ndarray, "p 2"], rgbs: UInt8[np.ndarray, "p 3"]
) -> None:
    """Colour the pixels that hold places (column, row), in place; later ones win."""
    height, width = image.shape[:2]
    columns, rows = np.floor(places).astype(np.int64).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    image[rows[inside], columns[inside]] = rgbs[inside]


def line(
    image: UInt8[np.ndarray, "h w 3"], a: Float[np.ndarray, " 2"], b: Float[np.ndarray, " 2"], colour: Colour
) -> None:
    """Draw a line between two places (column, row), in place."""
    count = 1 + int(min(np.ceil(np.abs(b - a).max()), 4 * max(image.shape[:2])))
    shares = np.linspace(0.0, 1.0, count + 1)[:, None]
    dots(image, a + shares * (b - a), np.tile(np.array(colour, np.uint8), (count + 1, 1)))


def stroke(image: UInt8[np.ndarray, "h w 3"], ways: Float[np.ndarray, "p 2"], colour: Colour) -> None:
    """Draw a line of three pixels' width along places (column, row), in place."""
    for aside in itertools.product((-1.0, 0.0, 1.0), repeat=2):
        dots(image, ways + aside, np.tile(np.array(colour, np.uint8), (len(ways), 1)))
        for a, b in itertools.pairwise(ways + aside):
            line(image, a, b, colour)


def _fitted(
    eyes: Float[np.ndarray, "n 3"],
    centers: Float[np.ndarray, "p 3"],
    *,
    up: Float[np.ndarray, " 3"],
    ahead: Float[np.ndarray, " 3"],
    side: int,
) -> Float64[np.ndarray, "2 4"]:
    """Looks down along ``-up``, with all cameras and nearly all points inside; ``ahead`` goes to the top."""
    level = ahead - (ahead @ up) * up
    if np.linalg.norm(level) < 1e-3:
        level = np.eye(3)[np.abs(up).argmin()]
        level = level - (level @ up) * up
    top = level / np.linalg.norm(level)
    axes = np.stack([np.cross(top, up), -top])
    way, flat = (points.astype(np.float64) @ axes.T for points in (eyes, np.concatenate([eyes, centers])))
    low, high = np.quantile(flat, (0.005, 0.995), axis=0)
    low, high = np.minimum(low, way.min(axis=0)), np.maximum(high, way.max(axis=0))
    scale = (1.0 - 2.0 * MARGIN) * side / max(float((high - low).max()), 1e-9)
    offset = 0.5 * side - scale * 0.5 * (low + high)
    return np.concatenate([scale * axes, offset[:, None]], axis=1)
