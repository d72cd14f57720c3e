"""Frames: what is refused at the door, and what moving, joining and measuring them means."""

import dataclasses
import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from render.cameras import resized, unproject
from render.frames import Frames, checked, concatenated, median_depth, moved
from tests.oracles.box_room import BoxRoom


def _with(frames: Frames, name: str, value: float) -> Frames:
    changed = getattr(frames, name).clone()
    changed[1, 3, 5] = value
    return dataclasses.replace(frames, **{name: changed})


def test_pictures_and_cameras_of_two_sizes_are_refused(box_room: BoxRoom):
    with pytest.raises(ValueError, match="disagree"):
        dataclasses.replace(box_room.frames, cameras=resized(box_room.cameras, width=30, height=44))


def test_pictures_and_cameras_of_two_counts_are_refused(box_room: BoxRoom):
    with pytest.raises(ValueError, match="disagree"):
        dataclasses.replace(box_room.frames, cameras=box_room.cameras[:2])


def test_ray_cast_frames_are_accepted(box_room: BoxRoom):
    assert checked(box_room.frames) is box_room.frames


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("rgb", math.nan, "rgb holds NaN"),
        ("rgb", 1.5, r"colour must lie in \[0, 1\]"),
        ("rgb", -0.1, r"colour must lie in \[0, 1\]"),
        ("depth", math.inf, "depth holds NaN"),
        ("depth", 0.0, "valid depth must be positive"),
        ("depth", -2.0, "valid depth must be positive"),
        ("confidence", 1.2, "confidence must lie"),
        ("confidence", math.nan, "confidence holds NaN"),
    ],
)
def test_unusable_frames_are_refused(box_room: BoxRoom, name: str, value: float, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        checked(_with(box_room.frames, name, value))


def test_depth_that_is_not_valid_may_be_zero(box_room: BoxRoom):
    frames = _with(_with(box_room.frames, "depth", 0.0), "valid", False)  # noqa: FBT003 - a pixel's value
    assert checked(frames) is frames


def test_cameras_of_frames_are_checked_too(box_room: BoxRoom):
    cameras = dataclasses.replace(box_room.cameras, c2w=2.0 * box_room.cameras.c2w)
    with pytest.raises(ValueError, match="rigid"):
        checked(dataclasses.replace(box_room.frames, cameras=cameras))


def test_median_depth_ignores_what_is_not_valid(box_room: BoxRoom):
    depth = torch.arange(1.0, 1.0 + 3 * 44 * 60).reshape(3, 44, 60, 1)
    frames = dataclasses.replace(box_room.frames, depth=depth, valid=depth <= 101.0)
    assert median_depth(frames) == 51.0


def test_frames_without_any_depth_have_no_scale(box_room: BoxRoom):
    empty = dataclasses.replace(box_room.frames, valid=torch.zeros_like(box_room.frames.valid))
    with pytest.raises(ValueError, match="no scale"):
        median_depth(empty)


def test_moved_frames_show_the_moved_world(box_room: BoxRoom):
    b_from_a = torch.eye(4)
    b_from_a[:3, :3] = torch.from_numpy(Rotation.from_rotvec((-0.2, 0.9, 0.3)).as_matrix())
    b_from_a[:3, 3] = torch.tensor([0.4, 3.0, -1.0])
    there = moved(box_room.frames, b_from_a)
    expected = box_room.points @ b_from_a[:3, :3].mT + b_from_a[:3, 3]
    torch.testing.assert_close(unproject(there.depth, there.cameras), expected, atol=1e-5, rtol=0)
    assert torch.equal(there.rgb, box_room.frames.rgb)


def test_parts_of_a_batch_join_again(box_room: BoxRoom):
    frames = box_room.frames
    joined = concatenated([frames[:2], frames[[2]]])
    for name in ("rgb", "depth", "valid", "confidence"):
        assert torch.equal(getattr(joined, name), getattr(frames, name))
    assert torch.equal(joined.cameras.c2w, frames.cameras.c2w)
