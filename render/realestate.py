"""RealEstate10K: camera paths of real hand-held videos, as text with a camera a line.

Room: render (ground floor). Imports cameras; every other room may import this. A line is ``fx fy cx cy 0 0``,
as shares of width and height, and a 3 x 4 world-to-camera matrix; original files have a time before it, and a
line with the address of the video first. Scale is arbitrary. Files come from users and are not trusted.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from render._poses import check_count, inverse
from render.cameras import Cameras, checked
from render.json_files import numbers_in, read_lines

SUFFIX = ".txt"
WIDTH, HEIGHT = 640, 360
"""Of the cameras that are returned: files do not tell a size, only that videos are 16:9."""

NUMBERS = 18


def load_realestate(path: Path) -> Cameras:
    """Read a path; poses stay in the world and the units of the file.

    Raises:
        ValueError: one sentence about the first thing that is wrong with the file.
    """
    try:
        return checked(_parsed(read_lines(path)))
    except ValueError as error:
        raise ValueError(f"{path.name} is no usable camera path: {error}") from None


def carried(cameras: Cameras, start: Cameras, *, scale: float) -> Cameras:
    """The same motion from another place: poses relative to the first, with the lens of ``start``.

    Args:
        cameras: a path with a world of its own.
        start: one camera, which becomes the first.
        scale: world units in a unit of the path.
    """
    c2w = cameras.c2w.double()
    first_from = cameras[:1].w2c.double() @ c2w
    first_from[:, :3, 3] *= scale
    moved = (start.c2w.double() @ first_from).to(start.c2w)
    moved[0] = start.c2w[0]
    return dataclasses.replace(start, c2w=moved, K=start.K.expand(len(moved), 3, 3).clone())


def _parsed(lines: list[list[str]]) -> Cameras:
    if lines and len(lines[0]) == 1:  # the address of the video
        lines = lines[1:]
    check_count(len(lines))
    rows = [_camera(words, at=at) for at, words in enumerate(lines)]
    numbers = torch.tensor(rows, dtype=torch.float64)
    w2c = torch.eye(4, dtype=torch.float64).repeat(len(rows), 1, 1)
    w2c[:, :3] = numbers[:, 6:].view(-1, 3, 4)
    K = torch.zeros(len(rows), 3, 3, dtype=torch.float64)
    K[:, 0, 0], K[:, 1, 1], K[:, 2, 2] = WIDTH * numbers[:, 0], HEIGHT * numbers[:, 1], 1.0
    K[:, 0, 2], K[:, 1, 2] = WIDTH * numbers[:, 2], HEIGHT * numbers[:, 3]
    return Cameras(c2w=inverse(w2c).float(), K=K.float(), width=WIDTH, height=HEIGHT)


def _camera(words: list[str], *, at: int) -> list[float]:
    """The 18 numbers of a line, without the time."""
    if len(words) not in (NUMBERS, NUMBERS + 1):
        raise ValueError(f"camera {at} should have 18 or 19 numbers, got {len(words)}")
    numbers = numbers_in(words)[-NUMBERS:]
    if numbers[4] or numbers[5]:
        raise ValueError(f"camera {at} has a lens that bends; only pinholes are supported")
    return numbers
