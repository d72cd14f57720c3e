"""Shortcut training: the closed form of Gaussian data, and a mixture that a small network learns."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from worldgen.model.layers import SHORTEST_STEP, STEP_LENGTHS
from worldgen.sampling.flow import levels, sample, velocity_loss
from worldgen.training.ranks import Ranks
from worldgen.training.shortcut import (
    LIMIT,
    Draw,
    Predictor,
    drawn,
    semigroup_errors,
    shortcut_loss,
    targets,
)

SIGMA = 2.0
"""Standard deviation of the Gaussian that the data comes from."""


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def wide(values: Tensor) -> Tensor:
    return values[:, :, None, None, None]


def variance(t: Tensor) -> Tensor:
    """Of noised data at level ``t``."""
    return (1.0 - t) ** 2 * SIGMA**2 + t**2


def exact(x: Tensor, t: Tensor, d: Tensor) -> Tensor:
    """What a perfect shortcut model says: the ODE takes z from level t to r to ``z sqrt(S(r) / S(t))``."""
    end = x * wide((variance(t - d) / variance(t)).sqrt())
    return x - wide(t) * (x - end) / wide(d)


def flow(x: Tensor, t: Tensor, d: Tensor) -> Tensor:
    """What a perfect flow model says, however long the step is: the mean of the clean given the noisy."""
    level = wide(t)
    return x * (1.0 - level) * SIGMA**2 / wide(variance(t))


def every_step() -> tuple[Tensor, Tensor]:
    """All levels on the grids of all lengths but the shortest, ``n 1`` each."""
    pairs = [
        (k * d, d) for d in (2.0**-i for i in range(STEP_LENGTHS - 1)) for k in range(1, round(1 / d) + 1)
    ]
    t, d = torch.tensor(pairs, dtype=torch.float64).T[..., None]
    return t, d


def test_two_exact_half_steps_are_one_exact_step():
    t, d = every_step()
    x = 0.7 * torch.ones(len(t), 1, 1, 1, 1, dtype=torch.float64)
    expected, found = exact(x, t, d), targets(exact, x, torch.full_like(x, math.nan), t=t, d=d)
    velocities = [(x - answer) / wide(t) for answer in (expected, found)]
    # Two differences over half steps of 1/64 and a division by levels from 1/32 on: some ten roundings.
    torch.testing.assert_close(velocities[1], velocities[0], atol=1e-13, rtol=0)
    whole = targets(exact, x[:1], x[:1], t=t[:1], d=d[:1])  # one step from noise to data
    assert abs(float(whole) - float(expected[0])) <= 2e-16
    assert float(semigroup_errors(expected, found, t=t, d=d).max()) < 1e-14


def test_half_steps_of_a_flow_model_are_those_of_its_sampler():
    x = torch.randn(2, 3, 4, 2, 2, generator=rng(), dtype=torch.float64)
    ones = torch.ones(2, 3, dtype=torch.float64)
    found = targets(flow, x, x, t=ones, d=ones)
    two = sample(lambda z, t: flow(z, t, t), x, grid=levels(2).double(), imagined=torch.zeros_like(x))
    torch.testing.assert_close(found, two, atol=1e-14, rtol=0)
    assert (semigroup_errors(flow(x, ones, ones), found, t=ones, d=ones) > 0.1).all()


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 64])
def test_a_perfect_shortcut_model_is_sampled_exactly_in_any_number_of_even_steps(steps: int):
    noise = torch.ones(1, 1, 4, 1, 1, dtype=torch.float64)
    out = sample(
        lambda x, t: exact(x, t.double(), torch.full_like(t, 1.0 / steps).double()),
        noise,
        grid=levels(steps).double(),
        imagined=torch.zeros_like(noise),
    )
    torch.testing.assert_close(out, SIGMA * noise, atol=1e-13, rtol=0)


def test_the_shortest_step_is_trained_as_flow_matching_trains():
    x, clean, predicted = (
        torch.randn(2, 3, 4, 2, 2, generator=rng(i), dtype=torch.float64) for i in range(3)
    )
    t = 0.05 + 0.95 * torch.rand(2, 3, generator=rng(3), dtype=torch.float64)
    target = targets(exact, x, clean, t=t, d=torch.full_like(t, SHORTEST_STEP))
    assert torch.equal(target, clean)
    # The flow's loss, as an error of the clean frame and with the ramp.
    expected = wide(t**2 * (0.9 * (1.0 - t) + 0.1)) * velocity_loss(predicted, clean, t)
    torch.testing.assert_close(shortcut_loss(predicted, target, t), expected)


def test_the_loss_of_a_long_step_is_the_squared_error_of_its_velocity():
    x, target, predicted = (
        torch.randn(1, 3, 4, 2, 2, generator=rng(i), dtype=torch.float64) for i in range(3)
    )
    t = torch.tensor([[0.25, 0.5, 1.0]], dtype=torch.float64)
    gap = (x - predicted) / wide(t) - (x - target) / wide(t)
    expected = wide((0.9 * (1.0 - t) + 0.1) * t**2) * gap**2
    torch.testing.assert_close(shortcut_loss(predicted, target, t), expected)
    error = semigroup_errors(predicted, target, t=t, d=t / 2)
    torch.testing.assert_close(error, (t / 2) * gap.flatten(2).square().mean(dim=2).sqrt())


def test_frames_of_a_clip_take_their_half_steps_together_and_given_ones_none():
    told: list[tuple[Tensor, Tensor, Tensor]] = []

    def listener(x: Tensor, t: Tensor, d: Tensor) -> Tensor:
        told.append((x, t, d))
        return torch.zeros_like(x)

    x, clean = torch.ones(1, 3, 4, 2, 2), torch.full((1, 3, 4, 2, 2), 5.0)
    t, d = torch.tensor([[0.0, 0.75, 0.3]]), torch.tensor([[SHORTEST_STEP, 0.25, SHORTEST_STEP]])
    target = targets(listener, x, clean, t=t, d=d)
    assert [one[1].tolist() for one in told] == [t.tolist(), [[0.0, 0.625, pytest.approx(0.3)]]]
    assert all(one[2].tolist() == [[SHORTEST_STEP, 0.125, SHORTEST_STEP]] for one in told)
    # With the clean frame at 0, a step shrinks the frame as its level: 0.625 / 0.75.
    torch.testing.assert_close(told[1][0][0, :, 0, 0, 0], torch.tensor([1.0, 0.625 / 0.75, 1.0]))
    torch.testing.assert_close(target[0, :, 0, 0, 0], torch.tensor([5.0, 0.0, 5.0]))


def test_wild_answers_are_cut_off():
    wild = targets(
        lambda x, t, d: torch.full_like(x, -1e6),
        torch.zeros(1, 1, 4, 2, 2),
        torch.zeros(1, 1, 4, 2, 2),
        t=torch.ones(1, 1),
        d=torch.ones(1, 1),
    )
    assert torch.equal(wild, torch.full_like(wild, -LIMIT))


def test_no_gradient_flows_into_targets():
    layer = nn.Linear(2, 2)
    x, clean = torch.randn(8, 1, 2, generator=rng(), requires_grad=True), torch.zeros(8, 1, 2)
    t = d = torch.full((8, 1), 0.5)
    target = targets(lambda x, t, d: layer(x), x, clean, t=t, d=d)
    assert not target.requires_grad
    shortcut_loss(layer(x), target, t).mean().backward()
    found = copy.deepcopy([layer.weight.grad, x.grad])
    layer.weight.grad = x.grad = None
    shortcut_loss(layer(x), target.detach().clone(), t).mean().backward()
    assert all(torch.equal(a, b) for a, b in zip(found, [layer.weight.grad, x.grad], strict=True))


def test_long_steps_are_drawn_for_as_many_clips_as_asked_with_levels_on_their_grids():
    plain = torch.rand(8, 3, generator=rng(1)) * 0.9 + 0.05
    plain[:, 0] = 0.0
    chosen, lengths = [], set()
    for seed in range(60):
        draw = drawn(plain, share=0.3, rng=rng(seed))
        chosen.append(len(draw.rows))
        is_long = draw.d > SHORTEST_STEP
        assert torch.equal(is_long[:, 1:].all(dim=1).nonzero()[:, 0], torch.tensor(sorted(draw.rows)))
        assert torch.equal(draw.t[~is_long], plain[~is_long])
        assert not is_long[:, 0].any()
        places = (draw.t / draw.d)[is_long]
        assert torch.equal(places, places.round())
        assert ((draw.t >= draw.d) & (draw.t <= 1.0))[is_long].all()
        lengths |= set(draw.d[is_long].tolist())
    assert set(chosen) == {2, 3}
    assert sum(chosen) / len(chosen) == pytest.approx(2.4, abs=0.2)
    assert lengths == {2.0**-i for i in range(STEP_LENGTHS - 1)}


def test_frames_of_a_clip_have_lengths_of_their_own():
    draws = [drawn(torch.full((4, 3), 0.5), share=1.0, rng=rng(seed)) for seed in range(100)]
    d = torch.cat([draw.d for draw in draws])
    assert float((d[:, 0] == d[:, 1]).float().mean()) == pytest.approx(1 / (STEP_LENGTHS - 1), abs=0.06)


def test_ranks_draw_the_step_lengths_of_one_process_in_pieces_and_ask_predictors_alike():
    t = torch.rand(6, 3, generator=rng(0))
    for seed in range(20):
        whole = drawn(t, share=0.2, rng=rng(seed))
        parts = [
            drawn(t[2 * i : 2 * i + 2], share=0.2, rng=rng(seed), ranks=Ranks(index=i, count=3))
            for i in range(3)
        ]
        for name in ("t", "d"):
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
        assert {bool(part.rows) for part in parts} == {bool(whole.rows)}
        asked = {2 * i + row for i, part in enumerate(parts) for row in part.rows}
        assert set(whole.rows) <= asked


class Network(nn.Module):
    """A small predictor of points on the plane, ``b 1 2``."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths = nn.Embedding(STEP_LENGTHS, 8)
        nn.init.normal_(self.lengths.weight, std=0.5)
        layers = [nn.Linear(18, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(64, 2))

    def forward(self, x: Tensor, t: Tensor, d: Tensor) -> Tensor:
        """Predict the clean points."""
        angles = t[..., None] * (0.5 * math.pi * torch.arange(4) + 0.7)
        told = self.lengths((-d.log2()).round().long())
        return self.layers(torch.cat([x, angles.cos(), angles.sin(), told], dim=-1))


def mixture(count: int, *, rng: torch.Generator) -> Tensor:
    """Points of three narrow Gaussians on an ellipse."""
    angle = torch.randint(3, (count, 1), generator=rng) * (2.0 * math.pi / 3.0) + 0.3
    centre = torch.stack([angle.cos(), 0.8 * angle.sin()], dim=-1)
    return centre + 0.1 * torch.randn(centre.shape, generator=rng)


def learned(*, steps: int, batch: int, flow_steps: int) -> Network:
    """Averaged weights after training on the mixture, at first as a flow model."""
    torch.manual_seed(0)
    draws, network = rng(0), Network()
    average = copy.deepcopy(network).requires_grad_(requires_grad=False)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.0)
    for i in range(steps):
        clean, noise = mixture(batch, rng=draws), torch.randn(batch, 1, 2, generator=draws)
        t = torch.rand(batch, 1, generator=draws).clamp_min(1e-3)
        plain = Draw(t=t, d=torch.full_like(t, SHORTEST_STEP), rows=[])
        draw = plain if i < flow_steps else drawn(t, share=0.5, rng=draws)
        x, target = clean + draw.t[..., None] * (noise - clean), clean.clone()
        rows = draw.rows
        if rows:
            target[rows] = targets(average, x[rows], clean[rows], t=draw.t[rows], d=draw.d[rows])
        shortcut_loss(network(x, draw.t, draw.d), target, draw.t).mean().backward()
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * min(1.0, (i + 1) / 50, (steps - i) / (0.4 * steps))
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(weight, 1.0 - min(0.99, (1 + i) / (10 + i)))
    return average


