"""The whole model: what it starts from, who influences whom, and what it refuses."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from tests.oracles.small_models import (
    SHORTCUT,
    SMALL,
    fresh_model,
    perturbed_model,
    random_views,
    rigid_motion,
)
from worldgen.model.attention import Views
from worldgen.model.rgbd import CONDITION_CHANNELS, IMAGE_CHANNELS, ModelConfig, RGBDModel
from worldgen.model.trunk import Recall

LINKS = ((), (0,), (0, 1))
T = torch.tensor([[0.3, 0.9, 0.5], [1.0, 0.2, 0.7]])


def clip(*, b: int = 2, f: int = 3, h: int = 16, w: int = 24, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noisy frames and conditions whose masks are half set."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(b, f, IMAGE_CHANNELS, h, w, generator=rng)
    condition = torch.randn(b, f, CONDITION_CHANNELS, h, w, generator=rng)
    condition[:, :, 4:6] = (torch.rand(b, f, 2, h, w, generator=rng) < 0.5).float()
    return x, condition


def test_a_fresh_model_answers_with_what_the_prediction_starts_from():
    x, condition = clip()
    out = fresh_model()(x, T, condition=condition, views=random_views(b=2, f=3, seed=0), links=LINKS)
    assert torch.equal(out, condition[:, :, :IMAGE_CHANNELS])


def test_gates_decide_how_much_of_a_change_reaches_what_is_known():
    # With the last convolutions replaced by constants the sum can be written down.
    model, (x, condition) = perturbed_model(), clip()
    change, repair, gates = (0.2, -0.4, 0.6, 0.8), (0.01, 0.02, 0.03, 0.04), (1.5, -0.7)
    for layer in (model.last, model.finish.conv_out):
        torch.nn.init.zeros_(layer.weight)
    model.last.bias.data = torch.tensor(change).repeat_interleave(4)  # a channel's 2 x 2 pixels side by side
    model.finish.conv_out.bias.data = torch.tensor([*repair, *gates])
    out = model(x, T, condition=condition, views=random_views(b=2, f=3, seed=0), links=LINKS)
    for channel in range(IMAGE_CHANNELS):
        mask = condition[:, :, 4 if channel < 3 else 5]
        closed = mask / (1.0 + math.exp(-gates[0 if channel < 3 else 1]))
        expected = condition[:, :, channel] + (1.0 - closed) * change[channel] + repair[channel]
        torch.testing.assert_close(out[:, :, channel], expected)


def test_the_finish_sees_the_change_of_the_coarser_levels():
    model, (x, condition) = perturbed_model(), clip()
    views = random_views(b=2, f=3, seed=0)
    torch.nn.init.zeros_(model.last.weight)
    model.last.bias.data.fill_(0.25)
    condition[:, :, 4:6] = 0.0
    before = model(x, T, condition=condition, views=views, links=LINKS)
    model.last.bias.data.fill_(0.75)
    after = model(x, T, condition=condition, views=views, links=LINKS)
    assert (after - before - 0.5).abs().max() > 1e-3


def test_a_frame_depends_on_itself_and_its_links_and_nobody_else():
    model, views = perturbed_model(), random_views(b=1, f=4, seed=0)
    x, condition = clip(b=1, f=4)
    x.requires_grad_()
    condition.requires_grad_()
    links = ((), (0,), (), (0, 2))
    out = model(x, torch.tensor([[0.0, 0.4, 0.6, 0.8]]), condition=condition, views=views, links=links)
    for i in range(4):
        gradients = torch.autograd.grad(out[:, i].square().sum(), (x, condition), retain_graph=True)
        for gradient in gradients:
            assert {j for j in range(4) if gradient[:, j].abs().max() > 0} == {i, *links[i]}


def test_frames_without_links_are_each_alone():
    model, views = perturbed_model(), random_views(b=2, f=3, seed=0)
    x, condition = clip()
    together = model(x, T, condition=condition, views=views)
    for i in range(3):
        one = model(x[:, [i]], T[:, [i]], condition=condition[:, [i]], views=views[[i]])
        torch.testing.assert_close(together[:, [i]], one, atol=1e-5, rtol=0)


def test_remembering_finished_frames_equals_linking_them_at_level_zero():
    model, views = perturbed_model(), random_views(b=2, f=3, seed=0)
    x, condition = clip()
    t = T.clone()
    t[:, :2] = 0.0
    linked = model(x, t, condition=condition, views=views, links=((), (), (0, 1)))[:, 2:]
    recall = model.remember(x[:, :2], condition=condition[:, :2], views=views[:2])
    target = {"condition": condition[:, 2:], "views": views[2:]}
    recalled = model(x[:, 2:], t[:, 2:], **target, recall=recall)
    torch.testing.assert_close(recalled, linked, atol=1e-5, rtol=0)
    assert (recalled - model(x[:, 2:], t[:, 2:], **target)).abs().max() > 1e-3


def test_frames_remembered_one_by_one_are_as_good_as_together():
    model, views = perturbed_model(), random_views(b=2, f=3, seed=0)
    x, condition = clip()
    together = model.remember(x, condition=condition, views=views)
    parts = [model.remember(x[:, [i]], condition=condition[:, [i]], views=views[[i]]) for i in range(3)]
    one_by_one = Recall.joined(parts)
    for ours, theirs in zip(
        one_by_one.keys + one_by_one.values, together.keys + together.values, strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert torch.equal(one_by_one.views.w2c, views.w2c)


def test_moving_the_world_by_a_kilometre_changes_nothing():
    model, views = perturbed_model(), random_views(b=2, f=3, seed=0, dtype=torch.float64)
    x, condition = clip()
    back = torch.linalg.inv(rigid_motion(seed=2, distance=1000.0, dtype=torch.float64))
    moved = dataclasses.replace(views, w2c=views.w2c @ back)
    here, there = (model(x, T, condition=condition, views=v, links=LINKS) for v in (views, moved))
    torch.testing.assert_close(here, there, atol=1e-4, rtol=0)
    # The control: only one camera moves, by little.
    views.w2c[:, 0, :3, 3] += 0.5
    elsewhere = model(x, T, condition=condition, views=views, links=LINKS)
    assert (elsewhere - here).abs().max() > 1e-3


def test_samples_of_a_batch_do_not_meet():
    model, views = perturbed_model(), random_views(b=2, f=3, seed=0)
    x, condition = clip()
    together = model(x, T, condition=condition, views=views, links=LINKS)
    for b in range(2):
        part = Views(w2c=views.w2c[b : b + 1], K_norm=views.K_norm[b : b + 1])
        alone = model(x[b : b + 1], T[b : b + 1], condition=condition[b : b + 1], views=part, links=LINKS)
        torch.testing.assert_close(together[b : b + 1], alone, atol=1e-5, rtol=0)


def test_the_level_of_a_frame_changes_its_answer():
    model, views = perturbed_model(), random_views(b=2, f=3, seed=0)
    x, condition = clip()
    t = T.clone()
    t[:, 1] = 0.05
    before, after = (model(x, level, condition=condition, views=views) for level in (T, t))
    torch.testing.assert_close(before[:, [0, 2]], after[:, [0, 2]])
    assert (before[:, 1] - after[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_shortcut_model_with_the_weights_of_a_flow_model_is_that_model(precision: torch.dtype):
    flow, shortcut = perturbed_model(), fresh_model(seed=3, config=SHORTCUT)
    lacking = shortcut.load_state_dict(flow.state_dict(), strict=False)
    assert lacking.missing_keys == ["embed_step.table"]
    assert not lacking.unexpected_keys
    views, (x, condition) = random_views(b=2, f=3, seed=0), clip()
    told = {"condition": condition, "views": views, "links": LINKS}
    d = torch.tensor([[1.0, 0.5, 0.25], [1 / 8, 1 / 32, 1 / 64]])
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        expected = flow(x, T, **told)
        assert all(torch.equal(shortcut(x, T, d=lengths, **told), expected) for lengths in (None, d))
    recalls = [model.remember(x, condition=condition, views=views) for model in (flow, shortcut)]
    for ours, theirs in zip(recalls[1].keys, recalls[0].keys, strict=True):
        assert torch.equal(ours, theirs)


def test_the_step_length_of_a_frame_changes_its_answer_and_that_of_frames_that_see_it():
    model, views = perturbed_model(config=SHORTCUT), random_views(b=2, f=3, seed=0)
    x, condition = clip()
    told = {"condition": condition, "views": views, "links": ((), (), (1,))}
    shortest = torch.full_like(T, 1 / 64)
    d = shortest.clone()
    d[:, 1] = 0.25
    before, after = (model(x, T, d=lengths, **told) for lengths in (shortest, d))
    assert torch.equal(model(x, T, **told), before)
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert all((before[:, i] - after[:, i]).abs().max() > 1e-4 for i in (1, 2))


def test_finished_frames_are_remembered_with_the_shortest_step():
    model, views = perturbed_model(config=SHORTCUT), random_views(b=2, f=3, seed=0)
    x, condition = clip()
    t, d = T.clone(), torch.full_like(T, 0.25)
    t[:, :2], d[:, :2] = 0.0, 1 / 64
    linked = model(x, t, d=d, condition=condition, views=views, links=((), (), (0, 1)))[:, 2:]
    recall = model.remember(x[:, :2], condition=condition[:, :2], views=views[:2])
    recalled = model(
        x[:, 2:], t[:, 2:], d=d[:, 2:], condition=condition[:, 2:], views=views[2:], recall=recall
    )
    torch.testing.assert_close(recalled, linked, atol=1e-5, rtol=0)


def test_a_flow_model_is_not_told_how_long_a_step_is():
    x, condition = clip()
    with pytest.raises(ValueError, match="not told how long a step is"):
        fresh_model()(x, T, d=T, condition=condition, views=random_views(b=2, f=3, seed=0))


def test_pictures_may_have_any_size_that_eight_divides():
    x, condition = clip(h=8, w=40)
    out = perturbed_model()(x, T, condition=condition, views=random_views(b=2, f=3, seed=0), links=LINKS)
    assert out.shape == x.shape


@pytest.mark.parametrize(("h", "w"), [(12, 24), (16, 20)])
def test_other_sizes_are_refused(h: int, w: int):
    x, condition = clip(h=h, w=w)
    with pytest.raises(ValueError, match=f"multiples of 8 pixels, got {w} x {h}"):
        fresh_model()(x, T, condition=condition, views=random_views(b=2, f=3, seed=0))


@pytest.mark.parametrize("links", [((), (2,), ()), ((0,), (), ()), ((), (-1,), ()), ((), (0,))])
def test_links_that_are_not_to_earlier_frames_are_refused(links: tuple[tuple[int, ...], ...]):
    x, condition = clip()
    with pytest.raises(ValueError, match="linked to frames before"):
        fresh_model()(x, T, condition=condition, views=random_views(b=2, f=3, seed=0), links=links)


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        ({"width": 100}, "whole heads"),
        ({"head_width": 20}, "whole heads"),
        ({"head_width": 0}, "positive"),
        ({"depth": 0}, "positive"),
        ({"levels": (8, -16)}, "positive"),
        ({"levels": (8,)}, "two numbers"),
        ({"levels": (8, 16, 32)}, "two numbers"),
        ({"levels": ()}, "two numbers"),
    ],
)
def test_sizes_that_make_no_model_are_refused(sizes: dict, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        dataclasses.replace(SMALL, **sizes)


def test_the_default_model_has_the_parameters_that_its_sizes_say():
    config = ModelConfig()
    d, (a, b) = config.width, config.levels
    trunk = config.depth * ((3 + 1 + 4 + 4 + 6) * d * d + (3 + 1 + 4 + 1 + 6) * d)
    time = 256 * d + d + d * d + d
    blocks = 2 * sum(c + 2 * (9 * c * c + c) + (d * 2 * c + 2 * c) for c in (a, b))
    stem, last = 60 * 9 * a + a, a * 9 * 16 + 16
    down, up = 4 * (a * b + b * d) + b + d, (b * 4 * a + 4 * a) + (d * 4 * b + 4 * b)
    f = 32  # channels of the finish
    finish = (9 * 15 * f + f) + (9 * f * f + f) + (9 * f * 6 + 6) + (d * 2 * f + 2 * f)
    with torch.device("meta"):
        found = sum(parameter.numel() for parameter in RGBDModel(config).parameters())
    assert found == trunk + time + blocks + stem + last + down + up + finish
