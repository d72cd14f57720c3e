"""A random scene from a seed: a kind of place, daylight, lamps and exposure.

Room: worldgen.worlds; training and tests call ``random_scene``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from worldgen.worlds import palette
from worldgen.worlds._light import AREA, SUN, World
from worldgen.worlds._mesh import MeshWorld
from worldgen.worlds.courtyards import random_courtyard
from worldgen.worlds.furnished import random_furnished_room
from worldgen.worlds.houses import random_premises
from worldgen.worlds.landscapes import random_landscape
from worldgen.worlds.queries import follow, light_along
from worldgen.worlds.rooms import Plan, random_room
from worldgen.worlds.scene import Scene, Sky, Vector, packed
from worldgen.worlds.skies import random_daylight, random_sky
from worldgen.worlds.streets import random_street

STORED = ("house", "warehouse", "flat", "town")
"""Kinds of places of which a model is stored."""

KINDS: tuple[str, ...] = ("courtyard", "room", "street", "landscape", "furnished", *STORED)
"""Kinds of places, in the order in which a seed's first number chooses among them."""

DEFAULT_KINDS: Mapping[str, float] = {"courtyard": 0.35, "room": 0.65}
OPEN_RADIUS_M = 90.0
"""Of the dome around streets and landscapes."""

OPEN_LIGHT_SPACING_M = 0.25
"""Coarser than in rooms: streets and landscapes have far more surface."""

AnyWorld = TypeVar("AnyWorld", World, MeshWorld)

EXPOSURE_STANCES, EXPOSURE_RAYS = 8, 20
MID_GREY = (0.10, 0.19)
"""Range of the mean luminance that a scene is exposed for."""


