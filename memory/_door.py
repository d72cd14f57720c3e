"""The door of a world: cameras as they come off the disk, and what is refused before it goes there."""

from __future__ import annotations

from itertools import groupby

from memory import _tables
from memory._index import Index
from memory._png import MAX_SIDE
from memory._records import Chunk, FrameRecord, WorldError
from memory._rows import stored_cameras
from render.cameras import Cameras
from render.cameras import checked as checked_cameras
from render.cameras import concatenated as concatenated_cameras
from render.frames import Frames
from render.frames import checked as checked_frames


def cameras_of(records: list[FrameRecord]) -> Cameras:
    """Cameras of frames, in their order.

    Raises:
        WorldError: if the frames differ in size, or one holds no usable camera.
    """
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


def check_cameras(cameras: Cameras, what: str) -> None:
    """Refuse cameras that could not be read back; ``what`` they are begins the sentence."""
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


def check_frames(frames: Frames) -> None:
    """Refuse frames that could not be read back, together or one by one."""
    check_cameras(frames.cameras, "a chunk")
    for index in range(len(frames)):
        try:
            checked_frames(frames[[index]])
        except ValueError as error:
            raise WorldError(f"frame {index} of a chunk cannot be used ({error}); correct it") from error


def check_progress(index: Index, chunk: Chunk) -> None:
    """Refuse a chunk that does not go on where its path stands."""
    count = len(chunk.frame_ids)
    done, cameras = 0, count
    if chunk.path is not None:
        done, cameras = _tables.path_progress(index, chunk.path, head=chunk.parent)
    if chunk.path_start != done or done + count > cameras:
        raise WorldError(
            f"path {chunk.path} has {done} of {cameras} cameras done, so a chunk has up to "
            f"{cameras - done} frames from {done} on, got {count} from {chunk.path_start}; "
            "go on from pending().done"
        )
