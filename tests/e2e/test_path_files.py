"""Camera paths from files of others: every verb that follows one takes them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pytest
import torch

from memory.world import World
from reconstruct.formats.nerfstudio_path import save_nerfstudio_path
from render.path_files import load_path
from render.paths import arc, orbit
from render.realestate import carried, load_realestate
from render.tour_files import load_tour
from render.tours import Setting
from tests.e2e.verbs import Words, assert_one_sentence, forked, run
from tests.render.test_realestate import lines, written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Five cameras of RealEstate10K."""
    return written(tmp_path, lines(times=True))


def test_grow_follows_a_real_path_from_its_first_view(tmp_path: Path, path: Path, model: Words):
    assert run("grow", tmp_path / "w", "--path", path, "--frames", 4, *model) == 0
    with World.open(tmp_path / "w") as world:
        cameras = world.cameras(world.walked_ids())
        expected = carried(load_realestate(path)[:4], cameras[:1], scale=world.scene.scale)
    torch.testing.assert_close(cameras.c2w[0], torch.eye(4), atol=0, rtol=0)
    torch.testing.assert_close(cameras.c2w, expected.c2w, atol=1e-6, rtol=0)


def test_extend_follows_a_real_path_from_its_last_frame(
    walked: Callable[[int], Path], tmp_path: Path, path: Path, model: Words
):
    folder = Path(shutil.copytree(walked(3), tmp_path / "w"))
    assert run("extend", folder, "--path", path, "--frames", 10, *model) == 0
    with World.open(folder) as world:
        cameras = world.cameras(world.walked_ids())
        assert len(cameras) == 3 + 4  # the first camera of the five is the last that there was
        expected = carried(load_realestate(path), cameras[2:3], scale=world.scene.scale)
    torch.testing.assert_close(cameras.c2w[2:], expected.c2w, atol=1e-6, rtol=0)


def test_extend_follows_a_path_that_nerfstudio_saved(
    walked: Callable[[int], Path], tmp_path: Path, model: Words
):
    folder = Path(shutil.copytree(walked(3), tmp_path / "w"))
    with World.open(folder) as world:
        drawn = orbit(world.cameras()[:1], n=4, scale=world.scene.scale)
    save_nerfstudio_path(tmp_path / "camera_path.json", drawn, fps=24)
    assert run("extend", folder, "--path", tmp_path / "camera_path.json", "--frames", 9, *model) == 0
    with World.open(folder) as world:
        torch.testing.assert_close(world.cameras().c2w[3:], drawn.c2w[1:], atol=1e-6, rtol=0)


def test_a_real_path_is_filmed(walked: Callable[[int], Path], tmp_path: Path, path: Path):
    words = ("--path", path, "--size", "32x32", "--render", "points")
    assert run("fly", walked(3), tmp_path / "fly.mp4", *words) == 0
    with av.open(str(tmp_path / "fly.mp4")) as container:
        assert len(list(container.decode(video=0))) == 5


TOUR = """{
  "format": "worldgen-tour", "fps": 10, "ease": 0.2,
  "segments": [{"move": "dolly", "ahead": 0.2, "frames": 3}, {"through": [2, 0], "seconds": 0.5, "fov": 40}]
}"""


@pytest.fixture
def tour(tmp_path: Path) -> Path:
    """A tour of eight pictures at ten a second, by the frames of a world; half of a second is seconds."""
    file = tmp_path / "tour.json"
    file.write_text(TOUR)
    return file


def test_extend_follows_a_tour_by_the_frames_of_the_world(
    walked: Callable[[int], Path], tmp_path: Path, tour: Path, model: Words
):
    folder = Path(shutil.copytree(walked(3), tmp_path / "w"))
    with World.open(folder) as world:
        own, scale = world.cameras(), world.scene.scale
        setting = Setting(start=own[2:], scale=scale, frames=own, ids=(0, 1, 2))
        expected = load_tour(tour).cameras(setting)
    assert run("extend", folder, "--path", tour, "--frames", 20, *model) == 0
    with World.open(folder) as world:
        cameras = world.cameras(world.walked_ids())
    assert len(cameras) == 3 + 7  # the first of the eight is the last that there was
    torch.testing.assert_close(cameras.c2w[2:], expected.c2w, atol=1e-6, rtol=0)
    torch.testing.assert_close(cameras.K[2:], expected.K, atol=1e-4, rtol=0)
    torch.testing.assert_close(cameras.c2w[-1], own.c2w[0], atol=1e-6, rtol=0)


