"""The trunk: who sees whom, what is remembered, and how noise levels enter."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from tests.oracles.small_models import random_views, rigid_motion
from worldgen.model.attention import Views, joined
from worldgen.model.trunk import Block, Links, Reading, Recall, Trunk

GRID = (2, 3)
TOKENS, WIDTH, HEAD_WIDTH = 6, 32, 16


def trunk(*, depth: int) -> Trunk:
    """A trunk none of whose weights are zero."""
    torch.manual_seed(depth)
    made = Trunk(WIDTH, depth=depth, head_width=HEAD_WIDTH)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def inputs(*, b: int, f: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Tokens and the embeddings of the frames' noise levels."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(b, f, TOKENS, WIDTH, generator=rng), torch.randn(b, f, WIDTH, generator=rng)


def run(
    made: Trunk,
    x: Tensor,
    embedded: Tensor,
    views: Views,
    *,
    links: Links,
    recall: Recall | Reading | None = None,
) -> Tensor:
    return made(x, embedded, views=views, grid=GRID, links=links, recall=recall)[0]


def remembered(made: Trunk, x: Tensor, embedded: Tensor, views: Views) -> Recall:
    alone = ((),) * x.shape[1]
    _, kept = made(x, embedded, views=views, grid=GRID, links=alone, recall=None)
    return Recall(keys=[k for k, _ in kept], values=[v for _, v in kept], views=views)


def test_a_fresh_trunk_changes_nothing():
    torch.manual_seed(0)
    x, embedded = inputs(b=1, f=2)
    fresh = Trunk(WIDTH, depth=4, head_width=HEAD_WIDTH)
    assert torch.equal(run(fresh, x, embedded, random_views(b=1, f=2, seed=0), links=((), (0,))), x)


def test_a_frame_sees_itself_and_its_links_and_nobody_else():
    x, embedded = inputs(b=1, f=4)
    x.requires_grad_()
    links = ((), (0,), (0,), (1, 2))
    out = run(trunk(depth=4), x, embedded, random_views(b=1, f=4, seed=0), links=links)
    for i in range(4):
        (gradient,) = torch.autograd.grad(out[:, i].square().sum(), x, retain_graph=True)
        seen = {j for j in range(4) if gradient[:, j].abs().max() > 0}
        assert seen == {i, *links[i]}


def test_what_a_linked_frame_saw_reaches_on_through_two_memory_blocks():
    x, embedded = inputs(b=1, f=3)
    x.requires_grad_()
    out = run(trunk(depth=8), x, embedded, random_views(b=1, f=3, seed=0), links=((), (0,), (1,)))
    (gradient,) = torch.autograd.grad(out[:, 2].square().sum(), x, retain_graph=True)
    assert gradient[:, 0].abs().max() > 0
    (gradient,) = torch.autograd.grad(out[:, 1].square().sum(), x)
    assert gradient[:, 2].abs().max() == 0


@pytest.mark.parametrize("depth", [4, 8])
def test_recalling_a_frame_equals_linking_it(depth: int):
    made, views = trunk(depth=depth), random_views(b=2, f=3, seed=1)
    x, embedded = inputs(b=2, f=3)
    whole = run(made, x, embedded, views, links=((), (), (0, 1)))[:, 2:]
    recall = remembered(made, x[:, :2], embedded[:, :2], views[:2])
    recalled = run(made, x[:, 2:], embedded[:, 2:], views[2:], links=((),), recall=recall)
    torch.testing.assert_close(recalled, whole, atol=1e-5, rtol=0)
    alone = run(made, x[:, 2:], embedded[:, 2:], views[2:], links=((),))
    assert (recalled - alone).abs().max() > 1e-2


def test_what_is_recalled_does_not_depend_on_its_order():
    made, views = trunk(depth=8), random_views(b=1, f=3, seed=1)
    x, embedded = inputs(b=1, f=3)
    answers = []
    for order in ([0, 1], [1, 0]):
        recall = remembered(made, x[:, order], embedded[:, order], views[order])
        answers.append(run(made, x[:, 2:], embedded[:, 2:], views[2:], links=((),), recall=recall))
    torch.testing.assert_close(answers[0], answers[1], atol=1e-5, rtol=0)


def test_remembered_keys_hold_no_camera():
    made, (x, embedded) = trunk(depth=8), inputs(b=1, f=2)
    here, there = (remembered(made, x, embedded, random_views(b=1, f=2, seed=seed)) for seed in (1, 2))
    assert len(here.keys) == 2
    for a, b in zip(here.keys + here.values, there.keys + there.values, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_a_memory_can_be_read_ahead():
    made, views = trunk(depth=8), random_views(b=2, f=3, seed=1)
    x, embedded = inputs(b=2, f=3)
    recall = remembered(made, x[:, :2], embedded[:, :2], views[:2])
    target = (x[:, 2:], embedded[:, 2:])
    reading = made.read(recall, views=views[2:], grid=GRID)
    raw, ahead = (run(made, *target, views[2:], links=((),), recall=seen) for seen in (recall, reading))
    assert torch.equal(raw, ahead)
    elsewhere = made.read(recall, views=views[1:2], grid=GRID)
    assert (run(made, *target, views[2:], links=((),), recall=elsewhere) - raw).abs().max() > 1e-3


def test_a_memory_survives_a_move_of_the_world():
    made, views = trunk(depth=8), random_views(b=1, f=3, seed=1, dtype=torch.float64)
    x, embedded = inputs(b=1, f=3)
    recall = remembered(made, x[:, :2], embedded[:, :2], views[:2])
    back = torch.linalg.inv(rigid_motion(seed=3, distance=1000.0, dtype=torch.float64))
    moved = dataclasses.replace(views, w2c=views.w2c @ back)
    target = (x[:, 2:], embedded[:, 2:])
    before = run(made, *target, views[2:], links=((),), recall=recall)
    both = dataclasses.replace(recall, views=moved[:2])
    torch.testing.assert_close(
        run(made, *target, moved[2:], links=((),), recall=both), before, atol=1e-4, rtol=0
    )
    # The control: the memory's cameras stay behind.
    stale = run(made, *target, moved[2:], links=((),), recall=recall)
    assert (stale - before).abs().max() > 0.05


def test_moving_the_world_changes_nothing_in_a_clip():
    made, views = trunk(depth=8), random_views(b=2, f=3, seed=1, dtype=torch.float64)
    x, embedded = inputs(b=2, f=3)
    back = torch.linalg.inv(rigid_motion(seed=3, distance=1000.0, dtype=torch.float64))
    moved = dataclasses.replace(views, w2c=views.w2c @ back)
    links = ((), (0,), (0, 1))
    torch.testing.assert_close(
        run(made, x, embedded, moved, links=links),
        run(made, x, embedded, views, links=links),
        atol=1e-4,
        rtol=0,
    )


def test_a_turn_of_one_camera_alone_changes_what_sees_it():
    made, views = trunk(depth=4), random_views(b=1, f=3, seed=1)
    other = joined([random_views(b=1, f=1, seed=9), views[1:]])
    x, embedded = inputs(b=1, f=3)
    before, after = (run(made, x, embedded, v, links=((), (0,), (1,))) for v in (views, other))
    torch.testing.assert_close(before[:, [0, 2]], after[:, [0, 2]], atol=1e-5, rtol=0)
    assert (before[:, 1] - after[:, 1]).abs().max() > 1e-2


def test_samples_of_a_batch_do_not_meet():
    made, views = trunk(depth=4), random_views(b=3, f=2, seed=1)
    x, embedded = inputs(b=3, f=2)
    together = run(made, x, embedded, views, links=((), (0,)))
    for b in range(3):
        part = Views(w2c=views.w2c[b : b + 1], K_norm=views.K_norm[b : b + 1])
        alone = run(made, x[b : b + 1], embedded[b : b + 1], part, links=((), (0,)))
        torch.testing.assert_close(together[b : b + 1], alone, atol=1e-5, rtol=0)


def test_a_noise_level_modulates_its_own_frame_only():
    made, views = trunk(depth=4), random_views(b=1, f=2, seed=1)
    x, embedded = inputs(b=1, f=2)
    other = embedded.clone()
    other[:, 1] += 1.0
    before, after = (run(made, x, e, views, links=((), ())) for e in (embedded, other))
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert (before[:, 1] - after[:, 1]).abs().max() > 1e-2


def test_a_block_splits_heads_as_its_matrix_says():
    torch.manual_seed(0)
    block = Block(WIDTH, head_width=HEAD_WIDTH)
    x = torch.randn(1, 2, TOKENS, WIDTH)
    flat = x[0, 1, 4] @ block.qkv.weight.T + block.qkv.bias
    for part, found in enumerate(block.project(x)):
        for head in range(WIDTH // HEAD_WIDTH):
            start = part * WIDTH + head * HEAD_WIDTH
            torch.testing.assert_close(found[0, 1, 4, head], flat[start : start + HEAD_WIDTH])


def test_routing_to_every_frame_is_dense_and_to_fewer_is_not():
    made, views = trunk(depth=8), random_views(b=2, f=5, seed=1)
    x, embedded = inputs(b=2, f=5)
    recall = remembered(made, x[:, :4], embedded[:, :4], views[:4])
    dense = run(made, x[:, 4:], embedded[:, 4:], views[4:], links=((),), recall=recall)
    for routed, is_dense in ((4, True), (9, True), (2, False)):
        out, _ = made(
            x[:, 4:],
            embedded[:, 4:],
            views=views[4:],
            grid=GRID,
            links=((),),
            recall=recall,
            routed=routed,
        )
        assert torch.equal(out, dense) == is_dense


def test_what_is_routed_does_not_depend_on_the_order_of_the_frames():
    made, views = trunk(depth=8), random_views(b=1, f=4, seed=1)
    x, embedded = inputs(b=1, f=4)
    answers = []
    for order in ([0, 1, 2], [2, 0, 1]):
        recall = remembered(made, x[:, order], embedded[:, order], views[order])
        out, _ = made(
            x[:, 3:], embedded[:, 3:], views=views[3:], grid=GRID, links=((),), recall=recall, routed=1
        )
        answers.append(out)
    torch.testing.assert_close(*answers, atol=1e-5, rtol=0)
