"""Keyframes: a smooth path through a few cameras.

Room: render (ground floor). Imports cameras; every other room may import this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float64, Int
from kornia.geometry.conversions import quaternion_to_rotation_matrix, rotation_matrix_to_quaternion
from torch import Tensor

from render._poses import check_count, poses_of
from render.cameras import Cameras, concatenated

BLOCK = 4096
"""Cameras that are computed at once."""

SMALL_ANGLE = 1e-6
"""Radians below which a turn is a straight line."""


def interpolated(cameras: Cameras, n: int) -> Cameras:
    """``n`` cameras that pass smoothly through ``cameras``, from the first to the last.

    Equal time between neighbours. Positions follow a Catmull-Rom spline, rotations turn evenly the
    short way (slerp), intrinsics change linearly. Where a keyframe is hit, it is kept bit for bit.
    """
    check_count(n)
    gaps, steps = len(cameras) - 1, max(n - 1, 1)
    travelled = torch.arange(n) * gaps
    return _passing(cameras, travelled // steps, (travelled % steps / steps).double())


def timed(cameras: Cameras, steps: Sequence[int]) -> Cameras:
    """Cameras that pass smoothly through ``cameras``, in so many steps from each to the next.

    As :func:`interpolated`, but at a pace of its own between each two: at a keyframe the pace changes,
    the direction does not.

    Args:
        cameras: the keyframes, at least one.
        steps: one fewer than there are keyframes, each at least 1.
    """
    if len(steps) != len(cameras) - 1 or any(count < 1 for count in steps):
        raise ValueError(f"{len(cameras)} keyframes have a step or more between each two, got {steps!r:.80}")
    counts = torch.tensor([*steps, 1])
    begins = (counts.cumsum(dim=0) - counts).repeat_interleave(counts)
    before = torch.arange(len(counts)).repeat_interleave(counts)
    return _passing(cameras, before, (torch.arange(len(before)) - begins).double() / counts[before])


def _passing(cameras: Cameras, before: Int[Tensor, " n"], share: Float64[Tensor, " n"]) -> Cameras:
    """Cameras a share of the way from each keyframe to the next, computed a block at a time.

    A camera alone decides its numbers, so blocks change no bit, and what is between takes little memory.
    """
    check_count(len(before))
    if not len(cameras):
        raise ValueError("a path needs at least one camera to pass through, got none")
    blocks = zip(before.split(BLOCK), share.split(BLOCK), strict=True)
    return concatenated([_passed(cameras, *block) for block in blocks])


def _passed(cameras: Cameras, before: Int[Tensor, " n"], share: Float64[Tensor, " n"]) -> Cameras:
    """One block of them."""
    keys, on_key = cameras.to("cpu"), (share == 0)[:, None, None]
    after, share = (before + 1).clamp(max=len(cameras) - 1), share[:, None]
    rotations = _slerp(keys.c2w[before, :3, :3].double(), keys.c2w[after, :3, :3].double(), share)
    c2w = poses_of(rotations, _spline(keys.origins.double(), before, share)).to(keys.c2w)
    K = torch.lerp(keys.K[before].double(), keys.K[after].double(), share[..., None]).to(keys.K)
    c2w, K = torch.where(on_key, keys.c2w[before], c2w), torch.where(on_key, keys.K[before], K)
    return dataclasses.replace(keys, c2w=c2w, K=K).to(cameras.c2w.device)


def _slerp(
    a: Float64[Tensor, "n 3 3"], b: Float64[Tensor, "n 3 3"], share: Float64[Tensor, "n 1"]
) -> Float64[Tensor, "n 3 3"]:
    """Rotations the share of the way from ``a`` to ``b``."""
    p, q = rotation_matrix_to_quaternion(a), rotation_matrix_to_quaternion(b)
    q = torch.where((p * q).sum(dim=-1, keepdim=True) < 0, -q, q)
    norm = torch.linalg.vector_norm
    angle = 2 * torch.atan2(norm(p - q, dim=-1, keepdim=True), norm(p + q, dim=-1, keepdim=True))
    # sin(s x) / sin(x) goes to s for small x; kornia divides the sum by its length.
    return quaternion_to_rotation_matrix(
        torch.where(
            angle < SMALL_ANGLE,
            torch.lerp(p, q, share),
            torch.sin((1 - share) * angle) * p + torch.sin(share * angle) * q,
        )
    )


def _spline(
    points: Float64[Tensor, "m 3"], before: Int[Tensor, " n"], share: Float64[Tensor, "n 1"]
) -> Float64[Tensor, "n 3"]:
    """Uniform Catmull-Rom spline, its first and last gap continued in a straight line."""
    inner = points[[min(1, len(points) - 1), max(len(points) - 2, 0)]]
    ends = 2 * points[[0, -1]] - inner
    padded = torch.cat([ends[:1], points, ends[1:]])
    a, b, c, d = (padded[(before + k).clamp(max=len(points) + 1)] for k in range(4))
    cubic = 3 * (b - c) + d - a
    return b + 0.5 * share * (c - a + share * (2 * a - 5 * b + 4 * c - d + share * cubic))
