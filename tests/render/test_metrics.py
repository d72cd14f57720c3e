"""Metrics against closed forms and against a loop over windows."""

import math

import pytest
import torch

from render.metrics import contrast, mean_absolute_error, psnr, ssim
from tests.oracles.box_room import BoxRoom


def test_psnr_of_a_constant_error_is_its_closed_form(box_room: BoxRoom):
    rgb = box_room.frames.rgb
    error = torch.tensor([0.1, 0.01, 0.001])
    torch.testing.assert_close(
        psnr(rgb + error[:, None, None, None], rgb), torch.tensor([20.0, 40.0, 60.0]), atol=1e-2, rtol=0
    )


def test_psnr_of_equal_pictures_is_infinite(box_room: BoxRoom):
    assert psnr(box_room.frames.rgb, box_room.frames.rgb).tolist() == [math.inf] * 3


def test_masked_scores_do_not_see_what_is_masked(box_room: BoxRoom):
    rgb = box_room.frames.rgb
    mask = torch.zeros(3, 44, 60, 1, dtype=torch.bool)
    mask[:, 5:20, 7:50] = True
    wrong = torch.where(mask, rgb + 0.1, torch.tensor(math.nan))
    torch.testing.assert_close(psnr(wrong, rgb, mask=mask), torch.full((3,), 20.0), atol=1e-3, rtol=0)
    error = mean_absolute_error(wrong, rgb, mask=mask)
    torch.testing.assert_close(error, torch.full((3,), 0.1), atol=1e-5, rtol=0)


def test_a_full_mask_changes_nothing(box_room: BoxRoom):
    a, b = box_room.frames.rgb, box_room.frames.rgb.flip(2)
    everywhere = torch.ones(3, 44, 60, 1, dtype=torch.bool)
    torch.testing.assert_close(psnr(a, b, mask=everywhere), psnr(a, b))
    torch.testing.assert_close(mean_absolute_error(a, b, mask=everywhere), mean_absolute_error(a, b))


def test_an_empty_mask_has_no_score(box_room: BoxRoom):
    nowhere = torch.zeros(3, 44, 60, 1, dtype=torch.bool)
    assert psnr(box_room.frames.rgb, box_room.frames.rgb, mask=nowhere).isnan().all()


def test_depth_has_a_mean_absolute_error_too(box_room: BoxRoom):
    depth = box_room.frames.depth
    torch.testing.assert_close(mean_absolute_error(depth - 0.25, depth), torch.full((3,), 0.25))


def test_ssim_of_equal_pictures_is_one(box_room: BoxRoom):
    rgb = box_room.frames.rgb
    torch.testing.assert_close(ssim(rgb, rgb), torch.ones(3), atol=1e-5, rtol=0)


def test_ssim_matches_its_definition_window_by_window(box_room: BoxRoom):
    a = box_room.frames.rgb[:1, :13, :14].double()
    b = (a.flip(2) + 0.1 * a).clamp(0, 1)
    offset = torch.arange(11.0, dtype=torch.float64) - 5
    bell = torch.exp(-offset.square() / (2 * 1.5**2))
    window = (bell[:, None] * bell)[..., None] / bell.sum() ** 2
    pad = torch.nn.functional.pad
    p, q = (pad(x.permute(0, 3, 1, 2), (5,) * 4, mode="reflect")[0].permute(1, 2, 0) for x in (a, b))
    scores = []
    for i in range(13):
        for j in range(14):
            x, y = p[i : i + 11, j : j + 11], q[i : i + 11, j : j + 11]
            mx, my = (window * x).sum((0, 1)), (window * y).sum((0, 1))
            vx, vy = (window * x * x).sum((0, 1)) - mx**2, (window * y * y).sum((0, 1)) - my**2
            covariance = (window * x * y).sum((0, 1)) - mx * my
            likeness = (2 * mx * my + 1e-4) * (2 * covariance + 9e-4)
            scores.append(likeness / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    assert ssim(a, b).item() == pytest.approx(torch.stack(scores).mean().item(), abs=1e-6)


def test_ssim_under_a_mask_does_not_see_what_is_masked(box_room: BoxRoom):
    rgb = box_room.frames.rgb
    other = rgb.flip(1)
    mask = torch.zeros(3, 44, 60, 1, dtype=torch.bool)
    mask[:, :22] = True
    half_wrong = torch.where(mask, rgb, torch.tensor(math.nan))
    torch.testing.assert_close(ssim(half_wrong, rgb, mask=mask), torch.ones(3), atol=1e-5, rtol=0)
    wrong = ssim(torch.where(mask, other, torch.tensor(math.nan)), rgb, mask=mask)
    assert (wrong < 0.8).all()
    everywhere = torch.ones_like(mask)
    torch.testing.assert_close(ssim(other, rgb, mask=everywhere), ssim(other, rgb))


def test_contrast_is_the_spread_of_each_channel_not_between_them():
    grey = torch.tensor([0.2, 0.8]).view(1, 1, 2, 1).expand(1, 1, 2, 3)
    torch.testing.assert_close(contrast(grey), torch.tensor([0.3 * 2**0.5]))
    one_colour = torch.tensor([0.1, 0.5, 0.9]).expand(2, 4, 4, 3)
    torch.testing.assert_close(contrast(one_colour), torch.zeros(2), atol=1e-6, rtol=0)