def distance(a: Tensor, b: Tensor) -> float:
    """Sliced 2-Wasserstein distance of as many points."""
    directions = normalize(torch.randn(2, 32, generator=rng(5)), dim=0)
    gaps = [(points[:, 0] @ directions).sort(dim=0).values for points in (a, b)]
    return float((gaps[0] - gaps[1]).square().mean().sqrt())


def ends(predict: Predictor, noise: Tensor, *, steps: int, d: float) -> Tensor:
    """Where even Euler steps take noise, when the predictor is told that they are of length ``d``."""
    images = noise[..., None, None]

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        return predict(x[..., 0, 0], t, torch.full_like(t, d))[..., None, None]

    return sample(denoise, images, grid=levels(steps), imagined=torch.zeros_like(images))[..., 0, 0]


def test_a_network_learns_to_sample_a_mixture_in_few_steps():
    network = learned(steps=800, batch=256, flow_steps=200)
    truth, noise = mixture(4000, rng=rng(1)), torch.randn(4000, 1, 2, generator=rng(2))

    def score(steps: int, *, d: float) -> float:
        return distance(ends(network, noise, steps=steps, d=d), truth)

    many = score(64, d=SHORTEST_STEP)
    assert many < 0.25  # of an ellipse of radius 1
    assert score(4, d=1 / 4) <= 1.2 * many
    assert score(1, d=1.0) <= 2.0 * many
    # The same network as a flow model, so steps are short only in what it is told.
    assert score(4, d=SHORTEST_STEP) > 1.2 * score(4, d=1 / 4)
    assert score(1, d=SHORTEST_STEP) > 3.0 * score(1, d=1.0)
