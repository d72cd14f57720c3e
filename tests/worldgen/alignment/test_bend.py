"""Bends: slow errors go where another depth map shows them, and fade from there."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldgen.alignment.bend import log_scales

H, W = 48, 64


def scene() -> Tensor:
    """A floor that rises and a box before it, so that depth has slants and a step."""
    depth = torch.linspace(4.0, 1.5, H)[None, :, None, None].expand(1, H, W, 1).clone()
    depth[:, 10:30, 20:40] = 1.4
    return depth


def slow(amplitude: float) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, H), torch.linspace(0, 1, W), indexing="ij")
    return amplitude * (torch.sin(4.0 * x + 1.0) * torch.cos(3.0 * y))[None, ..., None]


def everywhere() -> Tensor:
    return torch.ones(1, H, W, 1, dtype=torch.bool)


def test_a_slow_error_is_found_in_spite_of_noise_and_outliers():
    rng, field = np.random.default_rng(0), slow(0.05)
    noise = torch.from_numpy(0.01 * rng.standard_normal((1, H, W, 1))).float()
    bad = torch.from_numpy(rng.random((1, H, W, 1)) < 0.2)
    source = scene() * torch.exp(noise - field)
    source = torch.where(bad, torch.from_numpy(rng.uniform(0.3, 9.0, (1, H, W, 1))).float(), source)
    found = log_scales(source, scene(), everywhere())
    assert (found - field).abs().max() < 0.015
    assert (found - field).square().mean().sqrt() < 0.1 * field.square().mean().sqrt()


def test_a_scale_that_is_the_same_everywhere_comes_back_exactly():
    found = log_scales(scene() / 1.1, scene(), everywhere())
    torch.testing.assert_close(found, torch.full_like(found, np.log(1.1)), atol=1e-5, rtol=0)


def test_no_step_of_the_depth_gets_into_the_field():
    found = log_scales(scene() * torch.exp(-slow(0.05)), scene(), everywhere())
    assert torch.diff(found, dim=2).abs().max() < 0.01


def test_outside_the_overlap_the_field_spreads_without_new_extremes():
    overlap = everywhere()
    overlap[:, :, 32:] = False
    wild = scene() * torch.exp(-slow(0.05))
    wild[:, :, 32:] *= 3.0  # what is not shown elsewhere must not matter
    found = log_scales(wild, scene(), overlap)
    quiet = log_scales(scene() * torch.exp(-slow(0.05)), scene(), overlap)
    assert torch.equal(found, quiet)
    inside, outside = found[:, :, :32], found[:, :, 32:]
    assert (inside - slow(0.05)[:, :, :32]).abs().max() < 0.012
    assert inside.min() - 1e-4 <= outside.min()
    assert outside.max() <= inside.max() + 1e-4
    # Diffusion: far out every row has come closer to the others.
    assert found[0, :, -1].std() < 0.6 * found[0, :, 31].std()


def test_without_overlap_nothing_bends():
    assert not log_scales(scene(), 2.0 * scene(), ~everywhere()).any()
