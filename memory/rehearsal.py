"""Rehearsal: a world grown again beside itself, to see whether it comes out the same.

Room: memory. Used by worldgen. Its world is a copy of the index in memory over the same pictures:
whatever is done to it leaves the folder as it is. A commit is compared with the chunk that is stored
at that place, and growth goes on from the stored one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import final

import torch
from torch import Tensor

from memory import _tables
from memory._blobs import damage, quantised
from memory._index import Index
from memory._surfaces import surface_damage
from memory.world import Chunk, World, WorldError
from render.frames import Frames


@final
class Rehearsal:
    """A world that can be grown again from any chunk on; ``with`` closes it."""

    def __init__(self, path: Path | str) -> None:
        """Copy the index of a world; it may be one that another process is growing.

        Raises:
            WorldError: if there is no world, or it cannot be read.
        """
        with World.open(path) as world:
            folder, scene = world.path, world.scene
        self._index = Index.in_memory(folder)
        self._ahead: deque[Chunk] = deque()
        self.world = World(folder, scene, self._index, store=self)
        self.difference: str | None = None
        """How the last chunk that was committed differs from the stored one, as a sentence."""

    def __enter__(self) -> Rehearsal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.world.close()

    @property
    def next(self) -> Chunk | None:
        """The stored chunk with which the next commit is compared."""
        return self._ahead[0] if self._ahead else None

    def expect(self, chunks: Sequence[Chunk]) -> None:
        """Go back to before the first of these chunks, each of which is the next one's parent."""
        self._ahead = deque(chunks)
        self.difference = None
        self._stand_at(chunks[0].parent)

    def skip(self) -> None:
        """Take the next stored chunk as it is."""
        self._stand_at(self._ahead.popleft().id)

    def damage(self, chunk: Chunk) -> str | None:
        """What is wrong with the files of a stored chunk, a sentence, if anything is."""
        if chunk.edit is not None:
            return next(iter(surface_damage(self.world.path, chunk.edit)), None)
        records = _tables.frame_records(self._index, chunk.frame_ids)
        return next((fault for record in records for fault in damage(self.world.path, record)), None)

    def free_ids(self, count: int) -> tuple[int, ...]:
        """Numbers for a chunk that is about to be compared; nothing keeps them."""
        return tuple(range(count))

    def keep(self, chunk: Chunk, frames: Frames) -> tuple[Chunk, Frames]:
        """Compare a chunk with the stored one, and give the stored one back."""
        if self.next is None:
            raise WorldError(f"the world at {self.world.path} ends here; expect() says what is compared")
        expected = self.next
        stored = self.world.frames(expected.frame_ids)
        self.difference = difference(
            quantised(frames.to("cpu"), given=expected.given), stored, ids=expected.frame_ids
        )
        self.skip()
        return expected, stored.to(frames.rgb.device)

    def free_edit_id(self) -> int:
        """See :meth:`keep_edit`."""
        raise _not_edited()

    def keep_edit(self, chunk: Chunk, data: bytes | None) -> None:
        """Edits are given, not imagined: they are skipped, never made again."""
        raise _not_edited()

    def _stand_at(self, chunk: int | None) -> None:
        """Move the head, and let it follow the path of the next chunk: which that is, is history."""
        path = None if self.next is None else self.next.path
        with self._index.transaction() as db:
            _tables.rehearse(db, head=chunk, path=path)


def _not_edited() -> WorldError:
    return WorldError("a rehearsal cannot be edited; open the world itself with writable=True")


def difference(again: Frames, stored: Frames, *, ids: Sequence[int]) -> str | None:
    """How frames that were made again differ from those that are stored; ``None`` if they are equal."""
    if len(again) != len(stored):
        return f"frame {ids[0]} differs: {len(again)} frames came out where {len(stored)} are stored"
    for i, number in enumerate(ids):
        how = _difference_of_one(again[i : i + 1], stored[i : i + 1])
        if how is not None:
            return f"frame {number} differs: {how}"
    return None


def _difference_of_one(again: Frames, stored: Frames) -> str | None:
    if again.rgb.shape != stored.rgb.shape:
        sizes = [f"{frames.cameras.width}x{frames.cameras.height}" for frames in (again, stored)]
        return f"it came out as {sizes[0]} pixels where {sizes[1]} are stored"
    if not (_is_same(again.cameras.c2w, stored.cameras.c2w) and _is_same(again.cameras.K, stored.cameras.K)):
        return "its camera is another one"
    colour = (again.rgb != stored.rgb).any(dim=-1)
    depth = ((again.depth != stored.depth) | (again.valid != stored.valid)).any(dim=-1)
    parts = []
    if colour.any():
        steps = round(255 * float((again.rgb - stored.rgb).abs().max()))
        parts.append(f"colour in {int(colour.sum())} of {colour.numel()} pixels, by up to {steps} of 255")
    if depth.any():
        both = again.valid & stored.valid
        gap = ((again.depth - stored.depth).abs() / stored.depth.clamp_min(1e-30))[both]
        most = 100 * float(gap.max()) if gap.numel() else 0.0
        parts.append(f"depth in {int(depth.sum())} of {depth.numel()} pixels, by up to {most:.3g} %")
    return "; ".join(parts) or None


def _is_same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)
