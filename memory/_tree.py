"""Tree: the branches of a world. Heads name their ends; undo moves one back and deletes nothing.

Room: memory. Private to it; ``memory.world`` re-exports what is public. What no head reaches any more
is abandoned: it can be found, and a head can begin there, until :meth:`Tree.collect` deletes it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import final

from memory import _tables
from memory._blobs import delete_blobs, depth_file, rgb_file, stale_files
from memory._index import Index
from memory._records import Chunk, Freed, Head, WorldError, checked_head_name
from memory._rows import damaged
from memory._surfaces import delete_surfaces, surface_file


@final
class Tree:
    """Every chunk of a world, on all of its branches; ``World.tree`` is the one of an open world."""

    def __init__(self, folder: Path, index: Index) -> None:
        self._folder, self._index = folder, index

    @property
    def current(self) -> Head:
        """The head at which the world is looked at, and grows."""
        return _tables.current_head(self._index)

    def heads(self) -> list[Head]:
        """Every head, by name."""
        return self._index.read(lambda: _tables.heads(self._index))

    def chunks(self) -> list[Chunk]:
        """Every chunk; parents come before their children."""
        return self._index.read(lambda: _tables.all_chunks(self._index))

    def whole(self) -> tuple[list[Chunk], list[Head]]:
        """Every chunk and every head, of one moment."""
        return self._index.read(lambda: (_tables.all_chunks(self._index), _tables.heads(self._index)))

    def abandoned(self) -> list[int]:
        """The chunks that no head reaches."""
        return self._index.read(lambda: _tables.abandoned_chunks(self._index))

    def undo(self, chunks: int = 1) -> Head:
        """Move the current head back; :meth:`redo` takes it forward again until something new grows.

        Raises:
            WorldError: if the head has no more than that many chunks.
        """
        with self._index.changing():
            head = self.current
            chain = _tables.chunks_to(self._index, head.chunk)
            if not 1 <= chunks < len(chain):
                raise WorldError(
                    f"up to {max(len(chain) - 1, 0)} chunks of the head {head.name} can be undone, "
                    f"got {chunks}; the first view stays"
                )
            return self._moved(
                head, chain[-1 - chunks].id, tip=chain[-1].id if head.tip is None else head.tip
            )

    def redo(self, chunks: int | None = None) -> Head:
        """Take the current head forward again along what was undone, all the way by default.

        Raises:
            WorldError: if no more than that many chunks were undone.
        """
        with self._index.changing():
            head = self.current
            ahead = self.ahead(head)
            count = len(ahead) if chunks is None else chunks
            if not 1 <= count <= len(ahead):
                raise WorldError(
                    f"up to {len(ahead)} chunks of the head {head.name} can be redone, got {count}; "
                    "worldgen heads shows what is abandoned"
                )
            end = ahead[count - 1]
            return self._moved(head, end, tip=None if count == len(ahead) else head.tip)

    def ahead(self, head: Head) -> list[int]:
        """The chunks that :meth:`redo` would take a head forward to."""
        if head.tip is None:
            return []
        chain = [chunk.id for chunk in _tables.chunks_to(self._index, head.tip)]
        if head.chunk not in chain:
            raise damaged(f"the tip of the head {head.name} is on another branch")
        return chain[chain.index(head.chunk) + 1 :]

    def branch(self, name: str, *, at: int) -> Head:
        """Begin a head at any chunk, abandoned ones included, and make it the current one.

        Raises:
            WorldError: if there is a head of that name, or no such chunk.
        """
        checked_head_name(name)
        with self._index.changing():
            self._check_free(name)
            self.check_chunk(at)
            with self._index.transaction() as db:
                _tables.insert_head(db, name, chunk=at)
                _tables.make_current(db, name)
            return self.current

    def switch(self, name: str) -> Head:
        """Make a head the current one."""
        with self._index.changing():
            self._named(name)
            with self._index.transaction() as db:
                _tables.make_current(db, name)
            return self.current

    def rename(self, old: str, new: str) -> Head:
        """Give a head another name."""
        checked_head_name(new)
        with self._index.changing():
            self._named(old)
            self._check_free(new)
            with self._index.transaction() as db:
                _tables.rename_head(db, old, new)
            return self._named(new)

    def delete(self, name: str) -> None:
        """Forget a head; chunks that only it reached are abandoned.

        Raises:
            WorldError: if it is the current head, which every world has.
        """
        with self._index.changing():
            if self._named(name).is_current:
                raise WorldError(
                    f"{name} is the current head and cannot be deleted; switch to another one first"
                )
            with self._index.transaction() as db:
                _tables.delete_head(db, name)

    def collect(self) -> Freed:
        """Delete abandoned chunks for good: the rows in one transaction, then the files.

        What a crash leaves of the files is swept when the world is next opened for writing.
        """
        with self._index.changing():
            freed, frames, edits, files = self._waste()
            with self._index.transaction() as db:
                _tables.delete_chunks(db, self.abandoned())
            delete_blobs(self._folder, frames)
            delete_surfaces(self._folder, edits)
            for file in files:
                with suppress(OSError):
                    file.unlink()
            return freed

    def waste(self) -> Freed:
        """What :meth:`collect` would delete."""
        return self._index.read(self._waste)[0]

    def _waste(self) -> tuple[Freed, list[int], list[int], list[Path]]:
        """Abandoned chunks, counted; their frames and edits; the files that were derived at one of them."""
        chunks = set(self.abandoned())
        frames, edits = _tables.frame_ids_of(self._index, chunks), _tables.edit_ids_of(self._index, chunks)
        stale = stale_files(self._folder, keep=_tables.all_chunk_ids(self._index) - chunks)
        blobs = [name(self._folder, frame) for frame in frames for name in (rgb_file, depth_file)]
        blobs += [surface_file(self._folder, edit) for edit in edits]
        size = 0
        for file in [*blobs, *stale]:
            with suppress(OSError):
                size += file.lstat().st_size
        return Freed(chunks=len(chunks), frames=len(frames), bytes=size), frames, edits, stale

    def check_chunk(self, number: int) -> None:
        """Refuse a chunk that the world does not have."""
        if not _tables.has_chunk(self._index, number):
            raise WorldError(
                f"the world has no chunk {number}; tree.chunks() lists them, worldgen info shows them"
            )

    def _named(self, name: str) -> Head:
        heads = self.heads()
        for head in heads:
            if head.name == name:
                return head
        names = ", ".join(head.name for head in heads)
        raise WorldError(f"the world has no head {name!r:.80}; its heads are {names}")

    def _check_free(self, name: str) -> None:
        if any(head.name == name for head in self.heads()):
            raise WorldError(f"the world has a head {name} already; choose another name")

    def _moved(self, head: Head, chunk: int, *, tip: int | None) -> Head:
        with self._index.transaction() as db:
            _tables.move_head(db, head.name, chunk=chunk, tip=tip)
        return self.current
