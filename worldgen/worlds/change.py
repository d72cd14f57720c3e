"""Change: the same place at another time, when one thing stood elsewhere or was not there.

Room: worldgen.worlds; training calls it for caches that are out of date. Everything else stays where it is;
light and shadows are those of the changed place.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from render.cameras import Cameras, resized
from worldgen.worlds._geometry import build_tree, shape_bounds
from worldgen.worlds._light import UNKNOWN, World
from worldgen.worlds._mesh import MeshWorld
from worldgen.worlds.renderer import shapes_seen
from worldgen.worlds.scene import Scene, clearance

LOOK_PX = 24
"""A side of the pictures in which shapes are looked for."""

SHARES = (0.02, 0.3)
"""Of the pixels, that show a shape worth changing: less is overlooked, more is the place itself."""

LARGEST_HALF_M = 1.5
"""Half extent up to which a shape is a thing and not a wall."""

REMOVED_CHANCE = 0.5
"""Chance that the thing was not there; else it stood elsewhere."""

DISTANCE_M = (0.4, 1.2)
"""How far away it stood."""

MIN_CLEARANCE_M = 0.25
"""Nothing is put nearer to a camera than this."""


def changed(scene: Scene, cameras: Cameras, *, rng: np.random.Generator) -> Scene | None:
    """The scene without one of the things that the cameras see, or with it elsewhere at the same height.

    Args:
        scene: as it is now.
        cameras: what they all show is looked at together.
        rng: chooses the thing and the change.

    Returns:
        The scene at another time, or None if the cameras see no single thing.
    """
    things = things_seen(scene, cameras)
    if not things:
        return None
    thing = things[int(rng.integers(len(things)))]
    if rng.random() < REMOVED_CHANCE:
        return without(scene, thing)
    angle, distance = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(*DISTANCE_M)
    other = shifted(scene, thing, x=distance * math.cos(angle), z=distance * math.sin(angle))
    is_free = float(clearance(other, cameras.origins).min()) > MIN_CLEARANCE_M
    return other if is_free else without(scene, thing)


def without(scene: Scene, shape: int) -> Scene:
    """The scene without the shape of this row."""
    world = _of_shapes(scene)
    kept = np.arange(len(world.shapes)) != shape
    return _rebuilt(scene, world.shapes[kept], world.faces[kept])


def shifted(scene: Scene, shape: int, *, x: float, z: float) -> Scene:
    """The scene with the shape of this row elsewhere, by ``x`` and ``z`` metres."""
    world = _of_shapes(scene)
    rows = world.shapes.copy()
    rows[shape, [0, 2]] += (x, z)
    return _rebuilt(scene, rows, world.faces)


def things_seen(scene: Scene, cameras: Cameras) -> list[int]:
    """Rows of the shapes that could be changed: things, large enough in the pictures of ``cameras``.

    Places of triangles have none: nothing says which triangles are a thing.
    """
    if isinstance(scene.world, MeshWorld):
        return []
    world = scene.world
    seen = shapes_seen(scene, resized(cameras, width=LOOK_PX, height=LOOK_PX))
    counts = np.bincount(seen[seen >= 0], minlength=len(world.shapes)) / seen.size
    is_fit = (counts >= SHARES[0]) & (counts <= SHARES[1])
    is_fit &= world.shapes[:, 3:6].max(axis=1) <= LARGEST_HALF_M
    glows = world.materials[:, 9:12].max(axis=1) > 0.0
    is_fit &= ~glows[world.faces[:, :, 0]].any(axis=1)  # the light of a lamp would stay behind
    return np.flatnonzero(is_fit).tolist()


def bounds_of(scene: Scene, shape: int) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Lowest and highest corner of the box around a shape, metres."""
    low, high = shape_bounds(_of_shapes(scene).shapes[[shape]])[0].reshape(2, 3)
    return low, high


def _of_shapes(scene: Scene) -> World:
    if isinstance(scene.world, MeshWorld):
        raise ValueError("a place of triangles has no shapes to change")
    return scene.world


def _rebuilt(scene: Scene, shapes: np.ndarray, faces: np.ndarray) -> Scene:
    nodes, links, order = build_tree(shape_bounds(shapes))
    world = _of_shapes(scene)
    world = world._replace(
        shapes=shapes[order],
        nodes=nodes,
        links=links,
        faces=np.ascontiguousarray(faces[order]),
        light=np.full_like(world.light, UNKNOWN),
    )
    return dataclasses.replace(scene, world=world)
