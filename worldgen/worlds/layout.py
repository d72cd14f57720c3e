"""A random scene from a seed: a kind of place, daylight, lamps and exposure.

Room: worldgen.worlds; training and tests call ``random_scene``.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from worldgen.worlds import palette
from worldgen.worlds._light import AREA, SUN, World
from worldgen.worlds._raster import linear_light, probe
from worldgen.worlds.courtyards import random_courtyard
from worldgen.worlds.rooms import Plan, random_room
from worldgen.worlds.scene import Scene, Sky, Vector, packed

COURTYARD_SHARE = 0.35
EXPOSURE_STANCES, EXPOSURE_RAYS = 8, 20
MID_GREY = (0.10, 0.19)
"""Range of the mean luminance that a scene is exposed for."""


def random_scene(seed: int) -> Scene:
    """A room or a courtyard; the same seed gives the same scene, bit for bit."""
    rng = np.random.Generator(np.random.PCG64(seed))
    is_open = bool(rng.random() < COURTYARD_SHARE)
    sky = random_sky(rng)
    plan = random_courtyard(rng, to_sun=np.array(sky.to_sun)) if is_open else random_room(rng)
    reach = rng.uniform(2.0, 3.5) if is_open else rng.uniform(0.9, 1.6)
    ambient = _daylight(plan, sky) if is_open else _bounced(plan)
    world = packed(plan.shapes, plan.lights, sky=sky, ambient=ambient, reach=reach)
    areas = np.array(plan.areas)
    world = _exposed(world, areas, rng)
    return Scene(seed=seed, world=world, walk_areas=areas, ceiling=plan.ceiling, is_open=is_open)


def random_sky(rng: np.random.Generator) -> Sky:
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
    )


def _daylight(plan: Plan, sky: Sky) -> tuple[Vector, Vector]:
    """Sky light from above and sunlight thrown back by the ground from below."""
    above = 0.5 * (np.array(sky.zenith) + np.array(sky.horizon)) + 0.1
    direct = sum((-light.at[1] * np.array(light.colour) for light in plan.lights), np.zeros(3))
    below = np.array(plan.floor_colour) * (0.5 * direct + above)
    return palette.vector(above), palette.vector(below + 0.05)


def _bounced(plan: Plan) -> tuple[Vector, Vector]:
    """Light that has been thrown back at least once, as if spread evenly over the room."""
    flux = np.zeros(3)
    for light in plan.lights:
        solid = {AREA: math.pi, SUN: 2.0}.get(light.kind, 4 * math.pi)
        flux += solid * np.array(light.colour)
    albedo = 0.45
    spread = flux * albedo / ((1 - albedo) * plan.surface_m2)
    warm = np.array(plan.floor_colour)
    warm = warm / warm.mean()
    return palette.vector(spread * 1.05), palette.vector(spread * (0.55 + 0.4 * warm))


def _exposed(world: World, areas: Float[np.ndarray, "a 4"], rng: np.random.Generator) -> World:
    """Choose the exposure from what people would see, and make the sky as bright as it is meant."""
    light, wanted, seen = [], np.empty((4 * EXPOSURE_RAYS, 5), np.int64), np.empty((EXPOSURE_RAYS, 3))
    for _ in range(EXPOSURE_STANCES):
        rect = areas[rng.integers(len(areas))]
        f = rng.uniform(0.15, 0.85, 2)
        origin = (
            float(rect[0] + f[0] * (rect[2] - rect[0])),
            -1.5,
            float(rect[1] + f[1] * (rect[3] - rect[1])),
        )
        yaw, pitch = rng.uniform(0, 2 * math.pi, EXPOSURE_RAYS), rng.uniform(-0.7, 0.5, EXPOSURE_RAYS)
        level = np.cos(pitch)
        rays = np.stack([level * np.cos(yaw), -np.sin(pitch), level * np.sin(yaw)])
        ts, ids = probe(world, np.tile(origin, (EXPOSURE_RAYS, 1)), np.ascontiguousarray(rays.T))
        linear_light(world, origin, rays, ts, ids, EXPOSURE_RAYS, 0.1, wanted, seen)
        light.append(seen[ids >= 0])
    luminance = np.concatenate(light) @ np.array([0.2126, 0.7152, 0.0722])
    mean = math.exp(np.log(luminance + 1e-3).mean()) if len(luminance) else 0.2
    exposure = float(rng.uniform(*MID_GREY) / mean)
    sky = world.sky.copy()
    sky[7:19] /= exposure
    return world._replace(exposure=exposure, sky=sky)
