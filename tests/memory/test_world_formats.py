"""Worlds of older formats: nothing is lost, nothing is altered by looking, and an upgrade is all or nothing.

``data/world-format-1.zip`` was written by the code of format 1: frame 0 given; a path of four cameras, two
of them done; a newer path of three cameras, one of them done.
"""

from __future__ import annotations

import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
import torch

from memory import _schema, _seals
from memory.world import FORMAT, World, WorldError, quantised
from render.frames import concatenated
from tests.memory.test_world import ORIGIN, SCENE, assert_same, commit, make_cameras, make_frames
from tests.memory.test_world_hostile import contents

OLD = Path(__file__).parent / "data" / "world-format-1.zip"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the world of format 1."""
    with zipfile.ZipFile(OLD) as packed:
        packed.extractall(tmp_path)
    return tmp_path / "world"


def assert_whole(world: World) -> None:
    """Everything that was put into the old world is there, and nothing else."""
    first, *imagined = world.chunks()
    assert [(chunk.id, chunk.parent, chunk.frame_ids) for chunk in world.chunks()] == [
        (0, None, (0,)),
        (1, 0, (1, 2)),
        (2, 1, (3,)),
    ]
    assert first.given
    assert [(chunk.path, chunk.path_start) for chunk in imagined] == [(0, 0), (1, 0)]
    assert first.created == "2026-01-31T12:00:00+00:00"
    assert all(chunk.settings == ORIGIN["settings"] for chunk in world.chunks())
    expected = [
        quantised(make_frames(1, seed=1), given=True),
        quantised(make_frames(2, seed=2)),
        quantised(make_frames(1, seed=3)),
    ]
    assert_same(world.frames(), concatenated(expected))
    pending = world.pending()
    assert pending is not None
    assert (pending.id, pending.done, len(pending.cameras)) == (1, 1, 3)
    assert torch.equal(pending.cameras.c2w, make_cameras(3, seed=3).c2w)
    assert world.scene == SCENE
    assert world.verify() == []
    assert [(head.name, head.chunk, head.tip, head.is_current) for head in world.tree.heads()] == [
        ("main", 2, None, True)
    ]


def version(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "world.db")) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def test_an_old_world_is_read_as_it_is_and_not_altered(old: Path):
    before = contents(old)
    with World.open(old) as world:
        assert_whole(world)
        with pytest.raises(WorldError, match="not open for writing"):
            world.tree.undo()
    assert contents(old) == before


def test_opening_an_old_world_for_writing_upgrades_it_and_loses_nothing(old: Path, tmp_path: Path):
    World.create(tmp_path / "new", SCENE).close()
    pictures = contents(old / "frames")
    with World.open(old, writable=True) as world:
        assert_whole(world)
        assert contents(old / "frames") == pictures
    assert version(old) == FORMAT
    with (
        closing(sqlite3.connect(old / "world.db")) as db,
        closing(sqlite3.connect(tmp_path / "new/world.db")) as new,
    ):
        assert db.execute(_schema.TABLES).fetchall() == new.execute(_schema.TABLES).fetchall()
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    with World.open(old) as reader:
        assert_whole(reader)


def test_a_world_of_the_second_format_is_read_as_it_is_and_sealed_by_its_next_writer(old: Path):
    with closing(sqlite3.connect(old / "world.db", isolation_level=None)) as db:
        for statement in (*_schema.UPGRADES[2], "PRAGMA user_version = 2"):
            db.execute(statement)
    before = contents(old)
    with World.open(old) as world:
        assert_whole(world)
    assert contents(old) == before
    with World.open(old, writable=True) as world:
        assert_whole(world)
    assert version(old) == FORMAT
    with closing(sqlite3.connect(old / "world.db", isolation_level=None)) as db:
        db.execute("UPDATE paths SET seed = seed + 1")
    with pytest.raises(WorldError, match="table paths does not hold what was committed"):
        World.open(old)


def test_a_world_of_the_third_format_is_checked_as_it_was_sealed_and_learns_to_record_costs(old: Path):
    with closing(sqlite3.connect(old / "world.db", isolation_level=None)) as db:
        for statement in (*_schema.UPGRADES[2], *_schema.UPGRADES[3], "PRAGMA user_version = 3"):
            db.execute(statement)
        seals = [(table, _seals._seal_of(db, table)) for table, since in _seals.SEALED.items() if since <= 3]
        db.executemany("INSERT INTO seals (name, seal) VALUES (?, ?)", seals)
    before = contents(old)
    with World.open(old) as world:
        assert_whole(world)
        assert {chunk.cost for chunk in world.chunks()} == {None}
    assert contents(old) == before
    with World.open(old, writable=True) as world:
        assert_whole(world)
        commit(world, 1)
    with World.open(old) as world:
        assert [chunk.cost is None for chunk in world.chunks()] == [True, True, True, False]
    with closing(sqlite3.connect(old / "world.db", isolation_level=None)) as db:
        db.execute("UPDATE costs SET memory_bytes = memory_bytes + 1")
    with pytest.raises(WorldError, match="table costs does not hold what was committed"):
        World.open(old)


def test_an_upgraded_world_grows_on_where_the_old_one_stopped(old: Path):
    with World.open(old, writable=True) as world:
        chunk, _ = world.commit(make_frames(2, seed=9), given=False, path=1, path_start=1, **ORIGIN)
        assert (chunk.id, chunk.parent, chunk.frame_ids) == (3, 2, (4, 5))
        assert world.pending() is None
        world.tree.undo(2)
        pending = world.pending()
        assert pending is not None
        assert (pending.id, pending.done) == (1, 0), "the newer path had begun at this chunk"
        world.tree.undo()
        pending = world.pending()
        assert pending is not None
        assert (pending.id, pending.done) == (0, 0)
        assert world.frame_ids() == [0]


def test_a_reader_follows_the_upgrade_by_a_writer(old: Path):
    with World.open(old) as reader:
        assert reader.frame_ids() == [0, 1, 2, 3]
        with World.open(old, writable=True) as writer:
            assert_whole(reader)
            writer.tree.undo()
            assert reader.frame_ids() == [0, 1, 2]
            assert reader.tree.current.tip == 2


def test_a_reader_that_follows_the_log_of_an_old_world_follows_its_upgrade(old: Path):
    with closing(sqlite3.connect(old / "world.db", isolation_level=None)) as other:
        other.execute("UPDATE meta SET value = value")
        assert (old / "world.db-wal").exists()
        with World.open(old) as reader, World.open(old, writable=True) as writer:
            assert_whole(reader)
            writer.tree.undo()
            assert reader.frame_ids() == [0, 1, 2]
            assert reader.tree.current.tip == 2


STATEMENTS = [
    (to, number) for to, statements in _schema.UPGRADES.items() for number in range(len(statements))
]


@pytest.mark.parametrize(("to", "statement"), STATEMENTS)
def test_an_upgrade_that_fails_anywhere_leaves_the_old_world(old: Path, monkeypatch, to: int, statement: int):
    before = contents(old / "frames")
    with monkeypatch.context() as patch:
        broken = list(_schema.UPGRADES[to])
        broken[statement] = "INSERT INTO nowhere VALUES (1)"
        patch.setitem(_schema.UPGRADES, to, tuple(broken))
        with pytest.raises(WorldError, match="the world is as it was"):
            World.open(old, writable=True)
    assert version(old) == 1
    assert contents(old / "frames") == before
    with World.open(old) as reader:
        assert_whole(reader)
    with World.open(old, writable=True) as writer:
        assert_whole(writer)


def test_a_newer_format_that_is_still_in_the_log_is_refused(tmp_path: Path):
    with World.create(tmp_path / "w", SCENE) as world:
        commit(world, 1)
    with closing(sqlite3.connect(tmp_path / "w" / "world.db", isolation_level=None)) as newer:
        newer.execute(f"PRAGMA user_version = {FORMAT + 1}")
        for writable in (False, True):
            with pytest.raises(WorldError, match="update worldgen"):
                World.open(tmp_path / "w", writable=writable)
