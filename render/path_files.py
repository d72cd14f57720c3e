"""Path files: cameras as JSON that anybody can write by hand and that reads back bit for bit.

Room: render (ground floor). Imports cameras; every other room may import this. A file comes from a user,
so every number in it is checked before it becomes a camera.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeGuard

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from render._poses import MAX_CAMERAS, check_count
from render.cameras import Cameras, checked

MAX_FILE_BYTES = 64 * 2**20
"""Larger path files are refused unread; one of ``MAX_CAMERAS`` cameras needs less than half of it."""

MAX_SIDE = 16_384
"""Pixels along a side of a picture that a path file may ask for."""

MAX_FPS = 1000.0

MAX_NUMBER = 1e12
"""Numbers in a path file beyond this are taken for damage."""


def save_path(path: Path, cameras: Cameras, *, fps: int | float) -> None:
    """Write ``cameras`` as JSON that ``load_path`` reads back bit for bit."""
    check_count(len(cameras))
    if not 0.0 < fps <= MAX_FPS:
        raise ValueError(f"fps must be positive and at most {MAX_FPS:g}, got {fps:g}")
    frames = [{"c2w": c2w, "K": K} for c2w, K in zip(_numbers(cameras.c2w), _numbers(cameras.K), strict=True)]
    head = {"format": "worldgen-path", "version": 1, "width": cameras.width, "height": cameras.height}
    path.write_text(json.dumps(head | {"fps": fps, "frames": frames}, allow_nan=False), encoding="utf-8")


def load_path(path: Path) -> Cameras:
    """Read a path file, whoever wrote it.

    Raises:
        ValueError: one sentence about the first thing that is wrong with the file.
    """
    try:
        return checked(_parsed(_json(path)))
    except ValueError as error:
        raise ValueError(f"{path.name} is no usable camera path: {error}") from None


def _json(path: Path) -> object:
    if not path.is_file():
        raise ValueError("there is no such file")
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES // 2**20} MiB")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None


def _parsed(data: object) -> Cameras:
    """Cameras from what a file said; numbers are of the right kind and shape, but may still be absurd."""
    if not isinstance(data, dict) or data.get("format") != "worldgen-path":
        raise ValueError('its "format" is not "worldgen-path"')
    if type(data.get("version")) is not int or data["version"] != 1:
        raise ValueError('its "version" is not 1, the only one known')
    width, height = _side(data, "width"), _side(data, "height")
    fps = data.get("fps")
    if not _is_number(fps) or not 0.0 < fps <= MAX_FPS:
        raise ValueError(f'"fps" must be a positive number up to {MAX_FPS:g}')
    frames = data.get("frames")
    if not isinstance(frames, list) or not 1 <= len(frames) <= MAX_CAMERAS:
        raise ValueError(f'"frames" must be a list of 1 to {MAX_CAMERAS} cameras')
    c2w = [_matrix(frame, "c2w", size=4, at=at) for at, frame in enumerate(frames)]
    K = [_matrix(frame, "K", size=3, at=at) for at, frame in enumerate(frames)]
    return Cameras(c2w=torch.tensor(c2w), K=torch.tensor(K), width=width, height=height)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _side(data: dict, name: str) -> int:
    side = data.get(name)
    if type(side) is not int or not 1 <= side <= MAX_SIDE:
        raise ValueError(f'"{name}" must be a whole number of pixels from 1 to {MAX_SIDE}')
    return side


def _matrix(frame: object, name: str, *, size: int, at: int) -> list[list[float]]:
    rows = frame.get(name) if isinstance(frame, dict) else None
    if not isinstance(rows, list) or len(rows) != size:
        raise ValueError(f'frame {at} has no "{name}" of {size} rows')
    for row in rows:
        if not isinstance(row, list) or len(row) != size or not all(map(_is_number, row)):
            raise ValueError(f'"{name}" of frame {at} must hold {size} finite numbers in every row')
    return [[float(number) for number in row] for row in rows]


def _numbers(matrices: Float[Tensor, "n i i"]) -> list:
    """Nested lists of the shortest decimals that give the same numbers back in the tensor's precision."""
    return matrices.detach().cpu().numpy().astype(str).astype(np.float64).tolist()
