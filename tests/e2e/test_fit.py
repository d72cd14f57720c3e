"""``worldgen fit`` as a user meets it: better splats, used by what shows them, until the world changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from reconstruct.formats import read_ply
from tests.e2e.verbs import Words, run
from worldgen.worlds import random_scene, random_walk_cameras, render


@pytest.fixture
def world(walked: Callable[[int], Path], tmp_path: Path) -> Path:
    """A world of six frames that may be changed."""
    return Path(shutil.copytree(walked(6), tmp_path / "world"))


def exported(world: Path, name: str) -> torch.Tensor:
    """The colours of what is exported."""
    assert run("export", world, world.parent / name) == 0
    return read_ply(world.parent / name).sh


def test_a_fit_is_what_export_shows_until_the_world_changes(
    world: Path, model: Words, capsys: pytest.CaptureFixture[str]
):
    first = exported(world, "first.ply")
    assert run("fit", world, "--steps", 12) == 0
    said = capsys.readouterr().out
    assert "splats after 12 steps" in said
    assert "dB on held-out frames (before: " in said
    assert "left out " in said
    fitted = exported(world, "fitted.ply")
    assert 0 < len(fitted) <= len(first)
    assert not torch.equal(first[: len(fitted)], fitted)
    assert run("export", world, world.parent / "few.ply", "--max-splats", 50) == 0
    assert len(read_ply(world.parent / "few.ply")) == 50
    assert run("export", world, world.parent / "none.ply", "--max-splats", 0) == 2
    (file,) = (world / "splats").iterdir()
    assert file.suffix == ".ply"
    assert run("fly", world, world.parent / "film.mp4", "--seconds", 0.1, "--size", "32x32") == 0
    assert run("undo", world) == 0
    assert len(exported(world, "back.ply")) < len(first)
    assert run("redo", world) == 0
    assert torch.equal(exported(world, "again.ply"), fitted)
    assert run("extend", world, "--frames", 1, *model) == 0
    assert not torch.equal(exported(world, "on.ply")[: len(fitted)], fitted)


def test_the_same_seed_fits_the_same_splats(world: Path, tmp_path: Path):
    other = Path(shutil.copytree(world, tmp_path / "other"))
    for folder in (world, other):
        assert run("fit", folder, "--steps", 5) == 0
    assert torch.equal(exported(world, "a.ply"), exported(other, "b.ply"))


def test_a_damaged_fit_is_told_and_fitted_anew(world: Path, capsys: pytest.CaptureFixture[str]):
    assert run("fit", world, "--steps", 3) == 0
    (file,) = (world / "splats").iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    capsys.readouterr()
    assert run("export", world, world.parent / "out.ply") == 2
    assert not (world.parent / "out.ply").exists()
    assert file.name in capsys.readouterr().err
    assert run("fit", world, "--steps", 3) == 0
    assert run("export", world, world.parent / "out.ply") == 0


@pytest.mark.parametrize(
    ("words", "complaint"), [(("--steps", 0), "at least one step"), (("--quality", "best"), "")]
)
def test_senseless_fits_are_refused(
    world: Path, words: Words, complaint: str, capsys: pytest.CaptureFixture[str]
):
    assert run("fit", world, *words) == 2
    assert complaint in capsys.readouterr().err
    assert not (world / "splats").exists() or not any((world / "splats").iterdir())


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Photographs of a walk, and nothing else but where they were taken."""
    scene, folder = random_scene(5), tmp_path / "capture"
    walk = render(scene, random_walk_cameras(scene, n=6, seed=1, width=48, height=40))
    folder.mkdir()
    K = walk.cameras.K.clone()
    K[:, :2, 2] -= 0.5
    frames = []
    for i in range(len(walk)):
        Image.fromarray((walk.rgb[i] * 255).round().byte().numpy()).save(folder / f"{i}.png")
        frames.append({"file": f"{i}.png", "K": K[i].tolist(), "c2w": walk.cameras.c2w[i].tolist()})
    (folder / "cameras.json").write_text(json.dumps({"frames": frames}))
    return folder


def test_photographs_become_a_file_of_splats(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "splats.ply"
    assert run("fit", capture, "--out", out, "--steps", 12, "--max-splats", 700) == 0
    said = capsys.readouterr().out
    assert "splats after 12 steps (" in said
    assert "a second)" in said
    assert "dB on held-out frames (before: " in said
    assert 0 < len(read_ply(out)) <= 700
    assert {file.name for file in tmp_path.iterdir()} == {"capture", "splats.ply"}
    assert run("fit", capture, "--out", tmp_path / "again.ply", "--steps", 12, "--max-splats", 700) == 0
    assert out.read_bytes() == (tmp_path / "again.ply").read_bytes()


def test_requests_that_fit_neither_a_world_nor_a_capture_are_refused(
    capture: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = (
        ((capture,), "say where its splats go"),
        ((capture, "--out", tmp_path / "splats.xyz"), "ends in none of these"),
        ((capture, "--out", tmp_path / "none" / "splats.ply"), "create it first"),
        ((capture, "--out", tmp_path / "splats.ply", "--max-splats", 2), "at least 4 splats"),
        ((world, "--out", tmp_path / "splats.ply"), "are for captures"),
        ((empty,), "is neither a world"),
        ((tmp_path / "none",), "does not exist"),
    )
    for words, complaint in refused:
        assert run("fit", *words, "--steps", 3) == 2
        assert complaint in capsys.readouterr().err, words
    assert not (tmp_path / "splats.ply").exists()
