"""Nerfstudio's camera paths, against matrices written by hand from its documentation."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from reconstruct.formats.nerfstudio_path import load_camera_path, save_nerfstudio_path
from render.cameras import Cameras, intrinsics_from_fov
from render.path_files import save_path
from render.paths import orbit

SIDEWAYS = [0, 0, -1, 5, 0, 1, 0, 2, 1, 0, 0, 3, 0, 0, 0, 1]
"""OpenGL, row by row: right is +z of the world, up is +y, back is -x, so it looks along +x from (5, 2, 3)."""


def content(**changes: object) -> dict:
    view = {"camera_to_world": SIDEWAYS, "fov": 90.0, "aspect": 1.5}
    return {"render_width": 300, "render_height": 200, "camera_path": [view]} | changes


def written(folder: Path, thing: object) -> Path:
    file = folder / "camera_path.json"
    file.write_text(json.dumps(thing))
    return file


def test_axes_and_field_of_view_are_read_as_nerfstudio_means_them(tmp_path: Path):
    cameras = load_camera_path(written(tmp_path, content()))
    c2w = cameras.c2w[0]
    torch.testing.assert_close(c2w[:3, 2], torch.tensor([1.0, 0.0, 0.0]))  # forward
    torch.testing.assert_close(c2w[:3, 1], torch.tensor([0.0, -1.0, 0.0]))  # down
    torch.testing.assert_close(c2w[:3, 3], torch.tensor([5.0, 2.0, 3.0]))
    assert (cameras.width, cameras.height) == (300, 200)
    assert float(cameras.K[0, 1, 1]) == pytest.approx(100.0)  # half the height over tan 45 degrees
    assert cameras.K[0, :2, 2].tolist() == [150.0, 100.0]


def test_a_path_comes_back_as_it_was(tmp_path: Path):
    K = intrinsics_from_fov(math.radians(70.0), width=64, height=48)
    start = Cameras(c2w=torch.eye(4)[None], K=K, width=64, height=48)
    cameras, file = orbit(start, n=5), tmp_path / "path.json"
    save_nerfstudio_path(file, cameras, fps=24)
    back = load_camera_path(file)
    torch.testing.assert_close(back.c2w, cameras.c2w)
    torch.testing.assert_close(back.K, cameras.K)
    said = json.loads(file.read_text())
    assert said["camera_path"][0]["camera_to_world"][10] == -1.0  # back, not forward
    assert said["seconds"] == pytest.approx(5 / 24)


VIEW = {"camera_to_world": SIDEWAYS, "fov": 60.0}


@pytest.mark.parametrize(
    "thing",
    [
        [],
        content(render_width=0),
        content(render_height=True),
        content(camera_path=[]),
        content(camera_path=[7]),
        content(camera_path=[VIEW | {"fov": 0}]),
        content(camera_path=[VIEW | {"fov": "60"}]),
        content(camera_path=[VIEW | {"camera_to_world": SIDEWAYS[:15]}]),
        content(camera_path=[VIEW | {"camera_to_world": [2.0 * x for x in SIDEWAYS]}]),
        content(camera_path=[VIEW | {"camera_to_world": [1e300, *SIDEWAYS[1:]]}]),
    ],
    ids=range(10),
)
def test_what_is_no_path_is_refused_in_a_sentence(thing: object, tmp_path: Path):
    with pytest.raises(ValueError, match="no usable camera path"):
        load_camera_path(written(tmp_path, thing))


def test_files_that_are_missing_or_no_json_are_refused_in_a_sentence(tmp_path: Path):
    broken = tmp_path / "broken.json"
    broken.write_text("[" * 100_000)
    for file in (broken, tmp_path / "absent.json", written(tmp_path, {"format": "worldgen-path"})):
        with pytest.raises(ValueError, match="no usable camera path"):
            load_camera_path(file)


def test_paths_of_our_own_are_read_too(tmp_path: Path):
    K = intrinsics_from_fov(math.radians(70.0), width=64, height=48)
    cameras = orbit(Cameras(c2w=torch.eye(4)[None], K=K, width=64, height=48), n=5)
    save_path(tmp_path / "path.json", cameras, fps=24)
    assert torch.equal(load_camera_path(tmp_path / "path.json").c2w, cameras.c2w)
