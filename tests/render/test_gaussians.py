"""Gaussians: parameters, activations and colour coefficients."""

import dataclasses

import pytest
import torch

from render.gaussians import Gaussians, concatenated, sh_from_rgb
from tests.oracles import gsplat_reference


def _gaussians(g: int = 7, k: int = 4) -> Gaussians:
    generator = torch.Generator().manual_seed(5)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(g, *shape, generator=generator)

    return Gaussians(
        means=noise(3), quats=noise(4), log_scales=noise(3), logit_opacities=noise(), sh=noise(k, 3)
    )


def test_colour_survives_the_trip_through_coefficients():
    rgb = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    gaussians = dataclasses.replace(_gaussians(50), sh=sh_from_rgb(rgb))
    torch.testing.assert_close(gaussians.base_rgb, rgb, atol=1e-6, rtol=0)


def test_coefficients_mean_to_gsplat_what_they_mean_to_us():
    rgb = torch.rand(50, 3, generator=torch.Generator().manual_seed(1))
    directions = torch.randn(50, 3, generator=torch.Generator().manual_seed(2))
    seen = gsplat_reference.sh_colours(sh_from_rgb(rgb), directions)
    torch.testing.assert_close(seen, rgb, atol=1e-6, rtol=0)


def test_base_colour_is_clipped():
    wild = dataclasses.replace(_gaussians(), sh=100.0 * _gaussians().sh)
    assert wild.base_rgb.amin() == 0.0
    assert wild.base_rgb.amax() == 1.0


@pytest.mark.parametrize("k", [0, 2, 3, 8, 25])
def test_an_incomplete_degree_is_refused(k: int):
    with pytest.raises(ValueError, match="degree 0 to 3"):
        _gaussians(k=k)


def test_activations_undo_the_logarithm_and_the_logit():
    gaussians = _gaussians()
    torch.testing.assert_close(gaussians.scales.log(), gaussians.log_scales)
    torch.testing.assert_close(torch.logit(gaussians.opacities), gaussians.logit_opacities)


def test_parts_of_a_set_join_again():
    gaussians = _gaussians()
    joined = concatenated([gaussians[:3], gaussians[torch.arange(3, 7)]])
    for field in dataclasses.fields(gaussians):
        assert torch.equal(getattr(joined, field.name), getattr(gaussians, field.name))
    assert len(joined) == 7
