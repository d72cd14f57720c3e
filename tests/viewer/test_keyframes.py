"""The path that is drawn in the viewer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from reconstruct.formats.nerfstudio_path import load_camera_path, save_nerfstudio_path
from render.path_files import save_path
from tests.viewer.box_room import look
from viewer.conventions import poses_from_cameras
from viewer.keyframes import MOST_KEYS, MOST_PICTURES, Drawn, keys_of
from viewer.path_panel import described

POSES = tuple(poses_from_cameras(look(3)))


def test_every_keyframe_is_a_picture_of_its_own():
    drawn = Drawn(keys=POSES, leg_s=0.5, fps=10.0)
    cameras = drawn.cameras(width=64, height=48)
    assert cameras is not None
    assert drawn.pictures == len(cameras) == 11
    for number, key in zip((0, 5, 10), POSES, strict=True):
        np.testing.assert_allclose(cameras.origins[number], key.position, atol=1e-6)
        np.testing.assert_allclose(cameras.c2w[number, :3, :3], key.rotation, atol=1e-6)
    assert described(drawn) == "3 keyframes, 11 pictures, 1.1 s."


def test_the_field_of_view_goes_from_one_key_to_the_next():
    wide = dataclasses.replace(POSES[1], fov=2.0 * POSES[0].fov)
    cameras = Drawn(keys=(POSES[0], wide), leg_s=1.0, fps=4.0).cameras(width=64, height=48)
    assert cameras is not None
    fovs = [pose.fov for pose in poses_from_cameras(cameras)]
    assert fovs == sorted(fovs)
    assert fovs[-1] == pytest.approx(2.0 * fovs[0], rel=1e-5)


def test_nothing_drawn_is_no_path_and_pictures_are_bounded():
    assert Drawn().cameras(width=64, height=48) is None
    assert described(Drawn()) == "No keyframes yet."
    assert Drawn(keys=POSES[:1]).pictures == 1
    assert Drawn(keys=POSES * 30, leg_s=60.0, fps=120.0).pictures == MOST_PICTURES


def test_no_more_keyframes_than_can_be_told_apart():
    drawn = Drawn(keys=(POSES[0],) * (MOST_KEYS - 1)).with_key(POSES[1])
    with pytest.raises(ValueError, match="up to 100 keyframes"):
        drawn.with_key(POSES[2])


@pytest.mark.parametrize("kind", ["worldgen", "nerfstudio"])
def test_files_of_either_kind_become_keyframes(kind: str, tmp_path: Path):
    cameras, file = look(2 * MOST_KEYS + 1), tmp_path / "path.json"
    cameras.K[:, 0, 0] = cameras.K[:, 1, 1]  # neither kind of viewer knows pixels that are not square
    save = save_path if kind == "worldgen" else save_nerfstudio_path
    save(file, cameras, fps=24)
    keys = keys_of(load_camera_path(file))
    assert len(keys) == MOST_KEYS
    for key, number in ((keys[0], 0), (keys[-1], 2 * MOST_KEYS)):
        expected = poses_from_cameras(cameras[number : number + 1])[0]
        np.testing.assert_allclose(key.position, expected.position, atol=1e-6)
        assert key.fov == pytest.approx(expected.fov, rel=1e-5)
