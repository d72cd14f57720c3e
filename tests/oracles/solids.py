"""Solids in an empty hall, seen from all round by casting rays (see ``tests/oracles/box_room.py``)."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Literal

import numpy as np
import torch
import trimesh

from render.cameras import Cameras
from render.frames import Frames
from tests.oracles.box_room import raycast

HALF = np.array([0.7, 0.5, 0.9])
"""Of the box."""

REACH = 4.5
"""All of the solids is nearer to the cameras, and all of the hall further away."""


def all_round(n: int, *, distance: float = 3.0, size: int = 72) -> Cameras:
    """Cameras on a golden spiral around the origin, looking at it; fx is not fy, the centre is off."""
    turns = np.arange(n) + 0.5
    polar, azimuth = np.arccos(1.0 - 2.0 * turns / n), np.pi * (1.0 + 5.0**0.5) * turns
    forward = -np.stack(
        [np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1
    )
    right = np.cross([0.31, 0.95, 0.02], forward)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    c2w = np.tile(np.eye(4), (n, 1, 1))
    c2w[:, :3, :3] = np.stack([right, np.cross(forward, right), forward], axis=2)
    c2w[:, :3, 3] = -distance * forward
    K = torch.tensor([[80.0, 0.0, size / 2 + 1.3], [0.0, 74.0, size / 2 - 0.8], [0.0, 0.0, 1.0]])
    return Cameras(c2w=torch.from_numpy(c2w).float(), K=K.repeat(n, 1, 1), width=size, height=size)


@cache
def seen(what: Literal["sphere", "box", "panel"], n: int = 20) -> Frames:
    """A sphere of radius 1, a box, or a panel 0.5 thick, in a hall of 12 metres."""
    solid = {
        "sphere": lambda: trimesh.creation.icosphere(subdivisions=6),
        "box": lambda: trimesh.creation.box(extents=2.0 * HALF),
        "panel": lambda: trimesh.creation.box(extents=(2.0, 2.0, 0.5)),
    }[what]()
    return raycast(
        trimesh.util.concatenate([trimesh.creation.box(extents=(12.0,) * 3), solid]), all_round(n)
    ).frames


def changed(frames: Frames, row: int, *, depth: float = 1.0, confidence: float = 1.0) -> Frames:
    """Frames of which one has its depth and confidence multiplied."""
    depths, trust = frames.depth.clone(), frames.confidence.clone()
    depths[row] *= depth
    trust[row] *= confidence
    return dataclasses.replace(frames, depth=depths, confidence=trust)
