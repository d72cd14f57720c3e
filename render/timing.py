"""Timing: where on its way a camera is, frame by frame.

Room: render (ground floor). Imports nothing of ours; every other room may import this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Real = int | float
"""What people write where a number is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ease:
    """How a move begins and ends: the shares of its time in which it gathers speed and slows down."""

    start: Real = 0.0
    end: Real = 0.0

    def __post_init__(self) -> None:
        if not (self.start >= 0.0 and self.end >= 0.0 and self.start + self.end <= 1.0):
            raise ValueError(
                "the shares of the time in which a move gathers speed and slows down are 0 or more and at "
                f"most 1 together, got {self.start:g} and {self.end:g}"
            )

    @property
    def mean_speed(self) -> float:
        """As a share of the top speed."""
        return 1.0 - 0.5 * (self.start + self.end)


STEADY = Ease()


def eased(shares: Float[np.ndarray, " n"], ease: Ease) -> Float[np.ndarray, " n"]:
    """The share of the way that is gone after each share of the time, both in [0, 1].

    Speed rises and falls as a smoothstep, 3 x^2 - 2 x^3, and is even between; so it never jumps.
    """
    gone = np.clip(shares - ease.start, 0.0, 1.0 - ease.start - ease.end)
    if ease.start > 0.0:
        gone = gone + ease.start * _begun(shares / ease.start)
    if ease.end > 0.0:
        gone = gone + ease.end * (0.5 - _begun((1.0 - shares) / ease.end))
    return gone / ease.mean_speed


def _begun(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The integral of a smoothstep from 0 to ``x``, which ends at 1."""
    x = np.clip(x, 0.0, 1.0)
    return x**3 - 0.5 * x**4
