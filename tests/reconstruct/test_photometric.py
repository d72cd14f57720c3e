"""The photometric loss: the kernels against torch, torch against loops and differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from reconstruct.photometric import photometric_loss, ssim_map


def pictures(h: int, w: int, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A picture, one like it, and weights."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, max(1, h // 4), max(1, w // 4), generator=rng)
    rgb = torch.nn.functional.interpolate(coarse, (h, w), mode="bilinear")[0].permute(1, 2, 0).contiguous()
    noise = 0.1 * torch.randn(h, w, 3, generator=rng)
    return rgb, (rgb + noise).clamp(0.0, 1.0), torch.rand(h, w, 1, generator=rng)


def test_structure_is_that_of_plain_loops():
    a, b, _ = (part.double() for part in pictures(9, 8))
    found = ssim_map(a, b)
    taps = [math.exp(-0.5 * (k / 1.5) ** 2) for k in range(-5, 6)]
    for row, column, channel in ((0, 0, 0), (4, 3, 1), (8, 7, 2)):
        sums = [0.0] * 5
        for j in range(-5, 6):
            for i in range(-5, 6):
                r, c = row + j, column + i
                if 0 <= r < 9 and 0 <= c < 8:
                    x, y = float(a[r, c, channel]), float(b[r, c, channel])
                    tap = taps[j + 5] * taps[i + 5] / sum(taps) ** 2
                    sums = [
                        total + tap * value
                        for total, value in zip(sums, (x, y, x * x, y * y, x * y), strict=True)
                    ]
        mx, my, xx, yy, xy = sums
        top = (2 * mx * my + 1e-4) * (2 * (xy - mx * my) + 9e-4)
        bottom = (mx * mx + my * my + 1e-4) * (xx - mx * mx + yy - my * my + 9e-4)
        assert float(found[row, column, channel]) == pytest.approx(top / bottom, abs=1e-6)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (5, 37), (16, 16), (33, 20), (64, 64)])
@pytest.mark.parametrize("structure", [0.0, 0.2, 1.0])
def test_the_kernels_have_the_value_and_the_slope_of_torch(h: int, w: int, structure: float):
    rgb, target, weight = pictures(h, w)
    expected = rgb.double().requires_grad_()
    loss = photometric_loss(expected, target.double(), weight=weight.double(), structure=structure)
    loss.backward()
    own = rgb.clone().requires_grad_()
    found = photometric_loss(own, target, weight=weight, structure=structure)
    (2.0 * found).backward()
    assert float(found.detach()) == pytest.approx(float(loss.detach()), rel=1e-4)
    error = (own.grad.double() - 2.0 * expected.grad).norm() / expected.grad.norm()
    assert error < 1e-3


def test_torchs_slope_is_that_of_finite_differences():
    rgb, target, weight = (part.double() for part in pictures(6, 7))
    assert torch.autograd.gradcheck(
        lambda x: photometric_loss(x, target, weight=weight), rgb.requires_grad_(), atol=1e-6
    )


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads: int):
    rgb, target, weight = pictures(40, 50)
    found = []
    for count in (1, threads):
        own = rgb.clone().requires_grad_()
        loss = photometric_loss(own, target, weight=weight, threads=count)
        loss.backward()
        found.append((loss.detach(), own.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_equal_pictures_lose_nothing_and_what_has_no_weight_does_not_count():
    rgb, target, weight = pictures(24, 24)
    assert float(photometric_loss(rgb, rgb, weight=weight)) == pytest.approx(0.0, abs=1e-5)
    half = torch.zeros(24, 24, 1)
    half[:, 12:] = 1.0
    changed = target.clone()
    changed[:, :4] = 0.0  # farther than a window from what counts
    first, second = (photometric_loss(rgb, other, weight=half) for other in (target, changed))
    assert torch.equal(first, second)
    nothing = photometric_loss(rgb.requires_grad_(), target, weight=torch.zeros(24, 24, 1))
    nothing.backward()
    assert float(nothing.detach()) == 0.0
    assert not rgb.grad.any()
