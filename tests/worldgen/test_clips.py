"""Training clips: the same by index, honest about what is known, and never of a held-out world."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from render.frames import Frames, median_depth
from worldgen.conditions import SceneUnits, images_of
from worldgen.depth import PRIOR
from worldgen.training.clips import FIRST_HELD_OUT_SEED, START_CHANCES, STARTS, Clip, Clips, clip_of, collated
from worldgen.training.corruption import Faults, drawn_faults
from worldgen.worlds import Scene, changed, random_scene, random_walk_cameras, render

FRAMES = 3
SIZE = 32


@pytest.fixture(scope="module")
def scene() -> Scene:
    return random_scene(5)


@pytest.fixture(scope="module")
def walk(scene: Scene) -> Frames:
    """The frames of a clip and the one before, whose place a cache may take."""
    return render(scene, random_walk_cameras(scene, n=FRAMES + 1, seed=1, width=SIZE, height=SIZE))


def seeds_of(start: str, *, count: int) -> list[int]:
    """Seeds whose clips begin with ``start``: it is the first thing that is drawn."""
    drawn = (int(np.random.default_rng(seed).choice(len(STARTS), p=START_CHANCES)) for seed in range(200))
    return [seed for seed, kind in enumerate(drawn) if STARTS[kind] == start][:count]


def clip_from(walk: Frames, seed: int) -> Clip:
    return clip_of(walk, rng=np.random.default_rng(seed))


def masks(clip: Clip, frame: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where colour and where depth is known of one frame."""
    return clip.condition[0, frame, 4].bool(), clip.condition[0, frame, 5].bool()


def equal(a: Clip, b: Clip) -> bool:
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(Clip))


def test_a_clip_depends_on_its_index_and_the_seed_alone():
    clips, again = (Clips(size=SIZE, frames=FRAMES, seed=3) for _ in range(2))
    other = clips[8]
    assert equal(clips[7], again[7])
    assert not torch.equal(other.images, again[7].images)
    assert not torch.equal(Clips(size=SIZE, frames=FRAMES, seed=4)[7].images, again[7].images)
    assert other.images.shape == (1, FRAMES, 4, SIZE, SIZE)
    assert other.condition.shape == (1, FRAMES, 11, SIZE, SIZE)


def test_clips_come_from_worlds_that_are_not_held_out():
    clip = Clips(size=SIZE, frames=FRAMES, seed=3)[7]
    rng = np.random.default_rng((3, 7))
    seed = int(rng.integers(FIRST_HELD_OUT_SEED))
    assert seed < FIRST_HELD_OUT_SEED
    scene = random_scene(seed)
    cameras = random_walk_cameras(
        scene, n=FRAMES + 1, seed=int(rng.integers(1 << 31)), width=SIZE, height=SIZE
    )
    views = 2.0 * render(scene, cameras).rgb.permute(0, 3, 1, 2) - 1.0
    for image in clip.images[0, :, :3]:
        assert (views - image).abs().flatten(1).amax(dim=1).min() < 1e-6


def test_batches_join_along_the_batch(walk: Frames):
    parts = [clip_from(walk, seed) for seed in (0, 1, 2)]
    whole = collated(parts)
    assert whole.images.shape == (3, FRAMES, 4, SIZE, SIZE)
    assert whole.given.shape == (3, FRAMES)
    assert torch.equal(whole.condition[1], parts[1].condition[0])


def test_clips_begin_as_often_as_documented():
    drawn = [int(np.random.default_rng(seed).choice(len(STARTS), p=START_CHANCES)) for seed in range(2000)]
    shares = np.bincount(drawn, minlength=len(STARTS)) / len(drawn)
    np.testing.assert_allclose(shares, START_CHANCES, atol=0.04)


@pytest.mark.parametrize("seed", seeds_of("nothing", count=3))
def test_a_clip_may_begin_with_nothing(walk: Frames, seed: int):
    clip = clip_from(walk, seed)
    assert not any(mask.any() for mask in masks(clip, 0))
    assert not clip.given.any()
    expected = images_of(walk[1:], SceneUnits(scale=median_depth(walk[1:2]), span=PRIOR))
    assert torch.equal(clip.images, expected)


