"""7-Scenes: numbered frames, each a colour picture, a depth picture and a pose beside one another.

Room: reconstruct; :mod:`reconstruct.formats.rgbd` uses this. ``frame-000000.color.png`` goes with
``.depth.png`` (millimetres) and ``.pose.txt`` (4 x 4, camera to world, OpenCV axes). No lens is told.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from reconstruct.formats.captures import View
from reconstruct.formats.entries import evenly
from render.json_files import numbers_in, read_lines

COLOUR = re.compile(r"frame-(?P<number>\d{1,9})\.color\.(png|jpg)")
NOT_MEASURED = 65_535
"""What depth files of this layout hold, beside 0, where nothing was measured."""


def colour_files(folder: Path) -> list[str]:
    """The names of the colour pictures, by their numbers."""
    found = [match for entry in os.scandir(folder) if (match := COLOUR.fullmatch(entry.name))]
    return [match.string for match in sorted(found, key=lambda match: (int(match["number"]), match.string))]


def seven_scenes_views(
    folder: Path, *, K: tuple[float, float, float, float], size: tuple[int, int], most: int
) -> list[View]:
    """An even choice of frames; only the poses of those are read.

    Args:
        folder: holds the frames.
        K: fx, fy, cx and cy of pictures of ``size``, centres of pixels at halves.
        size: width and height in pixels.
        most: frames to take.

    Raises:
        ValueError: one sentence about the first pose that is none.
    """
    views = []
    for name in evenly(colour_files(folder), most):
        stem = name.partition(".")[0]
        c2w = _pose(folder / f"{stem}.pose.txt")
        views.append(View(file=folder / name, depth=folder / f"{stem}.depth.png", K=K, size=size, c2w=c2w))
    return views


def _pose(file: Path) -> Float[np.ndarray, "4 4"]:
    try:
        numbers = numbers_in([word for line in read_lines(file) for word in line])
        if len(numbers) != 16:
            raise ValueError(f"a pose should have 16 numbers, got {len(numbers)}")
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return np.array(numbers).reshape(4, 4)
