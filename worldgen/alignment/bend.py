"""Bends: slow errors of an estimated depth that no affine map takes out.

Room: worldgen. A field of log-scales on a coarse grid, fitted where depths overlap; from there it spreads by
diffusion into what no other depth map shows (algorithms A12.3, the non-rigid option).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldgen.alignment.affine import EXACT, TO_SIGMA

CELLS = 8
"""Along the longer side of the picture: errors of estimators are as slow as that, surfaces are not."""

STIFFNESS = 0.01
"""Of the field against a cell's worth of pixels."""

ITERATIONS = 10


def log_scales(
    source: Float[Tensor, "1 h w 1"], target: Float[Tensor, "1 h w 1"], overlap: Bool[Tensor, "1 h w 1"]
) -> Float[Tensor, "1 h w 1"]:
    """The smooth field whose exponential takes ``source`` to ``target``.

    The minimum of weighted squares where they overlap and of the squared differences of neighbours on the
    grid everywhere, so that outside the overlap the field is harmonic. Weights are those of the affine fit:
    pixels that show another surface count for nothing.

    Args:
        source: z-depth, aligned but for the bend; positive where it overlaps.
        target: z-depth in the same units; positive where it overlaps.
        overlap: where both are known. Nowhere means that the field is 0.
    """
    if not overlap.any():
        return torch.zeros_like(source)
    known = overlap[0, ..., 0]
    ratio = torch.where(overlap, target.double() / source.double(), 1.0).log()[0, ..., 0]
    h, w = known.shape
    cell = max(h, w) / CELLS
    down, across = _hats(h, cell), _hats(w, cell)
    stiffness = STIFFNESS * _laplacian(down.shape[1], across.shape[1])
    field = ratio[known].median().expand(h, w)
    for _ in range(ITERATIONS):
        residual = (ratio - field).abs()
        spread = (TO_SIGMA * residual[known].median()).clamp_min(EXACT)
        weight = known * (residual / spread).clamp_min(1.0).pow(-2) / cell**2
        rows = torch.einsum("yx,xj,xl->yjl", weight, across, across)
        normal = torch.einsum("yjl,yi,yk->ijkl", rows, down, down).reshape(stiffness.shape)
        wanted = (down.T @ (weight * ratio) @ across).flatten()
        knots = torch.linalg.solve(normal + stiffness, wanted)
        field = down @ knots.view(down.shape[1], across.shape[1]) @ across.T
    return field.to(source.dtype)[None, ..., None]


def _hats(pixels: int, cell: float) -> Float[Tensor, "p k"]:
    """Linear interpolation from knots, a cell apart, to pixel centres."""
    at = (torch.arange(pixels, dtype=torch.float64) + 0.5) / cell
    knots = torch.arange(int(pixels / cell + 0.999) + 1, dtype=torch.float64)
    return (1.0 - (at[:, None] - knots).abs()).clamp_min(0.0)


def _laplacian(rows: int, columns: int) -> Float[Tensor, "k k"]:
    """Of a grid of knots: a field's sum of squared differences of neighbours is its quadratic form."""

    def chain(count: int) -> Tensor:
        step = torch.diff(torch.eye(count, dtype=torch.float64), dim=0)
        return step.T @ step

    eye = [torch.eye(count, dtype=torch.float64) for count in (rows, columns)]
    return torch.kron(chain(rows), eye[1]) + torch.kron(eye[0], chain(columns))
