"""Given frames with estimated depth: a real picture, a long walk, and what must not enter a world."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from memory.cache import Seen, WorldCache
from memory.pictures import read_depth, read_rgb
from memory.restore import restored_cache
from memory.world import SceneInfo, World
from render.cameras import Cameras, intrinsics_from_fov
from render.frames import Frames, concatenated, median_depth
from render.paths import turn
from tests.oracles.box_room import BoxRoom, raycast
from tests.worldgen.alignment.estimates import estimated, random_map
from worldgen.alignment.given import aligned, centred, take_in
from worldgen.conditions import Known, SceneUnits
from worldgen.rollout import Growth
from worldgen.worlds import random_scene, random_walk_cameras, render

BOX = Path(__file__).parents[3] / "examples" / "data" / "box_interior"
FOV = np.radians(55.0)
STEP, SIDE = 4, 80


class Unasked:
    """A ``Generator`` that nobody may ask."""

    name = "unasked"
    size = SIDE

    def __call__(self, known: Known, recall: Frames | None, *, units: SceneUnits, seed: int) -> Frames:
        """Fail."""
        raise AssertionError("frames that are given are not imagined")


def windows() -> Frames:
    """Eleven windows that slide over a real RGB-D picture; nothing in them is resampled."""
    rgb = read_rgb(BOX / "color.jpg")[:, STEP // 2 :: STEP, STEP // 2 :: STEP]
    depth, valid = (part[:, STEP // 2 :: STEP, STEP // 2 :: STEP] for part in read_depth(BOX / "depth.png"))
    height, width = depth.shape[1:3]
    parts = []
    for left in range(0, width - SIDE + 1, 8):
        cut = (slice(None), slice(20, 20 + SIDE), slice(left, left + SIDE))
        K = intrinsics_from_fov(FOV, width=width, height=height)
        K[:, 0, 2] -= left
        K[:, 1, 2] -= 20
        parts.append(
            Frames(
                rgb=rgb[cut],
                depth=depth[cut],
                valid=valid[cut],
                confidence=valid[cut].float(),
                cameras=Cameras(c2w=torch.eye(4)[None], K=K, width=SIDE, height=SIDE),
            )
        )
    return concatenated(parts)


def world_of(folder: Path, first: Frames) -> World:
    world = World.create(folder, SceneInfo(units="metres", scale=median_depth(first), up=(0.0, -1.0, 0.0)))
    settings = {"depth_range": [0.0, 3.0]}
    world.commit(first, given=True, generator="input", seed=0, settings=settings)
    return world


def gaps(found: Seen, true: Seen) -> torch.Tensor:
    """Relative differences of depth where both show something."""
    both = found.mask & true.mask
    return ((found.depth - true.depth).abs() / true.depth)[both]


def test_a_real_picture_grows_from_estimates_as_from_measurements(tmp_path: Path):
    frames, rng = windows(), np.random.default_rng(0)
    maps = [random_map(frames[i : i + 1], rng) for i in range(len(frames))]
    guesses = concatenated(
        [
            estimated(frames[i : i + 1], maps[i], rng, noise=0.005, outliers=0.15)
            for i in range(1, len(frames))
        ]
    )
    measured, blind = WorldCache(), WorldCache()
    measured.insert(frames, ids=list(range(len(frames))), nearer=0.02)
    blind.insert(concatenated([frames[:1], guesses]), ids=list(range(len(frames))), nearer=0.02)
    true = measured.render(frames.cameras)
    with world_of(tmp_path / "w", frames[:1]) as world:
        growth = Growth(world, Unasked())
        done = list(take_in(growth, guesses))
        found = growth.cache.render(frames.cameras)
        again = restored_cache(world).render(frames.cameras)
        told = [chunk.settings["alignment"] for chunk in world.chunks()[1:]]
        assert all(chunk.given for chunk in world.chunks())
    for step, truth, words in zip(done, maps[1:], told, strict=True):
        assert step.fit.method == words["method"] == "affine"
        assert (step.fit.affine.a, step.fit.affine.b) == (words["a"], words["b"])
        assert step.fit.affine.a == pytest.approx(truth.a, rel=0.03)
    assert gaps(found, true).median() < 0.005
    assert gaps(found, true).quantile(0.95) < 0.03
    assert found.mask.sum() > 0.85 * true.mask.sum()
    assert gaps(blind.render(frames.cameras), true).median() > 0.1  # the control: nothing is aligned
    assert torch.equal(found.depth, again.depth)  # a world that is reopened is the world that was left
    assert torch.equal(found.rgb, again.rgb)


def test_fifty_frames_on_the_scale_is_still_that_of_the_first():
    scene = random_scene(6)
    frames = render(scene, random_walk_cameras(scene, n=50, seed=1, width=48, height=48))
    cache, rng, before = WorldCache(), np.random.default_rng(6), None
    cache.insert(frames[:1], ids=[0])
    for i in range(1, len(frames)):
        frame = frames[i : i + 1]
        seen = cache.render(frame.cameras)
        guess = estimated(frame, random_map(frame, rng), rng, noise=0.005, outliers=0.2)
        done = aligned(guess, seen, previous=before)
        cache.remember(done.frames, seen, ids=[i], given=True)
        before = done.fit.affine
        depth, kept = before.applied(guess.depth, guess.valid)
        scale = (depth / frame.depth)[kept].median()
        assert abs(float(scale) - 1.0) < 0.02, f"frame {i}"


def slanted_floor() -> BoxRoom:
    """A floor under three cameras that turn, so that its points fall anywhere in the pixels."""
    floor = trimesh.creation.box(extents=(40.0, 0.2, 40.0))
    floor.apply_translation((0.0, 1.0, 0.0))
    K = intrinsics_from_fov(1.2, width=48, height=40)
    start = Cameras(c2w=torch.eye(4)[None], K=K, width=48, height=40)
    return raycast(floor, turn(start, n=40)[:3])


def test_depth_at_pixel_centres_is_that_of_the_surface():
    frames = slanted_floor().frames
    cache = WorldCache()
    cache.insert(frames[:1], ids=[0])
    seen = cache.render(frames[1:2].cameras)
    inner = torch.zeros_like(seen.mask)
    inner[:, 26:-2, 4:-10] = True
    inner &= seen.mask & frames.valid[1:2]
    assert inner.sum() > 200
    raw, better = ((depth / frames.depth[1:2] - 1.0)[inner] for depth in (seen.depth, centred(seen)))
    assert raw.mean() < -0.002  # the nearest of the points that cover a pixel is drawn
    assert better.mean().abs() < 0.0003
    assert better.abs().quantile(0.95) < 0.002


def test_an_empty_cache_leaves_a_frame_as_it_is(box_room: BoxRoom):
    frame = box_room.frames[:1]
    done = aligned(frame, WorldCache().render(frame.cameras))
    assert done.fit.method == "none"
    kept = done.frames.valid
    assert kept.float().mean() > 0.99  # corners are speckles
    torch.testing.assert_close(done.frames.depth[kept], frame.depth[kept], rtol=1e-6, atol=0)


def test_the_sky_takes_no_part_and_has_no_depth(box_room: BoxRoom):
    frame, cache = box_room.frames[:1], WorldCache()
    cache.insert(frame, ids=[0])
    sky = torch.zeros_like(frame.valid)
    sky[:, :24] = True
    guess = dataclasses.replace(frame, depth=torch.where(sky, 77.0, 2.0 * frame.depth))
    seen = cache.render(frame.cameras)
    done = aligned(guess, seen, sky=sky)
    assert done.fit.affine.a == pytest.approx(2.0, rel=1e-3)
    assert not (done.frames.valid & sky).any()
    assert not done.frames.depth[sky].any()
    wrong = aligned(guess, seen).fit  # the control: half a picture of sky is no outlier
    assert wrong.affine.a != pytest.approx(2.0, rel=1e-2)


def test_what_the_cache_shows_already_keeps_its_depth(box_room: BoxRoom):
    frame, cache = box_room.frames[:1], WorldCache()
    cache.insert(frame, ids=[0])
    seen, rng = cache.render(frame.cameras), np.random.default_rng(0)
    before = len(cache)
    done = aligned(estimated(frame, random_map(frame, rng), rng, noise=0.015), seen)
    same = done.frames.valid & seen.mask
    assert same.float().mean() > 0.8
    assert (done.frames.depth == centred(seen))[same].float().mean() > 0.99
    cache.remember(done.frames, seen, ids=[1], given=True)
    assert len(cache) < 1.1 * before


def test_a_bend_is_taken_out_where_it_is_asked_for(box_room: BoxRoom):
    frame, cache = box_room.frames[:1], WorldCache()
    cache.insert(frame, ids=[0])
    across = torch.arange(frame.cameras.width)[None, None, :, None]
    shown = (across // 6) % 2 == 0
    bent = dataclasses.replace(frame, depth=frame.depth * torch.exp(0.05 * torch.sin(across / 8.0)))
    seen = cache.render(frame.cameras)
    errors = []
    for bends in (False, True):
        done = aligned(bent, dataclasses.replace(seen, mask=seen.mask & shown), bends=bends).frames
        new = done.valid & ~shown & (across < 54)
        errors.append(float((done.depth / frame.depth - 1.0)[new].abs().mean()))
    assert errors[1] < 0.4 * errors[0]


def test_frames_are_aligned_one_by_one(box_room: BoxRoom):
    with pytest.raises(ValueError, match="one by one, got 3"):
        aligned(box_room.frames, WorldCache().render(box_room.cameras))


def test_a_frame_without_any_depth_is_refused(tmp_path: Path):
    frames = windows()[:2]
    empty = dataclasses.replace(frames[1:], valid=torch.zeros_like(frames.valid[1:]))
    with world_of(tmp_path / "w", frames[:1]) as world:
        with pytest.raises(ValueError, match="frame 0 has no depth"):
            list(take_in(Growth(world, Unasked()), empty))
        assert len(world.frame_ids()) == 1
