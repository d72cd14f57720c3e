"""Store: how the frames or the edit of a chunk come to be on the disk, and in the index.

Room: memory. Private to it. Files are written first, to names that nothing refers to; one
transaction then makes the chunk visible.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, final, runtime_checkable

from memory import _tables
from memory._blobs import (
    FRAMES_FOLDER,
    Coded,
    coded,
    decoded,
    delete_blobs,
    exact_cameras,
    frames_of,
    write_blobs,
)
from memory._files import sync_folder
from memory._index import Index
from memory._records import Chunk, FrameRecord, NotWrittenError
from memory._rows import bytes_from_matrices
from memory._surfaces import write_surface
from render.frames import Frames


@runtime_checkable
class Store(Protocol):
    """Where a chunk goes when it joins the current head."""

    def free_ids(self, count: int) -> tuple[int, ...]:
        """Numbers that ``count`` new frames can have."""
        ...

    def keep(self, chunk: Chunk, frames: Frames) -> tuple[Chunk, Frames]:
        """Let the current head end with a chunk.

        Returns:
            The chunk, and its frames exactly as they will be read back.
        """
        ...

    def free_edit_id(self) -> int:
        """A number that a new edit can have."""
        ...

    def keep_edit(self, chunk: Chunk, data: bytes | None) -> None:
        """Let the current head end with a chunk that is an edit; ``data`` is the file of what it placed."""
        ...


@final
class Disk:
    """The store of a world that is being written."""

    def __init__(self, folder: Path, index: Index) -> None:
        self._folder, self._index = folder, index
        self._first_free_frame = self._first_free_edit = 0

    def free_ids(self, count: int) -> tuple[int, ...]:
        """Numbers that no frame ever had."""
        first = max(_tables.next_id(self._index, "frames"), self._first_free_frame)
        return tuple(range(first, first + count))

    def keep(self, chunk: Chunk, frames: Frames) -> tuple[Chunk, Frames]:
        """Write pictures that nothing refers to yet, then refer to them in one transaction."""
        time = _tables.time_at(self._index, chunk.parent)
        records, pictures = [], []
        try:
            for offset, number in enumerate(chunk.frame_ids):
                frame = frames[[offset]]
                stored = coded(frame)
                sha256 = write_blobs(self._folder, stored, frame_id=number)
                records.append(_record(frame, stored, frame_id=number, sha256=sha256, given=chunk.given))
                pictures.append(decoded(stored))
            sync_folder(self._folder / FRAMES_FOLDER)
        except BaseException as error:
            delete_blobs(self._folder, chunk.frame_ids)
            if isinstance(error, OSError):
                raise NotWrittenError(
                    f"the pictures of {self._folder} could not be written ({error.strerror}); the world is "
                    "as it was: make room on the disk and try again"
                ) from error
            raise
        # If this fails and the power is cut, SQLite may still find the transaction complete when it
        # recovers: these numbers and their files stay taken until the world is opened again.
        self._first_free_frame = chunk.frame_ids[-1] + 1
        with self._index.transaction() as db:
            _tables.insert_chunk(db, chunk, frames=records, time=time)
        cameras = exact_cameras(frames.cameras.to("cpu"))
        back = frames_of(pictures, given=[chunk.given] * len(frames), cameras=cameras)
        return chunk, back.to(frames.rgb.device)

    def free_edit_id(self) -> int:
        """A number that no edit ever had."""
        return max(_tables.next_id(self._index, "events"), self._first_free_edit)

    def keep_edit(self, chunk: Chunk, data: bytes | None) -> None:
        """Write the file, if there is one, then refer to it in one transaction."""
        edit = chunk.edit
        assert edit is not None
        if data is not None:
            write_surface(self._folder, data, edit_id=edit.id)
        self._first_free_edit = edit.id + 1  # as with frames: a failed transaction may yet come true
        with self._index.transaction() as db:
            _tables.insert_chunk(db, chunk, frames=[], time=edit.time)


def _record(
    frame: Frames, stored: Coded, *, frame_id: int, sha256: tuple[bytes, bytes], given: bool
) -> FrameRecord:
    """The row of a batch of one."""
    return FrameRecord(
        id=frame_id,
        width=frame.cameras.width,
        height=frame.cameras.height,
        c2w=bytes_from_matrices(frame.cameras.c2w),
        K=bytes_from_matrices(frame.cameras.K),
        near=stored.near,
        far=stored.far,
        confidence=float(frame.confidence.double().mean()),
        rgb_sha256=sha256[0],
        depth_sha256=sha256[1],
        given=given,
    )
