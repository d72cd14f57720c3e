"""Rays and distances in any world, whether of shapes or of triangles.

Room: worldgen.worlds; scenes, paths and exposure ask here, pictures are ``renderer``'s.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int

from worldgen.worlds._geometry import nearest_surfaces
from worldgen.worlds._light import World
from worldgen.worlds._mesh import MeshWorld, nearest_triangles, probe_triangles
from worldgen.worlds._mesh_shade import mesh_light
from worldgen.worlds._raster import linear_light, probe


def nearest(world: World | MeshWorld, points: Float64[np.ndarray, "p 3"]) -> Float64[np.ndarray, " p"]:
    """Distance to the nearest surface; negative inside a shape. Triangles have no inside."""
    if isinstance(world, MeshWorld):
        return nearest_triangles(world.corners, world.nodes, world.links, points)
    return nearest_surfaces(world.shapes, points)


def follow(
    world: World | MeshWorld, origins: Float64[np.ndarray, "r 3"], directions: Float64[np.ndarray, "r 3"]
) -> tuple[Float64[np.ndarray, " r"], Int[np.ndarray, " r"]]:
    """Distances along unit rays, and ids of what they meet: a face or a triangle, -1 for the sky."""
    if isinstance(world, MeshWorld):
        return probe_triangles(world, origins, directions)
    return probe(world, origins, directions)


def things(world: World | MeshWorld, ids: Int[np.ndarray, " r"]) -> Int[np.ndarray, " r"]:
    """The shape or the piece that every id belongs to; -1 for the sky."""
    if isinstance(world, MeshWorld):
        return np.where(ids < 0, -1, world.looks[ids, 1])
    return ids >> 3


def light_along(
    world: World | MeshWorld,
    origin: tuple[float, float, float],
    rays: Float64[np.ndarray, "3 r"],
    distances: Float64[np.ndarray, " r"],
    ids: Int[np.ndarray, " r"],
    *,
    pixel_angle: float,
) -> Float64[np.ndarray, "r 3"]:
    """Linear light along unit rays that have been followed, filtered over an angle."""
    count = rays.shape[1]
    seen = np.empty((count, 3))
    if isinstance(world, MeshWorld):
        mesh_light(world, origin, rays, distances, ids, pixel_angle, seen)
    else:
        wanted = np.empty((4 * count, 5), np.int64)
        linear_light(world, origin, rays, distances, ids, count, pixel_angle, wanted, seen)
    return seen
