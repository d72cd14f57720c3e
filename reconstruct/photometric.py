"""Photometric loss: how far a drawn picture is from a given one, colour by colour and in structure.

Room: reconstruct. The customary loss of splats, 0.8 L1 + 0.2 (1 - SSIM) (3D Gaussian Splatting, Kerbl et al.
2023), with a weight a pixel. On a CPU value and gradient come from one pass of our own kernels: torch takes
longer for windows of eleven by eleven pixels than drawing does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reconstruct._photometric_kernels import C1, C2, RADIUS, compare_rows
from render.jobs import spread

STRUCTURE = 0.2
"""Share of the loss that is structure; the rest is absolute difference."""


def photometric_loss(
    rgb: Float[Tensor, "h w 3"],
    target: Float[Tensor, "h w 3"],
    *,
    weight: Float[Tensor, "h w 1"],
    structure: float = STRUCTURE,
    threads: int = 1,
) -> Float[Tensor, ""]:
    """Weighted mean over pixels and colours of ``(1 - structure) |difference| + structure (1 - SSIM)``.

    Args:
        rgb: drawn; gradients reach it alone.
        target: what it should be.
        weight: how much each pixel counts, not negative; where all are 0, so is the loss.
        structure: share in [0, 1].
        threads: of the CPU's kernels.
    """
    if rgb.device.type == "cpu" and rgb.dtype == torch.float32:
        return _Fused.apply(rgb, target, weight, structure, threads)  # type: ignore[return-value]
    total = weight.sum().clamp_min(1e-12) * 3.0
    difference = (weight * (rgb - target).abs()).sum()
    unlike = (weight * (1.0 - ssim_map(rgb, target))).sum()
    return ((1.0 - structure) * difference + structure * unlike) / total


def ssim_map(a: Float[Tensor, "h w 3"], b: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3"]:
    """SSIM a pixel and colour, with a Gaussian window of 11 pixels and black outside, in torch."""
    at = torch.arange(-RADIUS, RADIUS + 1, device=a.device, dtype=a.dtype)
    taps = torch.exp(-0.5 * (at / 1.5) ** 2)
    taps = taps / taps.sum()

    def blurred(plane: Tensor) -> Tensor:
        rows = F.conv2d(plane, taps.view(1, 1, 1, -1).expand(3, 1, 1, -1), padding=(0, RADIUS), groups=3)
        return F.conv2d(rows, taps.view(1, 1, -1, 1).expand(3, 1, -1, 1), padding=(RADIUS, 0), groups=3)

    x, y = a.permute(2, 0, 1)[None], b.permute(2, 0, 1)[None]
    mx, my = blurred(x), blurred(y)
    xx, yy, xy = blurred(x * x) - mx * mx, blurred(y * y) - my * my, blurred(x * y) - mx * my
    c1, c2 = float(C1), float(C2)
    likeness = (2.0 * mx * my + c1) * (2.0 * xy + c2) / ((mx * mx + my * my + c1) * (xx + yy + c2))
    return likeness[0].permute(1, 2, 0)


class _Fused(torch.autograd.Function):
    """Value and gradient at once, a band of rows a job."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, rgb: Tensor, target: Tensor, weight: Tensor, structure: float, threads: int
    ) -> Tensor:
        height = len(rgb)
        x, y = (part.detach().contiguous().numpy().reshape(height, -1) for part in (rgb, target))
        w = weight.detach()[..., 0].contiguous().numpy()
        total = 3.0 * float(w.sum(dtype=np.float64))
        per_sum = 1.0 / max(total, 3e-12)
        shares = np.float32((1.0 - structure) * per_sum), np.float32(structure * per_sum)
        slope, sums = torch.empty(rgb.shape), np.zeros((height, 2))
        out, ends = slope.numpy().reshape(height, -1), np.linspace(0, height, threads + 1).astype(int)

        def one(band: int) -> None:
            compare_rows(x, y, w, shares, (int(ends[band]), int(ends[band + 1])), out, sums)

        spread(one, range(threads), threads=threads)
        ctx.slope = slope
        absolute, likeness = sums.sum(axis=0)
        return torch.tensor(((1.0 - structure) * absolute + structure * (total - likeness)) * per_sum)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return ctx.slope if grad == 1.0 else grad * ctx.slope, None, None, None, None
