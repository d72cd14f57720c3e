"""Path files: cameras as JSON that anybody can write by hand and that reads back bit for bit.

Room: render (ground floor). Imports cameras; every other room may import this. A file comes from a user,
so every number in it is checked before it becomes a camera.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from render._poses import MAX_CAMERAS, check_count
from render.cameras import Cameras, checked
from render.json_files import is_number, read_json, side_of

MAX_FPS = 1000.0


def save_path(path: Path | str, cameras: Cameras, *, fps: int | float) -> None:
    """Write ``cameras`` as JSON that ``load_path`` reads back bit for bit."""
    check_count(len(cameras))
    if not 0.0 < fps <= MAX_FPS:
        raise ValueError(f"fps must be positive and at most {MAX_FPS:g}, got {fps:g}")
    frames = [{"c2w": c2w, "K": K} for c2w, K in zip(_numbers(cameras.c2w), _numbers(cameras.K), strict=True)]
    head = {"format": "worldgen-path", "version": 1, "width": cameras.width, "height": cameras.height}
    text = json.dumps(head | {"fps": fps, "frames": frames}, allow_nan=False)
    Path(path).write_text(text, encoding="utf-8")


def load_path(path: Path | str) -> Cameras:
    """Read a path file, whoever wrote it.

    Raises:
        ValueError: one sentence about the first thing that is wrong with the file.
    """
    try:
        return parsed_path(read_json(Path(path)))
    except ValueError as error:
        raise ValueError(f"{Path(path).name} is no usable camera path: {error}") from None


def parsed_path(data: object) -> Cameras:
    """Cameras from what a path file said.

    Raises:
        ValueError: what is wrong with it, as the second half of a sentence.
    """
    return checked(_parsed(data))


def _parsed(data: object) -> Cameras:
    """Cameras from what a file said; numbers are of the right kind and shape, but may still be absurd."""
    if not isinstance(data, dict) or data.get("format") != "worldgen-path":
        raise ValueError('its "format" is not "worldgen-path"')
    if type(data.get("version")) is not int or data["version"] != 1:
        raise ValueError('its "version" is not 1, the only one known')
    width, height = side_of(data, "width"), side_of(data, "height")
    fps = data.get("fps")
    if not is_number(fps) or not 0.0 < fps <= MAX_FPS:
        raise ValueError(f'"fps" must be a positive number up to {MAX_FPS:g}')
    frames = data.get("frames")
    if not isinstance(frames, list) or not 1 <= len(frames) <= MAX_CAMERAS:
        raise ValueError(f'"frames" must be a list of 1 to {MAX_CAMERAS} cameras')
    c2w = [_matrix(frame, "c2w", size=4, at=at) for at, frame in enumerate(frames)]
    K = [_matrix(frame, "K", size=3, at=at) for at, frame in enumerate(frames)]
    return Cameras(c2w=torch.tensor(c2w), K=torch.tensor(K), width=width, height=height)


def _matrix(frame: object, name: str, *, size: int, at: int) -> list[list[float]]:
    rows = frame.get(name) if isinstance(frame, dict) else None
    if not isinstance(rows, list) or len(rows) != size:
        raise ValueError(f'frame {at} has no "{name}" of {size} rows')
    for row in rows:
        if not isinstance(row, list) or len(row) != size or not all(map(is_number, row)):
            raise ValueError(f'"{name}" of frame {at} must hold {size} finite numbers in every row')
    return [[float(number) for number in row] for row in rows]


def _numbers(matrices: Float[Tensor, "n i i"]) -> list:
    """Nested lists of the shortest decimals that give the same numbers back in the tensor's precision."""
    return matrices.detach().cpu().numpy().astype(str).astype(np.float64).tolist()
