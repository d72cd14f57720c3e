"""World: a scene on disk that loses nothing, one folder with every frame and how it came to be.

Room: memory. Used by worldgen, reconstruct and viewer. Truth is ``world.db``, ``frames/`` and ``edits/``;
all else in the folder is derived. One writer at a time, and any number of readers beside it, in any
process and thread. What :meth:`World.commit` returned is there after a crash and after a power cut.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, final

from memory import _folder, _tables
from memory._blobs import FRAMES_FOLDER, frames_of, quantised, read_pictures, stale_files, sweep_blobs
from memory._door import cameras_of, check_cameras, check_frames, check_progress
from memory._faults import faults_of
from memory._index import NAME, Index
from memory._records import (
    AHEAD,
    DISK_TROUBLE,
    MAX_PATH_CAMERAS,
    MAX_POINTS,
    PLACE,
    REMOVE,
    Chunk,
    Edit,
    FrameRecord,
    Freed,
    Head,
    NotWrittenError,
    PlannedPath,
    SceneInfo,
    WorldError,
    checked_origin,
    checked_time,
)
from memory._rows import scene_from_rows
from memory._schema import FORMAT, check_header
from memory._store import Disk, Store
from memory._surfaces import checksum, read_surface, source_of, storable, sweep_surfaces
from memory._tree import Tree
from memory.boxes import Box, box_around
from memory.costs import cost_now
from memory.points import Points
from render.cameras import Cameras
from render.frames import Frames

__all__ = [
    "AHEAD",
    "FORMAT",
    "MAX_PATH_CAMERAS",
    "MAX_POINTS",
    "PLACE",
    "REMOVE",
    "Chunk",
    "Edit",
    "Freed",
    "Head",
    "NotWrittenError",
    "PlannedPath",
    "SceneInfo",
    "Tree",
    "World",
    "WorldError",
    "quantised",
]


EDITOR = "edit"
"""What stands for the generator of an edit: nothing in it was imagined."""


@final
class World:
    """An open world folder; :meth:`create` and :meth:`open` make one, ``with`` closes it."""

    def __init__(
        self,
        path: Path,
        scene: SceneInfo,
        index: Index,
        *,
        store: Store | None = None,
        lock: int | None = None,
    ) -> None:
        self.path = path
        self.scene = scene
        self.tree = Tree(path, index)
        self._index = index
        self._store = Disk(path, index) if store is None else store
        self._lock = lock

    @classmethod
    def create(cls, path: Path | str, scene: SceneInfo) -> World:
        """Start an empty world and become its writer; parent folders are made as needed.

        Raises:
            WorldError: if the folder exists and is not empty, or cannot be written.
        """
        folder = _folder.resolved(path)
        up = [float(x) for x in scene.up]
        meta = {"units": scene.units, "scale": float(scene.scale), "up": up, "created": _now()}
        try:
            lock = _folder.create(folder, {key: json.dumps(value) for key, value in meta.items()})
        except OSError as error:
            kind = NotWrittenError if error.errno in DISK_TROUBLE else WorldError
            raise kind(
                f"no world can be made at {folder} ({error.strerror}); "
                "name a folder that can be written, or make room on the disk"
            ) from error
        return cls._open_locked(folder, scene, lock)

    @staticmethod
    def free_place(path: Path | str) -> Path:
        """The absolute path of a world that could be made there.

        Raises:
            WorldError: if something is there already.
        """
        folder = _folder.resolved(path)
        _folder.check_free(folder)
        return folder

    @staticmethod
    def owns(path: Path | str, file: Path | str) -> bool:
        """Whether ``file`` is part of the world at ``path``, or lies where one would; not to be written."""
        return _folder.owns(Path(path), Path(file))

    @classmethod
    def open(cls, path: Path | str, *, writable: bool = False) -> World:
        """Open a world to read it, or to grow it if no one else does.

        A world of an older format is brought to this one when it is opened for writing, in one
        transaction; reading it changes nothing.

        Raises:
            WorldError: if the folder is not a world, is of a newer version, is damaged, or is being
                grown by another process.
        """
        folder = _folder.resolved(path)
        try:
            _folder.check_place(folder)
            check_header(folder / NAME)
        except OSError as error:
            raise WorldError(f"{folder} cannot be read ({error.strerror}); check its permissions") from error
        index = Index(folder)
        try:
            index.check()
            scene = scene_from_rows(index.rows("SELECT key, value FROM meta"))
            _tables.current_head(index)
            if not writable:
                return cls(folder, scene, index)
            lock = _folder.locked(folder)
        except BaseException:
            index.close()
            raise
        index.close()
        return cls._open_locked(folder, scene, lock)

    @classmethod
    def _open_locked(cls, folder: Path, scene: SceneInfo, lock: int) -> World:
        index: Index | None = None
        try:
            index = Index.writing(folder)
            (folder / FRAMES_FOLDER).mkdir(exist_ok=True)
            sweep_blobs(folder, keep=_tables.all_frame_ids(index))
            sweep_surfaces(folder, keep=_tables.all_edit_ids(index))
            for file in stale_files(folder, keep=_tables.all_chunk_ids(index)):
                file.unlink()
        except BaseException as error:
            if index is not None:
                index.close()
            os.close(lock)
            if isinstance(error, OSError):
                raise WorldError(
                    f"{folder} cannot be written ({error.strerror}); check its permissions, "
                    "or open it for reading"
                ) from error
            raise
        return cls(folder, scene, index, lock=lock)

    def close(self) -> None:
        """Release the folder; closing twice is fine."""
        self._index.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def writable(self) -> bool:
        """Whether this is the world's one writer."""
        return self._index.is_writable

    @property
    def head(self) -> int | None:
        """The newest chunk of the current head; ``None`` while the world is empty."""
        return self.tree.current.chunk

    def chunks(self, *, to: int | None = None) -> list[Chunk]:
        """The chunks from the root to the head, or to any chunk of the tree."""

        def found() -> list[Chunk]:
            if to is not None:
                self.tree.check_chunk(to)
            return _tables.chunks_to(self._index, self.head if to is None else to)

        return self._index.read(found)

    def bytes_on_disk(self) -> int:
        """What the files of the world take, those that are derived among them."""
        return _folder.bytes_below(self.path)

    def frame_ids(self) -> list[int]:
        """The frames at the head, oldest first."""
        return [number for chunk in self.chunks() for number in chunk.frame_ids]

    def walked_ids(self) -> list[int]:
        """Numbers of the frames at the head without those that were imagined ahead of their path."""
        return [number for chunk in self.chunks() if not chunk.is_ahead for number in chunk.frame_ids]

    def frames(self, ids: Sequence[int] | None = None) -> Frames:
        """Read frames from the disk, in the order asked for; all of those at the head by default.

        Confidence is not stored: it is 1 where depth is valid on given frames, 0.5 where it is
        valid on imagined ones, and 0 elsewhere.
        """
        records = self._records(ids)
        cameras = cameras_of(records)
        try:
            pictures = [read_pictures(self.path, record) for record in records]
        except WorldError:
            # They may have been deleted after we asked for their records: then that is what to say.
            _tables.frame_records(self._index, [record.id for record in records])
            raise
        return frames_of(pictures, given=[record.given for record in records], cameras=cameras)

    def cameras(self, ids: Sequence[int] | None = None) -> Cameras:
        """The cameras of frames, without reading their pictures."""
        return cameras_of(self._records(ids))

    def commit(
        self,
        frames: Frames,
        *,
        given: bool,
        generator: str,
        seed: int,
        settings: dict[str, Any],
        path: int | None = None,
        path_start: int = 0,
        created: str | None = None,
    ) -> tuple[Chunk, Frames]:
        """Make frames part of the world at its head: afterwards all of them are, or on any failure none.

        Returns:
            The new head, and the frames exactly as they will be read back (8-bit colour, 16-bit
            depth), on the device they came from. Only these may enter cache and bank.
        """
        check_frames(frames)
        plain = checked_origin(generator, seed=seed, settings=settings)
        created = checked_time(created or _now())
        with self._index.changing():
            frame_ids = self._store.free_ids(len(frames))
            chunk = Chunk(
                id=_tables.next_id(self._index, "chunks"),
                parent=self.head,
                created=created,
                given=given,
                generator=generator,
                seed=seed,
                settings=plain,
                frame_ids=frame_ids,
                path=path,
                path_start=path_start,
                cost=cost_now(),
            )
            check_progress(self._index, chunk)
            return self._store.keep(chunk, frames)

    def place(self, points: Points, *, settings: dict[str, Any]) -> tuple[Chunk, Points]:
        """Put a surface into the world at its head; the world's time advances.

        Args:
            points: up to ``MAX_POINTS``; confidence and source are not looked at, and normals are those
                of the patches.
            settings: plain JSON: where it came from.

        Returns:
            The new head, and the points exactly as they will be read back: with full confidence, from
            the source -1 - the number of the edit. Only these may enter the cache.
        """
        with self._index.changing():
            number = self._store.free_edit_id()
            data, stored = storable(points, source=source_of(number))
            margin = float(stored.axes.double().norm(dim=-1).amax())
            edit = Edit(
                id=number,
                kind=PLACE,
                time=self._next_time(),
                box=box_around(stored.positions, margin=margin),
                points=len(stored),
                sha256=checksum(data),
            )
            return self._edited(edit, data, settings=settings), stored

    def remove(self, box: Box, *, settings: dict[str, Any]) -> Chunk:
        """Take all that is known inside a box out of the world at its head; the world's time advances."""
        with self._index.changing():
            number = self._store.free_edit_id()
            edit = Edit(id=number, kind=REMOVE, time=self._next_time(), box=box, points=0, sha256=None)
            return self._edited(edit, None, settings=settings)

    def placed(self, edit: Edit) -> Points:
        """What an edit placed, read from the disk."""
        if edit.kind != PLACE:
            raise WorldError(f"edit {edit.id} placed nothing; it is a {edit.kind}")
        return read_surface(self.path, edit)

    def _next_time(self) -> int:
        if self.head is None:
            raise WorldError(f"{self.path} has no frames yet, so nothing in it can be edited; grow it first")
        return 1 + _tables.time_at(self._index, self.head)

    def _edited(self, edit: Edit, data: bytes | None, *, settings: dict[str, Any]) -> Chunk:
        chunk = Chunk(
            id=_tables.next_id(self._index, "chunks"),
            parent=self.head,
            created=_now(),
            given=True,
            generator=EDITOR,
            seed=0,
            settings=checked_origin(EDITOR, seed=0, settings=settings),
            frame_ids=(),
            path=None,
            path_start=0,
            edit=edit,
            cost=cost_now(),
        )
        self._store.keep_edit(chunk, data)
        return chunk

    def plan(self, cameras: Cameras, *, seed: int, generator: str, settings: dict[str, Any]) -> int:
        """Store a camera path to be followed from the head on, and return its number."""
        check_cameras(cameras, "a path")
        if len(cameras) > MAX_PATH_CAMERAS:
            raise WorldError(f"a path has up to {MAX_PATH_CAMERAS} cameras, got {len(cameras)}; split it")
        plain = checked_origin(generator, seed=seed, settings=settings)
        with self._index.changing():
            head = self.head
            path = PlannedPath(
                id=_tables.next_id(self._index, "paths"),
                cameras=cameras,
                seed=seed,
                generator=generator,
                settings=plain,
                done=0,
            )
            with self._index.transaction() as db:
                _tables.insert_path(db, path, after=head, created=_now())
        return path.id

    def pending(self) -> PlannedPath | None:
        """The newest path of the current head, if it has cameras left; older ones are superseded.

        Undo goes back along a path as well: what is pending then is the path's next camera there.
        """
        return self._index.read(self._pending)

    def _pending(self) -> PlannedPath | None:
        head = self.tree.current
        chain = _tables.chunks_to(self._index, head.chunk)
        return _tables.newest_unfinished_path(self._index, chain, head.name)

    def verify(self) -> list[str]:
        """What is wrong with the files of the world, a sentence each; nothing if all is well."""
        return faults_of(self.path, self._index)

    def _records(self, ids: Sequence[int] | None) -> list[FrameRecord]:
        """The records of frames, by default of those at the head, of one moment."""

        def found() -> list[FrameRecord]:
            wanted = self.frame_ids() if ids is None else ids
            if not wanted:
                raise WorldError(
                    f"{self.path} has no frames yet, or none were asked for; grow it first, or name some"
                )
            return _tables.frame_records(self._index, wanted)

        return self._index.read(found)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
