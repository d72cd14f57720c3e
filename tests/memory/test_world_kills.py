"""Five hundred kills: at every step of every change of a world, inside SQLite's commit, and at random.

A story is a row of changes. The child that goes through it says when each is done and is killed by
SIGKILL on the way; what is found then is the world as it was after that many changes, or after one more.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from memory.world import World
from tests.memory.test_world import ORIGIN, SCENE, make_cameras, make_frames
from tests.memory.test_world_formats import OLD

pytestmark = pytest.mark.slow

KILLS = 500
LONGEST_COMMIT_S = 0.004
CREATED = "2026-01-31T12:00:00+00:00"

Change = Callable[[World], object]


def committed(count: int, *, seed: int, **path: int) -> Change:
    frames = make_frames(count, seed=seed)
    return lambda world: world.commit(frames, given=False, created=CREATED, **ORIGIN, **path)


def planned(world: World) -> object:
    return world.plan(make_cameras(3, seed=5), **ORIGIN)


STORIES: dict[str, list[Change]] = {
    "grow": [
        committed(1, seed=1),
        planned,
        committed(2, seed=2, path=0, path_start=0),
        committed(1, seed=3, path=0, path_start=2),
    ],
    "heads": [
        committed(1, seed=1),
        committed(1, seed=2),
        lambda world: world.tree.undo(),
        lambda world: world.tree.redo(),
        lambda world: world.tree.branch("west", at=0),
        lambda world: world.tree.rename("west", "east"),
        lambda world: world.tree.switch("main"),
        lambda world: world.tree.delete("east"),
    ],
    "collect": [
        committed(1, seed=1),
        committed(2, seed=2),
        lambda world: world.tree.undo(),
        committed(1, seed=3),
        lambda world: world.tree.collect(),
        committed(1, seed=4),
    ],
    "upgrade": [lambda world: world.tree.undo(), committed(1, seed=4)],
}


def prepared(story: str, folder: Path) -> None:
    """The world that a story begins with."""
    if story == "upgrade":
        with zipfile.ZipFile(OLD) as packed:
            packed.extractall(folder.parent / "unpacked")
        (folder.parent / "unpacked" / "world").replace(folder)
    else:
        World.create(folder, SCENE).close()


def state(folder: Path) -> tuple:
    """All that can be seen of a world, read by one who only reads."""
    with World.open(folder) as world:
        chunks, heads = world.tree.whole()
        pending = world.pending()
        path = None if pending is None else (pending.id, pending.done, pending.cameras.c2w.tolist())
        frames = [number for chunk in chunks for number in chunk.frame_ids]
        digest = hashlib.sha256()
        if frames:
            found = world.frames(frames)
            for tensor in (found.rgb, found.depth, found.valid, found.cameras.c2w, found.cameras.K):
                digest.update(tensor.numpy().tobytes())
        assert world.verify() == []
        return chunks, heads, path, digest.digest()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def trace_statements(callback: Callable[[str], None]) -> None:
    """Show every statement of SQLite before it runs; the process has not long to live."""
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        db = connect(*arguments, **options)
        db.set_trace_callback(callback)
        return db

    sqlite3.connect = traced


def die_at(step: int) -> None:
    """Die before the step of this number: a file opened, renamed or deleted, a statement, a sync."""
    steps, sync = iter(range(step)), os.fsync

    def count(*_: object) -> None:
        if next(steps, None) is None:
            die()

    def counted_sync(handle: int) -> None:
        count()
        sync(handle)

    def look(event: str, _: tuple) -> None:
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            count()

    os.fsync = counted_sync
    sys.addaudithook(look)
    trace_statements(count)


def die_in_commit(number: int, delay_s: float) -> None:
    """Die so long after the start of a commit of SQLite: a timer that nobody handles is a kill."""
    commits = iter(range(number))

    def arm(statement: str) -> None:
        if statement == "COMMIT" and next(commits, None) is None:
            signal.setitimer(signal.ITIMER_REAL, delay_s)

    trace_statements(arm)


def killed(folder: Path, changes: list[Change], death: Callable[[], None]) -> tuple[bool, int]:
    """Whether a child died on its way through a story, and how many changes it was sure of."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)
            death()
            with World.open(folder, writable=True) as world:
                for change in changes:
                    change(world)
                    os.write(tell, b".")
            os._exit(0)
        finally:
            os._exit(1)
    os.close(tell)
    with os.fdopen(told, "rb") as answers:
        sure = len(answers.read())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL, -signal.SIGALRM)
    return status != 0, sure


def states_of(story: str, place: Path) -> list[tuple]:
    """What is seen before each change of a story that nobody disturbs, and after the last."""
    place.mkdir()
    prepared(story, place / "w")
    states = [state(place / "w")]
    for change in STORIES[story]:
        with World.open(place / "w", writable=True) as world:
            change(world)
        states.append(state(place / "w"))
    return states


def assert_nothing_lost(folder: Path, states: list[tuple], sure: int) -> None:
    """It is the world of that moment or of the next, to a reader and to the next writer, who goes on."""
    found = state(folder)
    assert found in states[sure : sure + 2]
    with World.open(folder, writable=True) as world:
        files = {int(name.split(".")[0]) for name in os.listdir(folder / "frames")}
        assert files == {number for chunk in world.tree.chunks() for number in chunk.frame_ids}
    assert state(folder) == found
    with World.open(folder, writable=True) as world:
        chunk, _ = world.commit(make_frames(1, seed=9), given=False, **ORIGIN)
    with World.open(folder) as world:
        assert world.chunks()[-1] == chunk
        assert world.verify() == []


def test_five_hundred_kills_lose_nothing_and_alter_nothing(tmp_path: Path):
    rng, kills, in_commit = random.Random(0), 0, 0
    stories = {name: states_of(name, tmp_path / name) for name in STORIES}
    folder = tmp_path / "w"

    def one(name: str, death: Callable[[], None]) -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        prepared(name, folder)
        is_dead, sure = killed(folder, STORIES[name], death)
        assert_nothing_lost(folder, stories[name], sure)
        return is_dead

    for name in stories:
        step = 0
        while one(name, lambda: die_at(step)):  # noqa: B023
            step += 1
        assert step > 20
        kills += step
    while kills < KILLS or in_commit < 100:
        name = rng.choice(list(STORIES))
        number, delay_s = rng.randrange(len(STORIES[name]) + 1), rng.uniform(1e-5, LONGEST_COMMIT_S)
        is_dead = one(name, lambda: die_in_commit(number, delay_s))  # noqa: B023
        kills, in_commit = kills + is_dead, in_commit + is_dead


def test_a_kill_at_any_step_of_creating_leaves_a_world_or_room_for_one(tmp_path: Path):
    def create(folder: Path, step: int) -> bool:
        child = os.fork()
        if child == 0:
            try:
                die_at(step)
                World.create(folder, SCENE).close()
                os._exit(0)
            finally:
                os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0

    step = 0
    while True:
        folder = tmp_path / f"{step}"
        is_dead = create(folder, step)
        if not folder.exists():
            World.create(folder, SCENE).close()
        with World.open(folder, writable=True) as world:
            assert (world.head, world.scene) == (None, SCENE)
        assert not (tmp_path / f".{step}.creating").exists()
        if not is_dead:
            break
        step += 1
    assert step > 20
