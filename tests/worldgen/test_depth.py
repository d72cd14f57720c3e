"""The depth code: there and back, the same for the same surface, and finite whatever comes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from worldgen.depth import MIN_RANGE, PRIOR, DepthRange, decode, encode, range_of


def picture(values: list[float] | Tensor) -> Tensor:
    """Depths as one picture, a row high."""
    return torch.as_tensor(values, dtype=torch.float32).reshape(1, 1, -1, 1)


def all_valid(depth: Tensor) -> Tensor:
    return torch.ones_like(depth, dtype=torch.bool)


def random_depth(*, seed: int, n: int = 2) -> Tensor:
    """Depths spread evenly over the logarithm between 0.3 and 30."""
    return torch.exp(torch.empty(n, 24, 31, 1).uniform_(generator=_rng(seed)) * math.log(100.0)) * 0.3


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(4))
def test_decode_inverts_encode_within_the_range(seed: int):
    depth = random_depth(seed=seed)
    back, valid = decode(encode(depth, span := range_of(depth, all_valid(depth))), span)
    assert valid.all()
    assert ((back - depth) / depth).abs().max() < 1e-4


@given(
    depth=st.lists(st.floats(0.02, 500.0), min_size=1, max_size=40),
    low=st.floats(-0.05, 0.3),
    width=st.floats(0.5, 5.0),
)
def test_decode_inverts_encode_far_beyond_the_range(depth: list[float], low: float, width: float):
    # A code near 1/depth = 0 is the difference of numbers of order 1: its rounding, relative to the
    # inverse depth, is what limits the far end.
    span = DepthRange(low=low, high=low + width)
    back, valid = decode(encode(picture(depth), span), span)
    tolerance = np.maximum(1e-4, 1e-6 * np.array(depth) * (1.0 + abs(low) + width))
    assert valid.all()
    assert (np.abs(back.flatten().numpy() / np.array(depth, np.float32) - 1.0) < tolerance).all()


def test_the_code_of_the_ends_of_the_range_is_one():
    span = DepthRange(low=0.25, high=4.0)
    torch.testing.assert_close(encode(picture([4.0, 0.25, 1.0 / 2.125]), span), picture([-1.0, 1.0, 0.0]))


def test_the_code_grows_by_the_logarithm_beyond_the_range():
    span = DepthRange(low=-1.0, high=1.0)  # so that the code is the inverse depth itself
    depth = picture([1.0 / 0.9, 1.0 / math.e, 1.0 / math.e**2])
    torch.testing.assert_close(encode(depth, span), picture([0.9, 2.0, 3.0]))


@given(st.lists(st.floats(1e-3, 1e4), min_size=2, max_size=30, unique=True))
def test_what_is_nearer_never_has_a_lower_code(depth: list[float]):
    code = encode(picture(sorted(depth)), PRIOR).flatten()
    assert (code.diff() <= 0).all()


def test_one_range_gives_a_surface_one_code_whatever_else_is_seen():
    depth = random_depth(seed=1, n=1).expand(2, -1, -1, -1).clone()
    valid = all_valid(depth)
    valid[1, :, :17] = False
    valid[1] &= depth[1] > 0.5
    common = valid[0] & valid[1]
    span = range_of(depth, valid)
    codes = encode(depth, span)
    assert torch.equal(codes[0][common], codes[1][common])
    # The control: a range for each frame, as others have it, gives one surface two codes.
    apart = [encode(depth[[i]], range_of(depth[[i]], valid[[i]]))[0] for i in range(2)]
    assert (apart[0][common] - apart[1][common]).abs().max() > 0.1


def test_the_range_is_that_of_numpy_quantiles_widened_by_a_tenth():
    depth, rng = random_depth(seed=2), np.random.default_rng(0)
    valid = torch.from_numpy(rng.random(depth.shape) < 0.7)
    low, high = np.quantile(1.0 / depth[valid].numpy(), (0.005, 0.995))
    span = range_of(depth, valid)
    assert span.low == pytest.approx(low - 0.1 * (high - low), rel=1e-4)
    assert span.high == pytest.approx(high + 0.1 * (high - low), rel=1e-4)


def test_a_large_picture_has_the_range_of_its_parts():
    rows = torch.linspace(1.0, 4.0, 700)[None, :, None, None].expand(1, -1, 500, -1)
    small, large = (range_of(depth, all_valid(depth)) for depth in (rows[:, :, :50], rows))
    assert large.low == pytest.approx(small.low, abs=2e-3)
    assert large.high == pytest.approx(small.high, abs=2e-3)


def test_a_frame_without_depth_has_the_prior_range_and_a_finite_code():
    depth = torch.zeros(1, 4, 5, 1)
    assert range_of(depth, torch.zeros_like(depth, dtype=torch.bool)) == PRIOR
    assert encode(depth, PRIOR).isfinite().all()


@given(st.floats(1e-5, 1e9))
def test_a_frame_of_one_depth_has_a_finite_code(value: float):
    depth = torch.full((1, 4, 5, 1), value)
    span = range_of(depth, all_valid(depth))
    assert span.high - span.low >= MIN_RANGE
    assert encode(depth, span).isfinite().all()


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20))
def test_any_code_decodes_to_a_finite_depth_that_is_positive_where_valid(codes: list[float]):
    depth, valid = decode(picture(codes), DepthRange(low=-0.1, high=2.0))
    assert depth.isfinite().all()
    assert (depth[valid] > 0).all()
    assert (depth[~valid] == 0).all()


def test_codes_at_and_behind_infinity_are_no_depths():
    _, valid = decode(picture([-1.0, -3.0, -0.99]), PRIOR)
    assert valid.flatten().tolist() == [False, False, True]


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.nan)])
def test_an_empty_range_is_refused(low: float, high: float):
    with pytest.raises(ValueError, match="high > low"):
        DepthRange(low=low, high=high)
