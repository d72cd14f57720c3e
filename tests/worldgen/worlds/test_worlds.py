"""Scenes, pictures and walks as a whole: the same every time, sound, and free of collisions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from render.cameras import checked as checked_cameras
from render.cameras import resized
from render.frames import checked
from worldgen.worlds import clearance, random_scene, random_walk_cameras, render
from worldgen.worlds.paths import MAX_TURN, MIN_CLEARANCE_M, STEP_M

SEEDS = range(20, 30)


def test_one_seed_gives_one_world_bit_for_bit():
    first, second = random_scene(11), random_scene(11)
    for a, b in zip(first.world, second.world, strict=True):
        np.testing.assert_array_equal(a, b)
    cameras = [random_walk_cameras(scene, n=2, seed=5, width=48, height=40) for scene in (first, second)]
    frames = [render(first, cameras[0]), render(second, cameras[1])]
    assert torch.equal(cameras[0].c2w, cameras[1].c2w)
    assert torch.equal(frames[0].rgb, frames[1].rgb)
    assert torch.equal(frames[0].depth, frames[1].depth)


def test_other_seeds_give_other_worlds():
    scenes = [random_scene(seed) for seed in SEEDS]
    assert len({scene.world.shapes.tobytes() for scene in scenes}) == len(scenes)
    assert {scene.is_open for scene in scenes} == {True, False}


def test_threads_do_not_change_a_picture():
    cameras = random_walk_cameras(random_scene(2), n=3, seed=0, width=72, height=70)
    one, two = render(random_scene(2), cameras), render(random_scene(2), cameras, threads=2)
    assert torch.equal(one.rgb, two.rgb)
    assert torch.equal(one.depth, two.depth)


def test_a_picture_three_times_as_large_has_the_same_depth_at_shared_centres():
    scene = random_scene(4)
    cameras = random_walk_cameras(scene, n=2, seed=0, width=33, height=27)
    small, large = render(scene, cameras), render(scene, resized(cameras, width=99, height=81))
    torch.testing.assert_close(small.depth, large.depth[:, 1::3, 1::3], rtol=1e-5, atol=0)


def test_colour_is_smoothed_only_at_edges():
    scene = random_scene(4)
    cameras = random_walk_cameras(scene, n=2, seed=0, width=64, height=64)
    smooth, rough = render(scene, cameras), render(scene, cameras, smooth=False)
    assert torch.equal(smooth.depth, rough.depth)
    changed = (smooth.rgb != rough.rgb).any(dim=-1).float().mean()
    assert 0.005 < changed < 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_walks_stay_in_free_space_and_pictures_are_sound(seed):
    scene = random_scene(seed)
    cameras = checked_cameras(random_walk_cameras(scene, n=8, seed=seed, width=32, height=24))
    assert (clearance(scene, cameras.origins) > MIN_CLEARANCE_M - 1e-4).all()
    steps = (cameras.origins[1:] - cameras.origins[:-1]).norm(dim=-1)
    assert (steps < STEP_M[1]).all()
    turns = (cameras.forwards[1:] * cameras.forwards[:-1]).sum(dim=-1).clamp(-1, 1).acos()
    assert (turns < MAX_TURN + 0.3).all()
    assert torch.equal(cameras.K, cameras.K[:1].expand_as(cameras.K))
    frames = checked(render(scene, cameras))
    assert frames.valid.all()
    assert (frames.confidence == 1).all()
    assert frames.depth.flatten(1).median(dim=1).values.min() > 0.8
    assert (frames.depth > 0.05).all()
    luminance = frames.rgb @ torch.tensor([0.2126, 0.7152, 0.0722])
    assert 0.12 < luminance.mean() < 0.85


def test_a_scene_is_a_frozen_value():
    with pytest.raises(dataclasses.FrozenInstanceError):
        random_scene(1).seed = 2