def random_scene(seed: int, *, kinds: Mapping[str, float] = DEFAULT_KINDS) -> Scene:
    """A place; the same seed gives the same scene of each kind, bit for bit.

    Args:
        seed: decides everything.
        kinds: weights of the kinds of places, of ``KINDS``; what is not named does not come up. They
            decide which kind a seed gets, and never what a seed's scene of that kind looks like.

    Raises:
        ValueError: if a kind is unknown, a weight is negative or not finite, or all are zero.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    kind = chosen_kind(rng.random(), kinds)
    if kind in ("street", "landscape"):
        return _open_place(seed, kind, rng)
    if kind in STORED:
        return _stored_place(seed, kind, rng)
    sky = random_sky(rng)
    is_open = kind == "courtyard"
    if is_open:
        plan = random_courtyard(rng, to_sun=np.array(sky.to_sun))
    else:
        plan = random_furnished_room(rng) if kind == "furnished" else random_room(rng)
    reach = rng.uniform(2.0, 3.5) if is_open else rng.uniform(0.9, 1.6)
    ambient = _daylight(plan, _above(sky)) if is_open else _bounced(plan)
    world = packed(plan.shapes, plan.lights, sky=sky, ambient=ambient, reach=reach)
    return _scene(seed, plan, world, rng, is_open=is_open)


def checked_kinds(kinds: Mapping[str, float]) -> None:
    """Refuse weights from which no kind can be chosen.

    Raises:
        ValueError: as :func:`random_scene`.
    """
    for kind, weight in kinds.items():
        if kind not in KINDS:
            raise ValueError(f"there is no kind of place {kind!r}; kinds are {', '.join(KINDS)}")
        if not 0.0 <= weight < math.inf:
            raise ValueError(f"the weight of a kind must be a number from 0 up, got {kind} = {weight}")
    if not sum(kinds.values()) > 0.0:
        raise ValueError("at least one kind of place needs a weight above 0")


def chosen_kind(draw: float, kinds: Mapping[str, float]) -> str:
    """The kind that a number in [0, 1) falls on, when kinds take shares of their weights.

    Raises:
        ValueError: as :func:`random_scene`.
    """
    checked_kinds(kinds)
    named = [(kind, kinds[kind]) for kind in KINDS if kinds.get(kind, 0.0) > 0.0]
    total, end = sum(weight for _, weight in named), 0.0
    for kind, weight in named:
        end += weight
        if draw < end / total:
            return kind
    return named[-1][0]


def _open_place(seed: int, kind: str, rng: np.random.Generator) -> Scene:
    """A street or a landscape, under a drawn or a photographed sky."""
    daylight = random_daylight(rng, radius=OPEN_RADIUS_M)
    plan = random_street(rng, daylight) if kind == "street" else random_landscape(rng, daylight)
    ambient = _daylight(plan, np.array(daylight.above))
    reach = rng.uniform(2.0, 3.5)
    world = packed(
        plan.shapes,
        plan.lights,
        sky=daylight.sky,
        ambient=ambient,
        reach=reach,
        light_spacing=OPEN_LIGHT_SPACING_M,
    )
    return _scene(seed, plan, world, rng, is_open=True)


def _stored_place(seed: int, kind: str, rng: np.random.Generator) -> Scene:
    """A variation of a stored model."""
    found = random_premises(rng, kind)
    levels = np.zeros(len(found.areas))
    return Scene(
        seed=seed,
        world=_exposed(found.world, found.areas, levels, rng),
        walk_areas=found.areas,
        walk_levels=levels,
        ceiling=found.ceiling,
        is_open=found.is_open,
    )


def _scene(seed: int, plan: Plan, world: World, rng: np.random.Generator, *, is_open: bool) -> Scene:
    areas = np.array(plan.areas)
    levels = np.array(plan.levels) if plan.levels else np.zeros(len(areas))
    world = _exposed(world, areas, levels, rng)
    return Scene(
        seed=seed,
        world=world,
        walk_areas=areas,
        walk_levels=levels,
        ceiling=plan.ceiling,
        is_open=is_open,
    )


def _above(sky: Sky) -> np.ndarray:
    """Light that a drawn sky throws on surfaces that face up."""
    return 0.5 * (np.array(sky.zenith) + np.array(sky.horizon)) + 0.1


def _daylight(plan: Plan, above: Float[np.ndarray, " 3"]) -> tuple[Vector, Vector]:
    """Sky light from above and sunlight thrown back by the ground from below."""
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


def _exposed(
    world: AnyWorld,
    areas: Float[np.ndarray, "a 4"],
    levels: Float[np.ndarray, " a"],
    rng: np.random.Generator,
) -> AnyWorld:
    """Choose the exposure from what people would see, and make the sky as bright as it is meant."""
    light = []
    for _ in range(EXPOSURE_STANCES):
        chosen = rng.integers(len(areas))
        rect = areas[chosen]
        f = rng.uniform(0.15, 0.85, 2)
        origin = (
            float(rect[0] + f[0] * (rect[2] - rect[0])),
            float(levels[chosen]) - 1.5,
            float(rect[1] + f[1] * (rect[3] - rect[1])),
        )
        yaw, pitch = rng.uniform(0, 2 * math.pi, EXPOSURE_RAYS), rng.uniform(-0.7, 0.5, EXPOSURE_RAYS)
        level = np.cos(pitch)
        rays = np.stack([level * np.cos(yaw), -np.sin(pitch), level * np.sin(yaw)])
        ts, ids = follow(world, np.tile(origin, (EXPOSURE_RAYS, 1)), np.ascontiguousarray(rays.T))
        light.append(light_along(world, origin, rays, ts, ids, pixel_angle=0.1)[ids >= 0])
    luminance = np.concatenate(light) @ np.array([0.2126, 0.7152, 0.0722])
    mean = math.exp(np.log(luminance + 1e-3).mean()) if len(luminance) else 0.2
    exposure = float(rng.uniform(*MID_GREY) / mean)
    sky = world.sky.copy()
    sky[7:19] /= exposure
    sky[24] /= exposure
    return world._replace(exposure=exposure, sky=sky)
