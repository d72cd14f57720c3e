"""Frames sampled together by our generator: the order, who sees whom, guidance, and how history is shown."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from render.frames import Frames, checked, concatenated
from tests.oracles.small_models import SIDE, same
from tests.oracles.walks import walk_of
from worldgen.conditions import SceneUnits, channels_of, frames_of, known_pictures, nothing_known
from worldgen.depth import PRIOR
from worldgen.generator import RGBDGenerator
from worldgen.model.attention import views_of
from worldgen.sampling.flow import bent, levels, sample
from worldgen.sampling.history import Context, fractional, temporal, vanilla
from worldgen.sampling.overlap import Overlap
from worldgen.sampling.schedules import Schedule
from worldgen.settle import settled

STEPS, CLIP = 2, 4
UNITS = SceneUnits(scale=1.5, span=PRIOR)
SCHEDULES = [
    Schedule("full"),
    Schedule("pyramid", 1.0),
    Schedule("trapezoid", 1.0),
    Schedule("autoregressive"),
    Overlap(CLIP),
]


@pytest.fixture(scope="module")
def walk() -> Frames:
    return walk_of(CLIP + 2, side=SIDE)


def noise_of(frames: int, *, seed: int = 0) -> Tensor:
    return torch.randn(1, frames, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def made(generator: RGBDGenerator, walk: Frames, noise: Tensor, *, recall: Frames | None = None) -> Frames:
    """A clip of as many views as there is noise for, of which nothing is known."""
    cameras = walk.cameras[: noise.shape[1]]
    return generator.imagine(nothing_known(cameras), recall, units=UNITS, noise=noise)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.label)
def test_a_single_view_is_the_same_under_every_schedule(
    weights: Path, walk: Frames, schedule: Schedule | Overlap
):
    generators = [RGBDGenerator(weights, steps=STEPS, schedule=how) for how in (None, schedule)]
    plain, joint = (made(generator, walk, noise_of(1), recall=walk[4:]) for generator in generators)
    assert same(plain, joint)


def test_one_frame_after_the_other_in_a_call_equals_one_call_a_frame(weights: Path, walk: Frames):
    noise, recall = noise_of(3), walk[4:]
    joint = made(
        RGBDGenerator(weights, steps=STEPS, schedule=Schedule("autoregressive")), walk, noise, recall=recall
    )
    single = RGBDGenerator(weights, steps=STEPS)
    done = recall
    for i in range(3):
        known = nothing_known(walk.cameras[i : i + 1])
        frame = single.imagine(known, done, units=UNITS, noise=noise[:, i : i + 1])
        assert same(joint[i : i + 1], frame)
        done = concatenated([done, frame])


def test_a_full_sequence_is_the_plain_sampler_on_linked_frames(weights: Path, walk: Frames):
    generator, noise = RGBDGenerator(weights, steps=STEPS, schedule=Schedule("full")), noise_of(3)
    condition = channels_of(nothing_known(walk.cameras[:3]), UNITS)
    views = views_of(walk.cameras[:3], scale=UNITS.scale)
    with torch.no_grad():
        images = sample(
            lambda x, t: generator.model(x, t, condition=condition, views=views, links=((), (0,), (0, 1))),
            noise,
            grid=bent(levels(STEPS)),
            imagined=torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 4, 1, 1).expand(1, 3, 4, SIDE, SIDE),
        )
    expected = frames_of(settled(images, condition), walk.cameras[:3], UNITS)
    assert same(made(generator, walk, noise), expected)


def changed(generator: RGBDGenerator, walk: Frames, *, frame: int) -> list[bool]:
    """Which frames of a clip become others when the noise of one frame does."""
    noise, other = noise_of(CLIP), noise_of(CLIP)
    other[:, frame] = noise_of(CLIP, seed=1)[:, frame]
    before, after = (made(generator, walk, x) for x in (noise, other))
    return [not torch.equal(before.rgb[i], after.rgb[i]) for i in range(CLIP)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (None, [False, True, False, False]),
        (Schedule("full"), [False, True, True, True]),
        (Schedule("pyramid", 1.0), [False, True, True, True]),
        (Schedule("autoregressive"), [False, True, True, True]),
    ],
    ids=str,
)
def test_a_frame_is_seen_by_later_ones_only(
    weights: Path, walk: Frames, schedule: Schedule | None, expected: list[bool]
):
    generator = RGBDGenerator(weights, steps=STEPS, schedule=schedule)
    assert changed(generator, walk, frame=1) == expected


def test_the_middle_of_a_trapezoid_sees_both_ends(weights: Path, walk: Frames):
    generator = RGBDGenerator(weights, steps=STEPS, schedule=Schedule("trapezoid", 2.0))
    assert changed(generator, walk, frame=CLIP - 1) == [False, True, True, True]
    assert changed(generator, walk, frame=1) == [False, True, True, False]


def test_overlapped_clips_make_a_sequence_of_any_length(weights: Path, walk: Frames):
    overlapped = RGBDGenerator(weights, steps=STEPS, schedule=Overlap(CLIP))
    noise = noise_of(6)
    longer, again = (made(overlapped, walk, noise) for _ in range(2))
    assert len(longer) == 6
    assert same(longer, again)
    assert checked(longer) is longer
    one_clip = RGBDGenerator(weights, steps=STEPS, schedule=Schedule("full"))
    assert same(made(overlapped, walk, noise[:, :CLIP]), made(one_clip, walk, noise[:, :CLIP]))


def test_guidance_goes_beyond_the_answer_with_history_away_from_that_without(weights: Path, walk: Frames):
    # One step lands on the guided answer, before it is settled.
    noise, recall = noise_of(1), walk[4:]
    generators = [
        RGBDGenerator(weights, steps=1, guidance=guidance)
        for guidance in (vanilla(1.0), vanilla(0.0), vanilla(1.5))
    ]
    shown, hidden, guided = (made(g, walk, noise, recall=recall).rgb for g in generators)
    inside = (
        (guided > 0.0) & (guided < 1.0) & (shown > 0.0) & (shown < 1.0) & (hidden > 0) & (hidden < 1)
    ).all(-1)
    assert float(inside.float().mean()) > 0.2
    torch.testing.assert_close(guided[inside], (1.5 * shown - 0.5 * hidden)[inside], atol=1e-5, rtol=0)
    assert same(made(generators[1], walk, noise, recall=recall), made(generators[1], walk, noise))
    plain = RGBDGenerator(weights, steps=1)
    assert same(made(generators[0], walk, noise, recall=recall), made(plain, walk, noise, recall=recall))


@pytest.mark.parametrize(
    ("guidance", "recalled", "expected"),
    [
        (vanilla(1.5), 2, 2),
        (vanilla(1.5), 0, 1),
        (fractional(1.5, 0.6), 2, 3),
        (temporal({(0,): 0.7, (1,): 0.7}), 2, 3),
    ],
)
def test_a_step_costs_an_evaluation_for_each_showing(
    weights: Path, walk: Frames, guidance, recalled: int, expected: int
):
    generator = RGBDGenerator(weights, steps=STEPS, guidance=guidance)
    calls = []
    generator.model.register_forward_hook(lambda *_: calls.append(1))
    made(generator, walk, noise_of(1), recall=walk[4 : 4 + recalled])
    assert len(calls) == expected * STEPS


def test_unlinked_frames_are_the_history_that_full_sequences_are_guided_by(weights: Path, walk: Frames):
    generator = RGBDGenerator(weights, steps=1, schedule=Schedule("full"), guidance=vanilla(0.0))
    assert same(made(generator, walk, noise_of(3)), made(RGBDGenerator(weights, steps=1), walk, noise_of(3)))


@pytest.mark.parametrize("kind", ["scale", "noise"])
def test_a_context_without_noise_is_none_and_one_with_noise_is_another(
    weights: Path, walk: Frames, kind: str
):
    off, zero, some = (
        made(RGBDGenerator(weights, steps=STEPS, context=context), walk, noise_of(1), recall=walk[4:])
        for context in (Context(), Context(kind, 0.0), Context(kind, 0.1))
    )
    assert same(off, zero)
    assert not same(off, some)


def test_a_context_that_is_nearly_noise_shows_nearly_nothing(weights: Path, walk: Frames):
    def effect(context: Context) -> float:
        """How much the picture that is recalled changes the one that is made."""
        generator = RGBDGenerator(weights, steps=STEPS, context=context)
        generator.model.float()  # rounding to bfloat16 changes a picture as much as what is shown here
        recalls = (walk[4:5], dataclasses.replace(walk[4:5], rgb=1.0 - walk.rgb[4:5]))
        a, b = (made(generator, walk, noise_of(1), recall=recall).rgb for recall in recalls)
        return float((a - b).abs().mean())

    assert effect(Context("scale", 0.99)) < 0.1 * effect(Context())


def test_frames_recalled_in_two_ways_are_kept_apart(weights: Path, walk: Frames):
    generator = RGBDGenerator(weights, steps=STEPS, guidance=fractional(1.5, 0.6))
    first, again = (made(generator, walk, noise_of(1), recall=walk[4:]) for _ in range(2))
    fresh = RGBDGenerator(weights, steps=STEPS, guidance=fractional(1.5, 0.6))
    assert same(first, again)
    assert same(first, made(fresh, walk, noise_of(1), recall=walk[4:]))
    assert len(generator._recalled) == 4  # two frames, clean and noised


def test_what_is_recalled_is_carried_over_once_a_clip(weights: Path, walk: Frames):
    generator = RGBDGenerator(weights, steps=4, guidance=fractional(1.5, 0.6))
    generator.model.trunk.read = Mock(wraps=generator.model.trunk.read)
    made(generator, walk, noise_of(1), recall=walk[4:])
    # Clean and noisy, each for four steps; the third showing is of nothing.
    assert generator.model.trunk.read.call_count == 2


def test_a_name_holds_whatever_changes_the_frames(weights: Path):
    plain = RGBDGenerator(weights, steps=STEPS).name
    others = [RGBDGenerator(weights, steps=STEPS, schedule=schedule).name for schedule in SCHEDULES]
    others += [
        RGBDGenerator(weights, steps=STEPS, guidance=guidance).name
        for guidance in (vanilla(1.5), vanilla(2.0), fractional(1.5, 0.6))
    ]
    others += [
        RGBDGenerator(weights, steps=STEPS, context=context).name
        for context in (Context("scale", 0.02), Context("noise", 0.02))
    ]
    assert len({plain, *others}) == 1 + len(others)
    assert all(name.startswith(plain + ":") for name in others)
    assert len(plain.split(":")) == 4


def test_known_views_take_part_in_a_clip(weights: Path, walk: Frames):
    generator = RGBDGenerator(weights, steps=STEPS, schedule=Schedule("pyramid", 1.0))
    frames = generator.imagine(known_pictures(walk[:3]), None, units=UNITS, noise=noise_of(3))
    assert len(frames) == 3
    assert checked(frames) is frames


def test_a_delay_beyond_the_steps_is_refused_at_once(weights: Path):
    with pytest.raises(ValueError, match="between 0 and the 2 steps of a frame, got 3"):
        RGBDGenerator(weights, steps=2, schedule=Schedule("pyramid", 3.0))
