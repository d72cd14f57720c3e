"""Camera paths from files of others: every verb that follows one takes them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pytest
import torch

from memory.world import World
from reconstruct.formats.nerfstudio_path import save_nerfstudio_path
from render.paths import orbit
from render.realestate import carried, load_realestate
from tests.e2e.verbs import Words, assert_one_sentence, forked, run
from tests.render.test_realestate import lines, written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Five cameras of RealEstate10K."""
    return written(tmp_path, lines(times=True))


def test_grow_follows_a_real_path_from_its_first_view(tmp_path: Path, path: Path, model: Words):
    assert run("grow", tmp_path / "w", "--path", path, "--frames", 4, *model) == 0
    with World.open(tmp_path / "w") as world:
        cameras = world.cameras()
        expected = carried(load_realestate(path)[:4], cameras[:1], scale=world.scene.scale)
    torch.testing.assert_close(cameras.c2w[0], torch.eye(4), atol=0, rtol=0)
    torch.testing.assert_close(cameras.c2w, expected.c2w, atol=1e-6, rtol=0)


def test_extend_follows_a_real_path_from_its_last_frame(
    walked: Callable[[int], Path], tmp_path: Path, path: Path, model: Words
):
    folder = Path(shutil.copytree(walked(3), tmp_path / "w"))
    assert run("extend", folder, "--path", path, "--frames", 10, *model) == 0
    with World.open(folder) as world:
        cameras = world.cameras()
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


def test_a_path_that_is_none_is_refused(tmp_path: Path, model: Words):
    (tmp_path / "notes.txt").write_text("walk to the door and back\n")
    done = forked("grow", tmp_path / "w", "--path", tmp_path / "notes.txt", *model)
    assert_one_sentence(done, status=2, about="notes.txt is no usable camera path: camera 0 should have 18")
    assert not (tmp_path / "w").exists()
