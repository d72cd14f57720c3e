"""The world folder loses nothing: killed at any moment, refused by the disk at any step.

Run as a script, this file is the process that gets killed: it forks one writer for each line it reads.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import memory.world
from memory import _seals
from memory.boxes import Box
from memory.points import Points
from memory.world import PLACE, NotWrittenError, World, WorldError, quantised
from render.frames import concatenated
from tests.memory.test_world import ORIGIN, SCENE, assert_same, commit, make_frames

KILLS = 20
LONGEST_DELAY_S = 0.03
WRITE_STEPS = [("replace", step) for step in range(4)] + [("fsync", step) for step in range(5)]
"""Two frames are four files: each is synced and renamed, then their folder is synced."""


def frames_numbered(ids: range):
    """Frames that anyone can tell from their numbers alone."""
    return concatenated([make_frames(1, seed=number) for number in ids])


def say(word: str, number: int) -> None:
    sys.stdout.write(f"{word} {number}\n")
    sys.stdout.flush()


def grow_forever(folder: str) -> None:
    with World.open(folder, writable=True) as world:
        while True:
            first = len(world.frame_ids())
            ids = range(first, first + 1 + first % 3)
            world.commit(frames_numbered(ids), given=False, **ORIGIN)
            say("committed", ids.stop)


def prune_forever(folder: str) -> None:
    """Grow two frames, undo them one after the other, and delete what was undone."""
    with World.open(folder, writable=True) as world:
        while True:
            first = world._store.free_ids(2)[0]
            for number in (first, first + 1):
                world.commit(frames_numbered(range(number, number + 1)), given=False, **ORIGIN)
            world.tree.undo(1 + first % 2)
            world.tree.collect()
            say("committed", len(world.frame_ids()))


def edit_forever(folder: str) -> None:
    """Place a surface, remove a box, place another, undo that, delete what was undone, and so on."""
    with World.open(folder, writable=True) as world:
        while True:
            number = world._store.free_edit_id()
            world.place(surface_numbered(number), settings={})
            world.remove(Box(low=(0.0, 0.0, 0.0), high=(1.0, 1.0, 1.0)), settings={})
            world.place(surface_numbered(number + 2), settings={})
            world.tree.undo(1 + number % 2)
            world.tree.collect()
            say("committed", len(world.chunks()))


def surface_numbered(number: int) -> Points:
    """Points that anyone can tell from the number of their edit alone."""
    rng = torch.Generator().manual_seed(number)
    n = 500 + number % 7
    return Points(
        positions=torch.rand(n, 3, generator=rng),
        rgb=torch.rand(n, 3, generator=rng),
        normals=torch.zeros(n, 3),
        confidence=torch.ones(n),
        axes=torch.rand(n, 2, 3, generator=rng),
        source=torch.zeros(n, dtype=torch.int64),
    )


def create_forever(folder: str) -> None:
    for number in range(10_000):
        World.create(Path(folder) / f"{number}", SCENE).close()
        say("created", number)


def serve() -> None:
    """Fork a child for each line "VERB FOLDER", say its number, and say when it is gone."""
    work = {"grow": grow_forever, "prune": prune_forever, "edit": edit_forever, "create": create_forever}
    for line in sys.stdin:
        verb, folder = line.rstrip("\n").split(" ", 1)
        child = os.fork()
        if child == 0:
            work[verb](folder)
        say("child", child)
        os.waitpid(child, 0)
        say("gone", child)


@pytest.fixture(scope="module")
def server():
    """The process that forks; it imports torch once for all of its children."""
    root = Path(memory.world.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )
    with process:
        yield process
        process.stdin.close()


def killed(server: subprocess.Popen, *, task: str, after: int, delay_s: float) -> int:
    """Start a child, kill it in its work on item ``after``, and return the last it was sure of, or -1."""
    server.stdin.write(f"{task}\n")
    server.stdin.flush()
    child, sure = 0, -1
    while (words := server.stdout.readline().split())[0] != "gone":
        if words[0] == "child":
            child = int(words[1])
        else:
            sure, after = int(words[1]), after - 1
        if after == 0:
            time.sleep(delay_s)
            os.kill(child, signal.SIGKILL)
    return sure


def moment(rng: random.Random) -> dict:
    return {"after": rng.randrange(3), "delay_s": rng.uniform(0.0, LONGEST_DELAY_S)}


def test_a_killed_writer_loses_nothing_it_had_committed(tmp_path, server):
    folder, rng = tmp_path / "world", random.Random(0)
    World.create(folder, SCENE).close()
    known = 0
    for _ in range(KILLS):
        sure = killed(server, task=f"grow {folder}", **moment(rng))
        with World.open(folder, writable=True) as world:
            ids = world.frame_ids()
            assert ids == list(range(len(ids)))
            assert len(ids) >= max(sure, known)
            assert world.verify() == []
            if len(ids) > known:
                new = range(known, len(ids))
                assert_same(world.frames(list(new)), quantised(frames_numbered(new)))
            chunk, _ = world.commit(frames_numbered(range(len(ids), len(ids) + 1)), given=False, **ORIGIN)
            assert chunk.frame_ids == (len(ids),)
            known = len(ids) + 1
            files = sorted(os.listdir(folder / "frames"))
            assert len(files) == 2 * known
            assert files[0] == "000000.depth.png"


def test_a_writer_killed_while_it_deletes_loses_nothing_that_a_head_reaches(tmp_path, server):
    folder, rng = tmp_path / "world", random.Random(2)
    with World.create(folder, SCENE) as world:
        world.commit(frames_numbered(range(1)), given=False, **ORIGIN)
    known = [0]
    for _ in range(KILLS):
        sure = killed(server, task=f"prune {folder}", **moment(rng))
        with World.open(folder) as reader:
            assert reader.frame_ids()[: len(known)] == known
        with World.open(folder, writable=True) as world:
            assert len(world.frame_ids()) >= sure
            assert world.verify() == []
            frames = [frames_numbered(range(number, number + 1)) for number in world.frame_ids()]
            assert_same(world.frames(), quantised(concatenated(frames)))
            known = world.frame_ids()
            files = {int(name.split(".")[0]) for name in os.listdir(folder / "frames")}
            assert files == {number for chunk in world.tree.chunks() for number in chunk.frame_ids}


def test_a_killed_editor_loses_no_edit_and_leaves_no_file(tmp_path, server):
    folder, rng = tmp_path / "world", random.Random(3)
    with World.create(folder, SCENE) as world:
        world.commit(frames_numbered(range(1)), given=False, **ORIGIN)
    known = []
    for _ in range(KILLS // 2):
        sure = killed(server, task=f"edit {folder}", **moment(rng))
        with World.open(folder, writable=True) as world:
            chunks = world.chunks()
            assert len(chunks) >= sure
            assert chunks[: len(known)] == known
            assert world.verify() == []
            edits = [chunk.edit for chunk in world.tree.chunks() if chunk.edit is not None]
            for edit in edits[-3:]:
                if edit.kind == PLACE:
                    assert torch.equal(world.placed(edit).positions, surface_numbered(edit.id).positions)
            placed = [f"{edit.id:06d}.ply" for edit in edits if edit.kind == PLACE]
            files = sorted(os.listdir(folder / "edits")) if (folder / "edits").exists() else []
            assert files == placed
            known = chunks


def test_a_kill_while_creating_leaves_a_world_or_room_for_one(tmp_path, server):
    rng = random.Random(1)
    for attempt in range(8):
        place = tmp_path / f"{attempt}"
        place.mkdir()
        sure = killed(server, task=f"create {place}", **moment(rng))
        names = [path.name for path in place.iterdir() if not path.name.startswith(".")]
        assert len(names) >= sure + 1
        for name in names:
            with World.open(place / name, writable=True) as world:
                assert (world.head, world.scene) == (None, SCENE)
        with World.create(place / f"{len(names)}", SCENE) as world:
            commit(world, 1)
        assert not [path for path in place.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "^C"]
)
@pytest.mark.parametrize(("call", "step"), WRITE_STEPS)
def test_a_failure_at_any_step_of_writing_leaves_the_old_world(tmp_path, monkeypatch, call, step, error):
    with World.create(tmp_path / "world", SCENE) as world:
        commit(world, 1)
        before = state(world)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing(getattr(os, call), after=step, error=error))
            with pytest.raises(NotWrittenError if isinstance(error, OSError) else KeyboardInterrupt):
                commit(world, 2, seed=1)
        assert state(world) == before
        chunk, _ = commit(world, 2, seed=1)
        assert chunk.frame_ids == (1, 2)
        assert world.verify() == []


@pytest.mark.parametrize(("module", "name"), [(json, "dumps"), (_seals, "_digest")])
def test_an_interruption_within_the_transaction_leaves_the_old_world(tmp_path, monkeypatch, module, name):
    """The settings are written as JSON once at the door, and once more inside the transaction.

    Seals are computed in triggers, and SQLite reports whatever is raised in one as an error of its own:
    it must not be taken for a full disk.
    """
    with World.create(tmp_path / "world", SCENE) as world:
        commit(world, 1)
        before = world.chunks()
        with monkeypatch.context() as patch:
            error = KeyboardInterrupt()
            patch.setattr(module, name, failing(getattr(module, name), after=1, error=error))
            with pytest.raises(KeyboardInterrupt):
                commit(world, 2)
        assert (world.chunks(), world.verify()) == (before, [])
        commit(world, 2)
    with World.open(tmp_path / "world") as reader:
        assert len(reader.frame_ids()) == 3


def failing(call, *, after: int, error: BaseException):
    calls = iter(range(after))

    def fail(*args, **kwargs):
        if next(calls, None) is None:
            raise error
        return call(*args, **kwargs)

    return fail


def state(world: World) -> tuple:
    """All that a world says of itself, and the names of its files."""
    return world.chunks(), world.pending(), sorted(os.listdir(world.path / "frames")), world.verify()


@contextmanager
def largest_file(size: int):
    """A disk that takes no longer files than this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_refuses_the_pictures_leaves_the_old_world(tmp_path):
    with World.create(tmp_path / "world", SCENE) as world:
        commit(world, 1)
        before = state(world)
        with largest_file(50), pytest.raises(NotWrittenError, match="too large"):
            commit(world, 2)
        assert state(world) == before
        commit(world, 2)


