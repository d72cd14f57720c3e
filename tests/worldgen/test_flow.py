"""Flow matching against closed forms: Gaussian data, whose velocity and exact paths are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from worldgen.sampling import flow as flow_module
from worldgen.sampling.flow import (
    MANY_STEPS,
    MIN_TIME,
    bent,
    coarseness,
    levels,
    logit_normal_times,
    noised,
    sample,
    shifted,
    velocity_loss,
)

SIGMA = 2.0
"""Standard deviation of the Gaussian that the data comes from."""

STEPS = (1, 2, 4, 8, 16, 32, 64)

# Where Euler steps take z = 1 at t = 1; the exact map takes it to 2. Computed apart, in NumPy.
EULER = {
    1.0: (0.0, 0.8000, 1.3622, 1.6591, 1.8227, 1.9095, 1.9542),
    3.0: (0.0, 0.9231, 1.4139, 1.6874, 1.8378, 1.9173, 1.9582),
    5.0: (0.0, 0.6897, 1.2988, 1.6256, 1.8047, 1.9001, 1.9494),
}


def expected_clean(x: Tensor, t: Tensor) -> Tensor:
    """What a perfect x-prediction says of data from N(0, SIGMA^2): the mean of the clean given the noisy."""
    level = t[:, :, None, None, None]
    return x * (1.0 - level) * SIGMA**2 / ((1.0 - level) ** 2 * SIGMA**2 + level**2)


def end_of(
    denoise: Callable[[Tensor, Tensor], Tensor], *, grid: Tensor, imagined: float | None = None
) -> float:
    """Where sampling takes 1."""
    noise = torch.ones(2, 3, 4, 2, 2, dtype=torch.float64)
    mask = None if imagined is None else torch.full_like(noise, imagined)
    out = sample(denoise, noise, grid=grid.double(), imagined=mask)
    assert out.shape == noise.shape
    assert (out == out.flatten()[0]).all()
    return float(out.flatten()[0])


@pytest.mark.parametrize("shift", EULER)
@pytest.mark.parametrize("column", range(len(STEPS)))
def test_euler_steps_reproduce_the_table_of_the_gaussian(shift: float, column: int):
    value = end_of(expected_clean, grid=levels(STEPS[column], shift=shift), imagined=0.0)
    assert value == pytest.approx(EULER[shift][column], abs=6e-5)  # the table has four digits


def test_euler_steps_are_of_first_order():
    errors = [SIGMA - end_of(expected_clean, grid=levels(steps), imagined=0.0) for steps in (32, 64)]
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.1)


def test_many_steps_are_euler_steps():
    ends = [end_of(expected_clean, grid=levels(MANY_STEPS), imagined=share) for share in (0.0, 1.0)]
    assert ends[0] == ends[1]


def test_few_steps_that_carry_changes_on_keep_the_contrast_that_euler_loses(
    monkeypatch: pytest.MonkeyPatch,
):
    grid = bent(levels(4))
    assert end_of(expected_clean, grid=grid, imagined=0.0) < 0.7 * SIGMA
    # Worked out apart: 1.3389 without the carrying, 2.5417 with it.
    assert end_of(expected_clean, grid=grid) == pytest.approx(2.54166, abs=1e-4)
    monkeypatch.setattr(flow_module, "coarseness", lambda _: 1.0)
    errors = [abs(SIGMA - end_of(expected_clean, grid=levels(steps))) for steps in (32, 64, 128)]
    assert errors[1] < 0.35 * errors[0]
    assert errors[2] < 0.35 * errors[1]


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_a_prediction_that_changes_linearly_is_integrated_exactly(steps: int):
    def linear(x: Tensor, t: Tensor) -> Tensor:
        return (3.0 - 2.0 * t[:, :, None, None, None]).expand_as(x)

    assert end_of(linear, grid=bent(levels(steps))) == pytest.approx(3.0)


def test_changes_are_carried_on_only_where_it_is_imagined():
    noise = torch.randn(1, 1, 4, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.zeros_like(noise)
    mask[..., 0] = 1.0
    grid = bent(levels(4)).double()
    mixed, carried, euler = (
        sample(expected_clean, noise, grid=grid, imagined=share)
        for share in (mask, None, torch.zeros_like(noise))
    )
    assert torch.equal(mixed[..., 0], carried[..., 0])
    assert torch.equal(mixed[..., 1], euler[..., 1])
    assert not torch.equal(carried, euler)


def test_the_wrong_sign_of_the_velocity_is_far_off():
    def reversed_velocity(x: Tensor, t: Tensor) -> Tensor:
        return 2.0 * x - expected_clean(x, t)  # x - t v with v of the other sign

    assert abs(end_of(reversed_velocity, grid=levels(64)) - SIGMA) > 1.0


def test_the_last_step_lands_on_the_prediction():
    truth = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(sample(lambda x, t: truth, noise, grid=levels(3)), truth)


def test_the_sampler_tells_the_model_the_level_of_every_frame():
    told: list[Tensor] = []

    def listener(x: Tensor, t: Tensor) -> Tensor:
        told.append(t)
        return torch.zeros_like(x)

    sample(listener, torch.ones(2, 3, 4, 2, 2), grid=levels(4))
    assert [tuple(t.shape) for t in told] == [(2, 3)] * 4
    assert [float(t[1, 2]) for t in told] == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("level", [0.02, 0.5, 1.0])
def test_clean_noise_and_velocity_convert_into_each_other(level: float):
    rng = torch.Generator().manual_seed(4)
    clean, noise = (torch.randn(2, 3, 4, 5, 6, generator=rng, dtype=torch.float64) for _ in range(2))
    t = torch.full((2, 3), level, dtype=torch.float64)
    x_t, v = noised(clean, noise, t), noise - clean
    torch.testing.assert_close(x_t - level * v, clean, atol=1e-12, rtol=0)
    torch.testing.assert_close(x_t + (1.0 - level) * v, noise, atol=1e-12, rtol=0)
    torch.testing.assert_close((x_t - clean) / level, v, atol=1e-12, rtol=0)


def test_every_frame_is_noised_to_its_own_level():
    clean, noise = torch.zeros(1, 3, 4, 2, 2), torch.ones(1, 3, 4, 2, 2)
    x = noised(clean, noise, torch.tensor([[0.0, 0.25, 1.0]]))
    assert x[0, :, 0, 0, 0].tolist() == [0.0, 0.25, 1.0]


def test_the_loss_is_the_squared_error_of_the_velocity():
    rng = torch.Generator().manual_seed(5)
    clean, noise, predicted = (
        torch.randn(2, 3, 4, 5, 6, generator=rng, dtype=torch.float64) for _ in range(3)
    )
    t = torch.tensor([[0.06, 0.3, 1.0], [0.9, 0.5, 0.11]], dtype=torch.float64)
    level = t[:, :, None, None, None]
    predicted_velocity = (noised(clean, noise, t) - predicted) / level
    expected = (predicted_velocity - (noise - clean)) ** 2
    torch.testing.assert_close(velocity_loss(predicted, clean, t), expected)


def test_the_loss_stays_finite_near_the_clean_end():
    loss = velocity_loss(torch.ones(1, 1, 4, 2, 2), torch.zeros(1, 1, 4, 2, 2), torch.zeros(1, 1))
    torch.testing.assert_close(loss, torch.full_like(loss, MIN_TIME**-2))


def test_noise_levels_are_logit_normal():
    t = logit_normal_times((500, 8), rng=torch.Generator().manual_seed(0))
    found = scipy.stats.kstest(torch.logit(t.double()).flatten().numpy(), "norm")
    # Stratified samples lie within one stratum of the distribution: far closer than chance draws.
    assert found.statistic < 2.0 / t.numel() + 1e-4


def test_the_level_of_one_place_in_a_batch_is_logit_normal_over_batches():
    rng = torch.Generator().manual_seed(1)
    drawn = torch.stack([logit_normal_times((2, 4), rng=rng) for _ in range(2000)])
    for place in (drawn[:, 0, 0], drawn[:, 1, 3]):
        assert scipy.stats.kstest(torch.logit(place.double()).numpy(), "norm").pvalue > 0.01


@given(count=st.integers(1, 9), frames=st.integers(1, 5), seed=st.integers(0, 1000))
def test_a_batch_holds_one_level_of_every_stratum(count: int, frames: int, seed: int):
    t = logit_normal_times((count, frames), rng=torch.Generator().manual_seed(seed))
    uniform = torch.special.ndtr(torch.logit(t.double())).flatten().sort().values
    edges = torch.arange(count * frames + 1) / (count * frames)
    assert (uniform >= edges[:-1] - 1e-5).all()
    assert (uniform <= edges[1:] + 1e-5).all()


@given(a=st.floats(0.2, 8.0), b=st.floats(0.2, 8.0))
def test_shifts_compose_by_multiplication(a: float, b: float):
    t = torch.linspace(0.0, 1.0, 17, dtype=torch.float64)
    torch.testing.assert_close(shifted(shifted(t, shift=a), shift=b), shifted(t, shift=a * b))
    torch.testing.assert_close(shifted(shifted(t, shift=a), shift=1.0 / a), t)


@pytest.mark.parametrize("shift", [1.0, 1.7, 3.0])
def test_levels_fall_from_noise_to_exactly_zero(shift: float):
    grid = levels(7, shift=shift)
    assert grid.shape == (8,)
    assert grid[0] == pytest.approx(1.0)
    assert grid[-1] == 0.0
    assert (grid.diff() < 0).all()


def test_sampling_without_a_step_is_refused():
    with pytest.raises(ValueError, match="at least one step, got 0"):
        levels(0)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 6, 8, 12, 16, 64])
@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_a_bent_grid_keeps_its_ends_and_its_order(steps: int, shift: float):
    grid = bent(levels(steps, shift=shift))
    assert (grid[:-1] > grid[1:]).all()
    assert grid[0] == 1.0
    assert grid[-1] == 0.0


def test_coarse_grids_are_denser_at_both_ends_and_fine_ones_stay():
    torch.testing.assert_close(bent(levels(4)), torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0]))
    assert torch.equal(bent(levels(MANY_STEPS)), levels(MANY_STEPS))
    assert [coarseness(steps) for steps in (1, 4, 16, 64)] == [1.0, 1.0, 0.0, 0.0]
    assert coarseness(8) == pytest.approx(1.0 / 3.0)
