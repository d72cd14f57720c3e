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

FEW_STEPS, MANY_STEPS = 4, 16
"""Up to how many steps sampling corrects for their length in full, and from how many on not at all: what 16
steps of this model add up to is as sharp as the truth, and sharper steps are too sharp."""

BEND = 0.05
"""How far a coarse grid is bent, so that it is denser at both ends."""

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


def coarseness(steps: int) -> float:
    """1 for few steps, 0 for many, and in between linear in their length."""
    long, short = 1.0 / FEW_STEPS, 1.0 / MANY_STEPS
    return min(1.0, max(0.0, (1.0 / steps - short) / (long - short)))


def bent(grid: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """A coarse grid of levels made denser at both ends, where structure and detail are decided.

    Four even steps become ``1, 0.8, 0.5, 0.2, 0``; a grid of ``MANY_STEPS`` stays as it is.
    """
    moved = grid - BEND * coarseness(len(grid) - 1) * torch.sin(2.0 * math.pi * grid)
    return torch.cat([grid[:1], moved[1:-1], grid[-1:]])


def velocity_loss(
    predicted: Float[Tensor, "b f c h w"], clean: Float[Tensor, "b f c h w"], t: Float[Tensor, "b f"]
) -> Float[Tensor, "b f c h w"]:
    """Squared velocity error, a pixel and channel, of a prediction of the clean frame.

    With ``v = (x_t - x) / t`` it is the squared error of the clean frame over ``t`` squared.
    """
    weight = 1.0 / t.clamp_min(MIN_TIME).square()
    return weight[:, :, None, None, None] * (predicted - clean).square()


def sample(
    denoise: Denoiser,
    noise: Float[Tensor, "b f c h w"],
    *,
    grid: Float[Tensor, " n"],
    imagined: Float[Tensor, "b f c h w"] | None = None,
) -> Float[Tensor, "b f c h w"]:
    """Integrate the ODE along ``grid``.

    A prediction is a mean of all that is possible, so it is soft, and less so at every step. A long step
    that takes it as it is (Euler) ends too soft: four lose a third of the contrast. Therefore the
    change from the last prediction to this one is carried on over the step, as an exponential linear
    multistep method does (Hochbruck and Ostermann, Exponential integrators, 2010; DPM-Solver++ 2M, Lu
    et al. 2022, is one): it is exact for predictions that change linearly with the level.

    Args:
        denoise: the model.
        noise: where to start.
        grid: levels from 1 to 0; the coarser it is, the more of the change is carried on.
        imagined: 1 where changes are carried on, 0 for Euler steps: what is known is hardly soft, and
            the change is mostly the model's error. Everywhere, if it is None.
    """
    x, last = noise, None
    share = carried(grid, imagined)
    for t, t_next in zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True):
        predicted = denoise(x, torch.full(x.shape[:2], t, device=x.device))
        x = stepped(x, predicted, t=t, t_next=t_next, last=last, share=share)
        last = (t, predicted)
    return x


def carried(
    grid: Float[Tensor, " n"], imagined: Float[Tensor, "b f c h w"] | None
) -> Float[Tensor, "b f c h w"] | float:
    """How much of a change of the prediction is carried on over a step; see :func:`sample`."""
    return coarseness(len(grid) - 1) * (1.0 if imagined is None else imagined)


def stepped(
    x: Float[Tensor, "b f c h w"],
    predicted: Float[Tensor, "b f c h w"],
    *,
    t: float,
    t_next: float,
    last: tuple[float, Float[Tensor, "b f c h w"]] | None,
    share: Float[Tensor, "b f c h w"] | float,
) -> Float[Tensor, "b f c h w"]:
    """One step of :func:`sample`, from level ``t`` to ``t_next``.

    Args:
        x: frames at level ``t``.
        predicted: what the model says is behind them.
        t: at most 1, above ``t_next``.
        t_next: at least 0.
        last: level and prediction of the step before; None before the first one, which is Euler's.
        share: how much of the change between the two is carried on.
    """
    clean = predicted
    if last is not None:
        before, earlier = last
        clean = predicted + share * (_lead(before, t, t_next) * (predicted - earlier))
    return clean + (t_next / t) * (x - clean)


def _lead(before: float, t: float, t_next: float) -> float:
    """How far beyond ``t`` the prediction of a step counts, as a multiple of ``before - t``.

    With ``d(x / t) / dt = -clean / t^2`` a step from ``t`` to ``t_next`` averages the prediction over the
    levels between them with weights ``1 / t^2``.
    """
    mean = math.log(t / t_next) / (1.0 / t_next - 1.0 / t) if t_next > 0 else 0.0
    return (t - mean) / (before - t)
