"""Restore: the world cache of a world folder, rebuilt from what is committed.

Room: memory. Chunk by chunk, as growth did it, so the result is the same bit for bit.
"""

from __future__ import annotations

from memory.cache import WorldCache
from memory.world import World


def restored_cache(world: World) -> WorldCache:
    """The cache at the head."""
    cache = WorldCache()
    for chunk in world.chunks():
        ids = list(chunk.frame_ids)
        frames = world.frames(ids)
        cache.remember(frames, cache.render(frames.cameras), ids=ids, given=chunk.given)
    return cache
