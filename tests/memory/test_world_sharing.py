"""One writer, many readers: nobody disturbs anybody, and what is not theirs is left alone."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from memory.world import World, WorldError, quantised
from tests.memory.test_locks import without_locks
from tests.memory.test_world import SCENE, assert_same, commit, make_frames

NOBODY = 65534


@pytest.fixture
def world(tmp_path):
    with World.create(tmp_path / "deep" / "world", SCENE) as world:
        yield world


def test_a_second_writer_is_told_so(world):
    with pytest.raises(WorldError, match="another process is growing"):
        World.open(world.path, writable=True)
    world.close()
    with World.open(world.path, writable=True) as next_writer:
        assert next_writer.writable


def test_where_nothing_can_be_locked_worlds_are_only_read(world, tmp_path, monkeypatch):
    commit(world, 1)
    world.close()
    monkeypatch.setattr(fcntl, "flock", without_locks)
    with pytest.raises(WorldError, match=r"cannot be locked \(No locks available\).*open it for reading"):
        World.open(world.path, writable=True)
    with pytest.raises(WorldError, match="cannot be locked"):
        World.create(tmp_path / "new", SCENE)
    assert not (tmp_path / "new").exists()
    with World.open(world.path) as reader:
        assert reader.frame_ids() == [0]


def test_a_reader_follows_a_writer(world):
    with World.open(world.path) as reader:
        for count in range(1, 4):
            _, frames = commit(world, 1, seed=count)
            assert len(reader.frame_ids()) == count
            assert_same(reader.frames([count - 1]), frames)
        assert not reader.writable
        with pytest.raises(WorldError, match="not open for writing"):
            commit(reader, 1)


def test_a_reader_from_before_the_writer_follows_it_and_stays_after(world):
    folder = world.path
    commit(world, 1)
    world.close()
    with World.open(folder) as reader:
        assert reader.frame_ids() == [0]
        with World.open(folder, writable=True) as writer:
            commit(writer, 2)
            assert reader.frame_ids() == [0, 1, 2]
        assert reader.frame_ids() == [0, 1, 2]
        with World.open(folder, writable=True) as writer:
            commit(writer, 1)
        assert reader.frame_ids() == [0, 1, 2, 3]


def test_a_reader_looks_again_when_a_writer_came_and_went_while_it_read(world, monkeypatch):
    commit(world, 1)
    world.close()
    look = os.lstat
    looks = iter(range(100))

    def look_late(path):
        if next(looks) == 1:
            with World.open(world.path, writable=True) as writer:
                commit(writer, 1)
        return look(path)

    with World.open(world.path) as reader:
        monkeypatch.setattr(os, "lstat", look_late)
        assert reader.frame_ids() == [0, 1]


def test_reading_leaves_no_trace(world):
    commit(world, 2)
    world.close()
    before = sorted(path.name for path in world.path.rglob("*"))
    with World.open(world.path) as reader:
        reader.frames()
        assert reader.verify() == []
        assert sorted(path.name for path in world.path.rglob("*")) == before
    assert sorted(path.name for path in world.path.rglob("*")) == before


@contextmanager
def as_nobody():
    """Without the right to write: as root that takes another user, otherwise the mode is enough."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.parametrize("has_writer", [True, False])
def test_a_world_opens_for_those_who_may_only_read_it(has_writer):
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        with World.create(folder / "world", SCENE) as world:
            commit(world, 1)
            if not has_writer:
                world.close()
            for path in (folder / "world", folder / "world" / "frames"):
                path.chmod(0o555)
            with as_nobody(), World.open(folder / "world") as reader:
                assert len(reader.frames()) == 1
            with as_nobody(), pytest.raises(WorldError, match=r"cannot be written|another process"):
                World.open(folder / "world", writable=True)
            for path in (folder / "world", folder / "world" / "frames"):
                path.chmod(0o755)
    finally:
        shutil.rmtree(folder)


def test_threads_may_share_a_world(world):
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(commit, world, 1, seed=seed) for seed in range(12)]
        reads = [pool.submit(lambda: len(world.frame_ids())) for _ in range(12)]
        chunks = [future.result()[0] for future in writes]
        assert all(0 <= future.result() <= 12 for future in reads)
    assert sorted(chunk.frame_ids[0] for chunk in chunks) == list(range(12))
    for seed, chunk in enumerate(chunks):
        assert_same(world.frames(chunk.frame_ids), quantised(make_frames(1, seed=seed)))


def test_verify_names_the_file_that_changed(world):
    commit(world, 2)
    assert world.verify() == []
    rgb, depth = world.path / "frames" / "000000.png", world.path / "frames" / "000001.depth.png"
    rgb.write_bytes(rgb.read_bytes()[:-1])
    depth.unlink()
    first, second = world.verify()
    assert "frame 0 is damaged" in first
    assert "000000.png" in first
    assert "frame 1 is missing" in second


def test_files_of_commits_that_never_happened_are_swept_and_others_are_not(world):
    commit(world, 1)
    world.close()
    frames = world.path / "frames"
    orphans = [
        frames / name
        for name in ("000001.png", "000001.depth.png", ".000002.depth.png.tmp", ".000000.png.tmp")
    ]
    strangers = [frames / name for name in ("notes.txt", "thumb.png", "1.png", ".000003.png")]
    for file in orphans + strangers:
        file.write_bytes(b"x")
    with World.open(world.path) as reader:
        assert all(file.exists() for file in orphans)
        assert reader.frame_ids() == [0]
    with World.open(world.path, writable=True) as writer:
        assert not any(file.exists() for file in orphans)
        assert all(file.exists() for file in strangers)
        assert writer.verify() == []


def test_create_refuses_a_folder_that_holds_something(tmp_path, world):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path, world.path, tmp_path / "file"):
        with pytest.raises(WorldError, match="not an empty folder"):
            World.create(place, SCENE)
    (tmp_path / "empty").mkdir()
    World.create(tmp_path / "empty", SCENE).close()
    assert sorted(os.listdir(tmp_path)) == ["deep", "empty", "file"]


def test_a_closed_world_says_so(world):
    commit(world, 1)
    world.close()
    world.close()
    assert not world.writable
    for use in (lambda: world.head, world.frames, world.pending, lambda: commit(world, 1)):
        with pytest.raises(WorldError, match=r"closed|not open"):
            use()
