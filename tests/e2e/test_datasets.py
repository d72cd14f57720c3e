"""Datasets as a user meets them on the command line: recordings come in, folders for trainers go out."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from memory.world import World
from reconstruct.formats.captures import read_capture
from render.path_files import save_path
from tests.e2e.test_interrupted import interrupted
from tests.e2e.verbs import Words, assert_one_sentence, fill, forked, pictures_of, run, small_disk
from tests.memory.test_world_hostile import contents
from tests.oracles.recordings import LAYOUTS, K, room_views


@pytest.mark.parametrize("kind", ["nerfstudio", "colmap"])
def test_a_world_is_exported_as_a_dataset(
    walked: Callable[[int], Path], tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
):
    assert run("export", walked(3), tmp_path / "set", "--format", kind) == 0
    told = capsys.readouterr().out.strip()
    assert told.startswith(f"{tmp_path / 'set'}: 3 frames for {kind}")
    found = read_capture(tmp_path / "set").frames
    with World.open(walked(3)) as world:
        stored = world.frames()
    assert torch.equal(found.rgb, stored.rgb)
    torch.testing.assert_close(found.cameras.c2w, stored.cameras.c2w, atol=1e-6, rtol=0)
    before = contents(tmp_path)
    for name, more, about in (("set", (), "already exists"), ("b", ("--max-splats", 9), "is for splats")):
        done = forked("export", walked(3), tmp_path / name, "--format", kind, *more)
        assert_one_sentence(done, status=2, about=about)
    assert contents(tmp_path) == before


def test_a_world_comes_back_from_a_tum_folder_as_it_was_told(
    walked: Callable[[int], Path], tmp_path: Path, model: Words, capsys: pytest.CaptureFixture[str]
):
    assert run("export", walked(3), tmp_path / "set", "--format", "tum") == 0
    told = capsys.readouterr().out.strip()
    assert told.startswith(f"{tmp_path / 'set'}: 3 frames for tum; worldgen import takes --intrinsics ")
    words = told.split(" takes ")[1].split()
    assert run("import", tmp_path / "set", tmp_path / "again", *words, *model[:2]) == 0
    step = 1.0 / float(words[-1])
    with World.open(walked(3)) as before, World.open(tmp_path / "again") as after:
        first, again = before.frames(), after.frames()
    assert torch.equal(first.rgb, again.rgb)
    torch.testing.assert_close(again.cameras.c2w, first.cameras.c2w, atol=1e-6, rtol=0)
    torch.testing.assert_close(again.cameras.K, first.cameras.K, atol=1e-3, rtol=0)
    known = again.valid
    assert known.float().mean() > 0.9 * first.valid.float().mean()
    torch.testing.assert_close(again.depth[known], first.depth[known], atol=0.6 * step, rtol=1e-3)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of folders, one a layout."""
    place, frames = tmp_path_factory.mktemp("recordings"), room_views()
    for name, write in LAYOUTS.items():
        (place / name).mkdir()
        write(place / name, frames)
    return place


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_recording_becomes_a_world_that_grows_on(
    recordings: Path, layout: str, tmp_path: Path, model: Words, small_weights: Path
):
    lens = ("--intrinsics", *K) if layout in ("tum", "7-scenes") else ()
    words = ("import", recordings / layout, tmp_path / "w", "--frames", 4, "--model", small_weights, *lens)
    assert run(*words) == 0
    with World.open(tmp_path / "w") as world:
        assert (world.scene.units, len(world.frame_ids())) == ("metres", 4)
        assert all(chunk.given for chunk in world.chunks())
        given = world.frames()
    torch.testing.assert_close(given.cameras.c2w, room_views().cameras.c2w[[0, 2, 3, 5]], atol=1e-6, rtol=0)
    assert run("extend", tmp_path / "w", "--path", "wander", "--frames", 3, *model) == 0
    with World.open(tmp_path / "w") as world:
        assert len(world.frame_ids()) == 7
        assert torch.equal(world.frames(world.frame_ids()[:4]).rgb, given.rgb)
        assert world.verify() == []
    assert run("replay", tmp_path / "w", "--model", small_weights) == 0


