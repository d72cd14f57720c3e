"""TUM RGB-D: three lists of what a depth camera and a tracking system saw, each with its own clock.

Room: reconstruct; the reader of RGB-D folders uses this. ``rgb.txt`` and ``depth.txt`` list ``time file``,
``groundtruth.txt`` lists ``time tx ty tz qx qy qz qw``, camera to world, OpenCV axes. No lens is told.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from reconstruct.formats.captures import View
from reconstruct.formats.entries import needed_file
from render.json_files import numbers_in, read_lines

NAMES = ("rgb.txt", "depth.txt", "groundtruth.txt")
LONGEST_GAP_S = 0.02
"""Between a picture and its depth, and between a picture and its pose."""

UNIT_TOLERANCE = 0.01
"""How far the length of a quaternion may be from 1 before it is taken for damage."""

Times = Float[np.ndarray, " n"]


def tum_views(folder: Path, *, K: tuple[float, float, float, float], size: tuple[int, int]) -> list[View]:
    """Pictures that have depth and a pose, in the order of time.

    Args:
        folder: holds the three lists.
        K: fx, fy, cx and cy of pictures of ``size``, centres of pixels at halves.
        size: width and height in pixels.

    Raises:
        ValueError: one sentence about the first thing that is wrong.
    """
    (rgb_s, rgb), (depth_s, depth) = (_pictures(folder, name) for name in NAMES[:2])
    pose_s, poses = _poses(folder)
    of_depth, of_pose = nearest(depth_s, rgb_s), nearest(pose_s, rgb_s)
    is_mutual = nearest(rgb_s, depth_s)[of_depth] == np.arange(len(rgb_s))
    gaps = np.maximum(np.abs(depth_s[of_depth] - rgb_s), np.abs(pose_s[of_pose] - rgb_s))
    kept = np.nonzero(is_mutual & (gaps <= LONGEST_GAP_S))[0].tolist()
    if not kept:
        raise ValueError(
            f"no picture of {folder} has depth and a pose within {1e3 * LONGEST_GAP_S:g} ms; "
            "the lists should share one clock, in seconds"
        )
    return [
        View(file=rgb[i], depth=depth[of_depth[i]], K=K, size=size, c2w=_pose(poses[of_pose[i]]))
        for i in kept
    ]


def nearest(times: Times, wanted: Float[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    """The index of the one of sorted ``times`` that is nearest to each wanted one."""
    after = np.searchsorted(times, wanted).clip(0, len(times) - 1)
    before = (after - 1).clip(0)
    return np.where(wanted - times[before] <= times[after] - wanted, before, after)


def _pictures(folder: Path, name: str) -> tuple[Times, list[Path]]:
    """Times and files, sorted by time."""
    rows = _rows(folder / name, words=2)
    times = _times(folder / name, rows)
    files = [needed_file({name: row[1]}, name, folder) for row in rows]
    order = np.argsort(times, kind="stable")
    return times[order], [files[i] for i in order]


def _poses(folder: Path) -> tuple[Times, Float[np.ndarray, "n 7"]]:
    """Times and poses, sorted by time."""
    file = folder / NAMES[2]
    rows = _rows(file, words=8)
    times = _times(file, rows)
    try:
        poses = np.array([numbers_in(row[1:8]) for row in rows])
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    order = np.argsort(times, kind="stable")
    return times[order], poses[order]


def _rows(file: Path, *, words: int) -> list[list[str]]:
    try:
        rows = read_lines(file)
        short = next((row for row in rows if len(row) < words), None)
        if short is not None or not rows:
            raise ValueError(f"every line should have {words} words, got {' '.join(short or [])!r:.60}")
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return rows


def _times(file: Path, rows: list[list[str]]) -> Times:
    try:
        return np.array(numbers_in([row[0] for row in rows]))
    except ValueError:
        raise ValueError(f"{file}: every line should begin with a time in seconds") from None


def _pose(numbers: Float[np.ndarray, " 7"]) -> Float[np.ndarray, "4 4"]:
    if abs(np.linalg.norm(numbers[3:]) - 1.0) > UNIT_TOLERANCE:
        raise ValueError(
            f"{NAMES[2]} should hold quaternions of length 1, got {' '.join(f'{x:g}' for x in numbers[3:])}"
        )
    c2w = np.eye(4)
    c2w[:3, :3] = Rotation.from_quat(numbers[3:]).as_matrix()
    c2w[:3, 3] = numbers[:3]
    return c2w
