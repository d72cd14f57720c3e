"""Guidance and context against closed forms of Gaussians."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from worldgen.sampling.flow import levels, sample
from worldgen.sampling.history import (
    CONDITIONAL,
    Context,
    Guidance,
    Showing,
    Term,
    fractional,
    guided,
    noise_like,
    temporal,
    vanilla,
)

PRIOR_VARIANCE = 1.5
HISTORY_VARIANCE = 0.4
HISTORY = 0.8
"""What is observed: the frame plus noise of ``HISTORY_VARIANCE``."""


def posterior(level: float) -> tuple[float, float]:
    """Mean and variance of the frame given the history noised to ``level`` (its noise averaged out)."""
    if level == 1.0:
        return 0.0, PRIOR_VARIANCE
    spread = HISTORY_VARIANCE + (level / (1.0 - level)) ** 2
    gain = PRIOR_VARIANCE / (PRIOR_VARIANCE + spread)
    return gain * HISTORY, (1.0 - gain) * PRIOR_VARIANCE


def expected_clean(x: Tensor, t: float, *, mean: float, variance: float) -> Tensor:
    """What a perfect model says of data from N(mean, variance)."""
    share = (1.0 - t) * variance / ((1.0 - t) ** 2 * variance + t**2)
    return mean + share * (x - (1.0 - t) * mean)


def answer_of(x: Tensor, t: float):
    def answer(showing: Showing) -> Tensor:
        mean, variance = posterior(showing.levels[0])
        return expected_clean(x, t, mean=mean, variance=variance)

    return answer


GUIDANCES = {
    "conditional": (CONDITIONAL, {0.0: 1.0}),
    "vanilla": (vanilla(1.5), {0.0: 1.5, 1.0: -0.5}),
    "fractional": (fractional(1.5, 0.6), {0.0: 1.0, 0.6: 0.5, 1.0: -0.5}),
}


@pytest.mark.parametrize("name", GUIDANCES)
@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_guidance_is_the_score_of_the_product_of_powers(name: str, t: float):
    # Guided, x follows the product of p_t(x | history k) to the power w_k: Gaussian, with a precision that
    # is the weighted sum of theirs and a mean weighted by them. Tweedie turns its score into a prediction.
    guidance, powers = GUIDANCES[name]
    x = torch.linspace(-2.0, 2.0, 7, dtype=torch.float64)
    parts = []
    for level, weight in powers.items():
        mean, variance = posterior(level)
        parts.append((weight / ((1.0 - t) ** 2 * variance + t**2), (1.0 - t) * mean))
    precision = sum(p for p, _ in parts)
    mean = sum(p * m for p, m in parts) / precision
    expected = (x - t**2 * precision * (x - mean)) / (1.0 - t)
    found = guided(guidance.weights(1, linked=False), answer_of(x, t))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("weight", [0.5, 1.0, 1.5, 3.0])
def test_sampling_under_guidance_ends_at_the_closed_form_of_the_guided_mean(weight: float):
    # With the same variance with and without history the guided flow is that of N(w m, variance): its exact
    # map takes noise z to w m + sqrt(variance) z.
    variance, mean = 0.7, -1.2
    guidance = vanilla(weight)

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        return guided(
            guidance.weights(1, linked=False),
            lambda showing: expected_clean(
                x, float(t[0, 0]), mean=mean if showing.levels[0] == 0.0 else 0.0, variance=variance
            ),
        )

    noise = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64).view(1, 1, 1, 3, 3)
    made = sample(denoise, noise, grid=levels(2000).double())
    torch.testing.assert_close(made, weight * mean + variance**0.5 * noise, atol=2e-3, rtol=0)  # first order


def test_a_weight_of_one_is_the_conditional_answer_bit_for_bit():
    x = torch.randn(5, generator=torch.Generator().manual_seed(0))
    conditional = guided(CONDITIONAL.weights(1, linked=True), answer_of(x, 0.37))
    assert torch.equal(conditional, answer_of(x, 0.37)(Showing((0.0,), linked=True)))
    for guidance in (vanilla(1.0), fractional(1.0, 0.6), temporal({(0,): 1.0})):
        assert torch.equal(guided(guidance.weights(1, linked=True), answer_of(x, 0.37)), conditional)


@given(
    weight=st.floats(-3.0, 5.0),
    level=st.floats(0.01, 0.99),
    frames=st.integers(0, 4),
    linked=st.booleans(),
)
def test_the_weights_always_sum_to_one(weight: float, level: float, frames: int, linked: bool):  # noqa: FBT001
    for guidance in (vanilla(weight), fractional(weight, level), temporal({(-1,): weight, (0, 1): 0.3})):
        found = guidance.weights(frames, linked=linked)
        assert sum(found.values()) == pytest.approx(1.0)
        assert all(value != 0.0 for value in found.values())


def test_equal_showings_are_asked_for_once():
    def evaluations(guidance: Guidance, *, frames: int = 2, linked: bool = True) -> int:
        asked: list[Showing] = []

        def answer(showing: Showing) -> Tensor:
            asked.append(showing)
            return torch.zeros(1)

        guided(guidance.weights(frames, linked=linked), answer)
        return len(asked)

    assert evaluations(CONDITIONAL) == 1
    assert evaluations(vanilla(1.5)) == 2
    assert evaluations(fractional(1.5, 0.6)) == 3
    assert evaluations(fractional(1.5, 1.0)) == 1  # guided by nothing: what is added is taken away
    assert evaluations(fractional(1.5, 0.0)) == 2  # vanilla
    assert evaluations(temporal({(0,): 0.7, (1,): 0.7})) == 3
    assert evaluations(temporal({(0,): 0.7, (-2,): 0.7})) == 2  # the same frame
    assert evaluations(vanilla(1.5), frames=0, linked=False) == 1  # no history, nothing to be guided by
    assert evaluations(vanilla(1.5), frames=0) == 2


def test_showings_say_what_is_seen():
    assert vanilla(1.5).weights(2, linked=True) == {
        Showing((0.0, 0.0), linked=True): 1.5,
        Showing((1.0, 1.0), linked=False): -0.5,
    }
    found = temporal({(-1,): 0.75, (0, 1): 0.5}).weights(3, linked=False)
    assert found == {
        Showing((1.0, 1.0, 0.0), linked=False): 0.75,
        Showing((0.0, 0.0, 1.0), linked=False): 0.5,
        Showing((1.0, 1.0, 1.0), linked=False): -0.25,
    }


def test_a_clean_context_is_the_frame_itself():
    clean = torch.randn(1, 2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(1, 2, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    for context in (Context(), Context("scale", 0.0), Context("noise", 0.0)):
        assert context.shown(clean, noise) is clean
    torch.testing.assert_close(Context("scale", 0.25).shown(clean, noise), 0.75 * clean)
    torch.testing.assert_close(Context("noise", 0.25).shown(clean, noise), 0.75 * clean + 0.25 * noise)


def test_noised_history_is_never_cleaner_than_the_context():
    context = Context("scale", 0.02)
    assert context.at(0.0) == context
    assert context.at(0.6) == Context("noise", 0.6)
    assert Context("noise", 0.1).at(0.05) == Context("noise", 0.1)


def test_the_noise_of_a_frame_is_always_the_same():
    frame = torch.zeros(1, 1, 4, 8, 8)
    first, again, other = (noise_like(frame, key=key) for key in (b"a" * 16, b"a" * 16, b"b" * 16))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_labels_tell_guidances_and_contexts_apart():
    guidances = [CONDITIONAL, vanilla(1.5), vanilla(2.0), fractional(1.5, 0.6), fractional(1.5, 0.5)]
    guidances += [temporal({(0,): 0.7}), temporal({(1,): 0.7}), temporal({(0, 1): 0.7})]
    assert len({guidance.label for guidance in guidances}) == len(guidances)
    contexts = [Context(), Context("scale", 0.02), Context("noise", 0.02), Context("noise", 0.1)]
    assert len({context.label for context in contexts}) == len(contexts)


def test_senseless_guidance_and_contexts_are_refused():
    with pytest.raises(ValueError, match="must sum to 1"):
        Guidance((Term(weight=0.5, level=0.0),))
    with pytest.raises(ValueError, match=r"noise levels must lie in \[0, 1\]"):
        fractional(1.5, 1.2)
    with pytest.raises(ValueError, match="off, scale, noise, got 'blur'"):
        Context("blur")
    with pytest.raises(ValueError, match=r"lie in \[0, 1\), and be 0 where it is off, got off at 0.1"):
        Context("off", 0.1)
    with pytest.raises(ValueError, match="got noise at 1"):
        Context("noise", 1.0)
