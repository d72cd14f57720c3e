"""Rows: what stands in ``world.db``, turned into records and back.

Room: memory. Private to it. A world folder may come from anyone, so no value read from it is used
before one of these functions has looked at it.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from memory._png import MAX_SIDE
from memory._records import (
    LARGEST_INTEGER,
    MAX_PATH_CAMERAS,
    MAX_POINTS,
    PLACE,
    REMOVE,
    Chunk,
    Edit,
    FrameRecord,
    Head,
    PlannedPath,
    SceneInfo,
    WorldError,
)
from memory.boxes import Box, Corner
from memory.costs import Cost, Machine
from render.cameras import Cameras
from render.cameras import checked as checked_cameras

DIGEST = re.compile(r"[0-9a-f]{64}")
LARGEST_LENGTH = float(np.finfo(np.float32).max)


def damaged(what: str) -> WorldError:
    """The error for an index that holds what no version of this code wrote."""
    return WorldError(f"world.db is damaged: {what}; restore the world folder from a copy")


def integer(value: object, name: str, *, low: int = 0, high: int = LARGEST_INTEGER) -> int:
    """``value`` if it is an integer in range."""
    if not isinstance(value, int) or not low <= value <= high:
        raise damaged(f"{name} should be an integer from {low} to {high}, got {value!r:.80}")
    return value


def text(value: object, name: str) -> str:
    """``value`` if it is text."""
    if not isinstance(value, str):
        raise damaged(f"{name} should be text, got {value!r:.80}")
    return value


def positive(value: object, name: str) -> float:
    """``value`` if it is a number above 0 that float32 can hold."""
    if not isinstance(value, int | float) or not 0 < value <= LARGEST_LENGTH:
        raise damaged(f"{name} should be a finite number above 0, got {value!r:.80}")
    return float(value)


def fraction(value: object, name: str) -> float:
    """``value`` if it is a number in [0, 1]."""
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise damaged(f"{name} should be a number from 0 to 1, got {value!r:.80}")
    return float(value)


def json_value(value: object, name: str) -> Any:
    """The plain data in a JSON text."""
    try:
        return json.loads(text(value, name))
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        raise damaged(f"{name} should be JSON ({error})") from error


def bytes_from_matrices(matrices: Float[Tensor, "n s s"]) -> bytes:
    """Matrices as little-endian float32, or float64 if that is what they are, bit for bit."""
    kind = "<f8" if matrices.dtype == torch.float64 else "<f4"
    return np.ascontiguousarray(
        matrices.detach().cpu().to(exact_dtype(matrices)).numpy(), dtype=kind
    ).tobytes()


def exact_dtype(matrices: Tensor) -> torch.dtype:
    """The type that stores ``matrices`` without loss."""
    return torch.float64 if matrices.dtype == torch.float64 else torch.float32


def matrices_from_bytes(value: object, name: str, *, n: int, side: int) -> Float[Tensor, "n s s"]:
    """The matrices that :func:`bytes_from_matrices` wrote; the length tells the precision."""
    numbers = n * side * side
    if not isinstance(value, bytes) or len(value) not in (4 * numbers, 8 * numbers):
        raise damaged(f"{name} should be {numbers} floating-point numbers, got {value!r:.80}")
    kind, native = ("<f4", np.float32) if len(value) == 4 * numbers else ("<f8", np.float64)
    return torch.from_numpy(np.frombuffer(value, dtype=kind).astype(native).reshape(n, side, side))


def stored_cameras(c2w: object, K: object, *, n: int, size: tuple[int, int], name: str) -> Cameras:
    """Cameras of one (width, height) from their stored bytes, checked like any other input."""
    poses = matrices_from_bytes(c2w, f"c2w of {name}", n=n, side=4)
    intrinsics = matrices_from_bytes(K, f"K of {name}", n=n, side=3)
    try:
        return checked_cameras(Cameras(c2w=poses, K=intrinsics, width=size[0], height=size[1]))
    except ValueError as error:
        raise damaged(f"the cameras of {name} cannot be used ({error})") from error


def scene_from_rows(rows: list[tuple[Any, ...]]) -> SceneInfo:
    """The scene from the (key, value) rows of ``meta``."""
    meta = {key: json_value(value, f"meta {key}") for key, value in rows}
    missing = {"units", "scale", "up"} - meta.keys()
    if missing:
        raise damaged(f"meta lacks {', '.join(sorted(missing))}")
    up = meta["up"]
    if not (isinstance(up, list) and len(up) == 3 and all(type(x) in (int, float) for x in up)):
        raise damaged(f"meta up should be three numbers, got {up!r:.80}")
    try:
        return SceneInfo(
            units=text(meta["units"], "meta units"),
            scale=positive(meta["scale"], "meta scale"),
            up=(float(up[0]), float(up[1]), float(up[2])),
        )
    except WorldError as error:
        raise damaged(f"meta holds no usable scene ({error})") from error


def chunk_from_row(row: tuple[Any, ...], frame_ids: tuple[int, ...], edit: Edit | None) -> Chunk:
    """A chunk from its row; parents come before children, so a walk to the root ends."""
    number, parent, created, given, generator, seed, settings, path, path_start, _ = row
    name = f"chunk {integer(number, 'chunks.id')}"
    plain = json_value(settings, f"settings of {name}")
    if not isinstance(plain, dict):
        raise damaged(f"settings of {name} should be a dict, got {plain!r:.80}")
    if bool(frame_ids) == (edit is not None):
        raise damaged(f"{name} should have frames or an edit, and not both")
    return Chunk(
        id=number,
        parent=None if parent is None else integer(parent, f"parent of {name}", high=number - 1),
        created=text(created, f"created of {name}"),
        given=bool(integer(given, f"given of {name}", high=1)),
        generator=text(generator, f"generator of {name}"),
        seed=integer(seed, f"seed of {name}", low=-LARGEST_INTEGER),
        settings=plain,
        frame_ids=frame_ids,
        path=None if path is None else integer(path, f"path of {name}"),
        path_start=integer(path_start, f"path_start of {name}", high=MAX_PATH_CAMERAS),
        edit=edit,
    )


def cost_from_row(row: tuple[Any, ...]) -> tuple[int, Cost]:
    """The number of a chunk, and what it took."""
    chunk, memory_bytes, machine = row
    name = f"costs of chunk {integer(chunk, 'costs.chunk')}"
    return chunk, Cost(
        memory_bytes=integer(memory_bytes, f"memory_bytes in {name}"),
        machine=_machine(text(machine, f"machine in {name}")),
    )


@lru_cache(maxsize=64)  # the same for thousands of chunks
def _machine(stored: str) -> Machine:
    plain = json_value(stored, "costs.machine")
    if not isinstance(plain, dict) or plain.keys() != {"cpu", "cores", "gpu"}:
        raise damaged(f"costs.machine should be a dict with cpu, cores, gpu, got {plain!r:.80}")
    gpu = plain["gpu"]
    return Machine(
        cpu=text(plain["cpu"], "cpu in costs.machine"),
        cores=integer(plain["cores"], "cores in costs.machine", low=1),
        gpu=None if gpu is None else text(gpu, "gpu in costs.machine"),
    )


def edit_from_row(row: tuple[Any, ...]) -> Edit:
    """An edit from the row of its event."""
    number, time, kind, data = row
    name = f"event {integer(number, 'events.id')}"
    if kind not in (PLACE, REMOVE):
        raise WorldError(f"{name} is a {kind!r:.40} and this worldgen does not know those; update worldgen")
    plain = json_value(data, f"data of {name}")
    keys = {"box", "points", "sha256"} if kind == PLACE else {"box"}
    if not isinstance(plain, dict) or plain.keys() != keys:
        raise damaged(f"data of {name} should be a dict with {', '.join(sorted(keys))}, got {plain!r:.80}")
    return Edit(
        id=number,
        kind=kind,
        time=integer(time, f"time of {name}", low=1),
        box=_box(plain["box"], f"box of {name}"),
        points=0 if kind == REMOVE else integer(plain["points"], f"points of {name}", low=1, high=MAX_POINTS),
        sha256=None if kind == REMOVE else _digest(plain["sha256"], f"sha256 of {name}"),
    )


def data_of_edit(edit: Edit) -> str:
    """The data of an event, for :func:`edit_from_row`."""
    data: dict[str, Any] = {"box": [list(edit.box.low), list(edit.box.high)]}
    if edit.sha256 is not None:
        data |= {"points": edit.points, "sha256": edit.sha256.hex()}
    return json.dumps(data, allow_nan=False)


def _box(value: object, name: str) -> Box:
    try:
        low, high = (_corner(corner) for corner in value)  # pyright: ignore[reportGeneralTypeIssues]
        return Box(low=low, high=high)
    except (TypeError, ValueError, OverflowError) as error:
        raise damaged(f"{name} should be two corners, got {value!r:.80}") from error


def _corner(value: list[object]) -> Corner:
    x, y, z = (float(number) for number in value if type(number) in (int, float))  # pyright: ignore[reportArgumentType]
    return x, y, z


def _digest(value: object, name: str) -> bytes:
    if not isinstance(value, str) or not DIGEST.fullmatch(value):
        raise damaged(f"{name} should be 64 hexadecimal digits, got {value!r:.80}")
    return bytes.fromhex(value)


def head_from_row(row: tuple[Any, ...]) -> Head:
    """A head from its row."""
    name, chunk, tip, current = row
    return Head(
        name=text(name, "the name of a head"),
        chunk=None if chunk is None else integer(chunk, "the head"),
        tip=None if tip is None else integer(tip, "the tip of a head"),
        is_current=current is not None,
    )


def frame_from_row(row: tuple[Any, ...]) -> FrameRecord:
    """A frame's record from its row."""
    number, width, height, c2w, K, near, far, confidence, rgb_sha256, depth_sha256, given = row
    name = f"frame {integer(number, 'frames.id')}"
    if (near is None) != (far is None):
        raise damaged(f"{name} has half a depth range")
    if near is not None and positive(near, f"near of {name}") > positive(far, f"far of {name}"):
        raise damaged(f"the depth range of {name} is upside down")
    for value, what in ((c2w, "c2w"), (K, "K"), (rgb_sha256, "rgb_sha256"), (depth_sha256, "depth_sha256")):
        if not isinstance(value, bytes):
            raise damaged(f"{what} of {name} should be bytes, got {value!r:.80}")
    return FrameRecord(
        id=number,
        width=integer(width, f"width of {name}", low=1, high=MAX_SIDE),
        height=integer(height, f"height of {name}", low=1, high=MAX_SIDE),
        c2w=c2w,
        K=K,
        near=None if near is None else float(near),
        far=None if far is None else float(far),
        confidence=fraction(confidence, f"confidence of {name}"),
        rgb_sha256=rgb_sha256,
        depth_sha256=depth_sha256,
        given=bool(integer(given, f"given of {name}", high=1)),
    )


def path_from_row(row: tuple[Any, ...], *, done: int) -> PlannedPath:
    """A planned path from its row."""
    number, generator, seed, settings, width, height, count, c2w, K = row
    name = f"path {integer(number, 'paths.id')}"
    plain = json_value(settings, f"settings of {name}")
    if not isinstance(plain, dict):
        raise damaged(f"settings of {name} should be a dict, got {plain!r:.80}")
    sides = (
        integer(width, f"width of {name}", low=1, high=MAX_SIDE),
        integer(height, f"height of {name}", low=1, high=MAX_SIDE),
    )
    cameras = integer(count, f"cameras of {name}", low=1, high=MAX_PATH_CAMERAS)
    return PlannedPath(
        id=number,
        cameras=stored_cameras(c2w, K, n=cameras, size=sides, name=name),
        seed=integer(seed, f"seed of {name}", low=-LARGEST_INTEGER),
        generator=text(generator, f"generator of {name}"),
        settings=plain,
        done=integer(done, f"progress of {name}", high=cameras),
    )
