"""Undo, branches and heads: what is pending where, what a head reaches, and what is gone after collecting."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from memory import _tables
from memory.boxes import Box
from memory.world import Freed, World, WorldError
from tests.memory.test_world import ORIGIN, SCENE, assert_same, commit, make_cameras, make_frames
from tests.memory.test_world_crash import failing, largest_file


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.create(tmp_path / "world", SCENE) as world:
        yield world


def grow(world: World, n: int) -> None:
    """So many chunks of a frame each."""
    for _ in range(n):
        commit(world, 1, seed=world.head or 0)


def follow(world: World, n: int) -> None:
    """So many chunks along the path that is pending."""
    for _ in range(n):
        path = world.pending()
        assert path is not None
        world.commit(make_frames(1), given=False, path=path.id, path_start=path.done, **ORIGIN)


def plan(world: World, n: int) -> int:
    return world.plan(make_cameras(n), **ORIGIN)


def progress(world: World) -> tuple[int, int] | None:
    """Which path is pending, and how many of its cameras are done."""
    path = world.pending()
    return None if path is None else (path.id, path.done)


def files(world: World) -> set[int]:
    """The frames that have pictures on the disk."""
    return {int(name.split(".")[0]) for name in os.listdir(world.path / "frames")}


def ends(world: World) -> dict[str, tuple]:
    return {head.name: (head.chunk, head.tip, head.is_current) for head in world.tree.heads()}


def test_undo_goes_back_and_redo_forward_and_nothing_is_lost(world: World):
    grow(world, 5)
    frames = world.frames()
    assert world.tree.undo(3).chunk == 1
    assert world.frame_ids() == [0, 1]
    assert world.tree.undo().chunk == 0
    assert ends(world) == {"main": (0, 4, True)}
    assert files(world) == set(range(5))
    assert world.tree.redo(2).chunk == 2
    assert world.tree.redo().chunk == 4
    assert ends(world) == {"main": (4, None, True)}
    assert_same(world.frames(), frames)
    assert world.verify() == []


@pytest.mark.parametrize("chunks", [-1, 0, 3, 2**70])
def test_the_first_view_cannot_be_undone(world: World, chunks: int):
    with pytest.raises(WorldError, match="up to 0 chunks"):
        world.tree.undo(chunks)
    grow(world, 3)
    with pytest.raises(WorldError, match="up to 2 chunks of the head main can be undone"):
        world.tree.undo(chunks)
    assert world.head == 2


@pytest.mark.parametrize("chunks", [-1, 0, 3])
def test_no_more_can_be_redone_than_was_undone(world: World, chunks: int):
    grow(world, 4)
    with pytest.raises(WorldError, match="up to 0 chunks of the head main can be redone"):
        world.tree.redo()
    world.tree.undo(2)
    with pytest.raises(WorldError, match="up to 2 chunks of the head main can be redone"):
        world.tree.redo(chunks)
    assert world.head == 1


def test_what_grows_after_undo_takes_the_place_of_what_was_undone(world: World):
    grow(world, 4)
    world.tree.undo(2)
    chunk, _ = commit(world, 1, seed=9)
    assert (chunk.id, chunk.parent, chunk.frame_ids) == (4, 1, (4,))
    assert world.frame_ids() == [0, 1, 4]
    with pytest.raises(WorldError, match="up to 0 chunks of the head main can be redone"):
        world.tree.redo()
    assert world.tree.abandoned() == [2, 3]
    assert world.tree.branch("again", at=3).chunk == 3
    assert world.frame_ids() == [0, 1, 2, 3]
    assert world.tree.abandoned() == []


def test_a_plan_after_undo_takes_the_place_of_what_was_undone(world: World):
    grow(world, 3)
    world.tree.undo()
    plan(world, 2)
    with pytest.raises(WorldError, match="up to 0 chunks of the head main can be redone"):
        world.tree.redo()


def test_a_head_grows_without_moving_the_others(world: World):
    grow(world, 4)
    world.tree.branch("west", at=1)
    grow(world, 2)
    assert world.frame_ids() == [0, 1, 4, 5]
    world.tree.switch("main")
    grow(world, 1)
    assert world.frame_ids() == [0, 1, 2, 3, 6]
    assert ends(world) == {"main": (6, None, True), "west": (5, None, False)}
    assert [chunk.parent for chunk in world.tree.chunks()] == [None, 0, 1, 2, 1, 4, 3]
    assert [chunk.id for chunk in world.chunks(to=5)] == [0, 1, 4, 5]
    with World.open(world.path) as reader:
        assert ends(reader) == ends(world)
        assert reader.frame_ids() == world.frame_ids()


def test_heads_are_renamed_and_deleted(world: World):
    grow(world, 2)
    world.tree.branch("west", at=0)
    assert world.tree.rename("west", "east").is_current
    world.tree.rename("main", "old")
    assert ends(world) == {"east": (0, None, True), "old": (1, None, False)}
    with pytest.raises(WorldError, match="current head"):
        world.tree.delete("east")
    world.tree.delete("old")
    assert ends(world) == {"east": (0, None, True)}
    assert world.tree.abandoned() == [1]


@pytest.mark.parametrize("name", ["", "a b", "-a", ".a", "a/b", "a\n", "é", "a" * 65, "\0"])
def test_names_that_would_need_quoting_are_refused(world: World, name: str):
    grow(world, 1)
    for use in (lambda: world.tree.branch(name, at=0), lambda: world.tree.rename("main", name)):
        with pytest.raises(WorldError, match="a head is named by"):
            use()
    assert ends(world) == {"main": (0, None, True)}


def test_heads_and_chunks_that_do_not_exist_are_refused(world: World):
    grow(world, 2)
    tree = world.tree
    for use in (lambda: tree.switch("x"), lambda: tree.rename("x", "y"), lambda: tree.delete("x")):
        with pytest.raises(WorldError, match=r"no head 'x'; its heads are main"):
            use()
    for chunk in (2, -1, 2**70):
        with pytest.raises(WorldError, match=f"no chunk {chunk}"):
            tree.branch("y", at=chunk)
        with pytest.raises(WorldError, match=f"no chunk {chunk}"):
            world.chunks(to=chunk)
    with pytest.raises(WorldError, match="has a head main already"):
        tree.branch("main", at=0)
    with pytest.raises(WorldError, match="has a head main already"):
        tree.rename("main", "main")
    assert ends(world) == {"main": (1, None, True)}


def test_a_reader_changes_nothing(world: World):
    grow(world, 2)
    with World.open(world.path) as reader:
        tree = reader.tree
        uses = (
            tree.undo,
            tree.redo,
            tree.collect,
            lambda: tree.branch("x", at=0),
            lambda: tree.switch("main"),
            lambda: tree.rename("main", "x"),
            lambda: tree.delete("main"),
        )
        for use in uses:
            with pytest.raises(WorldError, match="not open for writing"):
                use()
        assert ends(reader) == {"main": (1, None, True)}


def test_undo_into_a_path_makes_its_next_camera_pending(world: World):
    grow(world, 1)
    first = plan(world, 4)
    follow(world, 4)
    second = plan(world, 3)
    follow(world, 2)
    assert progress(world) == (second, 2)
    world.tree.undo()
    assert progress(world) == (second, 1)
    world.tree.undo()
    assert progress(world) == (second, 0), "it was planned here and superseded the first"
    world.tree.undo()
    assert progress(world) == (first, 3)
    world.tree.undo(3)
    assert progress(world) == (first, 0)
    world.tree.redo(5)
    assert progress(world) == (second, 1)
    follow(world, 2)
    assert world.pending() is None


def test_a_path_of_one_head_does_not_come_back_on_another(world: World):
    grow(world, 1)
    first = plan(world, 5)
    follow(world, 2)
    second = plan(world, 3)
    world.tree.branch("west", at=2)
    assert progress(world) == (first, 2), "the second was planned at this very chunk, but on main"
    third = plan(world, 2)
    world.tree.switch("main")
    assert progress(world) == (second, 0)
    follow(world, 3)
    assert world.pending() is None
    world.tree.switch("west")
    assert progress(world) == (third, 0)
    world.tree.branch("north", at=1)
    assert progress(world) == (first, 1)
    world.tree.branch("south", at=0)
    assert world.pending() is None


def test_a_path_that_was_abandoned_stays_abandoned(world: World):
    grow(world, 1)
    old = plan(world, 3)
    follow(world, 2)
    world.tree.undo(2)
    new = plan(world, 2)
    follow(world, 2)
    assert world.pending() is None
    world.tree.undo()
    assert progress(world) == (new, 1)
    world.tree.collect()
    assert progress(world) == (new, 1)
    assert old < new


def test_plans_follow_a_head_to_its_new_name_and_go_with_it(world: World):
    grow(world, 1)
    path = plan(world, 2)
    world.tree.rename("main", "north")
    assert progress(world) == (path, 0)
    world.tree.branch("main", at=0)
    assert world.pending() is None
    world.tree.delete("north")
    world.tree.branch("north", at=0)
    assert world.pending() is None


def test_a_chunk_cannot_follow_a_path_of_another_branch(world: World):
    grow(world, 3)
    path = plan(world, 2)
    world.tree.branch("west", at=0)
    with pytest.raises(WorldError, match="begins on another branch"):
        world.commit(make_frames(1), given=False, path=path, **ORIGIN)
    assert world.frame_ids() == [0]


def test_collecting_deletes_what_no_head_reaches_and_nothing_else(world: World):
    grow(world, 3)
    world.tree.branch("west", at=0)
    plan(world, 2)
    follow(world, 2)
    world.tree.undo(2)
    world.tree.switch("main")
    frames = world.frames()
    size = sum(
        file.stat().st_size for file in (world.path / "frames").iterdir() if int(file.name[:6]) in (3, 4)
    )
    expected = Freed(chunks=2, frames=2, bytes=size)
    with World.open(world.path) as reader:
        assert reader.tree.waste() == expected
    assert world.tree.waste() == expected
    assert files(world) == {0, 1, 2, 3, 4}
    assert world.tree.collect() == expected
    assert world.tree.collect() == Freed(chunks=0, frames=0, bytes=0)
    assert files(world) == {0, 1, 2}
    assert ends(world) == {"main": (2, None, True), "west": (0, None, False)}
    assert_same(world.frames(), frames)
    assert world.verify() == []
    commit(world, 1)
    assert world.frame_ids()[-1] == 5, "numbers of deleted frames are not used again"
    assert world.head == 5


def test_collecting_after_undo_forgets_redo_unless_another_head_keeps_it(world: World):
    grow(world, 4)
    world.tree.branch("west", at=3)
    world.tree.switch("main")
    world.tree.undo(2)
    world.tree.collect()
    assert world.tree.redo().chunk == 3
    world.tree.delete("west")
    world.tree.undo(2)
    world.tree.collect()
    assert ends(world) == {"main": (1, None, True)}
    with pytest.raises(WorldError, match="up to 0 chunks of the head main can be redone"):
        world.tree.redo()


def test_files_derived_at_a_deleted_chunk_go_with_it_and_others_stay(world: World, tmp_path: Path):
    grow(world, 3)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "000002.ply").write_bytes(b"mine")
    (world.path / "splats").symlink_to(tmp_path / "elsewhere")
    (world.path / "cache").mkdir()
    for name in ("000001.bin", "000002.bin", "notes.txt", "2.bin"):
        (world.path / "cache" / name).write_bytes(b"derived")
    world.tree.undo()
    assert world.tree.waste().bytes == world.tree.collect().bytes > len(b"derived")
    assert sorted(os.listdir(world.path / "cache")) == ["000001.bin", "2.bin", "notes.txt"]
    assert (tmp_path / "elsewhere" / "000002.ply").exists()


@pytest.mark.parametrize("step", range(5))
def test_collecting_that_is_killed_among_the_files_is_finished_at_the_next_opening(
    world: World, monkeypatch, step: int
):
    grow(world, 4)
    (world.path / "cache").mkdir()
    (world.path / "cache" / "000003.bin").write_bytes(b"derived")
    world.tree.undo(2)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", failing(Path.unlink, after=2 * step, error=KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            world.tree.collect()
    world.close()
    with World.open(world.path, writable=True) as again:
        assert again.tree.abandoned() == []
        assert files(again) == {0, 1}
        assert os.listdir(again.path / "cache") == []
        assert again.verify() == []


@pytest.mark.parametrize("table", ["chunks", "frames", "paths", "events", "heads"])
def test_collecting_that_fails_in_its_transaction_changes_nothing(world: World, table: str):
    grow(world, 2)
    plan(world, 2)
    follow(world, 2)
    world.remove(Box(low=(0.0, 0.0, 0.0), high=(1.0, 1.0, 1.0)), settings={})
    world.tree.undo(4)
    before = (world.tree.whole(), files(world), ends(world))
    with world._index.transaction() as db:
        verb = "UPDATE" if table == "heads" else "DELETE"
        db.execute(f"CREATE TEMP TRIGGER t BEFORE {verb} ON {table} BEGIN SELECT RAISE(FAIL, 'full'); END")
    with pytest.raises(WorldError, match="the world is as it was"):
        world.tree.collect()
    assert (world.tree.whole(), files(world), ends(world)) == before
    assert world.tree.abandoned() == [1, 2, 3, 4]


def test_a_disk_that_is_full_refuses_undo_and_branch_and_changes_nothing(world: World):
    grow(world, 3)
    before = ends(world)
    with largest_file((world.path / "world.db-wal").stat().st_size):
        for use in (world.tree.undo, lambda: world.tree.branch("x", at=0)):
            with pytest.raises(WorldError, match="the world is as it was"):
                use()
    assert ends(world) == before
    world.tree.undo()


class Model:
    """The tree as plain Python, changed step by step beside a world: the oracle for what that says."""

    verbs = ("grow", "grow", "grow", "undo", "redo", "branch", "switch", "delete", "collect")

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.rng, self.born = world, random.Random(seed), 0
        self.parents: dict[int, int | None] = {}
        self.heads: dict[str, tuple[int | None, int | None]] = {"main": (None, None)}
        self.current = "main"

    def chain(self, chunk: int | None) -> list[int]:
        found = []
        while chunk is not None:
            found.append(chunk)
            chunk = self.parents[chunk]
        return found[::-1]

    def reached(self) -> set[int]:
        return {chunk for end, _ in self.heads.values() for chunk in self.chain(end)}

    def step(self) -> None:
        verb = self.rng.choice(self.verbs) if self.parents else "grow"
        getattr(self, verb)()

    def grow(self) -> None:
        commit(self.world, 1, seed=self.born)
        self.parents[self.born] = self.heads[self.current][0]
        self.heads[self.current] = (self.born, None)
        self.born += 1

    def undo(self) -> None:
        end, tip = self.heads[self.current]
        chain = self.chain(end)
        if len(chain) > 1:
            count = self.rng.randrange(1, len(chain))
            self.world.tree.undo(count)
            self.heads[self.current] = (chain[-1 - count], end if tip is None else tip)

    def redo(self) -> None:
        tip = self.heads[self.current][1]
        if tip is not None:
            self.world.tree.redo()
            self.heads[self.current] = (tip, None)

    def branch(self) -> None:
        at, name = self.rng.choice(sorted(self.parents)), f"b{self.rng.getrandbits(30)}"
        self.world.tree.branch(name, at=at)
        self.heads[name], self.current = (at, None), name

    def switch(self) -> None:
        self.current = self.rng.choice(sorted(self.heads))
        self.world.tree.switch(self.current)

    def delete(self) -> None:
        others = sorted(set(self.heads) - {self.current})
        if others:
            name = self.rng.choice(others)
            self.world.tree.delete(name)
            del self.heads[name]

    def collect(self) -> None:
        self.world.tree.collect()
        kept = self.reached()
        self.parents = {chunk: parent for chunk, parent in self.parents.items() if chunk in kept}
        self.heads = {name: (end, tip if tip in kept else None) for name, (end, tip) in self.heads.items()}
        assert files(self.world) == kept


@pytest.mark.parametrize("seed", range(4))
def test_a_long_life_of_undo_branches_and_collecting_is_what_a_plain_model_says(world: World, seed: int):
    model = Model(world, seed)
    with World.open(world.path) as reader:
        for _ in range(50):
            model.step()
            for view in (world, reader):
                assert view.frame_ids() == model.chain(model.heads[model.current][0])
                assert {chunk.id: chunk.parent for chunk in view.tree.chunks()} == model.parents
                assert set(view.tree.abandoned()) == set(model.parents) - model.reached()
                assert ends(view) == {
                    name: (*where, name == model.current) for name, where in model.heads.items()
                }
    assert world.verify() == []


def test_what_a_reader_asks_for_is_of_one_moment(world: World, monkeypatch):
    """Between the reader's two queries the writer goes back and deletes what the first one named."""
    grow(world, 4)
    ask = _tables.chunks_to

    def ask_late(index, end):
        if index is not world._index and end == 3:
            world.tree.undo(2)
            world.tree.collect()
        return ask(index, end)

    with World.open(world.path) as reader:
        monkeypatch.setattr(_tables, "chunks_to", ask_late)
        assert [chunk.id for chunk in reader.chunks()] == [0, 1, 2, 3]
        assert [chunk.id for chunk in reader.chunks()] == [0, 1]


