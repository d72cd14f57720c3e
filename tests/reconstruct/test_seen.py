"""Seen: frames of a world as its edits have left it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from memory.boxes import Box, within
from memory.world import SceneInfo, World
from reconstruct.meshes import read_mesh, stood
from reconstruct.sampling import points_of_mesh
from reconstruct.seen import BATCH, SeenFrames
from reconstruct.surface import surface_of
from reconstruct.tsdf import Fusion, fuse
from render.cameras import unproject
from render.frames import Frames, concatenated
from tests.oracles.solids import REACH, seen

SETTINGS = Fusion(voxel=0.08, max_depth=REACH)
BOX = Box(low=(-1.2, -1.2, -1.2), high=(1.2, 1.2, 0.0))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Twenty views all round a ball, made writable."""
    made = World.create(tmp_path / "w", SceneInfo(units="metres", scale=3.0, up=(0.0, -1.0, 0.0)))
    made.commit(seen("sphere")[:12], given=True, generator="cast", seed=0, settings={})
    return made


def corners(world: World) -> np.ndarray:
    return surface_of(fuse(SeenFrames(world), SETTINGS)).vertices


def test_frames_without_edits_are_those_of_the_world_time_after_time(world: World):
    with world:
        frames = SeenFrames(world)
        assert len(frames) == 12
        for _ in range(2):
            (batch,) = list(frames)
            assert torch.equal(batch.depth, world.frames().depth)
            assert torch.equal(batch.rgb, world.frames().rgb)


def test_batches_hold_all_frames_in_order(world: World):
    with world:
        for _ in range(3):
            world.commit(seen("sphere")[:12], given=True, generator="cast", seed=0, settings={})
        batches = list(SeenFrames(world))
        assert [len(batch) for batch in batches] == [BATCH, 48 - BATCH]
        assert torch.equal(concatenated(batches).depth, world.frames().depth)


def test_what_was_removed_is_not_meshed_and_what_came_after_is(world: World):
    with world:
        before = corners(world)
        world.remove(BOX, settings={})
        (frames,) = list(SeenFrames(world))
        known = frames.valid[..., 0]
        assert not within(unproject(frames.depth, frames.cameras)[known], BOX.low, BOX.high).any()
        assert known.float().mean() > 0.7, "what lies beyond the box is known as before"
        after = corners(world)
        assert (before[:, 2] < -0.5).sum() > 200
        assert (after[:, 2] < -0.5).sum() == 0
        assert (after[:, 2] > 0.2).sum() > 500
        world.commit(seen("sphere")[12:], given=True, generator="cast", seed=0, settings={})
        assert (corners(world)[:, 2] < -0.5).sum() > 100


def test_what_was_placed_is_meshed_although_no_frame_saw_it(world: World, tmp_path: Path):
    trimesh.creation.box(extents=(0.5, 0.5, 0.5)).export(tmp_path / "crate.ply")
    crate = stood(read_mesh(tmp_path / "crate.ply"), at=(1.5, 0.25, 0.0), up=(0.0, -1.0, 0.0))
    with world:
        assert (corners(world)[:, 0] > 1.15).sum() == 0
        world.place(points_of_mesh(crate, spacing=0.02), settings={})
        found = corners(world)
        found = found[found[:, 0] > 1.15]
        assert len(found) > 100
        np.testing.assert_allclose(found.min(axis=0), (1.25, -0.25, -0.25), atol=0.08)
        np.testing.assert_allclose(found.max(axis=0), (1.75, 0.25, 0.25), atol=0.08)
        world.remove(Box(low=(1.1, -1.0, -1.0), high=(2.0, 1.0, 1.0)), settings={})
        assert (corners(world)[:, 0] > 1.15).sum() == 0


def test_an_empty_world_is_refused(tmp_path: Path):
    with World.create(tmp_path / "w", SceneInfo(units="metres", scale=1.0, up=(0.0, -1.0, 0.0))) as empty:
        frames: list[Frames] = list(SeenFrames(empty))
        assert frames == []
        with pytest.raises(ValueError, match="there are no frames"):
            fuse(SeenFrames(empty), Fusion())
