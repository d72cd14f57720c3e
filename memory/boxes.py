"""Boxes: parts of the world with sides along its axes, as edits name them.

Room: memory. Imports nothing of ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LARGEST = 1e6
"""Nothing lies further from the origin along an axis, world units: beyond, float32 blurs what is close."""

Corner = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """All places between two corners, both included."""

    low: Corner
    """World units; below ``high`` along every axis."""

    high: Corner

    def __post_init__(self) -> None:
        values = (*self.low, *self.high)
        if not all(math.isfinite(value) and abs(value) <= LARGEST for value in values):
            raise ValueError(f"the corners of a box are finite numbers up to {LARGEST:g}, got {values}")
        if not all(low < high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(
                f"a box goes from its low corner to its high one, x, y and z each, got {self.low} to "
                f"{self.high}; swap what is larger"
            )


def box_around(positions: Float[Tensor, "p 3"], *, margin: float) -> Box:
    """The smallest box that holds all points, and ``margin`` world units more on every side."""
    low, high = (positions.double().amin(dim=0) - margin), (positions.double().amax(dim=0) + margin)
    return Box(low=_corner(low), high=_corner(high))


def within(positions: Float[Tensor, "p 3"], low: Corner, high: Corner) -> Bool[Tensor, " p"]:
    """Which points lie between two corners."""
    exact = positions.double()
    ends = torch.tensor([low, high], dtype=torch.float64)
    return ((exact >= ends[0]) & (exact <= ends[1])).all(dim=-1)


def _corner(values: Float[Tensor, " 3"]) -> Corner:
    x, y, z = values.tolist()
    return x, y, z
