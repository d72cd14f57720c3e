"""Keyframes: the path that is being drawn, as a list of views and the pace between them.

Room: viewer; the path panel holds one. Knows no widgets.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from render.cameras import Cameras
from render.cameras import concatenated as concatenated_cameras
from render.keyframes import interpolated
from viewer.conventions import ViserPose, camera_from_pose, poses_from_cameras

MOST_KEYS = 100
"""More cannot be told apart in the scene; longer files are thinned evenly."""

MOST_PICTURES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A path as it is drawn; changed by ``dataclasses.replace``."""

    keys: tuple[ViserPose, ...] = ()

    leg_s: float = 2.0
    """Seconds from one keyframe to the next."""

    fps: float = 24.0

    @property
    def pictures(self) -> int:
        """How many pictures it is; every keyframe is one of them."""
        if not self.keys:
            return 0
        return min(1 + (len(self.keys) - 1) * max(1, round(self.leg_s * self.fps)), MOST_PICTURES)

    def cameras(self, *, width: int, height: int) -> Cameras | None:
        """One camera a picture, smoothly through all keyframes; ``None`` if there are none."""
        if not self.keys:
            return None
        keys = [camera_from_pose(key, width=width, height=height) for key in self.keys]
        return interpolated(concatenated_cameras(keys), self.pictures)

    def with_key(self, key: ViserPose) -> Drawn:
        """One more keyframe at the end.

        Raises:
            ValueError: if there are too many.
        """
        if len(self.keys) >= MOST_KEYS:
            raise ValueError(f"a path is drawn through up to {MOST_KEYS} keyframes; save it, begin another")
        return dataclasses.replace(self, keys=(*self.keys, key))


def keys_of(cameras: Cameras) -> tuple[ViserPose, ...]:
    """An even choice of at most ``MOST_KEYS`` views, the first and the last among them."""
    count = min(len(cameras), MOST_KEYS)
    rows = torch.linspace(0, len(cameras) - 1, count, dtype=torch.float64).round().long()
    return tuple(poses_from_cameras(cameras[rows]))
