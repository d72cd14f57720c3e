"""Shortcut training: one long step is taught to end where two steps of half its length do.

Room: worldgen. After "One step diffusion via shortcut models" (Frans et al. 2024) in the form that predicts
clean frames, with a noise level and a step length of its own for every frame of a clip (algorithms A9.1). A
predictor is told how long a step is and answers with the clean frame; the step is ``x - d (x - answer) / t``.
Nothing here knows the model: pictures may have any shape behind batch and frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldgen.model.layers import SHORTEST_STEP, STEP_LENGTHS
from worldgen.training.ranks import ALONE, Ranks

LIMIT = 4.0
"""Targets are built from numbers of at most this size: a wild answer does not teach the next one."""

LEAST_WEIGHT = 0.1
"""Weight of the loss at pure noise; it rises linearly to 1 where frames are clean and details are learned."""

Predictor = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Noisy frames ``b f ...``, their levels ``b f`` and step lengths ``b f`` to the prediction of clean ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Noise levels and step lengths of a batch."""

    t: Float[Tensor, "b f"]
    """0 where a frame is given; a multiple of ``d`` where that is not the shortest length."""

    d: Float[Tensor, "b f"]
    """Powers of two from 1/64 to 1."""

    rows: list[int]
    """Clips that predictors are to be asked about for targets; on several ranks all have some, or none."""


def drawn(t: Float[Tensor, "b f"], *, share: float, rng: torch.Generator, ranks: Ranks = ALONE) -> Draw:
    """Choose clips to bootstrap, and draw a step length and a level on its grid for each of their frames.

    Args:
        t: this rank's levels as flow matching draws them; what is not bootstrapped keeps them, with the
            shortest length. Frames at 0 are given and keep that too.
        share: of the clips of the whole batch, in [0, 1]; a fraction of a clip is one as often as that.
        rng: all ranks draw for the whole batch.
        ranks: whose levels these are.
    """
    b, f = t.shape
    whole = ranks.count * b
    count = int(share * whole + float(torch.rand((), generator=rng)))
    is_chosen = torch.zeros(whole, 1, dtype=torch.bool)
    is_chosen[torch.randperm(whole, generator=rng)[:count]] = True
    halvings = torch.randint(STEP_LENGTHS - 1, (whole, f), generator=rng)
    steps = 2.0**halvings
    place = 1.0 + (torch.rand(whole, f, generator=rng) * steps).floor()
    mine = ranks.rows(b)
    is_long = is_chosen[mine] & (t > 0.0)
    rows = torch.nonzero(is_chosen[mine, 0])[:, 0].tolist()
    if count and not rows:
        rows = [0]  # sharded weights are put together by all ranks at once, so this one asks as well
    return Draw(
        t=torch.where(is_long, (place / steps)[mine], t),
        d=torch.where(is_long, (1.0 / steps)[mine], SHORTEST_STEP),
        rows=rows,
    )


@torch.no_grad()
def targets(
    predict: Predictor,
    x: Float[Tensor, "b f *shape"],
    clean: Float[Tensor, "b f *shape"],
    *,
    t: Float[Tensor, "b f"],
    d: Float[Tensor, "b f"],
) -> Float[Tensor, "b f *shape"]:
    """What every frame is trained towards: the truth, or for long steps where two half steps point.

    All frames of a clip take their half steps together, as they do when they are sampled; no gradient flows.

    Args:
        predict: with averaged weights.
        x: frames at levels ``t``.
        clean: the true frames, the targets of the shortest step.
        t: noise levels; not below ``d`` where that is longer than the shortest step.
        d: step lengths.
    """
    is_long = d > SHORTEST_STEP
    half = torch.where(is_long, d / 2.0, d)
    first = _velocity(predict, x, t=t, d=half)
    halfway = torch.where(is_long, t - half, t)
    between = torch.where(_wide(is_long, x), (x - _wide(half, x) * first).clamp(-LIMIT, LIMIT), x)
    second = _velocity(predict, between, t=halfway, d=half)
    velocity = ((first + second) / 2.0).clamp(-LIMIT, LIMIT)
    return torch.where(_wide(is_long, x), x - _wide(t, x) * velocity, clean)


def shortcut_loss(
    predicted: Float[Tensor, "b f *shape"], target: Float[Tensor, "b f *shape"], t: Float[Tensor, "b f"]
) -> Float[Tensor, "b f *shape"]:
    """Squared error of the clean frame, a number each, with a weight that falls towards noise.

    The squared error of the velocity, which flow matching takes, times ``t`` squared and the weight.
    """
    weight = LEAST_WEIGHT + (1.0 - LEAST_WEIGHT) * (1.0 - t)
    return _wide(weight, predicted) * (predicted - target).square()


def semigroup_errors(
    predicted: Float[Tensor, "b f *shape"],
    target: Float[Tensor, "b f *shape"],
    *,
    t: Float[Tensor, "b f"],
    d: Float[Tensor, "b f"],
) -> Float[Tensor, "b f"]:
    """How far one step ends from its two halves, root mean square a frame, in the units of frames.

    Means nothing for frames that are given (``t`` = 0) or take the shortest step.
    """
    gap = (predicted - target).flatten(2).square().mean(dim=2).sqrt()
    return gap * d / t.clamp_min(SHORTEST_STEP)


def _velocity(
    predict: Predictor, x: Float[Tensor, "b f *shape"], *, t: Float[Tensor, "b f"], d: Float[Tensor, "b f"]
) -> Float[Tensor, "b f *shape"]:
    """Mean velocity over a step; levels below the shortest step are given frames, whose answer is unused."""
    return (x - predict(x, t, d)) / _wide(t.clamp_min(SHORTEST_STEP), x)


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """A value a frame, shaped to meet all numbers of ``like``."""
    return values.view(*values.shape, *[1] * (like.ndim - values.ndim))
