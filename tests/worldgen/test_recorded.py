"""Recorded frames become a world: as they are, bit for bit again after an interruption."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path

import pytest
import torch

from memory.world import SceneInfo, World, WorldError, quantised
from render.frames import Frames, median_depth
from tests.oracles.recordings import room_views
from tests.worldgen.alignment.test_given import Unasked
from worldgen.recorded import begin_recorded, give_rest, scene_of
from worldgen.rollout import Growth

NAMES = [f"color/{i}.png" for i in range(6)]


@pytest.fixture(scope="module")
def frames() -> Frames:
    return room_views()


def begun(folder: Path, frames: Frames) -> None:
    begin_recorded(folder, scene_of(frames), frames, names=NAMES, generator=Unasked())


def test_frames_are_committed_as_they_are(tmp_path: Path, frames: Frames):
    begun(tmp_path / "w", frames)
    with World.open(tmp_path / "w", writable=True) as world:
        growth = Growth(world, Unasked())
        assert len(list(give_rest(growth, frames, names=NAMES))) == 5
        found, expected = world.frames(), quantised(frames, given=True)
        assert torch.equal(found.rgb, expected.rgb)
        assert torch.equal(found.depth, expected.depth)
        assert torch.equal(found.cameras.c2w, frames.cameras.c2w)
        assert torch.equal(found.cameras.K, frames.cameras.K)
        assert all(chunk.given and chunk.generator == "input" for chunk in world.chunks())
        assert [chunk.settings["imported"] for chunk in world.chunks()] == NAMES
        # every frame knows depths that the range of the world covers, not only the first
        near, far = 1.0 / growth.units.span.high, 1.0 / max(growth.units.span.low, 1e-6)
        known = frames.depth[frames.valid] / world.scene.scale
        assert near <= known.min()
        assert known.max() <= far
        seen = growth.cache.render(frames.cameras)
        both = seen.mask & frames.valid
        assert both.float().mean() > 0.95
        assert float((seen.depth / frames.depth - 1.0)[both].abs().median()) < 0.01


def test_an_import_that_is_interrupted_goes_on_to_the_same_world(tmp_path: Path, frames: Frames):
    states = []
    for parts in ((6,), (2, 1, 6)):
        folder = tmp_path / str(len(parts))
        begun(folder, frames)
        for count in parts:
            with World.open(folder, writable=True) as world:
                growth = Growth(world, Unasked())
                list(islice(give_rest(growth, frames, names=NAMES), count))
        with World.open(folder) as world:
            states.append((world.frames(), growth.cache.points, len(world.chunks())))
    (one, points, count), (other, again, _) = states
    assert count == 6
    assert torch.equal(one.depth, other.depth)
    assert torch.equal(points.positions, again.positions)
    assert torch.equal(points.rgb, again.rgb)


def test_what_is_something_else_is_not_gone_on_with(tmp_path: Path, frames: Frames):
    begun(tmp_path / "w", frames)
    with World.open(tmp_path / "w", writable=True) as world:
        growth = Growth(world, Unasked())
        with pytest.raises(WorldError, match="does not hold the first of these 6 pictures"):
            list(give_rest(growth, frames, names=["other.png", *NAMES[1:]]))
        cameras = dataclasses.replace(frames.cameras, c2w=frames.cameras.c2w.flip(0))
        others = dataclasses.replace(frames, cameras=cameras)  # of another recording with the same names
        with pytest.raises(WorldError, match="does not hold the first"):
            list(give_rest(growth, others, names=NAMES))
        small = dataclasses.replace(frames.cameras, width=32)
        with pytest.raises(WorldError, match="does not hold the first"):
            list(
                give_rest(
                    growth,
                    Frames(
                        rgb=frames.rgb[:, :, :32],
                        depth=frames.depth[:, :, :32],
                        valid=frames.valid[:, :, :32],
                        confidence=frames.confidence[:, :, :32],
                        cameras=small,
                    ),
                    names=NAMES,
                )
            )
        assert len(list(give_rest(growth, frames, names=NAMES))) == 5
        assert list(give_rest(growth, frames, names=NAMES)) == []
        growth.give(frames[:1], settings={})
        with pytest.raises(WorldError, match="and nothing else"):
            list(give_rest(growth, frames, names=NAMES))


def test_a_scene_takes_its_up_from_the_first_camera_unless_it_is_told(frames: Frames):
    info = scene_of(frames)
    assert info.scale == median_depth(frames[:1])
    assert info.units == "metres"
    torch.testing.assert_close(torch.tensor(info.up), -frames.cameras.c2w[0, :3, 1], atol=1e-6, rtol=0)
    assert scene_of(frames, units="scene", up=(0.0, 0.0, 1.0)) == SceneInfo(
        units="scene", scale=info.scale, up=(0.0, 0.0, 1.0)
    )


def test_cameras_far_from_the_origin_are_refused(frames: Frames):
    c2w = frames.cameras.c2w.clone()
    c2w[3, 0, 3] = 5e6  # metres, as maps count them
    cameras = dataclasses.replace(frames.cameras, c2w=c2w)
    with pytest.raises(ValueError, match="move the origin nearer"):
        scene_of(dataclasses.replace(frames, cameras=cameras))


def test_a_world_that_cannot_begin_leaves_nothing(tmp_path: Path, frames: Frames):
    (tmp_path / "w").mkdir()
    (tmp_path / "w/mine.txt").write_text("x")
    with pytest.raises(WorldError):
        begun(tmp_path / "w", frames)
    nan = dataclasses.replace(frames, rgb=torch.full_like(frames.rgb, torch.nan))
    with pytest.raises(WorldError, match="NaN"):
        begun(tmp_path / "other", nan)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["mine.txt", "w"]