def test_a_world_that_left_as_a_dataset_comes_back(recordings: Path, tmp_path: Path, small_weights: Path):
    weights, way = ("--model", small_weights), [tmp_path / name for name in ("a", "set", "b")]
    assert run("import", recordings / "7-scenes", way[0], "--intrinsics", *K, *weights) == 0
    assert run("export", way[0], way[1], "--format", "nerfstudio") == 0
    said = json.loads((way[1] / "transforms.json").read_text())
    with World.open(way[0]) as world:
        assert said["worldgen"] == {"units": "metres", "up": list(world.scene.up)}
    said["worldgen"]["up"] = [0.0, 0.0, 1.0]  # not that of the first camera
    (way[1] / "transforms.json").write_text(json.dumps(said))
    assert run("import", way[1], way[2], *weights) == 0
    with World.open(way[0]) as first, World.open(way[2]) as second:
        one, two = first.frames(), second.frames()
        assert (second.scene.units, second.scene.up) == ("metres", (0.0, 0.0, 1.0))
    assert torch.equal(one.rgb, two.rgb)
    assert torch.equal(one.valid, two.valid)
    assert torch.equal(one.cameras.c2w, two.cameras.c2w)
    assert torch.equal(one.cameras.K, two.cameras.K)
    torch.testing.assert_close(one.depth, two.depth, atol=6e-4, rtol=0)


def test_an_interrupted_import_says_how_to_go_on_and_goes_on(
    recordings: Path, tmp_path: Path, small_weights: Path
):
    source, world = tmp_path / "long", tmp_path / "w"
    shutil.copytree(recordings / "sequence", source)
    said = json.loads((source / "sequence.json").read_text())
    said["frames"] *= 14
    (source / "sequence.json").write_text(json.dumps(said))
    words = ("import", source, world, "--frames", 80, "--model", small_weights)
    status, told = interrupted(world, signal.SIGINT, *words, at=3)
    assert (status, told.count("\n")) == (130, 1), told
    assert told.startswith(f"worldgen: interrupted; what is in {world} stays; the same command with --resume")
    held = pictures_of(world)
    assert 3 <= len(held) < 80
    done = forked("import", source, world, "--frames", 20, "--model", small_weights, "--resume")
    assert_one_sentence(done, status=2, about="does not hold the first of these")
    done = forked(*words)
    assert_one_sentence(done, status=2, about="already exists")
    assert forked(*words, "--resume").returncode == 0
    found = pictures_of(world)
    assert len(found) == 80
    assert found[: len(held)] == held


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (("--frames", 0), "--frames must lie between 1 and 1000"),
        (("--frames", 5000), "--frames must lie between 1 and 1000"),
        (("--depth-units", 0), "units per metre above 0"),
        (("--depth-units", "nan"), "units per metre above 0"),
        (("--intrinsics", -50, 50, 32, 24), "focal lengths must be positive"),
        (("--intrinsics", "nan", 50, 32, 24), "NaN"),
        (("--model", "enormous"), "enormous"),
        (("--resume",), "does not exist"),
    ],
)
def test_a_wrong_request_is_refused_and_leaves_nothing(
    recordings: Path, tmp_path: Path, small_weights: Path, words: Words, about: str
):
    model = () if "--model" in words else ("--model", small_weights)
    done = forked("import", recordings / "sequence", tmp_path / "w", *words, *model)
    assert_one_sentence(done, status=2, about="")
    assert re.search(about, done.stderr), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_recording_is_refused_and_leaves_nothing(
    recordings: Path, tmp_path: Path, small_weights: Path
):
    broken = Path(shutil.copytree(recordings / "sequence", tmp_path / "broken"))
    (broken / "depth/5.png").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    before = contents(tmp_path)
    for source, about in (("broken", "5.png"), ("empty", "holds no posed pictures"), ("none", "no folder")):
        done = forked("import", tmp_path / source, tmp_path / "w", "--model", small_weights)
        assert_one_sentence(done, status=2, about=about)
    assert contents(tmp_path) == before


def test_a_full_disk_holds_no_dataset(walked: Callable[[int], Path], tmp_path: Path):
    world = walked(3)
    with small_disk(tmp_path / "disk", kib=256) as disk:
        for leave in (0, 8, 20):
            ballast = fill(disk, leave=leave << 10)
            done = forked("export", world, disk / "set", "--format", "nerfstudio")
            assert_one_sentence(done, status=1, about="room on the disk")
            assert str(disk / "set") in done.stderr
            assert list(disk.iterdir()) == [ballast]
            ballast.unlink()


