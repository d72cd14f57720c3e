"""The depth code: how the model sees z-depth.

Room: worldgen. Inverse depth, scaled to [-1, 1] by one range a world and softly limited beyond, so
that the same surface has the same code in every frame (algorithms A1.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

QUANTILES = (0.005, 0.995)
"""Of the known inverse depths: the ends of the range before it is widened."""

MARGIN = 0.1
"""By how much the range is widened at each end, as a share of itself."""

MIN_RANGE = 1e-6
"""Narrowest range, in 1 / scene units."""

FARTHEST_INVERSE = 1e-3
"""Depths beyond 1000 scene units are no depths."""

MAX_SAMPLES = 1 << 16
"""Quantiles of more values than this are taken from an even subset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthRange:
    """The range of inverse depths that the code spreads over [-1, 1], in 1 / scene units."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.high - self.low >= MIN_RANGE:
            raise ValueError(
                f"a depth range needs high > low by {MIN_RANGE:g} or more, got [{self.low:g}, {self.high:g}]"
            )


PRIOR = DepthRange(low=0.0, high=3.0)
"""Used where nothing is known yet: with a median depth of 1, few surfaces are nearer than 1/3."""


def range_of(depth: Float[Tensor, "n h w 1"], valid: Bool[Tensor, "n h w 1"]) -> DepthRange:
    """The range of all known depths (scene units) together, widened; the prior if nothing is known."""
    inverse = 1.0 / depth[valid].clamp_min(1e-6)
    if inverse.numel() == 0:
        return PRIOR
    inverse = inverse[:: max(1, inverse.numel() // MAX_SAMPLES)]
    low, high = torch.quantile(inverse, torch.tensor(QUANTILES, dtype=inverse.dtype)).tolist()
    margin = max(MARGIN * (high - low), 0.5 * MARGIN * high, MIN_RANGE)
    return DepthRange(low=low - margin, high=high + margin)


def encode(depth: Float[Tensor, "n h w 1"], span: DepthRange) -> Float[Tensor, "n h w 1"]:
    """Depth in scene units to code; [-1, 1] inside the range, growing by the logarithm beyond."""
    inverse = 1.0 / depth.clamp_min(1e-6)
    code = 2.0 * (inverse - span.low) / (span.high - span.low) - 1.0
    excess = code.abs().clamp_min(1.0)
    return torch.where(code.abs() > 1.0, code.sign() * (1.0 + excess.log()), code)


def decode(
    code: Float[Tensor, "n h w 1"], span: DepthRange
) -> tuple[Float[Tensor, "n h w 1"], Bool[Tensor, "n h w 1"]]:
    """Code to depth in scene units (0 where there is none), and where it is a depth at all."""
    excess = torch.expm1((code.abs() - 1.0).clamp(0.0, 10.0)) + 1.0
    linear = torch.where(code.abs() > 1.0, code.sign() * excess, code)
    inverse = (linear + 1.0) * 0.5 * (span.high - span.low) + span.low
    valid = inverse > FARTHEST_INVERSE
    return torch.where(valid, 1.0 / inverse.clamp_min(FARTHEST_INVERSE), torch.zeros_like(inverse)), valid
