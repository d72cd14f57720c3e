"""What every path is made of: a bounded number of poses."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

MAX_CAMERAS = 100_000
"""Cameras that one path may hold."""


def check_count(n: int) -> None:
    """Refuse a path without cameras, or with too many."""
    if not 1 <= n <= MAX_CAMERAS:
        raise ValueError(f"a path holds 1 to {MAX_CAMERAS} cameras, got {n}")


def poses_of(
    rotations: Float64[Tensor, "n 3 3"], positions: Float64[Tensor, "n 3"]
) -> Float64[Tensor, "n 4 4"]:
    """Camera-to-world matrices."""
    c2w = torch.eye(4, dtype=torch.float64).repeat(len(rotations), 1, 1)
    c2w[:, :3, :3], c2w[:, :3, 3] = rotations, positions
    return c2w


def inverse(w2c: Float64[Tensor, "n 4 4"]) -> Float64[Tensor, "n 4 4"]:
    """Of rigid matrices; what is not rigid stays so, and is refused."""
    c2w = torch.zeros_like(w2c)
    c2w[:, :3, :3] = w2c[:, :3, :3].mT
    c2w[:, :3, 3:] = -c2w[:, :3, :3] @ w2c[:, :3, 3:]
    c2w[:, 3, 3] = 1.0
    return c2w
