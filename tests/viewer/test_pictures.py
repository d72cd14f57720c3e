"""What the panel shows of a frame."""

import dataclasses

import numpy as np
import torch

from memory.pictures import depth_colours
from tests.viewer.box_room import cast, look
from viewer.pictures import LONGEST_SIDE, caption, shots_from_frames, side_by_side


def test_a_small_picture_is_kept_as_it_is():
    frames = cast(look(2))
    shots = shots_from_frames(frames)
    assert len(shots) == 2
    np.testing.assert_allclose(shots[1].rgb / 255, frames.rgb[1], atol=0.51 / 255)
    assert (shots[1].nearest, shots[1].farthest) == (
        float(frames.depth[1].min()),
        float(frames.depth[1].max()),
    )


def test_a_large_picture_is_kept_small_and_keeps_its_mean():
    frames = cast(look(1, width=3 * LONGEST_SIDE, height=2 * LONGEST_SIDE))
    shot = shots_from_frames(frames)[0]
    assert shot.rgb.shape == shot.depth.shape == (LONGEST_SIDE * 2 // 3, LONGEST_SIDE, 3)
    np.testing.assert_allclose(shot.rgb.mean(axis=(0, 1)) / 255, frames.rgb.mean(dim=(0, 1, 2)), atol=2 / 255)


def test_depth_has_the_colours_of_sheets_and_films():
    frames = cast(look(2))
    holes = frames.valid.clone()
    holes[:, :5] = False
    frames = dataclasses.replace(frames, valid=holes, depth=torch.where(holes, frames.depth, 0.0))
    depth = shots_from_frames(frames)[1].depth
    np.testing.assert_allclose(depth / 255, depth_colours(frames[[1]])[0], atol=0.51 / 255)
    assert not depth[:5].any()
    at = int(frames.depth[1].masked_fill(~holes[1], torch.inf).argmin())
    red, _, blue = depth.reshape(-1, 3)[at].astype(int)
    assert red > blue, "the nearest"


def test_a_frame_without_depth_still_has_a_picture():
    frames = cast(look(1))
    blind = dataclasses.replace(frames, valid=torch.zeros_like(frames.valid), depth=0 * frames.depth)
    shot = shots_from_frames(blind)[0]
    assert "unknown" in caption(shot)
    assert side_by_side(shot).shape[1] > 2 * shot.rgb.shape[1]
