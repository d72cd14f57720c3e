"""Resampling forcing: what clips become when the model's own frames fill the cache (A6)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from memory.cache import WorldCache
from render.frames import Frames
from tests.oracles.small_models import perturbed_model
from tests.oracles.walks import walk_of
from worldgen.conditions import SceneUnits, channels_of, frames_of, known_from_cache
from worldgen.depth import DepthRange
from worldgen.model.attention import Views, views_of
from worldgen.training.clips import Clip, clip_of
from worldgen.training.resampling import camera_of, resampled

SIZE = 32
FRAMES = 3


@pytest.fixture(scope="module")
def walk() -> Frames:
    return walk_of(FRAMES + 1, side=SIZE)


@pytest.fixture(scope="module")
def clips(walk: Frames) -> list[Clip]:
    return [clip_of(walk, rng=np.random.default_rng(seed)) for seed in range(40)]


@pytest.fixture(scope="module")
def shown(clips: list[Clip]) -> Clip:
    """A clip that begins with nothing, and goes on from the cache alone."""
    return next(c for c in clips if c.is_shown[0, 1:].all() and not c.given.any())


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Knows:
    """A model that predicts the truth, or the truth with one frame painted over."""

    def __init__(self, clip: Clip, *, painted: int | None = None) -> None:
        self.clip, self.painted, self.levels = clip, painted, []
        self.calls = 0

    def __call__(self, x: torch.Tensor, t: torch.Tensor, condition: torch.Tensor, views: Views):
        """The frames in order, one a call."""
        i, self.calls = self.calls, self.calls + 1
        assert torch.equal(views.w2c, self.clip.w2c[:, i : i + 1])
        self.levels.append(t)
        image = self.clip.images[:, i : i + 1].clone()
        if i == self.painted:
            image[:, :, :3] = -image[:, :, :3]
        return image


def test_frames_that_a_cache_shows_are_marked(clips: list[Clip]):
    for clip in clips:
        assert not clip.is_shown[0, 0]
        assert not (clip.is_shown & clip.given).any()
        for i in torch.nonzero(clip.is_shown[0])[:, 0].tolist():
            assert torch.equal(clip.condition[0, i, 4], clip.condition[0, i, 5])  # the masks of a cache
    share = torch.cat([clip.is_shown for clip in clips])[:, 1:].float().mean()
    assert 0.3 < share < 0.9


def test_a_model_that_knows_gives_the_renders_of_the_true_frames(shown: Clip):
    out, _ = resampled(Knows(shown), shown, rng=rng())
    assert torch.equal(out.condition[:, 0], shown.condition[:, 0])
    for i in range(1, FRAMES):
        mask = out.condition[0, i, 4].bool()
        assert 0.02 < mask.float().mean() < 1.0
        gap = (out.condition[0, i, :4] - shown.images[0, i]).abs()[:, mask]
        assert gap.median() < 0.05


def test_frames_are_remembered_where_their_cameras_are(shown: Clip):
    units = SceneUnits(scale=1.0, span=DepthRange(low=float(shown.span[0, 0]), high=float(shown.span[0, 1])))
    cameras = [camera_of(shown, 0, i) for i in range(FRAMES)]
    for i, camera in enumerate(cameras):
        views = views_of(camera, scale=1.0)
        torch.testing.assert_close(views.w2c, shown.w2c[:, i : i + 1], atol=1e-5, rtol=0)
        torch.testing.assert_close(views.K_norm, shown.K_norm[:, i : i + 1], atol=1e-6, rtol=0)
    cache = WorldCache()
    first = frames_of(shown.images[:, :1], cameras[0], units)
    cache.remember(first, cache.render(cameras[0]), ids=[0], given=False)
    expected = channels_of(known_from_cache(cache.render(cameras[1])), units)[0, 0]
    found = resampled(Knows(shown), shown, rng=rng())[0].condition[0, 1]
    both = (expected[4] > 0) & (found[4] > 0)
    assert both.float().mean() > 0.9 * expected[4].mean() > 0.0
    assert (expected[:4] - found[:4])[:, both].abs().median() < 1e-3  # the one is smoothed, the other not


def test_what_a_frame_was_imagined_as_shows_later_and_never_before(shown: Clip):
    exact, painted = (resampled(Knows(shown, painted=p), shown, rng=rng())[0] for p in (None, 1))
    assert torch.equal(exact.condition[:, :2], painted.condition[:, :2])
    assert not torch.equal(exact.condition[:, 2], painted.condition[:, 2])


def test_only_what_a_cache_showed_changes(clips: list[Clip]):
    for clip in clips[:12]:
        out, _ = resampled(Knows(clip), clip, rng=rng())
        for field in dataclasses.fields(Clip):
            if field.name != "condition":
                assert getattr(out, field.name) is getattr(clip, field.name), field.name
        assert torch.equal(out.condition[~clip.is_shown], clip.condition[~clip.is_shown])


def test_a_clip_has_one_level_and_mostly_one_nearer_to_clean(shown: Clip):
    unseen = dataclasses.replace(shown, is_shown=torch.zeros_like(shown.is_shown))
    levels = []
    for seed in range(100):
        knows = Knows(unseen)
        resampled(knows, unseen, rng=rng(seed))
        assert all(torch.equal(level, knows.levels[0]) for level in knows.levels)
        levels.append(float(knows.levels[0]))
    assert np.median(levels) == pytest.approx(0.375, abs=0.05)
    assert np.mean(np.array(levels) < 0.5) == pytest.approx(0.695, abs=0.08)


def test_no_gradient_flows_through_what_was_imagined(shown: Clip):
    model = perturbed_model()

    def predict(x: torch.Tensor, t: torch.Tensor, condition: torch.Tensor, views: Views):
        return model(x, t, condition=condition, views=views)

    out, _ = resampled(predict, shown, rng=rng())
    assert not out.condition.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    again, _ = resampled(predict, shown, rng=rng())
    assert torch.equal(out.condition, again.condition)
    assert not torch.equal(out.condition, resampled(predict, shown, rng=rng(1))[0].condition)
