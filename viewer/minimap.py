"""Minimap: the world from above, with the way of its cameras and where a visitor stands.

Room: viewer. Pure functions; the stage draws the map when something changed, a visitor adds itself. Only what
lies below the cameras is drawn, so that no ceiling hides the plan.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, UInt8

from viewer.conventions import ViserPose

SIDE = 160
"""Pixels along each side of the map."""

MARGIN = 0.06
"""Empty share on every side."""

MOST_POINTS = 200_000
"""Points that a map is drawn from: more would hide each other, and it is drawn again for every chunk."""

GROUND, TRACK, VISITOR = (32, 34, 38), (255, 146, 43), (90, 220, 250)

ARROW_PX = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A map, and how places become pixels on it."""

    image: UInt8[np.ndarray, "h w 3"]

    pixels_from_world: Float64[np.ndarray, "2 4"]
    """Takes a world point (x, y, z, 1) to column and row."""

    def place(self, points: Float[np.ndarray, "p 3"]) -> Float64[np.ndarray, "p 2"]:
        """Columns and rows of world points, outside of the map too."""
        return points @ self.pixels_from_world[:, :3].T + self.pixels_from_world[:, 3]


def plan_of(
    centers: Float[np.ndarray, "p 3"],
    rgbs: UInt8[np.ndarray, "p 3"],
    *,
    track: list[ViserPose],
    up: Float[np.ndarray, " 3"],
) -> Plan:
    """The map of a world.

    Args:
        centers: what there is, world units.
        rgbs: its colours.
        track: the world's cameras, at least one; the first looks to the top of the map.
        up: the world's up, any length.
    """
    up = up / np.linalg.norm(up)
    eyes = np.stack([pose.position for pose in track])
    below = centers @ up <= np.median(eyes @ up)
    if below.any():
        centers, rgbs = centers[below], rgbs[below]
    pixels_from_world = _fitted(np.concatenate([eyes, centers]), up=up, ahead=track[0].rotation[:, 2])
    image = np.empty((SIDE, SIDE, 3), dtype=np.uint8)
    image[:] = GROUND
    plan = Plan(image=image, pixels_from_world=pixels_from_world)
    lowest_first = np.argsort(centers @ up, kind="stable")
    _dots(image, plan.place(centers[lowest_first]), rgbs[lowest_first])
    ways = plan.place(eyes)
    for a, b in itertools.pairwise(ways):
        _line(image, a, b, TRACK)
    _dots(image, ways[:1], np.array([TRACK], dtype=np.uint8))
    return plan


def with_visitor(plan: Plan, pose: ViserPose) -> UInt8[np.ndarray, "h w 3"]:
    """The map with an arrow where somebody stands; at its rim if they are outside."""
    image = plan.image.copy()
    here, ahead = plan.place(np.stack([pose.position, pose.position + pose.rotation[:, 2]]))
    here = here.clip(2.0, SIDE - 3.0)
    direction = (ahead - here) / max(float(np.linalg.norm(ahead - here)), 1e-9)
    tip = here + ARROW_PX * direction
    _line(image, here, tip, VISITOR)
    for side in (-1.0, 1.0):
        across = side * np.array([-direction[1], direction[0]])
        _line(image, tip, tip - 5.0 * direction + 3.0 * across, VISITOR)
    rows, columns = np.mgrid[-2:3, -2:3].reshape(2, -1)
    _dots(image, here + np.stack([columns, rows], axis=1), np.tile(np.array(VISITOR, np.uint8), (25, 1)))
    return image


def _fitted(
    points: Float[np.ndarray, "p 3"], *, up: Float[np.ndarray, " 3"], ahead: Float[np.ndarray, " 3"]
) -> Float64[np.ndarray, "2 4"]:
    """Looks down along ``-up``, with nearly all points inside; ``ahead`` goes to the top."""
    level = ahead - (ahead @ up) * up
    if np.linalg.norm(level) < 1e-3:
        level = np.eye(3)[np.abs(up).argmin()]
        level = level - (level @ up) * up
    top = level / np.linalg.norm(level)
    axes = np.stack([np.cross(top, up), -top])
    flat = points.astype(np.float64) @ axes.T
    low, high = np.quantile(flat, (0.005, 0.995), axis=0)
    scale = (1.0 - 2.0 * MARGIN) * SIDE / max(float((high - low).max()), 1e-9)
    offset = 0.5 * SIDE - scale * 0.5 * (low + high)
    return np.concatenate([scale * axes, offset[:, None]], axis=1)


def _dots(image: np.ndarray, places: Float[np.ndarray, "p 2"], rgbs: UInt8[np.ndarray, "p 3"]) -> None:
    """Colour the pixels that hold places; later ones win."""
    columns, rows = np.floor(places).astype(np.int64).T
    inside = (columns >= 0) & (columns < SIDE) & (rows >= 0) & (rows < SIDE)
    image[rows[inside], columns[inside]] = rgbs[inside]


def _line(image: np.ndarray, a: np.ndarray, b: np.ndarray, colour: tuple[int, int, int]) -> None:
    count = 1 + int(min(np.ceil(np.abs(b - a).max()), 4 * SIDE))
    shares = np.linspace(0.0, 1.0, count + 1)[:, None]
    _dots(image, a + shares * (b - a), np.tile(np.array(colour, np.uint8), (count + 1, 1)))
