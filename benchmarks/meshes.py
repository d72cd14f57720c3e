"""How true meshes are to the worlds that they were made of, and how long they take."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy.spatial import cKDTree

from reconstruct.surface import Surface, surface_of
from reconstruct.tsdf import FAR, Fusion, fuse
from render.cameras import resized, unproject
from render.frames import Frames, median_depth
from worldgen.worlds import Scene, clearance, random_scene, random_walk_cameras, render

FRAMES, SIZE = 100, 128
FINER = 2
"""True surfaces are seen by the same cameras with so many times the pixels."""

GRID = 0.02
"""True points are thinned to one in a cube of this side, metres: near ones count no more than far ones."""

SAMPLES = 1_000_000
NEAR = 0.05
"""Metres within which a point counts as found."""


def walk(seed: int, *, frames: int = FRAMES, size: int = SIZE) -> tuple[Scene, Frames]:
    """A world and exact pictures along a walk through it."""
    scene = random_scene(seed)
    cameras = random_walk_cameras(scene, n=frames, seed=seed, width=size, height=size)
    return scene, render(scene, cameras, threads=2)


def seen_points(scene: Scene, frames: Frames, *, limit: float) -> Float[np.ndarray, "p 3"]:
    """True surface points that the frames' cameras see, evenly spread, no further away than ``limit``."""
    side = FINER * frames.cameras.width
    cameras = resized(frames.cameras, width=side, height=side)
    kept = np.empty((0, 3))
    for i in range(len(cameras)):
        shown = render(scene, cameras[[i]], smooth=False, threads=2)
        points = unproject(shown.depth, shown.cameras)[(shown.depth < limit)[..., 0]].double().numpy()
        points = np.concatenate([kept, points])
        _, first = np.unique(np.floor(points / GRID).astype(np.int64), axis=0, return_index=True)
        kept = points[np.sort(first)]
    return kept


def judged(surface: Surface, scene: Scene, truth: Float[np.ndarray, "p 3"]) -> tuple[float, ...]:
    """Mean distance to truth and from truth in centimetres, and precision, recall and F-score in percent."""
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    points, _ = trimesh.sample.sample_surface(mesh, SAMPLES, seed=0)
    to_truth = clearance(scene, torch.from_numpy(points).float())[:, 0].abs().numpy()
    from_truth, _ = cKDTree(points).query(truth, workers=2)
    precision, recall = (to_truth < NEAR).mean(), (from_truth < NEAR).mean()
    f_score = 2 * precision * recall / (precision + recall)
    return (*(100 * x for x in (to_truth.mean(), from_truth.mean(), precision, recall, f_score)),)
