"""Keyframes: the path that is being drawn, as a list of views and the pace between them.

Room: viewer; the path panel holds one. Knows no widgets.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from render.cameras import Cameras
from render.cameras import concatenated as concatenated_cameras
from render.keyframes import timed
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


def keys_of(cameras: Cameras) -> tuple[ViserPose, ...]:
    """An even choice of at most ``MOST_KEYS`` views, the first and the last among them."""
    count = min(len(cameras), MOST_KEYS)
    rows = torch.linspace(0, len(cameras) - 1, count, dtype=torch.float64).round().long()
    return tuple(poses_from_cameras(cameras[rows]))
