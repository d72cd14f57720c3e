"""Surfaces: what was placed in a world, one PLY file an edit.

Room: memory. Private to it. A file has exactly the bytes that its number of points asks for, header
included, so there is nothing in it to interpret; any program that reads PLY shows the points. Colour
keeps 8 bits, all else is float32. Normals are not stored: they are those of the patches.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from memory._files import discard, read_whole, sweep, sync_folder, write_whole
from memory._png import bytes_from_rgb, rgb_from_bytes
from memory._records import MAX_POINTS, Edit, WorldError
from memory.boxes import LARGEST
from memory.points import Points

EDITS_FOLDER = "edits"
"""Made when the first mesh is placed."""

OURS = re.compile(r"(?P<partial>\.)?(?P<id>\d{6,})\.ply(?(partial)\.tmp)")

HEADER = """ply
format binary_little_endian 1.0
comment worldgen: points and the half-axes a, b of the patch of surface that each stands for
element vertex {count}
{properties}
end_header
"""
FLOATS = ("x", "y", "z", "ax", "ay", "az", "bx", "by", "bz")
COLOURS = ("red", "green", "blue")
PROPERTIES = "\n".join(
    [*(f"property float {name}" for name in FLOATS), *(f"property uchar {name}" for name in COLOURS)]
)
ROW = np.dtype([("floats", "<f4", len(FLOATS)), ("rgb", "u1", len(COLOURS))])


def source_of(edit_id: int) -> int:
    """``Points.source`` of what an edit placed: frames count up from 0, edits down from -1."""
    return -1 - edit_id


def bytes_from_points(points: Points) -> bytes:
    """The file for points; confidence and source are not kept."""
    rows = np.empty(len(points), dtype=ROW)
    floats = torch.cat([points.positions, points.axes.reshape(-1, 6)], dim=1)
    rows["floats"] = floats.detach().cpu().float().numpy()
    rows["rgb"] = bytes_from_rgb(points.rgb[None])[0]
    return _header(len(points)) + rows.tobytes()


def points_from_bytes(data: bytes, *, count: int, source: int) -> Points:
    """What a file holds, with full confidence.

    Raises:
        ValueError: if it is not a file of ``count`` points that can be drawn; the message is a clause
            that follows the name of the file.
    """
    header = _header(count)
    if not (1 <= count <= MAX_POINTS and data.startswith(header)):
        raise ValueError(f"should begin with the header of 1 to {MAX_POINTS} placed points")
    if len(data) != len(header) + count * ROW.itemsize:
        raise ValueError(f"should hold {count} points of {ROW.itemsize} bytes each")
    rows = np.frombuffer(data, dtype=ROW, count=count, offset=len(header))
    floats = rows["floats"].astype(np.float32)
    if not (np.isfinite(floats).all() and np.abs(floats).max() <= LARGEST):
        raise ValueError(f"should hold finite coordinates up to {LARGEST:g}")
    axes = floats[:, 3:].reshape(-1, 2, 3)
    towards = np.cross(axes[:, 0].astype(np.float64), axes[:, 1].astype(np.float64))
    length = np.linalg.norm(towards, axis=1, keepdims=True)
    if not (length > 0).all():
        raise ValueError("should hold patches with an area")
    return Points(
        positions=torch.from_numpy(floats[:, :3].copy()),
        rgb=rgb_from_bytes(rows["rgb"][None])[0],
        normals=torch.from_numpy((towards / length).astype(np.float32)),
        confidence=torch.ones(count),
        axes=torch.from_numpy(axes.copy()),
        source=torch.full((count,), source, dtype=torch.int64),
    )


def storable(points: Points, *, source: int) -> tuple[bytes, Points]:
    """The file for points that are to be placed, and the points that it stands for."""
    if not 1 <= len(points) <= MAX_POINTS:
        raise WorldError(
            f"1 to {MAX_POINTS} points can be placed at once, got {len(points)}; place fewer, further apart"
        )
    data = bytes_from_points(points)
    try:
        return data, points_from_bytes(data, count=len(points), source=source)
    except ValueError as error:
        raise WorldError(f"what is placed {error}; correct it") from error


def _header(count: int) -> bytes:
    return HEADER.format(count=count, properties=PROPERTIES).encode()


def surface_file(folder: Path, edit_id: int) -> Path:
    """Where the points of an edit lie; names come from numbers, never from the index."""
    return folder / EDITS_FOLDER / f"{edit_id:06d}.ply"


def write_surface(folder: Path, data: bytes, *, edit_id: int) -> None:
    """Put the file of an edit on the disk, so that it survives a power cut; or leave nothing."""
    place = folder / EDITS_FOLDER
    try:
        place.mkdir(exist_ok=True)
        sync_folder(folder)
        write_whole(surface_file(folder, edit_id), data)
        sync_folder(place)
    except BaseException:
        delete_surfaces(folder, [edit_id])
        raise


def read_surface(folder: Path, edit: Edit) -> Points:
    """What an edit placed, checked against what the index says of it."""
    file = surface_file(folder, edit.id)
    try:
        return points_from_bytes(_read(file, edit), count=edit.points, source=source_of(edit.id))
    except WorldError:
        raise
    except ValueError as error:
        raise WorldError(f"edit {edit.id} is damaged: {file} {error}; restore it from a copy") from error


def surface_damage(folder: Path, edit: Edit) -> list[str]:
    """What is wrong with the file of an edit, a sentence, if it has one."""
    if edit.sha256 is None:
        return []
    try:
        _read(surface_file(folder, edit.id), edit)
    except WorldError as error:
        return [str(error)]
    return []


def _read(file: Path, edit: Edit) -> bytes:
    assert edit.sha256 is not None
    limit = len(_header(edit.points)) + edit.points * ROW.itemsize
    return read_whole(file, what=f"edit {edit.id}", limit=limit, sha256=edit.sha256)


def delete_surfaces(folder: Path, ids: Iterable[int]) -> None:
    """Delete what :func:`write_surface` wrote, or began to, for edits that no chunk has."""
    discard(surface_file(folder, number) for number in ids)


def sweep_surfaces(folder: Path, *, keep: set[int]) -> int:
    """Delete the files of edits that were never committed; how many there were."""
    return sweep(folder / EDITS_FOLDER, names=OURS, keep=keep)


def checksum(data: bytes) -> bytes:
    """What the index keeps of a file."""
    return hashlib.sha256(data).digest()
