"""A disk that is full: one sentence, nothing lost, nothing half-written, and it goes on with room."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memory.world import NotWrittenError, World
from tests.e2e.verbs import Words, assert_one_sentence, assert_refused, fill, forked, pictures_of, small_disk
from tests.memory.test_world import SCENE, commit
from tests.memory.test_world_hostile import contents


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", kib=1024) as place:
        yield place


@pytest.fixture(scope="module")
def grown(walked: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of three frames, two of them undone along its path."""
    folder = Path(shutil.copytree(walked(5), tmp_path_factory.mktemp("worlds") / "w"))
    assert forked("undo", folder, "--chunks", 2).returncode == 0
    return folder


def test_commits_to_a_disk_that_fills_up_are_all_there_or_not_at_all(disk: Path):
    kept = []

    def fill_it(world: World) -> None:
        for seed in range(1000):
            kept.append(commit(world, 1, seed=seed)[0])

    with World.create(disk / "w", SCENE) as world:
        with pytest.raises(NotWrittenError, match="the world is as it was") as caught:
            fill_it(world)
        assert "No space left" in str(caught.value) or "disk is full" in str(caught.value)
        assert world.chunks() == kept
        assert world.verify() == []
    assert len(kept) > 10
    with World.open(disk / "w") as reader:
        assert (reader.chunks(), reader.verify()) == (kept, [])


def test_a_full_disk_ends_grow_with_one_sentence_and_the_world_goes_on_with_room(
    disk: Path, tmp_path: Path, model: Words
):
    grow = ("--frames", 12, "--seed", 3, *model)
    assert forked("grow", tmp_path / "alone", *grow).returncode == 0
    ballast = fill(disk, leave=300 << 10)
    assert_one_sentence(forked("grow", disk / "w", *grow), status=1, about="make room on the disk")
    alone, before = pictures_of(tmp_path / "alone"), pictures_of(disk / "w")
    assert 0 < len(before) < 12
    assert before == alone[: len(before)]
    assert forked("info", disk / "w", "--verify").returncode == 0
    again = forked("extend", disk / "w", "--resume", *model)
    assert_refused(again, about="room on the disk")
    held = pictures_of(disk / "w")
    assert held == alone[: len(held)]
    ballast.unlink()
    assert forked("extend", disk / "w", "--resume", *model).returncode == 0
    assert pictures_of(disk / "w") == alone


@pytest.mark.parametrize("leave", [0, 12, 60, 100])
def test_a_disk_with_hardly_any_room_makes_no_world_or_a_whole_one(disk: Path, model: Words, leave: int):
    ballast = fill(disk, leave=leave << 10)
    done = forked("grow", disk / "w", "--frames", 1, *model)
    if done.returncode == 0:
        assert len(pictures_of(disk / "w")) == 1
        return
    assert_one_sentence(done, status=1, about="room on the disk")
    assert list(disk.iterdir()) == [ballast]


CHANGES: dict[str, Words] = {
    "undo": (),
    "redo": (),
    "gc": (),
    "heads": ("--new", "west"),
    "extend": ("--resume",),
}


@pytest.mark.slow
@pytest.mark.parametrize("leave", [0, 40])
@pytest.mark.parametrize("verb", CHANGES)
def test_a_change_that_finds_no_room_is_refused_or_done(
    disk: Path, grown: Path, model: Words, verb: str, leave: int
):
    folder = Path(shutil.copytree(grown, disk / "w"))
    before = pictures_of(folder)
    ballast = fill(disk, leave=leave << 10)
    arguments = (verb, folder, *CHANGES[verb], *(model if verb == "extend" else ()))
    done = forked(*arguments)
    if done.returncode != 0:
        assert_refused(done, about="room on the disk")
        held = pictures_of(folder)
        assert held[: len(before)] == before
        ballast.unlink()
        assert forked(*arguments).returncode == 0
    assert len(pictures_of(folder)) == {"undo": 2, "redo": 5, "extend": 5}.get(verb, 3)


OUTPUTS: dict[str, tuple[Words, str]] = {
    "export": ((), "w.ply"),
    "fly": (("--render", "frames", "--fps", 10), "w.mp4"),
    "info": (("--sheet",), "w.png"),
}


@pytest.mark.parametrize(("verb", "leave"), [("export", 0), ("fly", 0), ("fly", 4), ("info", 0), ("info", 4)])
def test_what_finds_no_room_is_not_written_and_what_was_there_stays(
    disk: Path, grown: Path, verb: str, leave: int
):
    more, name = OUTPUTS[verb]
    (disk / name).write_bytes(b"an older one")
    ballast = fill(disk, leave=leave << 10)
    arguments = (verb, grown, *more, disk / name) if verb == "info" else (verb, grown, disk / name, *more)
    before = contents(grown)
    done = forked(*arguments)
    assert_refused(done, about=name)
    assert "No space left on device" in done.stderr
    assert (disk / name).read_bytes() == b"an older one"
    assert len(list(disk.iterdir())) == 2
    assert contents(grown) == before
    ballast.unlink()
    assert forked(*arguments).returncode == 0
    assert (disk / name).stat().st_size > 100
