"""Samples of every source of light of a place: lamps, panes of windows, suns.

``scripts/pack_mesh_worlds.py`` calls it.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float
from mesh_light import Emitter
from mesh_places import Hung, Place, starts
from mesh_soup import Scan, Soup, golden_spiral

from worldgen.worlds.mesh_files import Source

PANE_GRID = (5, 4)
"""Samples a pane, across and up."""

SUN_SPREAD = 0.012
"""Of the sun's samples about its direction: shadows are as soft."""

AROUND = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
HUNG_RADIUS_M = 0.15
DOME_SAMPLES = 128


def emitters_of(scan: Scan, panes: Soup, place: Place) -> list[tuple[Source, Emitter]]:
    """All sources: lamps with bodies first, in the order of ``place.lamps``."""
    found = [_lamp(scan, beginnings) for beginnings in place.lamps]
    found += [_hung(hung) for hung in place.hung]
    found += [_dome()] if place.is_open else _skies(scan, panes)
    return found + [_sun(azimuth, height) for azimuth, height in place.suns]


def _pair(
    kind: str,
    at: Float[np.ndarray, " 3"],
    samples: Float[np.ndarray, "r 3"],
    *,
    weight: float,
    facing: Float[np.ndarray, " 3"] | None = None,
    body_m: float = 0.0,
) -> tuple[Source, Emitter]:
    """A source with samples that all weigh the same."""
    normals = np.tile(np.zeros(3) if facing is None else facing, (len(samples), 1))
    source = Source(kind=kind, at=(float(at[0]), float(at[1]), float(at[2])))
    weights = np.full(len(samples), weight)
    return source, Emitter(is_sun=kind == "sun", at=samples, normals=normals, weights=weights, body_m=body_m)


def _lamp(scan: Scan, beginnings: tuple[str, ...]) -> tuple[Source, Emitter]:
    """The pieces of one lamp; their own bodies cast no shadow."""
    samples, body = [], 0.0
    for piece, name in enumerate(scan.pieces):
        if starts(name, beginnings):
            points = scan.soup.points[scan.soup.pieces == piece].reshape(-1, 3)
            low, high = points.min(axis=0), points.max(axis=0)
            body = max(body, 0.55 * float((high - low).max()))
            samples.append(0.5 * (low + high) + 0.25 * (high - low) * AROUND)
    rows = np.concatenate(samples)
    return _pair("lamp", rows.mean(axis=0), rows, weight=1.0 / len(rows), body_m=body)


def _hung(hung: Hung) -> tuple[Source, Emitter]:
    """Lamps of equal strength; each by itself is as bright as one lamp alone."""
    middles = np.array(hung.at)
    rows = (middles[:, None] + HUNG_RADIUS_M * AROUND).reshape(-1, 3)
    return _pair("lamp", middles.mean(axis=0), rows, weight=1.0 / len(AROUND), body_m=hung.body_m)


def _dome() -> tuple[Source, Emitter]:
    """The whole sky, of radiance 1: directions evenly spread over the upper half of a sphere."""
    rise, turned = golden_spiral(DOME_SAMPLES)
    level = np.sqrt(1.0 - rise**2)
    rows = np.stack([level * turned[:, 0], -rise, level * turned[:, 1]], axis=1)
    source, emitter = _pair("sky", np.array([0.0, -1.0, 0.0]), rows, weight=2.0 / DOME_SAMPLES)
    return source, dataclasses.replace(emitter, is_sun=True)


def _skies(scan: Scan, panes: Soup) -> list[tuple[Source, Emitter]]:
    """One source for all panes that look to one side."""
    every = scan.soup.points.reshape(-1, 3)
    middle = 0.5 * (every.min(axis=0) + every.max(axis=0))
    sides: dict[int, list[Float[np.ndarray, "r 3"]]] = {}
    area = 0.0
    for piece in np.unique(panes.pieces):
        points = panes.points[panes.pieces == piece].reshape(-1, 3)
        low, high = points.min(axis=0), points.max(axis=0)
        thin = int(np.argmin(high - low))
        outward = np.zeros(3)
        outward[thin] = np.sign(0.5 * (low + high) - middle)[thin]
        across = 2 - thin
        u, v = (index.ravel() for index in np.meshgrid(*[(np.arange(n) + 0.5) / n for n in PANE_GRID]))
        samples = np.tile(0.5 * (low + high), (u.size, 1))
        samples[:, across] = low[across] + u * (high - low)[across]
        samples[:, 1] = low[1] + v * (high - low)[1]
        area = float((high - low)[across] * (high - low)[1]) / u.size
        sides.setdefault(int(np.argmax(AROUND @ outward)), []).append(samples)
    # the panes are all of one size; a sky of radiance 1 brings irradiance / pi
    return [
        _pair("sky", AROUND[side], np.concatenate(rows), weight=area / math.pi, facing=-AROUND[side])
        for side, rows in sorted(sides.items())
    ]


def _sun(azimuth: float, height: float) -> tuple[Source, Emitter]:
    """Degrees; azimuth 0 is along +z and grows towards +x."""
    a, h = math.radians(azimuth), math.radians(height)
    to_sun = np.array([math.cos(h) * math.sin(a), -math.sin(h), math.cos(h) * math.cos(a)])
    rows = to_sun + SUN_SPREAD * np.array([[1, 1, 0], [-1, -1, 0], [0, 1, 1], [0, -1, -1]])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return _pair("sun", to_sun, rows, weight=0.25)
