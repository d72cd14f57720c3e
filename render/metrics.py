"""Metrics: how alike two pictures are, one number per view.

Room: render (ground floor). Imports nothing of ours; every other room may import this.
Pictures are channel-last with colour in [0, 1]. A view whose mask is empty has no score: NaN.
"""

from __future__ import annotations

import kornia.metrics
import torch
from jaxtyping import Bool, Float
from torch import Tensor

SSIM_WINDOW = 11
"""Pixels along a side of the window in which SSIM compares; the customary size."""


def mean_absolute_error(
    values: Float[Tensor, "n h w c"],
    target: Float[Tensor, "n h w c"],
    *,
    mask: Bool[Tensor, "n h w 1"] | None = None,
) -> Float[Tensor, " n"]:
    """Mean absolute difference of colour or depth, over the pixels of ``mask`` if one is given."""
    return _mean((values - target).abs(), mask)


def psnr(
    rgb: Float[Tensor, "n h w 3"],
    target: Float[Tensor, "n h w 3"],
    *,
    mask: Bool[Tensor, "n h w 1"] | None = None,
) -> Float[Tensor, " n"]:
    """Peak signal-to-noise ratio in dB, over the pixels of ``mask`` if one is given; inf where equal."""
    return -10.0 * _mean((rgb - target).square(), mask).log10()


def ssim(
    rgb: Float[Tensor, "n h w 3"],
    target: Float[Tensor, "n h w 3"],
    *,
    mask: Bool[Tensor, "n h w 1"] | None = None,
) -> Float[Tensor, " n"]:
    """Structural similarity in [-1, 1] of pictures of at least 6 by 6 pixels.

    With a mask it is averaged over the windows about its pixels, and what the windows see beside it is taken
    from ``target``.
    """
    if mask is not None:
        rgb = torch.where(mask, rgb, target)
    a, b = (picture.permute(0, 3, 1, 2) for picture in (rgb, target))
    return _mean(kornia.metrics.ssim(a, b, SSIM_WINDOW).permute(0, 2, 3, 1), mask)


def contrast(rgb: Float[Tensor, "n h w 3"]) -> Float[Tensor, " n"]:
    """Standard deviation of the colours in a picture, mean of the channels; of at least 2 pixels."""
    return rgb.flatten(1, 2).std(dim=1).mean(dim=-1)


def _mean(values: Float[Tensor, "n h w c"], mask: Bool[Tensor, "n h w 1"] | None) -> Float[Tensor, " n"]:
    if mask is None:
        return values.mean(dim=(1, 2, 3))
    counted = torch.where(mask, values, 0.0)
    return counted.sum(dim=(1, 2, 3)) / (mask.sum(dim=(1, 2, 3)) * values.shape[-1])
