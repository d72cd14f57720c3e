"""Axes: the one turn between our world and files whose +y is up.

Room: reconstruct; only the formats beside it import this. Our world is OpenCV's: +x right, +y down, +z
forward. SPZ and glTF hold +x right, +y up, +z backward, which is half a turn about x; PLY, compressed PLY
and .splat hold our axes as they are.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float64
from kornia.geometry.conversions import rotation_matrix_to_quaternion
from torch import Tensor

from render.gaussians import Gaussians
from render.splat_twin import sh_basis

TURN = (1.0, -1.0, -1.0)
"""What half a turn about x does to x, y and z; done twice it does nothing."""

SH_FACTORS = ("", "y", "z", "x", "xy", "yz", "", "xz", "", "y", "xyz", "y", "z", "x", "z", "x")
"""The axes in whose sign each spherical harmonic is odd, in the order of ``Gaussians.sh``."""

RIGID = 1e-4
"""How far a placement may be from a turn, a move and a scale, relative to the scale."""

SMALLEST, FARTHEST = 1e-9, 1e12
"""Scale below which, and numbers beyond which, a placement is taken for damage."""


def half_turned(gaussians: Gaussians) -> Gaussians:
    """Splats seen from axes that are turned by half about x; exact, and its own inverse."""
    turn = torch.tensor(TURN)
    signs = [(-1.0) ** sum(axis in "yz" for axis in axes) for axes in SH_FACTORS]
    return Gaussians(
        means=gaussians.means * turn.to(gaussians.means),
        # An ellipsoid is its own mirror image along its axes, so the turn may be applied on both sides of R.
        quats=gaussians.quats * gaussians.quats.new_tensor([1.0, *TURN]),
        log_scales=gaussians.log_scales,
        logit_opacities=gaussians.logit_opacities,
        sh=gaussians.sh * gaussians.sh.new_tensor(signs)[: gaussians.sh.shape[1], None],
    )


def moved(gaussians: Gaussians, b_from_a: Float64[np.ndarray, "4 4"]) -> Gaussians:
    """Splats as they are once their axes are turned, moved and scaled; colours turn with them.

    Args:
        gaussians: splats in a; quaternions may have any length.
        b_from_a: a similarity.

    Raises:
        ValueError: if it stretches, mirrors or is no number.
    """
    matrix = torch.from_numpy(b_from_a)
    with_scale = matrix[:3, :3]
    scale = float(with_scale.pow(2).sum().div(3.0).sqrt())
    if not (SMALLEST < scale < FARTHEST and bool((matrix.abs() < FARTHEST).all())):
        raise ValueError("a node of its scene places splats nowhere, or absurdly far away")
    turn = with_scale / scale
    if bool(((turn @ turn.mT - torch.eye(3)).abs() > RIGID).any()) or torch.linalg.det(turn) < 0.0:
        raise ValueError("a node of its scene stretches or mirrors splats, which is not read; apply it first")
    return Gaussians(
        means=(gaussians.means.double() @ with_scale.mT + matrix[:3, 3]).float(),
        quats=(gaussians.quats.double() @ _times(turn).mT).float(),
        log_scales=gaussians.log_scales + math.log(scale),
        logit_opacities=gaussians.logit_opacities,
        sh=torch.einsum("kj,gjc->gkc", _sh_turn(turn, gaussians.sh.shape[1]).float(), gaussians.sh),
    )


def _times(turn: Float64[Tensor, "3 3"]) -> Float64[Tensor, "4 4"]:
    """The matrix that multiplies quaternions wxyz by a turn, from the left."""
    w, x, y, z = rotation_matrix_to_quaternion(turn[None])[0].tolist()
    rows = [[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]]
    return torch.tensor(rows, dtype=torch.float64)


def _sh_turn(turn: Float64[Tensor, "3 3"], coefficients: int) -> Float64[Tensor, "k k"]:
    """What a turn does to spherical harmonics: the old ones along many directions, in terms of the new."""
    directions = torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    directions = torch.nn.functional.normalize(directions, dim=1)
    return torch.linalg.lstsq(
        sh_basis(directions, coefficients), sh_basis(directions @ turn, coefficients)
    ).solution
