"""Growing worlds with a generator that knows the truth: it takes pictures of a procedural world."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from memory.bank import FIELDS
from memory.restore import restored_bank, restored_cache
from memory.world import SceneInfo, World, WorldError
from render.cameras import Cameras, intrinsics_from_fov
from render.frames import Frames
from render.metrics import psnr
from render.paths import path_named
from tests.worldgen.conftest import SIZE
from worldgen.conditions import Known, SceneUnits
from worldgen.generator import Generator
from worldgen.rollout import RECALLED_FRAMES, Growth, frame_seed, scene_scale, start
from worldgen.worlds import Scene, render

INFO = SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))


class Photographer:
    """A ``Generator`` that looks instead of imagining."""

    name = "photographer"
    size = SIZE

    def __init__(self, scene: Scene):
        self.scene = scene
        self.recalled: list[Cameras] = []

    def __call__(self, known: Known, recall: Frames | None, *, units: SceneUnits, seed: int) -> Frames:
        """Take the pictures."""
        if recall is not None:
            self.recalled.append(recall.cameras)
        return render(self.scene, known.cameras)


class Broken(Photographer):
    """A ``Generator`` that fails."""

    def __call__(self, known: Known, recall: Frames | None, *, units: SceneUnits, seed: int) -> Frames:
        """Fail."""
        raise RuntimeError("out of film")


def begun(folder: Path, scene: Scene, camera: Cameras, *, frames: int, path: str = "there-and-back") -> World:
    cameras = path_named(path, camera, n=frames)
    start(folder, INFO, camera, cameras=cameras, generator=Photographer(scene), seed=1, name=path)
    return World.open(folder, writable=True)


def test_the_photographer_is_a_generator(scene: Scene):
    assert isinstance(Photographer(scene), Generator)


def test_a_world_just_started_has_its_first_view_and_the_whole_plan(
    tmp_path: Path, scene: Scene, camera: Cameras
):
    with begun(tmp_path / "w", scene, camera, frames=6) as world:
        assert world.frame_ids() == [0]
        pending = world.pending()
        assert pending is not None
        assert len(pending.cameras) == 5
        assert [file.name for file in tmp_path.iterdir()] == ["w"]


def test_the_cache_shows_a_grown_world_as_it_is_when_the_path_comes_back(
    tmp_path: Path, scene: Scene, camera: Cameras
):
    with begun(tmp_path / "w", scene, camera, frames=9) as world:
        growth = Growth(world, Photographer(scene))
        before = len(growth.cache)
        grown = list(growth.follow())
        seen = growth.cache.render(camera)
    assert len(grown) == 8
    assert seen.mask.float().mean() > 0.8
    assert float(psnr(seen.rgb, render(scene, camera).rgb, mask=seen.mask)) > 25.0
    assert sum(len(step.points) for step in grown) + before == len(growth.cache)


def test_frames_are_recalled_from_the_world(tmp_path: Path, scene: Scene, camera: Cameras):
    generator = Photographer(scene)
    with begun(tmp_path / "w", scene, camera, frames=4) as world:
        grown = list(Growth(world, generator).follow())
        assert [len(cameras) for cameras in generator.recalled] == [1, RECALLED_FRAMES, RECALLED_FRAMES]
        for step, cameras in zip(grown, generator.recalled, strict=True):
            named = world.cameras([view.frame_id for view in step.recalled])
            assert torch.equal(named.c2w, cameras.c2w)
            assert all(view.age == step.chunk.frame_ids[0] - view.frame_id for view in step.recalled)


def test_a_place_visited_again_is_recalled_and_not_the_latest_frames(
    tmp_path: Path, scene: Scene, camera: Cameras
):
    """The camera turns away from its first view, and then all the way back at once."""
    away = path_named("turn", camera, n=18)[:12]
    cameras = dataclasses.replace(
        away, c2w=torch.cat([away.c2w, camera.c2w, away.c2w[6:7]]), K=camera.K.expand(14, 3, 3).clone()
    )
    start(tmp_path / "w", INFO, camera, cameras=cameras, generator=Photographer(scene), seed=1, name="back")
    with World.open(tmp_path / "w", writable=True) as world:
        *_, home, midway = Growth(world, Photographer(scene)).follow()
    for step, before in ((home, 0), (midway, 6)):
        assert step.recalled[0].frame_id in (before, before + 1)
        assert step.recalled[0].overlap > 0.5
        assert step.recalled[0].age > 4


def test_a_resumed_growth_recalls_what_an_uninterrupted_one_does(
    tmp_path: Path, scene: Scene, camera: Cameras
):
    with begun(tmp_path / "alone", scene, camera, frames=9) as world:
        alone = [step.recalled for step in Growth(world, Photographer(scene)).follow()]
    resumed = []
    with begun(tmp_path / "stopped", scene, camera, frames=9) as world:
        while (step := next(Growth(world, Photographer(scene)).follow(), None)) is not None:
            resumed.append(step.recalled)
    assert resumed == alone


def test_a_reopened_world_has_the_cache_and_the_bank_it_had(tmp_path: Path, scene: Scene, camera: Cameras):
    with begun(tmp_path / "w", scene, camera, frames=5) as world:
        growth = Growth(world, Photographer(scene))
        list(growth.follow())
    with World.open(tmp_path / "w") as world:
        again, bank = restored_cache(world), restored_bank(world)
    for name in FIELDS:
        assert (getattr(bank.units, name) == getattr(growth.bank.units, name)).all()
    for field in dataclasses.fields(again.points):
        assert torch.equal(getattr(again.points, field.name), getattr(growth.cache.points, field.name))


def test_a_new_path_supersedes_one_that_was_stopped(tmp_path: Path, scene: Scene, camera: Cameras):
    with begun(tmp_path / "w", scene, camera, frames=8) as world:
        growth = Growth(world, Photographer(scene))
        next(growth.follow())
        last = world.cameras(world.frame_ids()[-1:])
        growth.plan(path_named("turn", last, n=3), seed=4, name="turn")
        assert len(list(growth.follow())) == 3
        assert world.pending() is None
        assert list(growth.follow()) == []


def test_a_failing_generator_loses_nothing_and_the_path_can_be_finished(
    tmp_path: Path, scene: Scene, camera: Cameras
):
    with begun(tmp_path / "w", scene, camera, frames=4) as world:
        growth = Growth(world, Broken(scene))
        with pytest.raises(RuntimeError, match="out of film"):
            list(growth.follow())
        assert world.frame_ids() == [0]
        assert world.verify() == []
        assert len(list(Growth(world, Photographer(scene)).follow())) == 3


def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path, scene: Scene, camera: Cameras):
    with pytest.raises(RuntimeError, match="out of film"):
        start(tmp_path / "w", INFO, camera, cameras=camera, generator=Broken(scene), seed=1, name="none")
    assert list(tmp_path.iterdir()) == []


def test_a_measured_first_view_is_trusted_and_fixes_the_depth_range(
    tmp_path: Path, scene: Scene, camera: Cameras
):
    first = render(scene, camera)
    info = SceneInfo(units="metres", scale=scene_scale(first), up=(0.0, -1.0, 0.0))
    start(tmp_path / "w", info, first, cameras=camera, generator=Broken(scene), seed=1, name="none")
    with World.open(tmp_path / "w", writable=True) as world:
        growth = Growth(world, Photographer(scene))
        assert world.chunks()[0].given
        assert growth.cache.points.confidence.unique().tolist() == [0.0, 1.0]  # rims claim nothing
        span, inverse = growth.units.span, scene_scale(first) / first.depth
        assert span.low <= inverse.quantile(0.01)
        assert inverse.quantile(0.99) <= span.high


def test_growing_needs_a_world_open_for_writing(tmp_path: Path, scene: Scene, camera: Cameras):
    begun(tmp_path / "w", scene, camera, frames=2).close()
    with World.open(tmp_path / "w") as world, pytest.raises(WorldError, match="writable=True"):
        Growth(world, Photographer(scene))


def test_every_frame_of_every_path_has_a_seed_of_its_own():
    seeds = {frame_seed(s, path=p, index=i) for s in range(5) for p in range(5) for i in range(20)}
    assert len(seeds) == 500
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_scale_of_a_scene_is_its_median_depth_or_one():
    blank = torch.zeros(1, 4, 4, 1)
    camera = Cameras(c2w=torch.eye(4)[None], K=intrinsics_from_fov(1.0, width=4, height=4), width=4, height=4)
    frames = Frames(
        rgb=blank.expand(-1, -1, -1, 3), depth=blank, valid=blank > 0, confidence=blank, cameras=camera
    )
    assert scene_scale(camera) == 1.0
    assert scene_scale(frames) == 1.0
    ramp = torch.arange(1.0, 17.0).view(1, 4, 4, 1)
    assert scene_scale(dataclasses.replace(frames, depth=ramp, valid=ramp > 2)) == 9.0
