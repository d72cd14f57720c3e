"""SIGINT, SIGTERM, a closed pipe: a verb ends at once, in one sentence or none, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from memory.world import World
from tests.e2e.verbs import Words, command, pictures_of, running
from tests.memory.test_world import SCENE
from tests.memory.test_world_hostile import contents

FRAMES = 3000
"""More than are grown before the signal comes."""


def started(*arguments: object) -> subprocess.Popen[str]:
    """A verb that listens to Ctrl-C, which whatever a shell runs in the background does not."""
    return subprocess.Popen(
        command(*arguments),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def interrupted(world: Path, number: signal.Signals, *arguments: object, at: int) -> tuple[int, str]:
    """Status and last words of a verb that gets a signal when the world has so many frames."""
    with running(*arguments) as verb:
        while not verb.is_over() and (not world.exists() or frames_of(world) < at):
            time.sleep(0.02)
        return verb.signalled(number)


def frames_of(world: Path) -> int:
    with World.open(world) as reader:
        return len(reader.frame_ids())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_growth_says_how_to_go_on_and_grows_on_to_the_same_frames(
    tmp_path: Path, model: Words, number: signal.Signals, status: int
):
    world, more = tmp_path / "a world", ("--frames", FRAMES, "--seed", 3, *model)
    found, said = interrupted(world, number, "grow", world, *more, at=3)
    assert (found, said.count("\n")) == (status, 1), said
    assert said.startswith("worldgen: interrupted; ")
    assert f"worldgen extend '{world}' --resume" in said
    first = pictures_of(world)
    assert 3 <= len(first) < FRAMES
    found, said = interrupted(world, number, "extend", world, "--resume", *model, at=len(first) + 2)
    assert (found, said.count("\n")) == (status, 1), said
    second = pictures_of(world)
    assert second[: len(first)] == first
    assert len(first) + 2 <= len(second) < FRAMES
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a world"]
    files = {name.split(".")[0] for name in os.listdir(world / "frames")}
    assert len(files) == len(second)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_world_that_was_interrupted_ends_as_the_one_that_was_left_alone(
    tmp_path: Path, model: Words, number: signal.Signals
):
    more = ("--frames", 60, "--seed", 3, *model)
    subprocess.check_call(command("grow", tmp_path / "alone", *more), stdout=subprocess.DEVNULL)
    world, verb = tmp_path / "w", ("grow", tmp_path / "w", *more)
    for at in (3, 15, 30):
        found, _ = interrupted(world, number, *verb, at=at)
        assert found > 128
        verb = ("extend", world, "--resume", *model)
    subprocess.check_call(command(*verb), stdout=subprocess.DEVNULL)
    assert pictures_of(world) == pictures_of(tmp_path / "alone")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_growth_that_is_interrupted_before_its_first_frame_leaves_nothing(
    tmp_path: Path, model: Words, number: signal.Signals, status: int
):
    """The draft of a world appears beside it a moment before the first view is imagined."""
    process = started("grow", tmp_path / "w", "--frames", FRAMES, *model)
    while process.poll() is None and not (tmp_path / ".w.starting").exists():
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate()
    assert (process.returncode, said.count("\n")) == (status, 1), said
    assert said.startswith("worldgen: interrupted")
    if (tmp_path / "w").exists():
        assert len(pictures_of(tmp_path / "w")) > 0
    else:
        assert contents(tmp_path) == {}


def test_who_stops_reading_is_told_nothing(tmp_path: Path):
    with World.create(tmp_path / "w", SCENE):
        pass
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        done = subprocess.run(
            command("info", tmp_path / "w"), stdout=nobody, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (141, "")
