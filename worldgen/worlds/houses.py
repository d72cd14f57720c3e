"""Stored places: models of a house, a warehouse, a flat and a town, another scene with every seed.

Room: worldgen.worlds; ``layout`` calls it. Seeds decide light, colours, hands, and which loose things are
there. Light is mixed from what every source brings to every point
(``mesh_files``): soft shadows and bounces are in the file, so a scene costs a weighted sum, and any seed may
light any lamp, choose the sky and pick one of some suns. Rays at run time, as in rooms, would be sharper in
the sun, but dearer by far among so many triangles, and would not bounce.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from worldgen.worlds import palette
from worldgen.worlds._mesh import MeshWorld
from worldgen.worlds.mesh_files import Surfaces, surfaces
from worldgen.worlds.scene import Sky, sky_row
from worldgen.worlds.skies import Daylight, random_daylight
from worldgen.worlds.textures import textures

Rng = np.random.Generator

DOME_RADIUS_M = 60.0
DAY_SHARE = 0.7
"""Of the scenes in places with windows: daylight. The rest are lit by lamps, under a dim sky."""

SUNNY_SHARE = 0.65
"""Of the days."""

SUN_INSIDE, OPEN_SUN = (0.1, 0.4), (0.6, 1.0)
"""Share of the sun's light: inside, all of it would leave nothing else to see."""

DUSK = 0.04
"""Light from the sky at dusk over that by day..."""

DUSK_SHOWN = 0.3
"""...and how bright the sky looks then: eyes and cameras make up for much of it."""

