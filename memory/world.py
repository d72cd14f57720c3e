"""World: a scene on disk that loses nothing, one folder with every frame and how it came to be.

Room: memory. Used by worldgen, reconstruct and viewer. Truth is ``world.db`` and ``frames/``; all
else in the folder is derived. One writer at a time, and any number of readers beside it, in any
process and thread. What :meth:`World.commit` returned is there after a crash and after a power cut.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, final

from memory import _folder, _tables
from memory._blobs import (
    FRAMES_FOLDER,
    Coded,
    coded,
    damage,
    decoded,
    delete_blobs,
    exact_cameras,
    frames_of,
    quantised,
    read_pictures,
    sweep,
    sync_folder,
    write_blobs,
)
from memory._index import FORMAT, Index, check_header, check_schema
from memory._png import MAX_SIDE
from memory._records import (
    MAX_PATH_CAMERAS,
    Chunk,
    FrameRecord,
    PlannedPath,
    SceneInfo,
    WorldError,
    checked_origin,
    checked_time,
)
from memory._rows import bytes_from_matrices, scene_from_rows, stored_cameras
from render.cameras import Cameras
from render.cameras import checked as checked_cameras
from render.cameras import concatenated as concatenated_cameras
from render.frames import Frames
from render.frames import checked as checked_frames

__all__ = ["FORMAT", "Chunk", "PlannedPath", "SceneInfo", "World", "WorldError", "quantised"]


@final
class World:
    """An open world folder; :meth:`create` and :meth:`open` make one, ``with`` closes it."""

    def __init__(self, path: Path, scene: SceneInfo, index: Index, *, lock: int | None) -> None:
        self.path = path
        self.scene = scene
        self._index = index
        self._lock = lock
        self._committing = threading.Lock()
        self._first_free_frame = 0

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
            raise WorldError(
                f"no world can be made at {folder} ({error.strerror}); name a folder that can be written"
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

    @classmethod
    def open(cls, path: Path | str, *, writable: bool = False) -> World:
        """Open a world to read it, or to grow it if no one else does.

        Raises:
            WorldError: if the folder is not a world, is of a newer version, is damaged, or is being
                grown by another process.
        """
        folder = _folder.resolved(path)
        try:
            _folder.check_place(folder)
            check_header(folder)
        except OSError as error:
            raise WorldError(f"{folder} cannot be read ({error.strerror}); check its permissions") from error
        index = Index(folder, writable=False)
        try:
            check_schema(index)
            scene = scene_from_rows(index.rows("SELECT key, value FROM meta"))
            _tables.head_of(index)
            if not writable:
                return cls(folder, scene, index, lock=None)
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
            index = Index(folder, writable=True)
            (folder / FRAMES_FOLDER).mkdir(exist_ok=True)
            sweep(folder, keep=_tables.all_frame_ids(index))
        except BaseException:
            if index is not None:
                index.close()
            os.close(lock)
            raise
        return cls(folder, scene, index, lock=lock)

    def close(self) -> None:
        """Release the folder; closing twice is fine."""
        with self._committing:
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
        return self._lock is not None

    @property
    def head(self) -> int | None:
        """The newest chunk of the branch "main"; ``None`` while the world is empty."""
        return _tables.head_of(self._index)

    def chunks(self) -> list[Chunk]:
        """The chunks from the root to the head."""
        return _tables.chunks_to(self._index, self.head)

    def frame_ids(self) -> list[int]:
        """The frames at the head, oldest first."""
        return [number for chunk in self.chunks() for number in chunk.frame_ids]

    def frames(self, ids: Sequence[int] | None = None) -> Frames:
        """Read frames from the disk, in the order asked for; all of those at the head by default.

        Confidence is not stored: it is 1 where depth is valid on given frames, 0.5 where it is
        valid on imagined ones, and 0 elsewhere.
        """
        records = self._records(ids)
        cameras = _cameras_of(records)
        pictures = [read_pictures(self.path, record) for record in records]
        return frames_of(pictures, given=[record.given for record in records], cameras=cameras)

    def cameras(self, ids: Sequence[int] | None = None) -> Cameras:
        """The cameras of frames, without reading their pictures."""
        return _cameras_of(self._records(ids))

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
        """Make frames part of the world: afterwards all of them are, or on any failure none.

        Returns:
            The new head, and the frames exactly as they will be read back (8-bit colour, 16-bit
            depth), on the device they came from. Only these may enter cache and bank.
        """
        _check_frames(frames)
        plain = checked_origin(generator, seed=seed, settings=settings)
        created = checked_time(created or _now())
        with self._committing:
            parent = self._head_to_grow_from()
            first = max(_tables.next_id(self._index, "frames"), self._first_free_frame)
            chunk = Chunk(
                id=_tables.next_id(self._index, "chunks"),
                parent=parent,
                created=created,
                given=given,
                generator=generator,
                seed=seed,
                settings=plain,
                frame_ids=tuple(range(first, first + len(frames))),
                path=path,
                path_start=path_start,
            )
            self._check_progress(chunk)
            return chunk, self._committed(chunk, frames)

    def plan(self, cameras: Cameras, *, seed: int, generator: str, settings: dict[str, Any]) -> int:
        """Store a camera path to be followed from the head on, and return its number."""
        _check_cameras(cameras, "a path")
        if len(cameras) > MAX_PATH_CAMERAS:
            raise WorldError(f"a path has up to {MAX_PATH_CAMERAS} cameras, got {len(cameras)}; split it")
        plain = checked_origin(generator, seed=seed, settings=settings)
        with self._committing:
            head = self._head_to_grow_from()
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
        """The newest path at the head, if it has cameras left; older ones are superseded."""
        return _tables.newest_unfinished_path(self._index, self.chunks())

    def verify(self) -> list[str]:
        """What is wrong with the files of the world, a sentence each; nothing if all is well."""
        faults = [
            f"world.db is damaged: {row[0]}"
            for row in self._index.rows("PRAGMA integrity_check")
            if row[0] != "ok"
        ]
        for table, number, other, _ in self._index.rows("PRAGMA foreign_key_check"):
            faults.append(f"world.db is damaged: row {number} of {table} names a missing row of {other}")
        try:
            for record in _tables.all_frames(self._index):
                faults.extend(damage(self.path, record))
        except WorldError as error:
            faults.append(str(error))
        return faults

    def _records(self, ids: Sequence[int] | None) -> list[FrameRecord]:
        wanted = self.frame_ids() if ids is None else ids
        if not wanted:
            raise WorldError(f"no frames were asked for, or {self.path} has none yet; commit or name some")
        return _tables.frame_records(self._index, wanted)

    def _head_to_grow_from(self) -> int | None:
        if self._lock is None:
            raise WorldError(
                f"the world at {self.path} is not open for writing; use World.open(path, writable=True)"
            )
        return self.head

    def _check_progress(self, chunk: Chunk) -> None:
        count = len(chunk.frame_ids)
        done, cameras = 0, count
        if chunk.path is not None:
            done, cameras = _tables.path_progress(self._index, chunk.path, head=chunk.parent)
        if chunk.path_start != done or done + count > cameras:
            raise WorldError(
                f"path {chunk.path} has {done} of {cameras} cameras done, so a chunk has up to "
                f"{cameras - done} frames from {done} on, got {count} from {chunk.path_start}; "
                "go on from pending().done"
            )

    def _committed(self, chunk: Chunk, frames: Frames) -> Frames:
        """Write pictures that nothing refers to yet, then refer to them in one transaction."""
        records, pictures = [], []
        try:
            for offset, number in enumerate(chunk.frame_ids):
                frame = frames[[offset]]
                stored = coded(frame)
                sha256 = write_blobs(self.path, stored, frame_id=number)
                records.append(_record(frame, stored, frame_id=number, sha256=sha256, given=chunk.given))
                pictures.append(decoded(stored))
            sync_folder(self.path / FRAMES_FOLDER)
        except BaseException:
            delete_blobs(self.path, chunk.frame_ids)
            raise
        # If this fails and the power is cut, SQLite may still find the transaction complete when it
        # recovers: these numbers and their files stay taken until the world is opened again.
        self._first_free_frame = chunk.frame_ids[-1] + 1
        with self._index.transaction() as db:
            _tables.insert_chunk(db, chunk, frames=records)
        cameras = exact_cameras(frames.cameras.to("cpu"))
        back = frames_of(pictures, given=[chunk.given] * len(frames), cameras=cameras)
        return back.to(frames.rgb.device)


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


def _cameras_of(records: list[FrameRecord]) -> Cameras:
    sizes = {(record.width, record.height) for record in records}
    if len(sizes) != 1:
        raise WorldError(f"frames read together share one size, got {sorted(sizes)}; read them by size")
    runs = [list(run) for _, run in groupby(records, key=lambda record: (len(record.c2w), len(record.K)))]
    size = sizes.pop()
    return concatenated_cameras([_cameras_of_run(run, size) for run in runs])


def _cameras_of_run(records: list[FrameRecord], size: tuple[int, int]) -> Cameras:
    """Cameras of frames stored with one precision; checked at once, then singly to name a culprit."""
    first, last = records[0].id, records[-1].id
    name = f"frame {first}" if len(records) == 1 else f"frames {first} to {last}"
    c2w, K = (b"".join(getattr(record, field) for record in records) for field in ("c2w", "K"))
    try:
        return stored_cameras(c2w, K, n=len(records), size=size, name=name)
    except WorldError:
        if len(records) > 1:
            for record in records:
                _cameras_of_run([record], size)
        raise


def _check_cameras(cameras: Cameras, what: str) -> None:
    if len(cameras) == 0:
        raise WorldError(f"{what} needs at least one camera, got none; give some")
    if not (1 <= cameras.width <= MAX_SIDE and 1 <= cameras.height <= MAX_SIDE):
        raise WorldError(
            f"pictures are 1 to {MAX_SIDE} pixels a side, got {cameras.width}x{cameras.height}; resize them"
        )
    try:
        checked_cameras(cameras)
    except ValueError as error:
        raise WorldError(f"{what} has a camera that cannot be used ({error}); correct it") from error


def _check_frames(frames: Frames) -> None:
    """Refuse frames that could not be read back, together or one by one."""
    _check_cameras(frames.cameras, "a chunk")
    for index in range(len(frames)):
        try:
            checked_frames(frames[[index]])
        except ValueError as error:
            raise WorldError(f"frame {index} of a chunk cannot be used ({error}); correct it") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
