"""Skies: the dome behind an open scene, the sun and the light from above that go with it.

Room: worldgen.worlds; ``layout`` chooses one. A sky is drawn (colours and clouds) or a photographed
panorama, whose sun and colours were measured on its radiance by ``daylight_of``.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import resources

import numpy as np
from jaxtyping import Float

from worldgen.worlds import palette
from worldgen.worlds.scene import Sky, Vector
from worldgen.worlds.textures import textures

FOLDER = resources.files("worldgen.worlds") / "skies"
PANORAMA_SHARE = 0.6
"""Of the scenes that may show a panorama."""

SUN_WIDTH = math.radians(14.0)
"""Angle around the brightest place within which excess light counts as the sun's."""

SUN_OVER_SKY_MAX = 5.0
"""Sunlight straight on over skylight from above: about that of a clear noon."""

LOWEST_SUN = math.radians(8.0)
KEPT_COLOUR = 0.4
"""Share of a panorama's departure from white that its light keeps."""

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True, slots=True, kw_only=True)
class Daylight:
    """Where an open scene's light comes from; light is in units of albedo (irradiance / pi)."""

    sky: Sky
    sun: Vector
    """Sunlight on a surface that faces the sun."""
    above: Vector
    """Light from the sky on a surface that faces up."""


def random_daylight(rng: np.random.Generator, *, radius: float) -> Daylight:
    """A drawn sky or a photographed one, on a dome of ``radius`` metres."""
    drawn = random_sky(rng, radius=radius)
    if rng.random() >= PANORAMA_SHARE:
        above = 0.5 * (np.array(drawn.zenith) + np.array(drawn.horizon)) + 0.1
        day = np.array([1.0, 0.94, 0.82]) * rng.uniform(0.95, 1.05, 3) * rng.uniform(1.5, 3.0)
        return Daylight(sky=drawn, sun=palette.vector(day), above=palette.vector(above))
    panoramas = json.loads((FOLDER / "index.json").read_text())["panoramas"]
    return _photographed(rng, panoramas[rng.integers(len(panoramas))], drawn)


def random_sky(rng: np.random.Generator, *, radius: float = 60.0) -> Sky:
    """A clear, cloudy or evening sky; colours as displayed at exposure 1."""
    angle, up = rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 1.2)
    to_sun = np.array([math.cos(angle) * math.cos(up), -math.sin(up), math.sin(angle) * math.cos(up)])
    clear = rng.uniform(0.0, 1.0)
    zenith = clear * np.array([0.08, 0.2, 0.5]) + (1 - clear) * np.array([0.32, 0.38, 0.45])
    horizon = clear * np.array([0.45, 0.6, 0.75]) + (1 - clear) * np.array([0.6, 0.62, 0.64])
    if rng.random() < 0.2:
        horizon = np.array([0.85, 0.5, 0.28])
    gain = rng.uniform(0.75, 1.15)
    return Sky(
        to_sun=palette.vector(to_sun),
        zenith=palette.vector(zenith * gain * rng.uniform(0.9, 1.1, 3)),
        horizon=palette.vector(horizon * gain * rng.uniform(0.95, 1.05, 3)),
        ground=palette.vector(0.35 * horizon + np.array([0.05, 0.04, 0.02])),
        sun=palette.vector(np.array([1.0, 0.85, 0.6]) * rng.uniform(0.3, 1.0)),
        cloud_cover=float(rng.uniform(0.0, 1.0)),
        cloud_seed=int(rng.integers(1 << 20)),
        cloud_scale=float(rng.uniform(0.5, 1.6)),
        radius=radius,
    )


def _photographed(rng: np.random.Generator, entry: dict, drawn: Sky) -> Daylight:
    """One panorama, turned at random, in place of a drawn sky."""
    turn = float(rng.uniform(-math.pi, math.pi))
    cos, sin = math.cos(turn), math.sin(turn)
    x, y, z = entry["to_sun"]
    sky = Sky(
        to_sun=(cos * x + sin * z, y, cos * z - sin * x),
        zenith=drawn.zenith,
        horizon=drawn.horizon,
        ground=drawn.ground,
        sun=drawn.sun,
        cloud_cover=0.0,
        cloud_seed=0,
        cloud_scale=1.0,
        radius=drawn.radius,
        panorama=textures().panoramas[entry["name"]],
        turn=turn,
        gain=float(rng.uniform(0.8, 1.15)),
    )
    sun = _balanced(np.array(entry["sun"])) * rng.uniform(0.7, 1.1)
    above = _balanced(np.array(entry["above"]))
    return Daylight(sky=sky, sun=palette.vector(sun), above=palette.vector(above))


def _balanced(light: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    """Paler light of the same luminance: what eyes and cameras make of a dawn."""
    return KEPT_COLOUR * light + (1.0 - KEPT_COLOUR) * float(light @ LUMINANCE)


def daylight_of(radiance: Float[np.ndarray, "h w 3"]) -> tuple[Vector, Vector, Vector]:
    """Direction to the sun, sunlight and light from above of a panorama (equirectangular, zenith first).

    Sunlight is what lies around the brightest place above the horizon in excess of the sky beside it;
    the rest of the upper half, weighted by the cosine, is the sky's. Both are scaled so that the light
    from above has luminance 0.6, since a scene chooses its own exposure.
    """
    height, width = radiance.shape[:2]
    lat = (0.5 - (np.arange(height) + 0.5) / height) * math.pi
    lon = ((np.arange(width) + 0.5) / width - 0.5) * 2.0 * math.pi
    level = np.cos(lat)[:, None]
    towards = np.stack(
        [level * np.sin(lon), np.broadcast_to(-np.sin(lat)[:, None], (height, width)), level * np.cos(lon)],
        axis=-1,
    )
    solid = (level * (math.pi / height) * (2.0 * math.pi / width) * (lat > 0.0)[:, None])[..., None]
    luminance = radiance @ LUMINANCE * (lat > 0.0)[:, None]
    brightest = towards[np.unravel_index(luminance.argmax(), luminance.shape)]
    near = towards @ brightest
    disc = (near > math.cos(SUN_WIDTH)) & (lat > 0.0)[:, None]
    ring = (near > math.cos(2.0 * SUN_WIDTH)) & (lat > 0.0)[:, None] & ~disc
    excess = np.maximum(radiance - np.median(radiance[ring], axis=0), 0.0) * disc[..., None]
    sun = (excess * solid).sum(axis=(0, 1)) / math.pi
    above = ((radiance - excess) * solid * -towards[..., 1:2]).sum(axis=(0, 1)) / math.pi
    centre = (towards * (excess @ LUMINANCE)[..., None] * solid).sum(axis=(0, 1))
    centre = centre / np.linalg.norm(centre)
    up = max(math.asin(-centre[1]), LOWEST_SUN)
    flat = centre[[0, 2]] / np.linalg.norm(centre[[0, 2]]) * math.cos(up)
    scale = 0.6 / float(above @ LUMINANCE)
    above, sun = above * scale, sun * scale
    sun *= min(1.0, SUN_OVER_SKY_MAX * 0.6 / max(float(sun @ LUMINANCE), 1e-6))
    to_sun = (float(flat[0]), -math.sin(up), float(flat[1]))
    return to_sun, palette.vector(sun), palette.vector(above)
