"""Restore: what growth holds of a world folder, rebuilt from what is committed.

Room: memory. Chunk by chunk, as growth did it, so the result is the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator

from memory.bank import MemoryBank
from memory.cache import WorldCache
from memory.tiles import TileStore
from memory.world import Chunk, World
from render.frames import Frames

CACHE_FOLDER = "cache"
"""Of a world: where tiles lie that do not fit into memory, in files that end with the process."""


def restored(world: World) -> tuple[WorldCache, MemoryBank]:
    """Cache and bank at the head, with every frame read once."""
    cache, bank = _empty_cache(world), MemoryBank(scale=world.scene.scale)
    for chunk, frames in _committed(world):
        _enter(cache, chunk, frames)
        bank.append(frames, ids=list(chunk.frame_ids))
    return cache, bank


def restored_cache(world: World) -> WorldCache:
    """The cache at the head."""
    cache = _empty_cache(world)
    for chunk, frames in _committed(world):
        _enter(cache, chunk, frames)
    return cache


def restored_bank(world: World) -> MemoryBank:
    """The memory bank at the head."""
    bank = MemoryBank(scale=world.scene.scale)
    for chunk, frames in _committed(world):
        bank.append(frames, ids=list(chunk.frame_ids))
    return bank


def _empty_cache(world: World) -> WorldCache:
    """A cache that keeps what does not fit into memory beside the world, if that may be written."""
    return WorldCache(TileStore(folder=world.path / CACHE_FOLDER if world.writable else None))


def _committed(world: World) -> Iterator[tuple[Chunk, Frames]]:
    """The chunks from the root to the head, read when their turn comes."""
    for chunk in world.chunks():
        yield chunk, world.frames(chunk.frame_ids)


def _enter(cache: WorldCache, chunk: Chunk, frames: Frames) -> None:
    seen = cache.render(frames.cameras)
    cache.remember(frames, seen, ids=list(chunk.frame_ids), given=chunk.given)