def test_pictures_that_were_deleted_while_they_were_asked_for_are_said_to_be_gone(world: World, monkeypatch):
    grow(world, 3)
    ask = _tables.frame_records

    def ask_early(index, ids):
        records = ask(index, ids)
        if index is not world._index and world.head == 2:
            world.tree.undo()
            world.tree.collect()
        return records

    with World.open(world.path) as reader:
        monkeypatch.setattr(_tables, "frame_records", ask_early)
        with pytest.raises(WorldError, match="holds no frame 2"):
            reader.frames([2])


def test_readers_see_whole_branches_while_a_writer_undoes_and_collects(world: World):
    grow(world, 2)

    def churn() -> None:
        for _ in range(30):
            grow(world, 2)
            world.tree.undo(2)
            world.tree.collect()

    def look(_: int) -> None:
        with World.open(world.path) as reader:
            for _ in range(60):
                ids = [chunk.id for chunk in reader.chunks()]
                assert ids[:2] == [0, 1]
                assert len(ids) <= 4
                chunks, heads = reader.tree.whole()
                assert {head.chunk for head in heads} <= {chunk.id for chunk in chunks}

    with ThreadPoolExecutor(3) as pool:
        work = [pool.submit(churn), *(pool.submit(look, number) for number in range(2))]
        for each in work:
            each.result()
    assert world.verify() == []