@pytest.mark.parametrize("leave", [0, 60, 100])
def test_an_import_that_finds_no_room_goes_on_where_there_is_some(
    recordings: Path, tmp_path: Path, small_weights: Path, leave: int
):
    words = ("import", recordings / "sequence", tmp_path / "disk/w", "--model", small_weights)
    with small_disk(tmp_path / "disk", kib=1024) as disk:
        ballast = fill(disk, leave=leave << 10)
        done = forked(*words)
        assert_one_sentence(done, status=1, about="room on the disk")
        if not (disk / "w").exists():
            assert list(disk.iterdir()) == [ballast]
            return
        held = pictures_of(disk / "w")
        ballast.unlink()
        assert forked(*words, "--resume").returncode == 0
        assert pictures_of(disk / "w")[: len(held)] == held
        assert len(pictures_of(disk / "w")) == 6


@pytest.fixture(scope="module")
def photographs(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What nerfstudio would call posed photographs: no word of depth."""
    folder = Path(shutil.copytree(recordings / "nerfstudio", tmp_path_factory.mktemp("photographs") / "p"))
    said = json.loads((folder / "transforms.json").read_text())
    for frame in said["frames"]:
        (folder / frame.pop("depth_file_path")).unlink()
    (folder / "transforms.json").write_text(json.dumps(said))
    return folder


def test_photographs_become_a_world_with_the_depth_that_they_tell(
    photographs: Path, recordings: Path, tmp_path: Path, small_weights: Path, model: Words
):
    names = {photographs: "told", recordings / "nerfstudio": "measured"}
    for source, name in names.items():
        assert run("import", source, tmp_path / name, "--model", small_weights) == 0
    with World.open(tmp_path / "told") as told, World.open(tmp_path / "measured") as measured:
        assert told.scene.units == "scene"
        found, exact = told.frames(), measured.frames()
    assert torch.equal(found.cameras.c2w, exact.cameras.c2w)
    assert torch.equal(found.rgb, exact.rgb)
    both = found.valid & exact.valid
    assert both.float().mean() > 0.4
    assert (found.depth / exact.depth - 1.0).abs()[both].median() < 0.06  # pictures of 48 pixels
    assert run("extend", tmp_path / "told", "--frames", 1, *model) == 0


def test_what_photographs_cannot_use_is_said(photographs: Path, tmp_path: Path):
    done = forked("import", photographs, tmp_path / "w", "--depth-units", 1000)
    assert_one_sentence(done, status=2, about="are for pictures with depth")
    assert not (tmp_path / "w").exists()


def test_a_file_of_splats_becomes_a_world_seen_from_around_or_from_given_places(
    walked: Callable[[int], Path], tmp_path: Path, small_weights: Path, model: Words
):
    splats, path = tmp_path / "theirs.spz", tmp_path / "path.json"
    with World.open(walked(3)) as world:
        save_path(path, world.cameras(), fps=24.0)
        exact = world.frames()
    assert run("export", walked(3), splats) == 0
    around = ("import", splats, tmp_path / "around", "--frames", 5, "--model", small_weights)
    within = ("import", splats, tmp_path / "within", "--cameras", path, "--model", small_weights)
    assert [run(*around), run(*within)] == [0, 0]
    with World.open(tmp_path / "around") as world:
        assert len(world.frame_ids()) == 5
        assert world.scene.up == (0.0, -1.0, 0.0)
    with World.open(tmp_path / "within") as world:
        seen = world.frames()
        torch.testing.assert_close(seen.cameras.c2w, exact.cameras.c2w, atol=1e-6, rtol=0)
    both = seen.valid & exact.valid
    assert both.float().mean() > 0.5
    assert (seen.depth / exact.depth - 1.0).abs()[both].median() < 0.05
    assert run("extend", tmp_path / "within", "--frames", 1, *model) == 0
    done = forked("import", walked(3), tmp_path / "w", "--cameras", path)
    assert_one_sentence(done, status=2, about="is for a file of splats")
    away = exact.cameras.c2w[:1] @ torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    away[:, 2, 3] -= 1e3
    save_path(path, dataclasses.replace(exact.cameras[:1], c2w=away), fps=24.0)
    done = forked("import", splats, tmp_path / "w", "--cameras", path, "--model", small_weights)
    assert_one_sentence(done, status=2, about="no camera sees anything")
    assert not (tmp_path / "w").exists()