MOST_LOOSE_GONE = 0.7
"""Greatest chance of a loose piece to be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lit:
    """Light of a scene, source by source, and the sky that goes with it."""

    colours: Float[np.ndarray, "s 3"]
    sky: Sky


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """A stored place, ready for pictures but for the exposure."""

    world: MeshWorld
    areas: Float[np.ndarray, "a 4"]
    ceiling: float
    is_open: bool


def random_premises(rng: Rng, name: str) -> Premises:
    """A variation of the model ``name``: its mirror image or not, and its light, colours and loose things."""
    found = surfaces(name)
    model = found.model
    mirrored = bool(rng.random() < 0.5)
    gone_share = rng.uniform(0.0, MOST_LOOSE_GONE)
    gone = np.array([piece for piece in model.loose if rng.random() < gone_share], np.int64)
    lit = _random_light(rng, found, mirrored=mirrored)
    materials = _random_materials(rng, found, lit.colours)
    world = plain_world(found)._replace(
        materials=materials,
        light=_mixed(found, lit.colours, gone),
        sky=sky_row(lit.sky),
        sky_texels=textures().texels,
    )
    world = without(world, np.isin(world.looks[:, 1], gone))
    areas = model.areas
    if mirrored:
        world, areas = _mirrored(world), areas[:, [2, 1, 0, 3]] * [-1.0, 1.0, -1.0, 1.0]
    return Premises(world=world, areas=areas, ceiling=model.ceiling, is_open=model.is_open)


def plain_world(found: Surfaces) -> MeshWorld:
    """A model as it is, under light that is the same everywhere and a white sky."""
    model = found.model
    sky = np.zeros(25)
    sky[3], sky[5], sky[7:16], sky[22] = DOME_RADIUS_M, -1.0, 1.0, -1.0
    plain = np.zeros((len(found.tiles), 8))
    plain[:, :2], plain[:, 2:5] = found.tiles, 1.0
    return MeshWorld(
        corners=found.corners,
        uvs=found.uvs,
        normals=found.normals,
        lattices=found.lattices,
        light_rows=found.light_rows,
        looks=np.stack([model.looks, model.pieces], axis=1).astype(np.int32),
        nodes=found.nodes,
        links=found.links,
        materials=plain,
        texels=found.texels,
        sky_texels=found.texels[:1],
        sky=sky,
        exposure=1.0,
        light=np.ones((int(found.light_rows.max()) + 1, 3), np.float32),
    )


def _random_light(rng: Rng, found: Surfaces, *, mirrored: bool) -> Lit:
    """Which sources shine, in which colours; by day lamps are few and weak beside the sky."""
    model, sources = found.model, found.model.sources
    daylight = random_daylight(rng, radius=DOME_RADIUS_M)
    suns = [k for k, source in enumerate(sources) if source.kind == "sun"]
    sees_sky = any(source.kind == "sky" for source in sources)
    is_day = sees_sky and rng.random() < DAY_SHARE
    colours = np.zeros((len(sources), 3))
    for k, source in enumerate(sources):
        if source.kind == "sky":
            share = rng.uniform(0.6, 1.4) * (1.0 if is_day else DUSK)
            colours[k] = share * np.array(daylight.above)
        elif source.kind == "lamp":
            is_on = rng.random() < (0.45 if is_day else 0.9)
            strength = rng.uniform(0.02, 0.12) if is_day else rng.uniform(0.3, 1.0)
            colours[k] = _warm(rng) * strength * (1.0 if is_on else 0.03)
    sky = daylight.sky
    if is_day and suns and rng.random() < SUNNY_SHARE:
        chosen = suns[rng.integers(len(suns))]
        colours[chosen] = np.array(daylight.sun) * rng.uniform(*(OPEN_SUN if model.is_open else SUN_INSIDE))
        x, y, z = sources[chosen].at
        sky = _turned(daylight, (-x if mirrored else x, y, z))
    if sees_sky and not is_day:
        sky = _dimmed(sky, DUSK_SHOWN)
    return Lit(colours=colours, sky=sky)


def _warm(rng: Rng) -> Float[np.ndarray, " 3"]:
    """Colour of a lamp, from candle to daylight."""
    warmth = rng.uniform(0.0, 1.0)
    return np.array([1.0, 1.0 - 0.2 * warmth, 1.05 - 0.6 * warmth])


def _turned(daylight: Daylight, to_sun: tuple[float, float, float]) -> Sky:
    """A sky turned about the vertical so that its sun stands in the direction of another."""
    sky = daylight.sky
    by = math.atan2(to_sun[0], to_sun[2]) - math.atan2(sky.to_sun[0], sky.to_sun[2])
    return dataclasses.replace(sky, to_sun=to_sun, turn=sky.turn + by)


def _dimmed(sky: Sky, share: float) -> Sky:
    colours = {
        name: palette.vector(share * np.array(getattr(sky, name)))
        for name in ("zenith", "horizon", "ground", "sun")
    }
    return dataclasses.replace(sky, **colours, gain=sky.gain * share)


def _random_materials(
    rng: Rng, found: Surfaces, colours: Float[np.ndarray, "s 3"]
) -> Float[np.ndarray, "m 8"]:
    """Rows of materials: pieces of one make change colour together, and lamps that are on glow."""
    tints: dict[tuple[tuple[int, int, int], int], Float[np.ndarray, " 3"]] = {}
    rows = np.zeros((len(found.tiles), 8))
    rows[:, :2] = found.tiles
    brightest = max(float(colours.max()), 1e-6)
    for k, look in enumerate(found.model.materials):
        drawn = rng.uniform(0.5, 1.1) * (1.0 + rng.uniform(-0.35, 0.35, 3))
        tint = tints.setdefault((look.tile, look.family), drawn)
        rows[k, 2:5] = 1.0 + look.tint * (tint - 1.0)
        if look.lamp >= 0:
            rows[k, 5:8] = 1.5 * colours[look.lamp] * min(1.0, 0.5 / brightest)
    return rows


def _mixed(
    found: Surfaces, colours: Float[np.ndarray, "s 3"], gone: Int[np.ndarray, " g"]
) -> Float32[np.ndarray, "p 3"]:
    """Light at every lattice point; around pieces that are gone, that of the place without any."""
    light = np.zeros((found.light.shape[1], 3), np.float32)
    bare = np.isin(found.model.bare_owners, gone)
    rows = found.model.bare_points[bare]
    without = np.zeros((len(rows), 3), np.float32)
    for k in np.flatnonzero(colours.any(axis=1)):
        colour = colours[k].astype(np.float32)
        light += found.light[k][:, None] * colour
        without += found.bare_light[k][bare][:, None] * colour
    light[rows] = without
    return light


def without(world: MeshWorld, gone: Bool[np.ndarray, " t"]) -> MeshWorld:
    """A world without some of its triangles: its tree stays, with leaves that hold less."""
    before = np.concatenate([[0], np.cumsum(~gone)]).astype(np.int32)
    links = world.links.copy()
    first, count = world.links[:, 1], world.links[:, 2]
    links[:, 1], links[:, 2] = before[first], before[first + count] - before[first]
    kept = ~gone
    return world._replace(
        corners=world.corners[kept],
        uvs=world.uvs[kept],
        normals=world.normals[kept],
        lattices=world.lattices[kept],
        looks=world.looks[kept],
        links=links,
    )


def _mirrored(world: MeshWorld) -> MeshWorld:
    """The mirror image of a world in the plane x = 0, but for its sky."""
    flip = np.array([-1.0, 1.0, 1.0], np.float32)
    nodes = world.nodes[:, [3, 1, 2, 0, 4, 5]] * np.concatenate([flip, flip])
    return world._replace(corners=world.corners * flip, normals=world.normals * flip, nodes=nodes)
