"""The path that is drawn in the viewer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from reconstruct.formats.nerfstudio_path import load_camera_path, save_nerfstudio_path
from render.path_files import save_path
from render.timing import Ease
from render.tour_files import save_tour
from render.tours import Setting, Tour
from tests.viewer.box_room import look
from viewer.conventions import poses_from_cameras
from viewer.keyframes import MOST_KEYS, MOST_PICTURES, Drawn, keys_of, read_drawn
from viewer.path_panel import clearance, described

POSES = tuple(poses_from_cameras(look(3)))


def test_every_keyframe_is_a_picture_of_its_own():
    drawn = Drawn(fps=10.0).through(POSES, leg_s=0.5)
    cameras = drawn.cameras(width=64, height=48)
    assert cameras is not None
    assert drawn.pictures == len(cameras) == 11
    for number, key in zip((0, 5, 10), POSES, strict=True):
        np.testing.assert_allclose(cameras.origins[number], key.position, atol=1e-6)
        np.testing.assert_allclose(cameras.c2w[number, :3, :3], key.rotation, atol=1e-6)
    assert described(drawn) == "3 keyframes, 11 pictures, 1.1 s."


def test_every_leg_has_a_time_of_its_own():
    drawn = Drawn(fps=10.0)
    for pose, leg in zip(POSES, (9.0, 0.5, 0.7), strict=True):
        drawn = drawn.with_key(pose, leg_s=leg)
    assert drawn.legs_s == (0.5, 0.7)
    drawn = drawn.with_leg(0, 1.2).with_leg(2, 5.0)
    assert (drawn.legs_s, drawn.pictures) == ((1.2, 0.7), 20)
    cameras = drawn.cameras(width=64, height=48)
    assert cameras is not None
    for number, key in zip((0, 12, 19), POSES, strict=True):
        np.testing.assert_allclose(cameras.origins[number], key.position, atol=1e-6)
    assert drawn.without_last().legs_s == (1.2,)
    assert drawn.without_last().without_last().without_last() == drawn.through((), leg_s=1.0)
    with pytest.raises(ValueError, match="legs between them"):
        Drawn(keys=POSES)


def test_a_broken_clearance_is_told_by_its_times():
    assert clearance([]) == ""
    assert "(1.0 to 1.5 s)" in clearance([(1.0, 1.5)])
    assert clearance([(1.0, 1.5)] * 5).endswith("1.0 to 1.5 s and 2 more).")


def test_the_field_of_view_goes_from_one_key_to_the_next():
    wide = dataclasses.replace(POSES[1], fov=2.0 * POSES[0].fov)
    cameras = Drawn(fps=4.0).through((POSES[0], wide), leg_s=1.0).cameras(width=64, height=48)
    assert cameras is not None
    fovs = [pose.fov for pose in poses_from_cameras(cameras)]
    assert fovs == sorted(fovs)
    assert fovs[-1] == pytest.approx(2.0 * fovs[0], rel=1e-5)


def test_nothing_drawn_is_no_path_and_pictures_are_bounded():
    assert Drawn().cameras(width=64, height=48) is None
    assert described(Drawn()) == "No keyframes yet."
    assert Drawn(keys=POSES[:1]).pictures == 1
    long = Drawn(fps=120.0).through(POSES * 30, leg_s=60.0)
    assert 0.99 * MOST_PICTURES < long.pictures <= MOST_PICTURES
    longest = Drawn(fps=120.0).through(POSES * 30, leg_s=0.1).with_leg(3, 1e6)
    assert longest.pictures <= MOST_PICTURES + len(longest.keys)


def test_no_more_keyframes_than_can_be_told_apart():
    drawn = Drawn().through((POSES[0],) * (MOST_KEYS - 1), leg_s=1.0).with_key(POSES[1], leg_s=1.0)
    with pytest.raises(ValueError, match="up to 100 keyframes"):
        drawn.with_key(POSES[2], leg_s=1.0)


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


def in_room() -> Setting:
    return Setting(start=look(1), scale=2.0, frames=look(3), ids=(4, 5, 9))


@pytest.mark.parametrize("seconds", [1, 30])
def test_a_tour_is_drawn_as_it_is_flown(tmp_path: Path, seconds: float):
    tour = (
        Tour(fps=60, ease=Ease(start=0.4, end=0.4))
        .then("arc", degrees=50, length=0.5, seconds=seconds)
        .through(9, seconds=4)
        .hold(1, fov_deg=40)
    )
    save_tour(tmp_path / "tour.json", tour)
    drawn = read_drawn(tmp_path / "tour.json", fps=24.0, leg_s=5.0, setting=in_room)
    flown = dataclasses.replace(tour, fps=24).cameras(in_room())
    cameras = drawn.cameras(width=64, height=48)
    assert cameras is not None
    assert len(drawn.keys) == min(len(flown), MOST_KEYS)
    assert len(cameras) == len(flown) == (seconds + 5) * 24
    np.testing.assert_allclose(cameras.origins, flown.origins, atol=0.02)  # a hundredth of a scene length
    np.testing.assert_allclose(cameras.c2w[:, :3, 2], flown.c2w[:, :3, 2], atol=0.02)  # and about a degree
    assert drawn.keys[-1].fov < 0.6 * drawn.keys[0].fov


def test_a_tour_that_cannot_be_flown_here_is_refused_in_a_sentence(tmp_path: Path):
    file = tmp_path / "tour.json"
    save_tour(file, Tour().through(6, seconds=1))
    with pytest.raises(ValueError, match=r"tour.json cannot be flown here: segment 1: there is no frame 6"):
        read_drawn(file, fps=24.0, leg_s=1.0, setting=in_room)
    with pytest.raises(ValueError, match=r"tour.json is a tour, and there is no world here"):
        read_drawn(file, fps=24.0, leg_s=1.0, setting=None)
    file.write_text('{"format": "worldgen-tour", "segments": [{"move": "fly"}]}')
    with pytest.raises(
        ValueError, match=r"tour.json is no usable tour: segment 1: there is no move named 'fly'"
    ):
        read_drawn(file, fps=24.0, leg_s=1.0, setting=in_room)
