"""Sequences: one metric scale for depths and cameras, and a sky behind everything."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from render.cameras import project, unproject
from render.frames import Frames
from tests.oracles.box_room import BoxRoom
from worldgen.alignment.sequence import metric_scale, scaled, with_sky


def test_the_scale_of_a_sequence_comes_back_whatever_the_offset_and_the_outliers(box_room: BoxRoom):
    frames = box_room.frames
    estimated = frames.depth / 2.5
    assert metric_scale(estimated, frames.depth, frames.valid) == pytest.approx(2.5, rel=1e-5)
    assert metric_scale(estimated + 0.3, frames.depth, frames.valid) == pytest.approx(2.5, rel=1e-5)
    wild = estimated.clone()
    wild[:, ::10, ::3] = 50.0
    assert metric_scale(wild, frames.depth, frames.valid) == pytest.approx(2.5, rel=0.1)


def test_only_what_is_known_counts(box_room: BoxRoom):
    frames = box_room.frames
    estimated, known = frames.depth / 2.5, frames.valid.clone()
    estimated[:, :20], known[:, :20] = 77.0, False
    assert metric_scale(estimated, frames.depth, known) == pytest.approx(2.5, rel=1e-5)
    known[0] = False
    estimated[0] = 1.0  # a frame without common pixels has no say
    assert metric_scale(estimated, frames.depth, known) == pytest.approx(2.5, rel=1e-5)


def test_a_sequence_without_common_depths_has_no_metric_scale(box_room: BoxRoom):
    frames = box_room.frames
    with pytest.raises(ValueError, match="no metric scale"):
        metric_scale(frames.depth, frames.depth, torch.zeros_like(frames.valid))
    with pytest.raises(ValueError, match="no metric scale"):
        metric_scale(torch.ones_like(frames.depth), frames.depth, frames.valid)


def test_scaling_grows_the_world_and_leaves_the_pictures_alone(box_room: BoxRoom):
    frames, large = box_room.frames, scaled(box_room.frames, 2.5)
    points = unproject(large.depth, large.cameras)
    torch.testing.assert_close(points, 2.5 * unproject(frames.depth, frames.cameras), atol=1e-4, rtol=0)
    seen_before, _ = project(box_room.points[1].reshape(-1, 3), frames.cameras)
    seen_after, _ = project(2.5 * box_room.points[1].reshape(-1, 3), large.cameras)
    torch.testing.assert_close(seen_after[0], seen_before[0], atol=1e-2, rtol=1e-3)
    with pytest.raises(ValueError, match="finite factor above 0"):
        scaled(frames, 0.0)


def with_maxima(frames: Frames, maxima: list[float]) -> tuple[Frames, torch.Tensor]:
    """Frames whose depths end at ``maxima``, with a strip of sky without depth."""
    depth = torch.ones_like(frames.depth)
    for i, value in enumerate(maxima):
        depth[i, 20, 20] = value
    sky = torch.zeros_like(frames.valid)
    sky[:, :5] = True
    depth = depth.masked_fill(sky, 0.0)
    return dataclasses.replace(frames, depth=depth, valid=~sky), sky


def test_the_sky_lies_behind_everything_and_no_wild_frame_sends_it_away(box_room: BoxRoom):
    frames, sky = with_maxima(box_room.frames, [8.0, 600.0, 5.0])
    done = with_sky(frames, sky)
    assert (done.depth[sky] == 40.0).all()  # 5 times 8: the lower half of 5, 8 and 600 ends there
    assert done.valid.all()
    assert torch.equal(done.depth[~sky], frames.depth[~sky])


def test_the_sky_is_at_most_a_thousand_units_away(box_room: BoxRoom):
    frames, sky = with_maxima(box_room.frames, [300.0, 600.0, 500.0])
    assert (with_sky(frames, sky).depth[sky] == 1000.0).all()


def test_a_sky_alone_has_no_place(box_room: BoxRoom):
    frames = box_room.frames
    with pytest.raises(ValueError, match="nothing to put the sky behind"):
        with_sky(frames, torch.ones_like(frames.valid))
