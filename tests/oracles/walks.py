"""Walks through a procedural world, and the splats of what they show."""

from __future__ import annotations

from memory.cache import WorldCache
from reconstruct.init import gaussians_from_points
from render.frames import Frames
from render.gaussians import Gaussians
from worldgen.worlds import random_scene, random_walk_cameras, render


def walk_of(frames: int, *, side: int, seed: int = 5) -> Frames:
    """Exact square views of a walk."""
    scene = random_scene(seed)
    return render(scene, random_walk_cameras(scene, n=frames, seed=1, width=side, height=side))


def splats_seen_in(frames: Frames) -> Gaussians:
    """Splats of the cache of all these views."""
    cache = WorldCache()
    for i in range(len(frames)):
        cache.remember(frames[[i]], cache.render(frames[[i]].cameras), ids=[i], given=True)
    return gaussians_from_points(cache.points)
