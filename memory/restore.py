"""Restore: what growth holds of a world folder, rebuilt from what is committed.

Room: memory. Chunk by chunk, as growth did it, so the result is the same bit for bit. Growth applies
its own edits with :func:`edit_cache`, so that there is one way to do it.
"""

from __future__ import annotations

from collections.abc import Iterator

from memory.bank import MemoryBank
from memory.cache import WorldCache
from memory.points import Points
from memory.tiles import TileStore
from memory.world import PLACE, Chunk, Edit, World
from render.frames import Frames

CACHE_FOLDER = "cache"
"""Of a world: where tiles lie that do not fit into memory, in files that end with the process."""


def restored(world: World) -> tuple[WorldCache, MemoryBank]:
    """Cache and bank at the head, with every frame read once."""
    cache, bank = _empty_cache(world), MemoryBank(scale=world.scene.scale)
    for chunk, content in committed(world):
        _enter_cache(cache, chunk, content)
        enter_bank(bank, chunk, content)
    return cache, bank


def restored_cache(world: World) -> WorldCache:
    """The cache at the head."""
    cache = _empty_cache(world)
    for chunk, content in committed(world):
        _enter_cache(cache, chunk, content)
    return cache


def restored_bank(world: World) -> MemoryBank:
    """The memory bank at the head."""
    bank = MemoryBank(scale=world.scene.scale)
    for chunk, content in committed(world):
        enter_bank(bank, chunk, content)
    return bank


def _empty_cache(world: World) -> WorldCache:
    """A cache that keeps what does not fit into memory beside the world, if that may be written."""
    return WorldCache(TileStore(folder=world.path / CACHE_FOLDER if world.writable else None))


def edit_cache(cache: WorldCache, edit: Edit, placed: Points | None) -> None:
    """Let an edit happen to a cache; ``placed`` is what it placed, as the world reads it back."""
    if placed is None:
        cache.remove(edit.box.low, edit.box.high)
    else:
        cache.take(placed)


def committed(world: World) -> Iterator[tuple[Chunk, Frames | Points | None]]:
    """The chunks from the root to the head, read when their turn comes: frames, or what was placed."""
    for chunk in world.chunks():
        if chunk.edit is None:
            yield chunk, world.frames(chunk.frame_ids)
        else:
            yield chunk, world.placed(chunk.edit) if chunk.edit.kind == PLACE else None


def _enter_cache(cache: WorldCache, chunk: Chunk, content: Frames | Points | None) -> None:
    if isinstance(content, Frames):
        seen = cache.render(content.cameras)
        cache.remember(content, seen, ids=list(chunk.frame_ids), given=chunk.given)
    elif chunk.edit is not None:
        edit_cache(cache, chunk.edit, content)


def enter_bank(bank: MemoryBank, chunk: Chunk, content: Frames | Points | None) -> None:
    """Append the frames of a chunk, or what changed, to a bank."""
    if isinstance(content, Frames):
        bank.append(content, ids=list(chunk.frame_ids))
    elif chunk.edit is not None:
        bank.change(chunk.edit.box)
