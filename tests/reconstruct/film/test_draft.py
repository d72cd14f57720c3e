"""Films that are interrupted: they go on where they stopped, to the same file, and others are left alone."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from reconstruct.film import Film, has_parts, making, write_film
from reconstruct.film.draft import PLAN, draft_folder, draft_of
from tests.memory.test_locks import without_locks
from tests.reconstruct.film.pictures import contents, film, parts_of, picture

COUNT, PART = 22, 4
KINDS = [".mp4", ".webm", ".gif", ""]


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "PART", PART)


def silent(done: int) -> None:
    """For nobody who watches."""


class Drawing:
    """Draws waves, remembers which, and stops before a picture if asked to."""

    def __init__(self, *, stop: int | None = None, by: type[BaseException] = KeyboardInterrupt) -> None:
        self.drawn: list[int] = []
        self._stop, self._by = stop, by

    def __call__(self, number: int) -> np.ndarray:
        if number == self._stop:
            raise self._by("stopped")
        self.drawn.append(number)
        return picture(number, width=64, height=48)


def interrupted(target: Path, kind: str, *, stop: int, by: type[BaseException] = KeyboardInterrupt) -> None:
    with pytest.raises(by, match="stopped"):
        write_film(film(COUNT, draw=Drawing(stop=stop, by=by)), target, kind=kind, tell=silent)


def finished(target: Path, kind: str, made: Film | None = None) -> dict[str, bytes]:
    write_film(film(COUNT) if made is None else made, target, kind=kind, tell=silent)
    assert not draft_folder(target).exists()
    return contents(target)


@pytest.mark.parametrize("kind", [".mp4", ".webm", ""])
def test_a_film_goes_on_where_it_stopped_to_the_same_file(tmp_path: Path, kind: str):
    alone, target = finished(tmp_path / f"alone{kind}", kind), tmp_path / f"film{kind}"
    interrupted(target, kind, stop=9)
    assert not target.exists()
    assert has_parts(target)
    assert len(parts_of(target)) == (2 if kind else 9)
    interrupted(target, kind, stop=17)
    drawing, told = Drawing(), []
    write_film(film(COUNT, draw=drawing), target, kind=kind, tell=told.append)
    assert drawing.drawn == list(range(16 if kind else 17, COUNT))
    assert told[-1] == COUNT
    assert list(contents(target).values()) == list(alone.values())
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([f"alone{kind}", f"film{kind}"])


def test_a_gif_goes_on_with_the_palette_that_it_had(tmp_path: Path):
    alone, target = finished(tmp_path / "alone.gif", ".gif"), tmp_path / "film.gif"
    calls: list[int] = []

    def stopping(number: int) -> np.ndarray:
        calls.append(number)
        if len(calls) == making.SAMPLES + 10:
            raise KeyboardInterrupt("stopped")
        return picture(number, width=64, height=48)

    with pytest.raises(KeyboardInterrupt, match="stopped"):
        write_film(film(COUNT, draw=stopping), target, kind=".gif", tell=silent)
    assert len(parts_of(target)) == 2
    drawing = Drawing()
    finished(target, ".gif", film(COUNT, draw=drawing))
    assert drawing.drawn[making.SAMPLES :] == list(range(8, COUNT))
    assert contents(target)["film.gif"] == alone["alone.gif"]


@pytest.mark.parametrize("kind", [".mp4", ""])
@pytest.mark.parametrize("harm", ["cut", "changed", "empty"])
def test_what_is_damaged_is_made_again(tmp_path: Path, kind: str, harm: str):
    alone, target = finished(tmp_path / f"alone{kind}", kind), tmp_path / f"film{kind}"
    interrupted(target, kind, stop=13)
    victim = parts_of(target)[1]
    data = victim.read_bytes()
    middle = len(data) // 2
    changed = data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
    victim.write_bytes({"cut": data[:middle], "changed": changed, "empty": b""}[harm])
    drawing = Drawing()
    finished(target, kind, film(COUNT, draw=drawing))
    assert drawing.drawn[: 4 if kind else 1] == ([4, 5, 6, 7] if kind else [1])
    assert list(contents(target).values()) == list(alone.values())


@pytest.mark.parametrize("change", ["fingerprint", "fps", "count", "kind"])
def test_another_film_of_that_name_begins_anew(tmp_path: Path, change: str):
    kind = ".mp4"
    target = tmp_path / "film"
    interrupted(target, kind, stop=9)
    values = {"fingerprint": "another", "fps": 12.0, "count": COUNT - 1}
    drawing = Drawing()
    made = dataclasses.replace(
        film(COUNT, draw=drawing), **({} if change == "kind" else {change: values[change]})
    )
    finished(target, "" if change == "kind" else kind, made)
    assert drawing.drawn == list(range(made.count))


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_drawn_leaves_nothing_and_what_was_there_stays(tmp_path: Path, kind: str):
    target = tmp_path / f"film{kind}"
    if kind:
        target.write_text("an older one")
    interrupted(target, kind, stop=13, by=ValueError)
    assert not draft_folder(target).exists()
    assert [file.read_text() for file in tmp_path.iterdir()] == (["an older one"] if kind else [])


def test_an_interruption_before_the_first_part_leaves_nothing(tmp_path: Path):
    interrupted(tmp_path / "film.mp4", ".mp4", stop=3)
    assert list(tmp_path.iterdir()) == []


def test_what_a_disk_refused_can_be_gone_on_with(tmp_path: Path):
    target = tmp_path / "film.mp4"

    def full(number: int) -> np.ndarray:
        if number == 9:
            raise OSError(28, "No space left on device", "a file of ours")
        return picture(number, width=64, height=48)

    with pytest.raises(OSError, match="No space left") as caught:
        write_film(film(COUNT, draw=full), target, kind=".mp4", tell=silent)
    assert caught.value.filename == str(target)
    assert len(parts_of(target)) == 2


def test_two_do_not_make_one_film(tmp_path: Path):
    target = tmp_path / "film.mp4"

    def nested(number: int) -> np.ndarray:
        with pytest.raises(ValueError, match=r"another process is making .*film.mp4; wait"):
            write_film(film(COUNT), target, kind=".mp4", tell=silent)
        return picture(number, width=64, height=48)

    assert len(finished(target, ".mp4", film(2, draw=nested))) == 1


def test_where_nothing_can_be_locked_a_film_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fcntl, "flock", without_locks)
    with pytest.raises(ValueError, match=r"cannot be locked \(No locks available\).*another disk"):
        write_film(film(COUNT), tmp_path / "film.mp4", kind=".mp4", tell=silent)
    assert list(tmp_path.iterdir()) == []


def test_something_else_of_the_name_of_a_draft_is_left_alone(tmp_path: Path):
    target, elsewhere = tmp_path / "film.mp4", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("mine")
    draft_folder(target).symlink_to(elsewhere)
    with pytest.raises(ValueError, match="should be a folder that an unfinished film left"):
        write_film(film(COUNT), target, kind=".mp4", tell=silent)
    draft_folder(target).unlink()
    draft_folder(target).write_text("mine")
    with pytest.raises(ValueError, match="should be a folder that an unfinished film left"):
        write_film(film(COUNT), target, kind=".mp4", tell=silent)
    assert draft_folder(target).read_text() == (elsewhere / "mine").read_text() == "mine"


@pytest.mark.parametrize("kind", [".mp4", ""])
def test_links_in_a_draft_are_not_followed(tmp_path: Path, kind: str):
    target, elsewhere = tmp_path / f"film{kind}", tmp_path / "elsewhere"
    alone = finished(tmp_path / f"alone{kind}", kind)
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("mine")
    interrupted(target, kind, stop=9)
    parts = draft_folder(target) / "parts"
    victim = parts_of(target)[0]
    victim.unlink()
    victim.symlink_to(elsewhere / "mine")
    (parts / "more").symlink_to(elsewhere / "mine")
    (parts / ".unfinished").symlink_to(elsewhere / "mine")
    assert list(finished(target, kind).values()) == list(alone.values())
    with draft_of(target if kind else tmp_path / "b", plan="p", names=making.PART_NAME) as folder:
        (folder / "x").write_text("x")
        folder.rename(elsewhere / "parts")
        folder.symlink_to(elsewhere / "parts")
    assert (elsewhere / "mine").read_text() == "mine"
    assert (elsewhere / "parts" / "x").read_text() == "x"


@pytest.mark.parametrize("letter", ["x", "\N{EARTH GLOBE EUROPE-AFRICA}"])
def test_names_may_be_as_long_as_files_can_have_them(tmp_path: Path, letter: str):
    target = tmp_path / f"{letter * (250 // len(letter.encode()))}.mp4"
    interrupted(target, ".mp4", stop=9)
    drawing = Drawing()
    finished(target, ".mp4", film(COUNT, draw=drawing))
    assert drawing.drawn == list(range(8, COUNT))


def test_a_plan_that_is_no_text_is_another_plan(tmp_path: Path):
    target = tmp_path / "film.mp4"
    interrupted(target, ".mp4", stop=9)
    (draft_folder(target) / PLAN).write_bytes(b"\xff\xfe")
    drawing = Drawing()
    finished(target, ".mp4", film(COUNT, draw=drawing))
    assert drawing.drawn == list(range(COUNT))


def killed(target: Path, kind: str, *, told: int, later_s: float) -> bool:
    """Whether somebody who films was killed so long after that many pictures, and not ready before."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            write_film(film(COUNT), target, kind=kind, tell=lambda done: os.write(writing, bytes([done])))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while (done := pipe.read(1)) and done[0] < told:
            pass
        time.sleep(later_s)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return not target.exists()


MOMENTS = [(1, 0.0), (4, 0.0), (5, 0.001), (11, 0.002), (COUNT, 0.0), (COUNT, 0.002), (COUNT, 0.004)]


@pytest.mark.parametrize("kind", [".mp4", ".gif", ""])
def test_one_who_is_killed_at_any_moment_leaves_no_film_or_a_whole_one(tmp_path: Path, kind: str):
    alone = list(finished(tmp_path / f"alone{kind}", kind).values())
    missing = 0
    for row, (told, later_s) in enumerate(MOMENTS):
        target = tmp_path / f"film-{row // 2}{kind}"  # the second of two goes on from the first
        if target.is_dir():
            shutil.rmtree(target)
        missing += killed(target, kind, told=told, later_s=later_s)
        assert not target.exists() or list(contents(target).values()) == alone
        if row % 2:
            if target.is_dir():
                shutil.rmtree(target)
            assert list(finished(target, kind).values()) == alone
    assert missing >= 3
