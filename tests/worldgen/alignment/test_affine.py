"""The affine map between inverse depths: found exactly, in spite of outliers, or honestly not at all."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from torch import Tensor

from worldgen.alignment.affine import MIN_PIXELS, MIN_SCALE_PIXELS, Affine, fitted

TRUTH = Affine(a=1.70, b=0.05)
SHAPE = (1, 60, 80, 1)


def depths(seed: int = 0, *, spread: float = 1.0) -> Tensor:
    """Depths between 1 and 5, or closer together around 3 by the factor ``spread``."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(3.0 + 2.0 * spread * rng.uniform(-1.0, 1.0, SHAPE)).float()


def source_of(target: Tensor, truth: Affine = TRUTH) -> Tensor:
    return truth.a / (1.0 / target - truth.b)


def everywhere() -> Tensor:
    return torch.ones(SHAPE, dtype=torch.bool)


def first(count: int) -> Tensor:
    """An overlap of so many pixels, all over the picture."""
    chosen = torch.from_numpy(np.random.default_rng(1).permutation(math.prod(SHAPE)) < count)
    return chosen.view(SHAPE)


@pytest.mark.parametrize(("a", "b"), [(1.7, 0.05), (0.02, -0.1), (40.0, 0.15), (1.0, 0.0)])
def test_an_affine_map_comes_back_exactly(a: float, b: float):
    target = depths()
    fit = fitted(source_of(target, Affine(a=a, b=b)), target, everywhere())
    assert fit.method == "affine"
    assert fit.overlap == 4800
    assert fit.affine.a == pytest.approx(a, rel=1e-5)
    assert fit.affine.b == pytest.approx(b, abs=1e-5)
    assert fit.error < 1e-6


def wild(kind: str, rng: np.random.Generator) -> Tensor:
    near = {"anywhere": (0.5, 60.0), "near": (0.3, 0.32), "far": (60.0, 80.0)}[kind]
    return torch.from_numpy(rng.uniform(*near, SHAPE)).float()


@pytest.mark.parametrize("kind", ["anywhere", "near", "far"])
@pytest.mark.parametrize("where", ["source", "target"])
def test_a_fifth_of_gross_outliers_moves_the_map_by_less_than_a_hundredth(kind: str, where: str):
    rng = np.random.default_rng(2)
    target, bad = depths(), torch.from_numpy(rng.random(SHAPE) < 0.2)
    source = source_of(target)
    source = source * torch.from_numpy(1.0 + 0.005 * rng.standard_normal(SHAPE)).float()
    if where == "source":
        source = torch.where(bad, wild(kind, rng), source)
    else:
        target = torch.where(bad, wild(kind, rng), target)
    fit = fitted(source, target, everywhere())
    assert fit.method == "affine"
    assert fit.affine.a == pytest.approx(TRUTH.a, rel=0.01)
    assert fit.affine.b == pytest.approx(TRUTH.b, abs=0.01 * float(1.0 / target.median()))
    plain = np.polyfit(*(1.0 / depth.double().flatten().numpy() for depth in (source, target)), deg=1)
    assert abs(plain[0] / TRUTH.a - 1.0) > 0.05  # the control: plain least squares does not survive this


def test_noise_in_both_depths_does_not_flatten_the_slope():
    rng, slopes = np.random.default_rng(3), []
    for seed in range(8):
        target = depths(seed, spread=0.15)
        source = source_of(target, Affine(a=1.0))
        noise = [torch.from_numpy(1.0 + 0.02 * rng.standard_normal(SHAPE)).float() for _ in range(2)]
        slopes.append(fitted(source / noise[0], target / noise[1], everywhere()).affine.a)
    assert np.mean(slopes) == pytest.approx(1.0, abs=0.01)
    # The control: vertical distances, with the same robust loss from scipy, lose several percent.
    x, y = (1.0 / depth.double().flatten().numpy() for depth in (source / noise[0], target / noise[1]))
    vertical = least_squares(lambda p: (p[0] * x + p[1] - y) / 0.01, (1.0, 0.0), loss="cauchy").x
    assert vertical[0] < 0.96


