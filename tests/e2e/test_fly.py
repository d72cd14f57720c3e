"""``worldgen fly``: every kind of film, gone on with after an interruption, in memory that does not grow."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from memory.restore import restored_cache
from memory.world import World
from reconstruct.film.draft import draft_folder
from reconstruct.fitted import keep_fitted
from reconstruct.init import gaussians_from_points
from tests.e2e.verbs import assert_one_sentence, forked, run, running
from tests.reconstruct.film.pictures import contents, decoded, parts_of
from worldgen.cli import main
from worldgen.cli.fly import Fly

QUICK = ("--seconds", 0.5, "--fps", 10)


@pytest.fixture
def world(walked: Callable[[int], Path]) -> Path:
    return walked(3)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "pictures", "a.folder/"])
def test_every_kind_of_film_has_its_pictures_and_its_size(
    tmp_path: Path, world: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    assert run("fly", world, f"{tmp_path}/{name}", *QUICK, "--size", "61x47") == 0
    shown, times = decoded(tmp_path / name)
    is_padded = name == "a.mp4"
    assert shown.shape == (5, *((48, 62) if is_padded else (47, 61)), 3)
    if name.startswith("a."):
        assert (tmp_path / name).is_dir() or times[-1] == pytest.approx(0.4, abs=0.002)
    assert shown.std() > 5.0
    said = capsys.readouterr().out
    assert f"{tmp_path / name}: 5 pictures, {'62x48' if is_padded else '61x47'}" in said
    assert ("as H.264 needs even sides" in said) == is_padded
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("render", ["splats", "points", "frames"])
@pytest.mark.parametrize("show", ["depth", "normals", "side-by-side"])
def test_depth_and_normals_are_filmed_of_everything(tmp_path: Path, world: Path, render: str, show: str):
    words = (*QUICK, "--size", "40x32", "--render", render)
    assert run("fly", world, tmp_path / "a", *words, "--show", show) == 0
    assert run("fly", world, tmp_path / "colour", *words) == 0
    shown, colour = decoded(tmp_path / "a")[0], decoded(tmp_path / "colour")[0]
    assert shown.shape == (3 if render == "frames" else 5, 32, 80 if show == "side-by-side" else 40, 3)
    if show == "side-by-side":
        assert np.array_equal(shown[:, :, :40], colour)
        shown = shown[:, :, 40:]
    assert not np.array_equal(shown, colour)
    saturation = shown.max(axis=-1).astype(int) - shown.min(axis=-1)
    assert np.median(saturation[shown.any(axis=-1)]) > 40


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (("a.avi",), "a film ends in .mp4, .webm, .gif, or in / for a folder of PNG files"),
        (("a.gif", "--fps", 100), "browsers slow down a GIF"),
        (("taken",), "no empty folder"),
        (("taken.mp4",), "is a folder"),
        (("missing/a.mp4",), "there is no folder"),
        (("a.mp4", "--size", "8x8"), "16 to 4096 pixels a side"),
        (("a.mp4", "--seconds", 0), "--seconds lies between"),
    ],
)
def test_what_makes_no_film_is_refused_in_a_sentence(tmp_path: Path, world: Path, words: tuple, about: str):
    for name in ("taken", "taken.mp4"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").touch()
    done = forked("fly", world, tmp_path / words[0], *words[1:])
    assert_one_sentence(done, status=2, about=about)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["taken", "taken.mp4"]


@pytest.mark.parametrize(
    ("name", "number", "status"), [("a.mp4", signal.SIGINT, 130), ("pictures", signal.SIGTERM, 143)]
)
def test_an_interrupted_film_says_so_and_the_same_command_goes_on(
    tmp_path: Path, world: Path, name: str, number: signal.Signals, status: int
):
    words = (world, tmp_path / name, "--seconds", 30, "--fps", 10, "--size", "32x32")
    with running("fly", *words) as verb:
        while not verb.is_over() and not parts_of(tmp_path / name):
            time.sleep(0.01)
        found, said = verb.signalled(number)
    assert (found, said.count("\n")) == (status, 1), said
    assert "interrupted; what is filmed stays, and the same command goes on from there" in said
    assert not (tmp_path / name).exists()
    before = {file.name: file.stat().st_mtime_ns for file in parts_of(tmp_path / name)}
    assert forked("fly", *words).returncode == 0
    assert forked("fly", world, tmp_path / f"alone-{name}", *words[2:]).returncode == 0
    alone = contents(tmp_path / f"alone-{name}")
    assert list(contents(tmp_path / name).values()) == list(alone.values())
    if name == "pictures":
        after = {file.name: file.stat().st_mtime_ns for file in (tmp_path / name).iterdir()}
        assert before.items() <= after.items()
    assert not draft_folder(tmp_path / name).exists()


CHANGES: dict[str, dict[str, str]] = {
    "path": {"path": "orbit"},
    "size": {"size": "34x32"},
    "render": {"render": "points"},
    "show": {"show": "depth"},
}


@pytest.mark.parametrize("change", ["nothing", "an undone chunk", "a fit", *CHANGES])
def test_a_film_of_something_else_has_another_fingerprint(
    tmp_path: Path, walked: Callable[[int], Path], change: str
):
    folder = Path(shutil.copytree(walked(3), tmp_path / "w"))
    words = {"seconds": 0.8, "fps": 10.0, "size": "32x32"}

    def fingerprint(**more: str) -> str:
        verb = Fly(folder, "a.mp4", **(words | more))
        width, height = map(int, verb.size.split("x"))
        with World.open(folder) as opened:
            return verb._scene(opened, width=width, height=height)[1]

    first = fingerprint()
    if change == "an undone chunk":
        assert run("undo", folder) == 0
    if change == "a fit":
        with World.open(folder, writable=True) as made:
            keep_fitted(made, gaussians_from_points(restored_cache(made).points)[::2])
    assert (fingerprint(**CHANGES.get(change, {})) == first) == (change == "nothing")


def test_frames_of_another_head_have_another_fingerprint(tmp_path: Path, walked: Callable[[int], Path]):
    folder, found = Path(shutil.copytree(walked(3), tmp_path / "w")), []
    for _ in range(2):
        with World.open(folder) as opened:
            found.append(Fly(folder, "a.mp4", render="frames")._scene(opened, width=32, height=32)[1])
        assert run("undo", folder) == 0
    assert found[0] != found[1]


def peak_kib(*arguments: object) -> int:
    """The most memory that a verb held, in a child of this process."""
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            os._exit(int(stop.code or 0))
        finally:
            os._exit(70)
    _, status, usage = os.wait4(child, 0)
    assert status == 0
    return usage.ru_maxrss


def films_of(world: Path, folder: Path, counts: tuple[int, int], size: str, kind: str) -> list[int]:
    """The most memory that films of so many pictures take."""
    found = []
    for count in counts:
        words = ("--seconds", count / 10, "--fps", 10, "--size", size, "--render", "points")
        found.append(peak_kib("fly", world, folder / f"{count}{kind}", *words))
    # Afterwards, because a child begins with what this process holds.
    assert [len(decoded(folder / f"{count}{kind}")[1]) for count in counts] == list(counts)
    return found


@pytest.mark.parametrize("kind", [".mp4", ".gif", ""])
def test_a_longer_film_takes_no_more_memory(tmp_path: Path, world: Path, kind: str):
    short, long = films_of(world, tmp_path, (130, 400), "128x96", kind)
    assert long - short < 6_000, "270 pictures are 10 MB in bytes and 40 MB in numbers"


@pytest.mark.slow
def test_ten_thousand_pictures_take_the_memory_of_three_hundred(tmp_path: Path, world: Path):
    short, long = films_of(world, tmp_path, (300, 10_000), "64x48", ".mp4")
    assert long - short < 12_000, "their bytes are 89 MB; their cameras and times are a few"


def test_the_help_names_what_there_is(capsys: pytest.CaptureFixture[str]):
    assert run("fly", "--help") == 0
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    for word in ("side-by-side", ".webm", "{splats,points,frames}"):
        assert word in said
