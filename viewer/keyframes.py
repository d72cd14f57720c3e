"""Keyframes: the path that is being drawn, as a list of views and the pace between them.

Room: viewer; the path panel holds one. Knows no widgets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from reconstruct.formats.nerfstudio_path import load_camera_path
from render.cameras import Cameras
from render.cameras import concatenated as concatenated_cameras
from render.keyframes import timed
from render.tour_files import flown_tour, is_tour_file
from render.tours import Setting
from viewer.conventions import ViserPose, camera_from_pose, poses_from_cameras

MOST_KEYS = 100
"""More cannot be told apart in the scene; longer files are thinned evenly."""

MOST_PICTURES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A path as it is drawn; changed by ``dataclasses.replace`` and what is below."""

    keys: tuple[ViserPose, ...] = ()

    legs_s: tuple[float, ...] = ()
    """Seconds from each keyframe to the next; one fewer than there are keyframes."""

    fps: float = 24.0

    def __post_init__(self) -> None:
        if len(self.legs_s) != max(len(self.keys) - 1, 0):
            raise ValueError(f"{len(self.keys)} keyframes do not have {len(self.legs_s)} legs between them")

    @property
    def steps(self) -> list[int]:
        """Pictures from each keyframe to the next; every keyframe is one."""
        asked = [max(1, round(leg * self.fps)) for leg in self.legs_s]
        too_many = max(1.0, sum(asked) / (MOST_PICTURES - 1))
        return [max(1, int(count / too_many)) for count in asked]

    @property
    def pictures(self) -> int:
        """How many pictures it is."""
        return min(1, len(self.keys)) + sum(self.steps)

    def cameras(self, *, width: int, height: int) -> Cameras | None:
        """One camera a picture, smoothly through all keyframes; ``None`` if there are none."""
        if not self.keys:
            return None
        keys = [camera_from_pose(key, width=width, height=height) for key in self.keys]
        return timed(concatenated_cameras(keys), self.steps)

    def through(self, keys: tuple[ViserPose, ...], *, leg_s: float) -> Drawn:
        """Other keyframes, all legs equally long."""
        return dataclasses.replace(self, keys=keys, legs_s=(leg_s,) * max(len(keys) - 1, 0))

    def with_key(self, key: ViserPose, *, leg_s: float) -> Drawn:
        """One more keyframe at the end, so many seconds after the last.

        Raises:
            ValueError: if there are too many.
        """
        if len(self.keys) >= MOST_KEYS:
            raise ValueError(f"a path is drawn through up to {MOST_KEYS} keyframes; save it, begin another")
        legs = (*self.legs_s, leg_s) if self.keys else ()
        return dataclasses.replace(self, keys=(*self.keys, key), legs_s=legs)

    def without_last(self) -> Drawn:
        """One keyframe less."""
        return dataclasses.replace(self, keys=self.keys[:-1], legs_s=self.legs_s[:-1])

    def with_leg(self, number: int, leg_s: float) -> Drawn:
        """Another time from keyframe ``number``, from 0, to the next; the last one has no next."""
        if not 0 <= number < len(self.legs_s):
            return self
        return dataclasses.replace(self, legs_s=(*self.legs_s[:number], leg_s, *self.legs_s[number + 1 :]))

    def with_pose(self, number: int, pose: ViserPose) -> Drawn:
        """Another view at keyframe ``number``, from 0."""
        if not 0 <= number < len(self.keys):
            return self
        return dataclasses.replace(self, keys=(*self.keys[:number], pose, *self.keys[number + 1 :]))


def read_drawn(file: Path, *, fps: float, leg_s: float, setting: Callable[[], Setting] | None) -> Drawn:
    """The path that somebody's file holds, through an even choice of at most ``MOST_KEYS`` of its views.

    A tour is flown at ``fps`` pictures a second and keeps its times; the legs of a camera path, which says
    nothing of them, all take ``leg_s`` seconds.

    Raises:
        ValueError: one sentence about what is wrong with the file, or with flying it here.
    """
    if not is_tour_file(file):
        return Drawn(fps=fps).through(keys_of(load_camera_path(file)), leg_s=leg_s)
    if setting is None:
        raise ValueError(f"{file.name} is a tour, and there is no world here to fly it in")
    cameras = flown_tour(file, setting(), fps=fps)
    legs_s = (_rows_of_keys(len(cameras)).diff() / fps).tolist()
    return Drawn(keys=keys_of(cameras), legs_s=tuple(legs_s), fps=fps)


def keys_of(cameras: Cameras) -> tuple[ViserPose, ...]:
    """An even choice of at most ``MOST_KEYS`` views, the first and the last among them."""
    return tuple(poses_from_cameras(cameras[_rows_of_keys(len(cameras))]))


def _rows_of_keys(count: int) -> Int64[Tensor, " k"]:
    rows = torch.linspace(0, count - 1, min(count, MOST_KEYS), dtype=torch.float64)
    return rows.round().long()
