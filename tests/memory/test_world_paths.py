"""The tree of chunks and the paths along which it grows."""

from __future__ import annotations

import sqlite3

import pytest
import torch

from memory.world import World, WorldError
from tests.memory.test_world import ORIGIN, SCENE, commit, make_cameras, make_frames
from tests.memory.test_world_hostile import seal


@pytest.fixture
def world(tmp_path):
    with World.create(tmp_path / "deep" / "world", SCENE) as world:
        yield world


def test_chunks_form_a_chain_that_remembers_everything(world):
    assert (world.head, world.chunks(), world.frame_ids()) == (None, [], [])
    first, _ = commit(world, 1, given=True)
    time = "2026-01-31T12:00:00+00:00"
    second, _ = world.commit(
        make_frames(2), given=False, generator="g", seed=-5, settings={"a": [1]}, created=time
    )
    with World.open(world.path) as reader:
        assert reader.chunks() == [first, second]
        assert (reader.head, reader.frame_ids(), reader.scene) == (second.id, [0, 1, 2], SCENE)
    assert (first.parent, second.parent, second.created) == (None, first.id, time)
    assert (second.given, second.generator, second.seed, second.settings) == (False, "g", -5, {"a": [1]})
    assert first.settings == ORIGIN["settings"]


def test_a_path_is_followed_interrupted_and_resumed(world):
    cameras = make_cameras(5, seed=9)
    path = world.plan(cameras, **ORIGIN)
    world.commit(make_frames(2), given=False, path=path, path_start=0, **ORIGIN)
    commit(world, 1)
    folder = world.path
    world.close()
    with World.open(folder, writable=True) as again:
        planned = again.pending()
        assert (planned.id, planned.done, planned.seed, planned.generator) == (path, 2, 7, "tiny-v1")
        assert planned.settings == ORIGIN["settings"]
        assert torch.equal(planned.cameras.c2w, cameras.c2w)
        chunk, _ = again.commit(make_frames(3), given=False, path=path, path_start=2, **ORIGIN)
        assert (chunk.path, chunk.path_start) == (path, 2)
        assert again.pending() is None


def test_a_newer_path_supersedes_the_older_ones(world):
    world.plan(make_cameras(2), **ORIGIN)
    newer = world.plan(make_cameras(3), **ORIGIN)
    assert world.pending().id == newer
    world.commit(make_frames(3), given=False, path=newer, **ORIGIN)
    assert world.pending() is None


def test_a_path_planned_on_another_branch_is_not_pending(world):
    """The tables are a tree already: move the head back as undo will."""
    first, _ = commit(world, 1)
    before = world.plan(make_cameras(2), **ORIGIN)
    commit(world, 1)
    world.plan(make_cameras(2), **ORIGIN)
    world.commit(make_frames(1), given=False, path=before, **ORIGIN)
    world.close()
    with sqlite3.connect(world.path / "world.db") as db:
        db.execute("UPDATE heads SET chunk = ?", (first.id,))
        seal(db)
    db.close()
    with World.open(world.path, writable=True) as back:
        assert (back.pending().id, back.pending().done) == (before, 0)
        chunk, _ = back.commit(make_frames(1), given=False, path=before, path_start=0, **ORIGIN)
        assert (chunk.parent, chunk.frame_ids) == (first.id, (3,))
        assert back.frame_ids() == [0, 3]
        assert back.verify() == []


@pytest.mark.parametrize(("start", "count"), [(0, 1), (2, 1), (1, 3)])
def test_a_chunk_that_leaves_its_path_is_refused(world, start, count):
    path = world.plan(make_cameras(3), **ORIGIN)
    world.commit(make_frames(1), given=False, path=path, **ORIGIN)
    with pytest.raises(WorldError, match="1 of 3 cameras done"):
        world.commit(make_frames(count), given=False, path=path, path_start=start, **ORIGIN)
    assert world.frame_ids() == [0]


def test_numbers_of_deleted_frames_are_not_used_again(world):
    commit(world, 2)
    commit(world, 1)
    world.close()
    with sqlite3.connect(world.path / "world.db") as db:
        db.execute("UPDATE heads SET chunk = 0")
        db.execute("DELETE FROM frames WHERE chunk = 1")
        db.execute("DELETE FROM chunks WHERE id = 1")
        seal(db)
    db.close()
    with World.open(world.path, writable=True) as back:
        chunk, _ = commit(back, 1)
        assert (chunk.id, chunk.frame_ids) == (2, (3,))