def test_files_that_say_how_fast_they_are_are_filmed_so(
    walked: Callable[[int], Path], tmp_path: Path, tour: Path, capsys: pytest.CaptureFixture[str]
):
    world = walked(3)
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    run("path", tour, "--world", world, "--out", ours)
    run("path", tour, "--world", world, "--out", theirs, "--format", "nerfstudio")
    for file in (tour, ours, theirs):
        capsys.readouterr()
        words = ("--path", file, "--size", "16x16", "--render", "points")
        assert run("fly", world, tmp_path / "fly.mp4", *words) == 0
        assert "8 pictures, 16x16; 0.8 s" in capsys.readouterr().out
    data = json.loads(ours.read_text())
    ours.write_text(json.dumps(data | {"fps": 400}))
    assert run("fly", world, tmp_path / "fly.mp4", "--path", ours) == 2
    assert "--fps between 1 and 240" in capsys.readouterr().err
    assert run("path", ours, "--fps", 200) == 0
    assert "at 200 a second" in capsys.readouterr().out


def test_a_tour_is_filmed_whole_at_any_rate(walked: Callable[[int], Path], tmp_path: Path, tour: Path):
    words = ("--path", tour, "--size", "32x32", "--render", "points", "--fps", 20, "--seconds", 0.2)
    assert run("fly", walked(3), tmp_path / "fly.mp4", *words) == 0
    with av.open(str(tmp_path / "fly.mp4")) as container:
        assert len(list(container.decode(video=0))) == 3 + 10


def test_a_tour_that_needs_frames_starts_no_world(tmp_path: Path, tour: Path, model: Words):
    done = forked("grow", tmp_path / "w", "--path", tour, *model)
    about = "tour.json cannot be flown here: segment 2: there is no frame 2 in the world; there are none here"
    assert_one_sentence(done, status=2, about=about)
    assert not (tmp_path / "w").exists()


def test_grow_follows_a_move_with_numbers(tmp_path: Path, model: Words):
    assert run("grow", tmp_path / "w", "--path", "arc:degrees=30,length=0.5", "--frames", 4, *model) == 0
    with World.open(tmp_path / "w") as world:
        cameras = world.cameras(world.walked_ids())
        expected = arc(cameras[:1], n=4, degrees=30.0, length=0.5, scale=world.scene.scale)
    torch.testing.assert_close(cameras.c2w, expected.c2w, atol=1e-6, rtol=0)


def test_extend_follows_a_colmap_model(walked: Callable[[int], Path], tmp_path: Path, model: Words):
    folder = Path(shutil.copytree(walked(3), tmp_path / "w"))
    assert run("export", folder, tmp_path / "set", "--format", "colmap") == 0
    assert run("extend", folder, "--path", tmp_path / "set", "--frames", 9, *model) == 0
    with World.open(folder) as world:
        cameras = world.cameras(world.walked_ids())
        again = carried(cameras[:3], cameras[2:3], scale=world.scene.scale)
    assert len(cameras) == 3 + 2
    torch.testing.assert_close(cameras.c2w[2:], again.c2w, atol=1e-5, rtol=0)


def test_a_move_without_sense_is_refused(tmp_path: Path, model: Words):
    done = forked("grow", tmp_path / "w", "--path", "orbit:speed=3", *model)
    assert_one_sentence(done, status=2, about="orbit has no number 'speed'; it has degrees")
    assert not (tmp_path / "w").exists()


def test_a_path_that_is_none_is_refused(tmp_path: Path, model: Words):
    (tmp_path / "notes.txt").write_text("walk to the door and back\n")
    done = forked("grow", tmp_path / "w", "--path", tmp_path / "notes.txt", *model)
    assert_one_sentence(done, status=2, about="notes.txt is no usable camera path: camera 0 should have 18")
    assert not (tmp_path / "w").exists()


def test_the_cameras_of_a_world_are_exported_as_a_path(walked: Callable[[int], Path], tmp_path: Path):
    assert run("export", walked(3), tmp_path / "way.json", "--format", "path") == 0
    with World.open(walked(3)) as world:
        assert torch.equal(load_path(tmp_path / "way.json").c2w, world.cameras().c2w)
    for name, more, about in (
        ("none/way.json", (), "create it first"),
        ("b", ("--max-splats", 9), "for splats"),
    ):
        done = forked("export", walked(3), tmp_path / name, "--format", "path", *more)
        assert_one_sentence(done, status=2, about=about)
        assert [file.name for file in tmp_path.iterdir()] == ["way.json"]
