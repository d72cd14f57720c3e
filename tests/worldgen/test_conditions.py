"""Condition channels: order, ranges, masks, and frames there and back."""

from __future__ import annotations

import dataclasses

import torch

from memory.cache import WorldCache
from render.cameras import pixel_centres
from render.frames import Frames
from tests.oracles.box_room import BoxRoom
from worldgen.conditions import (
    SceneUnits,
    channels_of,
    frames_of,
    images_of,
    known_from_cache,
    known_pictures,
    nothing_known,
)
from worldgen.depth import PRIOR, DepthRange, encode
from worldgen.model.rgbd import CONDITION_CHANNELS

UNITS = SceneUnits(scale=1.7, span=DepthRange(low=0.1, high=2.2))


def picture_only(frames: Frames) -> Frames:
    return dataclasses.replace(frames, valid=torch.zeros_like(frames.valid))


def test_pictures_fill_the_channels_in_their_order(box_room: BoxRoom):
    frames = box_room.frames
    channels = channels_of(known_pictures(frames), UNITS)[0]
    assert channels.shape == (3, CONDITION_CHANNELS, 44, 60)
    by_pixel = channels.permute(0, 2, 3, 1)
    torch.testing.assert_close(by_pixel[..., :3], 2.0 * frames.rgb - 1.0)
    torch.testing.assert_close(by_pixel[..., 3:4], encode(frames.depth / 1.7, UNITS.span))
    assert (channels[:, 4:7] == 1).all()
    assert (channels[:, 9:] == 0).all()


def test_the_rays_are_those_of_the_intrinsics(box_room: BoxRoom):
    cameras = box_room.cameras
    channels = channels_of(nothing_known(cameras), UNITS)[0]
    rays = pixel_centres(cameras) @ torch.linalg.inv(cameras.K).mT[:, None]
    torch.testing.assert_close(channels[:, 7:9].permute(0, 2, 3, 1), rays[..., :2])


def test_of_a_picture_alone_no_depth_is_known(box_room: BoxRoom):
    channels = channels_of(known_pictures(picture_only(box_room.frames)), UNITS)[0]
    assert (channels[:, 3] == 0).all()
    assert (channels[:, 4] == 1).all()
    assert (channels[:, 5] == 0).all()
    torch.testing.assert_close(channels[:, :3].permute(0, 2, 3, 1), 2.0 * box_room.frames.rgb - 1.0)


def test_where_nothing_is_known_only_the_rays_speak(box_room: BoxRoom):
    channels = channels_of(nothing_known(box_room.cameras), UNITS)[0]
    assert (channels[:, :7] == 0).all()
    assert (channels[:, 9:] == 0).all()
    assert (channels[:, 7:9] != 0).any()


def test_a_cache_render_keeps_its_documented_ranges(box_room: BoxRoom):
    cache = WorldCache()
    cache.insert(
        dataclasses.replace(box_room.frames[:1], confidence=box_room.frames.confidence[:1] * 0.6), ids=[0]
    )
    seen = cache.render(box_room.cameras[1:])
    channels = channels_of(known_from_cache(seen), UNITS)[0]
    known = seen.mask[..., 0]
    assert 0.1 < known.float().mean() < 0.95
    for mask in (channels[:, 4], channels[:, 5]):
        assert torch.equal(mask.bool(), known)
    for blank in (6, 9, 10):
        assert (channels[:, blank][~known] == 0).all()
    assert (channels[:, :3].abs() <= 1).all()
    truth = images_of(box_room.frames[1:], UNITS)[0]
    raw = (2.0 * seen.rgb - 1.0).permute(0, 3, 1, 2)
    errors = [((image[:, :3] - truth[:, :3]).abs().mean(dim=1))[known].mean() for image in (channels, raw)]
    assert errors[0] < errors[1], "resampling makes a cache render better"
    assert (channels[:, :4].movedim(1, -1)[~known] != 0).any(), "holes are filled"
    torch.testing.assert_close(channels[:, 6][known], torch.full_like(channels[:, 6][known], 0.6))
    assert (channels[:, 9:].abs() <= 2).all()
    offset = channels[:, 9:].permute(0, 2, 3, 1)[known]
    # A point is drawn over the pixels within its footprint: most lie in their own pixel, all nearby.
    assert (offset.abs().amax(dim=-1) <= 0.5).float().mean() > 0.5
    assert offset.std() > 0.1


def test_what_is_not_known_may_hold_anything(box_room: BoxRoom):
    known = nothing_known(box_room.cameras)
    poisoned = dataclasses.replace(
        known,
        rgb=torch.full_like(known.rgb, torch.nan),
        depth=torch.full_like(known.depth, torch.nan),
        confidence=torch.full_like(known.confidence, torch.nan),
        offset=torch.full_like(known.offset, torch.inf),
    )
    assert torch.equal(channels_of(poisoned, UNITS), channels_of(known, UNITS))


def test_frames_survive_the_way_to_the_model_and_back(box_room: BoxRoom):
    frames = box_room.frames
    images = images_of(frames, UNITS)
    assert images.shape == (1, 3, 4, 44, 60)
    back = frames_of(images, box_room.cameras, UNITS)
    torch.testing.assert_close(back.rgb, frames.rgb, atol=1e-6, rtol=0)
    assert torch.equal(back.valid, frames.valid)
    torch.testing.assert_close(back.depth, frames.depth, atol=0, rtol=1e-4)
    assert torch.equal(back.confidence, frames.valid.float())


def test_one_scene_at_two_scales_is_one_to_the_model(box_room: BoxRoom):
    frames = box_room.frames
    tripled = dataclasses.replace(frames, depth=3.0 * frames.depth)
    units = dataclasses.replace(UNITS, scale=3.0 * UNITS.scale)
    torch.testing.assert_close(images_of(tripled, units), images_of(frames, UNITS))
    torch.testing.assert_close(
        channels_of(known_pictures(tripled), units), channels_of(known_pictures(frames), UNITS)
    )


def test_pixels_without_depth_have_the_code_of_the_far_end(box_room: BoxRoom):
    images = images_of(picture_only(box_room.frames), UNITS)
    assert (images[0, :, 3] == -1).all()
    # With a range that begins at infinity, as the prior does, that code is no depth on the way back.
    back = frames_of(images, box_room.cameras, SceneUnits(scale=1.7, span=PRIOR))
    assert not back.valid.any()
    assert (back.depth == 0).all()


def test_predictions_beyond_white_and_black_are_clipped(box_room: BoxRoom):
    images = images_of(box_room.frames, UNITS)
    images[:, :, :3] *= 3.0
    rgb = frames_of(images, box_room.cameras, UNITS).rgb
    assert rgb.amin() == 0.0
    assert rgb.amax() == 1.0
