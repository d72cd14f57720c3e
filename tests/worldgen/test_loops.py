"""Closed loops: what a perfect memory scores, what a short one forgets, and what is asked for wrongly."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from memory.cache import WorldCache
from memory.world import SceneInfo, World
from render.frames import Frames, concatenated
from tests.oracles.small_models import perturbed_model
from worldgen.conditions import Known, SceneUnits
from worldgen.evaluation.loops import (
    FIRST_SEED,
    LAPS,
    SAME_DB,
    Walk,
    contrast_of,
    forget_all_but,
    scores_of_loops,
    true_contrast,
    walk,
    walked,
)
from worldgen.generator import RGBDGenerator
from worldgen.model.weights import save_model
from worldgen.rollout import Growth
from worldgen.worlds import random_scene, random_walk_cameras, render

SIZE = 32
FRAMES = 8


class Eyewitness:
    """A ``Generator`` that looks at one held-out world instead of imagining it."""

    name = "eyewitness"
    size = SIZE

    def __init__(self, index: int) -> None:
        self.scene = random_scene(FIRST_SEED + index)

    def __call__(self, known: Known, recall: Frames | None, *, units: SceneUnits, seed: int) -> Frames:
        """Take the picture."""
        return render(self.scene, known.cameras)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> RGBDGenerator:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(perturbed_model(), path, size=SIZE)
    return RGBDGenerator(path, steps=1)


def made(frames: Frames, rgb: torch.Tensor) -> Walk:
    return Walk(frames=dataclasses.replace(frames, rgb=rgb))


@pytest.fixture(scope="module")
def exact() -> Walk:
    return walked(list(walk(Eyewitness(1), 1, frames=FRAMES)))


def test_the_second_lap_has_the_poses_of_the_first_and_begins_with_the_picture(exact: Walk):
    frames = exact.frames
    assert (len(frames), exact.lap) == (FRAMES, FRAMES // LAPS)
    assert torch.equal(frames.cameras.c2w[: exact.lap], frames.cameras.c2w[exact.lap :])
    camera = random_walk_cameras(random_scene(FIRST_SEED + 1), n=1, seed=1, width=SIZE, height=SIZE)
    assert torch.equal(frames.cameras.c2w[:1], camera.c2w)
    truth = render(random_scene(FIRST_SEED + 1), camera)
    assert (frames.rgb[0] - truth.rgb[0]).abs().max() < 0.01


def test_who_sees_the_world_closes_every_loop_with_and_without_memory(exact: Walk):
    short = walked(list(walk(Eyewitness(1), 1, frames=FRAMES, window=2)))
    scores = scores_of_loops([exact], [short], size=SIZE)
    assert scores.closure == scores.closure_worst == scores.closure_forgetful == SAME_DB
    assert (scores.loops, scores.frames) == (1, FRAMES)


def test_closure_compares_each_pose_with_itself(exact: Walk):
    rgb = exact.frames.rgb.clone()
    rgb[exact.lap :] = (rgb[: exact.lap] + 0.1).clamp_max(2.0)
    closure = made(exact.frames, rgb).closure
    torch.testing.assert_close(closure, torch.full((exact.lap,), 20.0), atol=1e-3, rtol=0)
    rgb[exact.lap] += 0.9
    assert made(exact.frames, rgb).closure.argmin() == 0


def test_contrast_looks_at_the_far_half_of_the_second_lap(exact: Walk):
    rgb = torch.zeros_like(exact.frames.rgb)
    rgb[exact.lap + 1 : exact.lap + 4, ::2] = 1.0  # stripes, whose standard deviation is about 0.5
    assert made(exact.frames, rgb).contrast == pytest.approx(0.5, abs=0.01)
    assert made(exact.frames, torch.ones_like(rgb)).contrast == 0.0
    assert contrast_of(exact.frames) > 0.02
    assert 0.02 < true_contrast(1, size=SIZE) < 0.5


def test_forgetting_leaves_a_world_that_began_with_the_last_frames(generator: RGBDGenerator, tmp_path: Path):
    scene = random_scene(FIRST_SEED)
    cameras = random_walk_cameras(scene, n=4, seed=0, width=SIZE, height=SIZE)
    with World.create(tmp_path / "w", SceneInfo(units="metres", scale=1.0, up=(0.0, -1.0, 0.0))) as world:
        growth = Growth(world, generator)
        growth.begin(render(scene, cameras[:1]), seed=0)
        growth.plan(cameras[1:], seed=0, name="walk")
        assert len(list(growth.follow())) == 3
        ids = world.frame_ids()[-2:]
        forget_all_but(growth, 2)
        assert growth.bank.units.ids.tolist() == ids
        fresh = WorldCache()
        for frame_id in ids:
            frame = world.frames([frame_id])
            fresh.remember(frame, fresh.render(frame.cameras), ids=[frame_id], given=False)
        for field in dataclasses.fields(fresh.points):
            assert torch.equal(getattr(growth.cache.points, field.name), getattr(fresh.points, field.name))
        assert world.frame_ids()[:1] == [0]  # nothing that is stored is touched


def test_a_walk_without_memory_is_another_walk(generator: RGBDGenerator):
    whole, short = (list(walk(generator, 0, frames=FRAMES, window=window)) for window in (None, 1))
    assert torch.equal(whole[0].rgb, short[0].rgb)
    assert len(whole) == len(short) == FRAMES  # views ahead are no frames of the walk
    assert not torch.equal(concatenated(whole).rgb, concatenated(short).rgb)


@pytest.mark.parametrize("frames", [0, 6, 9])
def test_loops_that_do_not_close_are_refused(frames: int):
    with pytest.raises(ValueError, match="even number"):
        next(walk(Eyewitness(0), 0, frames=frames))