def test_a_disk_that_refuses_the_transaction_leaves_the_old_world(tmp_path):
    """The pictures fit and the index does not, until it may grow again."""
    with World.create(tmp_path / "world", SCENE) as world:
        commit(world, 1)
        chunks = world.chunks()
        with largest_file((world.path / "world.db-wal").stat().st_size):
            with pytest.raises(WorldError, match="the world is as it was"):
                commit(world, 2)
            with pytest.raises(WorldError, match="the world is as it was"):
                world.plan(make_frames(1).cameras, **ORIGIN)
        assert (world.chunks(), world.pending(), world.verify()) == (chunks, None, [])
        chunk, frames = commit(world, 2, seed=3)
        assert chunk.frame_ids == (3, 4), "a power cut may yet complete what failed; its pictures must stay"
        assert len(os.listdir(world.path / "frames")) == 2 * 5
    with World.open(tmp_path / "world", writable=True) as again:
        assert_same(again.frames(chunk.frame_ids), frames)
        assert len(os.listdir(again.path / "frames")) == 2 * 3
        assert again.verify() == []


def test_a_transaction_that_a_power_cut_completes_still_finds_its_pictures(tmp_path):
    """Copies the folder as a power cut would leave it, the log written and the writer unaware."""
    with World.create(tmp_path / "world", SCENE) as world:
        commit(world, 1)
        commit(world, 2, seed=1)
        shutil.copytree(world.path, tmp_path / "copy", ignore=shutil.ignore_patterns("*-shm", "*.lock"))
    with World.open(tmp_path / "copy", writable=True) as copy:
        assert copy.frame_ids() == [0, 1, 2]
        assert copy.verify() == []


def test_what_a_killed_create_left_is_not_taken_from_one_who_is_still_creating(tmp_path):
    building = tmp_path / ".world.creating"
    with World.create(building, SCENE), pytest.raises(WorldError, match="another process"):
        World.create(tmp_path / "world", SCENE)
    World.create(tmp_path / "world", SCENE).close()
    assert not building.exists()


if __name__ == "__main__":
    serve()