@pytest.mark.parametrize("seed", seeds_of("picture", count=3))
def test_a_clip_may_begin_with_a_picture_without_depth(walk: Frames, seed: int):
    clip = clip_from(walk, seed)
    rgb, depth = masks(clip, 0)
    assert rgb.all()
    assert not depth.any()
    assert torch.equal(clip.condition[0, 0, :3], clip.images[0, 0, :3])
    assert (clip.condition[0, 0, 3] == 0).all()
    assert not clip.given.any()
    assert torch.equal(
        clip.images, images_of(walk[1:], SceneUnits(scale=median_depth(walk[1:2]), span=PRIOR))
    )


@pytest.mark.parametrize("seed", seeds_of("measured", count=3))
def test_a_clip_may_begin_with_a_picture_whose_depth_has_holes(walk: Frames, seed: int):
    clip = clip_from(walk, seed)
    rgb, depth = masks(clip, 0)
    assert rgb.all()
    assert 0.2 <= depth.float().mean() < 1.0
    torch.testing.assert_close(clip.condition[0, 0, :3], clip.images[0, 0, :3])
    torch.testing.assert_close(clip.condition[0, 0, 3][depth], clip.images[0, 0, 3][depth])
    assert not clip.given.any()


@pytest.mark.parametrize("seed", seeds_of("known", count=6))
def test_a_clip_may_begin_with_frames_that_are_given(walk: Frames, seed: int):
    clip = clip_from(walk, seed)
    count = int(clip.given.sum())
    assert clip.given.tolist() == [[i < count for i in range(FRAMES)]]
    for i in range(count):
        assert all(mask.all() for mask in masks(clip, i))
        torch.testing.assert_close(clip.condition[0, i, :4], clip.images[0, i])
    assert not all(mask.all() for mask in masks(clip, count))


def test_one_or_two_frames_are_given_exact_or_degraded(walk: Frames):
    clips = [clip_from(walk, seed) for seed in seeds_of("known", count=40)]
    assert {int(clip.given.sum()) for clip in clips} == {1, 2}
    colour = 2.0 * walk.rgb[1].permute(2, 0, 1) - 1.0
    exact = [torch.equal(clip.images[0, 0, :3], colour) for clip in clips]
    assert 0.3 < sum(exact) / len(exact) < 0.9


@pytest.mark.parametrize("seed", seeds_of("cache", count=3))
def test_a_clip_may_begin_with_what_a_cache_of_another_view_shows(walk: Frames, seed: int):
    clip = clip_from(walk, seed)
    rgb, depth = masks(clip, 0)
    assert torch.equal(rgb, depth)
    assert 0.05 < rgb.float().mean() < 1.0
    assert not clip.given.any()


def test_only_earlier_frames_speak_through_the_cache(walk: Frames):
    # Another colour in one frame must leave what is known of that frame and those before it alone.
    rgb = walk.rgb.clone()
    rgb[2] = 1.0 - rgb[2]
    other = dataclasses.replace(walk, rgb=rgb)
    told = 0
    for seed in [seed for start in STARTS for seed in seeds_of(start, count=3)]:
        before, after = (clip_from(frames, seed) for frames in (walk, other))
        earlier = 1 if before.given[0, 1] else 2  # a given frame shows itself
        assert torch.equal(before.condition[:, :earlier], after.condition[:, :earlier])
        told += int(not torch.equal(before.condition[:, 2], after.condition[:, 2]))
    assert told > 0


def test_what_the_cache_knows_is_nearly_true(walk: Frames):
    errors = []
    for seed in range(24):
        clip = clip_from(walk, seed)
        for frame in range(1, FRAMES):
            rgb, depth = masks(clip, frame)
            assert torch.equal(rgb, depth)
            gap = (clip.condition[0, frame, :4] - clip.images[0, frame]).abs()
            errors.extend(gap[:, rgb].mean(dim=1)[None] if rgb.any() else [])
    mean = torch.stack(errors).mean(dim=0)
    assert len(errors) > 20
    assert (mean[:3] < 0.2).all()  # colour in [-1, 1]; parallax at edges and textures finer than a pixel
    assert mean[3] < 0.1


def test_cameras_are_in_scene_units(walk: Frames):
    clip = clip_from(walk, seeds_of("nothing", count=1)[0])
    scale = median_depth(walk[1:2])
    positions = torch.linalg.inv(clip.w2c[0])[:, :3, 3] * scale
    torch.testing.assert_close(positions, walk.cameras.c2w[1:, :3, 3], atol=1e-4, rtol=0)