@pytest.mark.parametrize(
    ("overlap", "method"),
    [(MIN_PIXELS, "affine"), (MIN_PIXELS - 1, "scale"), (MIN_SCALE_PIXELS, "scale"), (49, "previous")],
)
def test_less_overlap_means_a_simpler_map_that_says_so(overlap: int, method: str):
    target, before = depths(), Affine(a=3.0, b=0.1)
    fit = fitted(2.0 * target, target, first(overlap), previous=before)
    assert (fit.method, fit.overlap) == (method, overlap)
    assert fit.affine == before if method == "previous" else fit.affine.a == pytest.approx(2.0, rel=1e-5)


def test_of_a_large_picture_a_larger_overlap_is_asked_for():
    target = torch.rand(1, 400, 400, 1, generator=torch.Generator().manual_seed(0)) + 1.0
    overlap = torch.zeros(1, 400, 400, 1, dtype=torch.bool)
    overlap[:, :40, :79] = True  # 3160 of the 3200 pixels that are 2%
    assert fitted(target, target, overlap).method == "scale"
    overlap[:, :40, 79] = True
    assert fitted(target, target, overlap).method == "affine"


def test_without_overlap_the_frame_before_speaks_and_without_one_nothing_changes():
    target, nowhere = depths(), ~everywhere()
    fit = fitted(target, torch.zeros(SHAPE), nowhere, previous=TRUTH)
    assert (fit.affine, fit.method, fit.overlap) == (TRUTH, "previous", 0)
    assert math.isnan(fit.error)
    alone = fitted(target, torch.zeros(SHAPE), nowhere)
    assert (alone.affine, alone.method) == (Affine(), "none")


def test_a_wall_of_one_depth_has_a_scale_and_no_offset():
    rng = np.random.default_rng(4)
    target = 3.0 * torch.from_numpy(1.0 + 0.001 * rng.standard_normal(SHAPE)).float()
    fit = fitted(0.5 * target, target, everywhere(), previous=TRUTH)
    assert fit.method == "scale"
    assert fit.affine.b == 0.0
    assert fit.affine.a == pytest.approx(0.5, rel=1e-3)


def test_depths_that_fall_where_they_should_rise_have_a_scale_only():
    target = depths()
    fit = fitted(1.0 / (0.7 - 0.5 / target), target, everywhere())
    assert fit.method == "scale"
    assert fit.affine.a > 0.0


def test_a_negative_inverse_depth_is_no_depth():
    depth = torch.tensor([1.0, 2.0, 5.0, 19.0, 21.0, 40.0, 3.0]).view(1, 1, 7, 1)
    valid = torch.tensor([True] * 6 + [False]).view(1, 1, 7, 1)
    aligned, kept = Affine(a=1.0, b=-0.05).applied(depth, valid)
    assert kept.flatten().tolist() == [True, True, True, True, False, False, False]
    assert not aligned[~kept].any()
    torch.testing.assert_close(aligned[kept], 1.0 / (1.0 / depth[kept] - 0.05))


def test_an_inverse_depth_that_is_nothing_but_rounding_is_no_depth():
    depth = torch.tensor([1.0, 1.0, 1.0, 2.0 - 1e-6]).view(1, 1, 4, 1)
    _, kept = Affine(a=1.0, b=-0.5).applied(depth, torch.ones_like(depth, dtype=torch.bool))
    assert kept.flatten().tolist() == [True, True, True, False]


def test_the_map_takes_the_source_to_the_target():
    target = depths()
    aligned, kept = TRUTH.applied(source_of(target), everywhere())
    assert kept.all()
    torch.testing.assert_close(aligned, target, rtol=1e-5, atol=0)


def test_the_same_depths_give_the_same_bits():
    target, rng = depths(), np.random.default_rng(5)
    source = source_of(target) * torch.from_numpy(rng.uniform(0.9, 1.1, SHAPE)).float()
    assert fitted(source, target, everywhere()) == fitted(source.clone(), target.clone(), everywhere())


@pytest.mark.parametrize(("a", "b"), [(0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (1.0, math.inf)])
def test_a_map_that_turns_depth_around_is_refused(a: float, b: float):
    with pytest.raises(ValueError, match="a finite a above 0"):
        Affine(a=a, b=b)


def test_maps_are_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TRUTH.a = 2.0  # type: ignore[misc]
