"""Two streams: who sees whom, and one pass against as many as there are frames (A6.2)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.oracles.small_models import SHORTCUT, SMALL_CLIPS, perturbed_model
from tests.oracles.walks import walk_of
from worldgen.model.attention import Views
from worldgen.model.rgbd import RGBDModel
from worldgen.model.trunk import Links, Recall
from worldgen.sampling.flow import noised, velocity_loss
from worldgen.training.checkpoint import Progress
from worldgen.training.clips import Clip, clip_of, collated
from worldgen.training.run import begun
from worldgen.training.streams import two_streams
from worldgen.training.update import update

SIZE, FRAMES = 16, 3
EVERY: Links = ((), (0,), (0, 1))
"""Each frame looks at all before it."""


@pytest.fixture(scope="module")
def clip() -> Clip:
    """Two clips, none of whose frames are given."""
    walk = walk_of(FRAMES + 1, side=SIZE)
    found = (clip_of(walk, rng=np.random.default_rng(seed)) for seed in range(40))
    return collated([clip for clip in found if not clip.given.any()][:2])


@pytest.fixture(scope="module")
def model() -> RGBDModel:
    return perturbed_model()


def levels(clip: Clip) -> Tensor:
    return torch.rand(clip.given.shape, generator=torch.Generator().manual_seed(1)) * 0.8 + 0.1


def noisy_of(clip: Clip) -> Tensor:
    return noised(
        clip.images, torch.randn(clip.images.shape, generator=torch.Generator().manual_seed(2)), levels(clip)
    )


def answers(
    model: RGBDModel, clip: Clip, *, noisy: Tensor | None = None, history: Tensor | None = None
) -> Tensor:
    noisy, history = (
        (noisy_of(clip) if noisy is None else noisy),
        (clip.images if history is None else history),
    )
    both = two_streams(clip, noisy, levels(clip), history=history, links=EVERY)
    return model(
        both.x, both.t, condition=both.condition, views=both.views, links=both.links, only_seen=both.finished
    )


def changed_at(images: Tensor, i: int) -> Tensor:
    other = images.clone()
    other[:, i] = other[:, i].flip(-1).mul(-0.5)
    return other


@torch.no_grad()
@pytest.mark.parametrize("i", range(FRAMES))
def test_no_noisy_frame_sees_another(model: RGBDModel, clip: Clip, i: int):
    usual, other = answers(model, clip), answers(model, clip, noisy=changed_at(noisy_of(clip), i))
    for k in range(FRAMES):
        assert torch.equal(usual[:, k], other[:, k]) == (k != i)


@torch.no_grad()
@pytest.mark.parametrize("i", range(FRAMES))
def test_a_finished_frame_is_seen_by_later_ones_alone(model: RGBDModel, clip: Clip, i: int):
    usual, other = answers(model, clip), answers(model, clip, history=changed_at(clip.images, i))
    for k in range(FRAMES):
        assert torch.equal(usual[:, k], other[:, k]) == (k <= i)


def test_one_pass_is_the_sum_of_runs_with_an_explicit_cache(model: RGBDModel, clip: Clip):
    t, noisy = levels(clip), noisy_of(clip)
    loss = velocity_loss(answers(model, clip), clip.images, t).sum()
    parts: list[Tensor] = []
    both = two_streams(clip, noisy, t, history=clip.images, links=EVERY)
    for i in range(FRAMES):
        now = slice(i, i + 1)
        recalls = [
            model.remember(
                both.x[:, j : j + 1], condition=both.condition[:, j : j + 1], views=both.views[j : j + 1]
            )
            for j in EVERY[i]
        ]
        predicted = model(
            noisy[:, now],
            t[:, now],
            condition=clip.condition[:, now],
            views=Views(w2c=clip.w2c[:, now], K_norm=clip.K_norm[:, now]),
            recall=Recall.joined(recalls) if recalls else None,
        )
        parts.append(velocity_loss(predicted, clip.images[:, now], t[:, now]).sum())
    torch.testing.assert_close(loss, torch.stack(parts).sum(), rtol=1e-4, atol=0.0)


def test_finished_frames_are_shown_as_the_generator_shows_them(clip: Clip):
    both = two_streams(clip, noisy_of(clip), levels(clip), history=clip.images, links=EVERY)
    assert both.finished == FRAMES - 1
    assert not both.t[:, : both.finished].any()
    assert torch.equal(both.t[:, both.finished :], levels(clip))
    for name in ("x", "condition"):
        whole = noisy_of(clip) if name == "x" else clip.condition
        assert torch.equal(getattr(both, name)[:, both.finished :], whole)
    torch.testing.assert_close(both.x[:, : both.finished], clip.images[:, :-1], atol=1e-4, rtol=0.0)
    shown = both.condition[:, : both.finished]
    torch.testing.assert_close(shown[:, :, :4], clip.images[:, :-1], atol=1e-4, rtol=0.0)
    assert (shown[:, :, 4:7] == 1.0).all()  # colour and depth are known, and trusted
    torch.testing.assert_close(shown[:, :, 7:9], clip.condition[:, :-1, 7:9], atol=1e-5, rtol=0.0)
    assert not shown[:, :, 9:].any()


def test_a_single_frame_has_nothing_to_look_at(model: RGBDModel, clip: Clip):
    first = dataclasses.replace(
        clip,
        **{
            name: getattr(clip, name)[:, :1]
            for name in ("images", "condition", "w2c", "K_norm", "given", "is_shown")
        },
    )
    both = two_streams(first, first.images, levels(first), history=first.images, links=((),))
    assert both.finished == 0
    assert torch.equal(both.x, first.images)


def test_training_sees_the_history_and_lets_it_teach(clip: Clip):
    config = dataclasses.replace(SMALL_CLIPS, two_streams=True)
    weights = []
    for streams in (False, True, True):
        run = begun(dataclasses.replace(config, two_streams=streams), device=torch.device("cpu"))
        run.model.load_state_dict(perturbed_model().state_dict())
        step = update(
            run, clip, rate=1e-3, config=dataclasses.replace(config, two_streams=streams), progress=Progress()
        )
        assert np.isfinite(step["loss"])
        weights.append(run.model.trunk.blocks[3].qkv.weight.detach())
    plain, first, again = weights
    assert torch.equal(first, again)
    assert not torch.equal(plain, first)
    # The gradient reaches what finished frames say: a third of these rows make keys, a third values.
    moved = (first - perturbed_model().trunk.blocks[3].qkv.weight).abs().view(3, -1).amax(dim=1)
    assert (moved > 0).all()


def test_long_steps_look_at_finished_frames_too(clip: Clip):
    config = dataclasses.replace(SMALL_CLIPS, model=SHORTCUT, two_streams=True, shortcut=0.5)
    run = begun(config, device=torch.device("cpu"))
    run.model.load_state_dict(perturbed_model(config=SHORTCUT).state_dict())
    run.average.load_state_dict(run.model.state_dict())
    step = update(run, clip, rate=1e-3, config=config, progress=Progress())
    assert np.isfinite([step["loss"], step["semigroup_error"]]).all()
