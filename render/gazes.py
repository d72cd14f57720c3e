"""Gazes: where a camera on its way looks, and through which lens.

Room: render (ground floor). Imports cameras; every other room may import this.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from render.cameras import Cameras
from render.paths import STEEP, WORLD_UP
from render.splines import turns

NEAREST = 1e-6
"""Share of the longest distance to a target within which a camera keeps looking where it looked."""


def looking_at(
    cameras: Cameras, target: Float[Tensor, " 3"], *, up: Float[Tensor, " 3"] = WORLD_UP
) -> Cameras:
    """The same cameras, upright and with ``target`` in the middle of their pictures.

    Where the target is right above or below, a camera keeps the right of its picture as level as it was;
    where it is in the camera itself, nothing changes.
    """
    axis = (up / torch.linalg.vector_norm(up)).double().cpu().numpy()
    c2w = cameras.c2w.double().cpu().numpy().copy()
    spokes = target.double().cpu().numpy() - c2w[:, :3, 3]
    distances = np.linalg.norm(spokes, axis=1)
    for row in np.flatnonzero(distances > NEAREST * distances.max(initial=0.0)):
        ahead = spokes[row] / distances[row]
        right = np.cross(ahead, axis) if abs(ahead @ axis) < STEEP else c2w[row, :3, 0]
        right = right - (right @ ahead) * ahead
        length = np.linalg.norm(right)
        if length > NEAREST:
            right /= length
            c2w[row, :3, :3] = np.stack([right, np.cross(ahead, right), ahead], axis=1)
    return dataclasses.replace(cameras, c2w=torch.from_numpy(c2w).to(cameras.c2w))


def turned_from(cameras: Cameras, start: Cameras, *, frames: int) -> Cameras:
    """The same cameras, that look the way of ``start`` at first and as they do from frame ``frames`` on.

    The turn from one to the other is undone evenly and gently, so that a new gaze does not begin with a jerk.

    Args:
        cameras: at least one.
        start: one camera, of which only the rotation counts.
        frames: the turn is over so many frames after the first; 0 changes nothing but the first.
    """
    c2w = cameras.c2w.double().cpu().numpy().copy()
    jump = Rotation.from_matrix(start.c2w[0, :3, :3].double().cpu().numpy() @ c2w[0, :3, :3].T).as_rotvec()
    x = np.clip(np.arange(len(c2w)) / max(frames, 1), 0.0, 1.0)
    left = (1.0 - x**2 * (3.0 - 2.0 * x))[:, None]
    c2w[:, :3, :3] = Rotation.from_rotvec(left * jump).as_matrix() @ c2w[:, :3, :3]
    return dataclasses.replace(cameras, c2w=torch.from_numpy(c2w).to(cameras.c2w))


def turn_between(a: Cameras, b: Cameras) -> float:
    """Radians between the first camera of ``a`` and the first of ``b``."""
    both = torch.cat([a.c2w[:1, :3, :3], b.c2w[:1, :3, :3]])
    return float(turns(both.double().cpu().numpy())[0])


def fov_of(cameras: Cameras) -> float:
    """Horizontal field of view of the first camera, in radians."""
    return 2.0 * math.atan(0.5 * cameras.width / float(cameras.K[0, 0, 0]))


def zoomed(cameras: Cameras, fov: float, shares: Float[np.ndarray, " n"]) -> Cameras:
    """The same cameras, zooming towards the horizontal field of view ``fov``, radians.

    ``shares`` in [0, 1] say how much of the zoom is done; focal lengths change by even factors.
    """
    if not 0.0 < fov < math.pi:
        raise ValueError(f"a field of view must lie between 0 and 180 degrees, got {math.degrees(fov):g}")
    whole = math.tan(0.5 * fov_of(cameras)) / math.tan(0.5 * fov)
    K = cameras.K.clone()
    K[:, [0, 1], [0, 1]] *= torch.from_numpy(whole**shares).to(K)[:, None]
    return dataclasses.replace(cameras, K=K)
