"""From predictions to surfaces: what is known stays, what is imagined becomes smooth, edges stay edges."""

from __future__ import annotations

import torch

from render.geometry import off_edges
from worldgen.depth import PRIOR, decode
from worldgen.settle import AGREEMENT, ROUNDS, median_of_nine, settled, smoothed

SIZE = 48


def grid() -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns from 0 to 1, each ``1 1 h w``."""
    line = torch.linspace(0.0, 1.0, SIZE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return y[None, None], x[None, None]


def noise(seed: int, *, scale: float) -> torch.Tensor:
    return scale * torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def unknown() -> torch.Tensor:
    return torch.zeros(1, 1, SIZE, SIZE)


def test_what_is_known_keeps_its_depth_and_its_colour_too_where_the_prediction_hides_it():
    # Every column is one thing, six pixels wide, so that no smoothing reaches its middle from beside it.
    condition = torch.zeros(1, 1, 11, 30, 30)
    condition[:, :, :4] = 0.2
    condition[..., 4, :, :24] = 1.0
    condition[..., 5, :, :18] = 1.0  # of the fourth column only the colour is known, of the last nothing
    images = torch.full((1, 1, 4, 30, 30), 0.6)
    images[0, 0, 3] = 0.2 + torch.tensor([0.9, 1.5, -3.0, 30.0, 30.0]).repeat_interleave(6) * AGREEMENT
    out = settled(images, condition)[0, 0, :, 15, 3::6]
    torch.testing.assert_close(out[3], 0.2 + torch.tensor([0.0, 0.0, 0.0, 30.0, 30.0]) * AGREEMENT)
    for colour in out[:3]:
        torch.testing.assert_close(colour, torch.tensor([0.6, 0.4, 0.2, 0.6, 0.6]))


def test_noise_on_a_slanted_plane_goes_and_the_plane_stays():
    y, x = grid()
    plane = 0.5 * x - 0.3 * y
    noisy = plane + noise(0, scale=0.02)
    inner = (..., slice(ROUNDS, -ROUNDS), slice(ROUNDS, -ROUNDS))
    error = (smoothed(noisy, unknown()) - plane)[inner]
    assert error.std() < 0.35 * 0.02
    assert error.mean().abs() < 0.002
    assert (smoothed(plane, unknown()) - plane)[inner].abs().max() < 1e-5


def test_a_noisy_far_surface_becomes_one_that_a_cache_takes_in():
    far = torch.full((1, 1, SIZE, SIZE), -0.6) + noise(1, scale=0.02)

    def smooth_share(code: torch.Tensor) -> float:
        depth, valid = decode(code.permute(0, 2, 3, 1), PRIOR)
        return float(off_edges(depth, valid, radius=1).float().mean())

    assert smooth_share(far) < 0.7
    assert smooth_share(smoothed(far, unknown())) > 0.98


def test_a_step_stays_a_step():
    _, x = grid()
    step = torch.where(x < 0.5, -0.4, 0.4)
    torch.testing.assert_close(smoothed(step, unknown()), step)
    smooth = smoothed(step + noise(2, scale=0.02), unknown())
    assert (smooth - step).abs().max() < 0.05


def test_single_pixels_far_off_go():
    code = torch.zeros(1, 1, SIZE, SIZE)
    code[..., ::7, ::5] = 0.8
    assert smoothed(code, unknown()).abs().max() < 1e-4


def test_known_pixels_stay_and_draw_what_is_around_them():
    known = unknown()
    known[..., : SIZE // 2] = 1.0
    code = torch.where(known > 0, 0.0, 0.04)
    smooth = smoothed(code + known * noise(3, scale=0.02), known)
    assert torch.equal(smooth[known > 0], (known * noise(3, scale=0.02))[known > 0])
    assert smooth[..., SIZE // 2].mean() < 0.035
    assert smooth[..., -1].sub(0.04).abs().max() < 1e-6


def test_the_median_of_nine_is_that_of_torch():
    rng = torch.Generator().manual_seed(0)
    x = (
        torch.randint(0, 5, (3, 9, 40, 40), generator=rng)
        + 0.25 * torch.randn(3, 9, 40, 40, generator=rng).round()
    )
    assert torch.equal(median_of_nine(x), x.median(dim=1, keepdim=True).values)


def test_frames_are_smoothed_each_on_its_own():
    code = torch.cat([noise(seed, scale=0.05) for seed in (4, 5)])
    both = smoothed(code, torch.zeros_like(code))
    for i in range(2):
        assert torch.equal(both[i : i + 1], smoothed(code[i : i + 1], unknown()))