def test_making_a_clip_leaves_the_frames_alone(walk: Frames):
    copies = [walk.rgb.clone(), walk.depth.clone(), walk.confidence.clone()]
    for seed in range(6):
        clip_from(walk, seed)
    for copy, now in zip(copies, (walk.rgb, walk.depth, walk.confidence), strict=True):
        assert torch.equal(copy, now)


KNOWN = (
    (1, -821.5673, 4752.6497, 1779),
    (7, -3135.1278, 1712.8551, 1398),
    (12, -2764.5251, 5534.1463, 2757),
)
"""Index, sums of the images and of the conditions, and pixels whose depth is known, from before there were
faults."""


@pytest.mark.parametrize(("index", "images", "conditions", "known"), KNOWN)
def test_clips_are_what_they_were_before_there_were_faults(
    index: int, images: float, conditions: float, known: int
):
    clip = Clips(size=SIZE, frames=FRAMES, seed=3)[index]
    assert float(clip.images.double().sum()) == pytest.approx(images, abs=0.05)
    assert float(clip.condition.double().sum()) == pytest.approx(conditions, abs=0.5)
    assert int(clip.condition[:, :, 5].sum()) == pytest.approx(known, abs=3)


def test_the_base_kind_of_corruption_is_the_default_bit_for_bit():
    plain, base, full = (
        Clips(size=SIZE, frames=FRAMES, seed=3, **kind)
        for kind in ({}, {"corruption": "base"}, {"corruption": "full"})
    )
    assert equal(plain[7], base[7])
    assert not equal(plain[7], full[7])


def test_faults_leave_the_other_random_numbers_of_a_clip_alone(walk: Frames):
    for seed in [seed for start in STARTS for seed in seeds_of(start, count=2)]:
        plain = clip_from(walk, seed)
        faults = Faults(bleeds=True, depth_scale=1.05)
        spoilt = clip_of(walk, rng=np.random.default_rng(seed), faults=faults)
        assert torch.equal(plain.given, spoilt.given)
        assert torch.equal(plain.images[~plain.given], spoilt.images[~plain.given])  # the truth stays true
        assert torch.equal(plain.span, spoilt.span)


def shown_codes(clip: Clip, other: Clip, frame: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth codes of one frame's condition where both clips know them."""
    both = clip.condition[0, frame, 5].bool() & other.condition[0, frame, 5].bool()
    return clip.condition[0, frame, 3][both], other.condition[0, frame, 3][both]


def test_a_depth_scale_moves_what_the_cache_shows_and_not_what_is_predicted(walk: Frames):
    near_far = []
    for seed in seeds_of("cache", count=3):
        true, near = (
            clip_of(walk, rng=np.random.default_rng(seed), faults=Faults(depth_scale=scale))
            for scale in (1.0, 0.95)
        )
        assert torch.equal(true.images, near.images)
        before, after = shown_codes(true, near, 0)
        near_far.append(float((after > before).float().mean()))  # a larger code is nearer
    assert min(near_far) > 0.8


def test_a_stale_cache_shows_another_time_and_the_clip_the_present(walk: Frames, scene: Scene):
    other = changed(scene, walk.cameras[:1], rng=np.random.default_rng(0))
    assert other is not None
    stale = render(other, walk.cameras[:1])
    for seed in seeds_of("cache", count=2):
        clips = [
            clip_of(walk, rng=np.random.default_rng(seed), stale=source) for source in (None, walk[:1], stale)
        ]
        assert equal(clips[0], clips[1])  # a source from the same time changes nothing
        assert torch.equal(clips[0].images, clips[2].images)
        assert not torch.equal(clips[0].condition, clips[2].condition)
    for seed in seeds_of("known", count=2):
        plain, out_of_date = (
            clip_from(walk, seed),
            clip_of(walk, rng=np.random.default_rng(seed), stale=stale),
        )
        assert torch.equal(plain.images, out_of_date.images)
        count = int(plain.given.sum())
        assert torch.equal(plain.condition[:, :count], out_of_date.condition[:, :count])
        assert not out_of_date.is_shown.any()


def test_full_corruption_has_stale_clips_that_can_be_made_again():
    def is_stale(index: int) -> bool:
        return drawn_faults("full", np.random.default_rng((3, index, 1))).is_stale

    index = next(index for index in range(200) if is_stale(index))
    clips, again = (Clips(size=SIZE, frames=FRAMES, seed=3, corruption="full") for _ in range(2))
    clip = clips[index]
    assert equal(clip, again[index])
    assert torch.isfinite(clip.condition).all()
    assert not clip.is_shown.any()
