"""Flow matching: noise levels, the loss and the ODE steps.

Room: worldgen. ``t = 0`` is clean and ``t = 1`` is noise: ``x_t = (1 - t) x + t e``. The model
predicts the clean ``x``; the loss and the ODE use the velocity ``v = e - x`` (algorithms A0, A7).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

MIN_TIME = 0.05
"""Velocities are not divided by less than this: below it the loss would only see rounding."""

LAST_LEVEL = 0.08
"""The last step starts from about here. Much closer to clean, every step sharpens what is there already:
16 steps whose last level is 0.005 have twelve times the Frechet distance in holes of 16 even ones."""

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""Noisy frames ``b f c h w`` and levels ``b f`` to the prediction of the clean frames."""


def noised(
    clean: Float[Tensor, "b f c h w"], noise: Float[Tensor, "b f c h w"], t: Float[Tensor, "b f"]
) -> Float[Tensor, "b f c h w"]:
    """Frames at noise levels ``t`` in [0, 1]: ``(1 - t) clean + t noise``."""
    level = t[:, :, None, None, None]
    return (1.0 - level) * clean + level * noise


def logit_normal_times(shape: tuple[int, int], *, rng: torch.Generator) -> Float[Tensor, "b f"]:
    """Noise levels whose logits are standard normal, stratified over the batch (A7.2)."""
    count = shape[0] * shape[1]
    rank = torch.randperm(count, generator=rng)
    uniform = (rank + torch.rand(count, generator=rng)) / count
    return torch.sigmoid(torch.special.ndtri(uniform.clamp(1e-6, 1.0 - 1e-6))).view(shape)


def shifted(t: Float[Tensor, "*shape"], *, shift: float) -> Float[Tensor, "*shape"]:
    """Move levels towards noise for ``shift > 1``; shifts compose by multiplication (A7.3)."""
    return shift * t / (1.0 + (shift - 1.0) * t)


def levels(steps: int, *, shift: float = 1.0) -> Float[Tensor, " n"]:
    """The decreasing grid of ``steps + 1`` levels from 1 to exactly 0."""
    if steps < 1:
        raise ValueError(f"sampling needs at least one step, got {steps}")
    return shifted(torch.linspace(1.0, 0.0, steps + 1), shift=shift)


def towards_clean(grid: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """A coarse grid of levels made denser towards 0, as ``t^(1 + a (1 - t))``.

    The last step lands on a prediction, so what is missing at the level before it is missing for good:
    from 0.25, pictures are soft. ``a`` is 1, or less where the last level would come below
    ``LAST_LEVEL``; a grid that reaches it by itself stays as it is. The first steps hardly move.
    """
    last = float(grid[-2])
    if not LAST_LEVEL < last < 1.0:
        return grid
    strength = min(1.0, (math.log(LAST_LEVEL) / math.log(last) - 1.0) / (1.0 - last))
    return grid ** (1.0 + strength * (1.0 - grid))


def velocity_loss(
    predicted: Float[Tensor, "b f c h w"], clean: Float[Tensor, "b f c h w"], t: Float[Tensor, "b f"]
) -> Float[Tensor, "b f c h w"]:
    """Squared velocity error, a pixel and channel, of a prediction of the clean frame.

    With ``v = (x_t - x) / t`` it is the squared error of the clean frame over ``t`` squared.
    """
    weight = 1.0 / t.clamp_min(MIN_TIME).square()
    return weight[:, :, None, None, None] * (predicted - clean).square()


def sample(
    denoise: Denoiser, noise: Float[Tensor, "b f c h w"], *, grid: Float[Tensor, " n"]
) -> Float[Tensor, "b f c h w"]:
    """Integrate the ODE with Euler steps along ``grid``; the last step lands on the prediction."""
    x = noise
    for t, t_next in zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True):
        clean = denoise(x, torch.full(x.shape[:2], t, device=x.device))
        x = clean + (t_next / t) * (x - clean)
    return x
