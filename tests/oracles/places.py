"""Places of one kind, and what is true of every kind."""

from __future__ import annotations

import numpy as np
import torch

from worldgen.worlds import Scene, random_scene, random_walk_cameras, render


def of_kind(kind: str, seed: int) -> Scene:
    """The place of a kind that a seed makes."""
    return random_scene(seed, kinds={kind: 1.0})


def assert_made_again(kind: str) -> None:
    """One seed gives the same place, walk and pictures bit for bit, on any number of threads."""
    first, second = of_kind(kind, 7), of_kind(kind, 7)
    for a, b in zip(first.world, second.world, strict=True):
        np.testing.assert_array_equal(a, b)
    cameras = [random_walk_cameras(scene, n=2, seed=5, width=40, height=48) for scene in (first, second)]
    frames = [render(first, cameras[0]), render(second, cameras[1], threads=2)]
    assert torch.equal(cameras[0].c2w, cameras[1].c2w)
    assert torch.equal(frames[0].rgb, frames[1].rgb)
    assert torch.equal(frames[0].depth, frames[1].depth)
