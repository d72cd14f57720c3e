"""Resample: from a cache render to the picture that a prediction starts from.

Room: worldgen. A z-buffer shows each point in the pixel it falls into; the point itself lies up to a
pixel or two from that pixel's centre. ``recentred`` takes it back there to first order, and
``push_pull`` fills what no point has reached. The model then only has to add what these cannot know.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ROUNDS = 2
"""Slopes along x and y are estimated in turns, each with the other taken out."""

SHORTEST_RUN = 0.3
"""Neighbouring points nearer to each other than this many pixels give no steeper slope."""

STEEPEST_ALONE = 0.2
"""Largest slope, per pixel, that one neighbour alone is trusted with."""


def recentred(
    values: Float[Tensor, "n c h w"], known: Float[Tensor, "n 1 h w"], offset: Float[Tensor, "n 2 h w"]
) -> Float[Tensor, "n c h w"]:
    """Values at pixel centres, from values of points that lie ``offset`` (x, y; pixels) away from them.

    Slopes are limited by both neighbours (monotonized central, van Leer 1977), so nothing is
    smoothed over an edge. Pixels that are not ``known`` (0 or 1) keep their values.
    """
    along_x = _slope(values, known, offset, axis=0, across=None)
    along_y = _slope(values, known, offset, axis=1, across=None)
    for _ in range(ROUNDS - 1):
        along_x, along_y = (
            _slope(values, known, offset, axis=0, across=along_y),
            _slope(values, known, offset, axis=1, across=along_x),
        )
    return values - known * (along_x * offset[:, :1] + along_y * offset[:, 1:])


def _slope(
    values: Tensor, known: Tensor, offset: Tensor, *, axis: int, across: Tensor | None
) -> Float[Tensor, "n c h w"]:
    """Change per pixel along ``axis`` (0 is x), without what the slope ``across`` explains."""
    sides = []
    for step in (1, -1):
        near_values, near_known, near_offset = (_moved(x, step, axis=axis) for x in (values, known, offset))
        rise = near_values - values
        if across is not None:
            rise = rise - across * (near_offset - offset)[:, 1 - axis : 2 - axis]
        run = 1.0 + step * (near_offset - offset)[:, axis : axis + 1]
        sides.append((step * rise / run.clamp_min(SHORTEST_RUN), near_known * known))
    (ahead, has_ahead), (behind, has_behind) = sides
    least = 2.0 * torch.minimum(ahead.abs(), behind.abs())
    middle = 0.5 * (ahead + behind)
    limited = torch.where(ahead * behind > 0, middle.sign() * torch.minimum(middle.abs(), least), 0.0)
    alone = has_ahead * (1.0 - has_behind) * ahead + has_behind * (1.0 - has_ahead) * behind
    return has_ahead * has_behind * limited + alone.clamp(-STEEPEST_ALONE, STEEPEST_ALONE)


def _moved(x: Tensor, step: int, *, axis: int) -> Tensor:
    """The neighbour ``step`` pixels along ``axis`` of every pixel; 0 beyond the picture."""
    h, w = x.shape[-2:]
    down, right = (0, step) if axis == 0 else (step, 0)
    return F.pad(x, (1, 1, 1, 1))[..., 1 + down : 1 + down + h, 1 + right : 1 + right + w]


def push_pull(values: Float[Tensor, "n c h w"], weight: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n c h w"]:
    """Fill the pixels whose ``weight`` is 0 from a pyramid of averages of the known ones.

    Pixels of weight 1 keep their values exactly; 0 where nothing is known at all (Gortler et al., The
    Lumigraph, 1996, section 3.4).
    """
    known = values * weight
    if values.shape[-2:] == (1, 1):
        return known
    share = F.avg_pool2d(weight, 2, ceil_mode=True)
    average = F.avg_pool2d(known, 2, ceil_mode=True) / share.clamp_min(1e-6)
    coarse = push_pull(average, (4.0 * share).clamp_max(1.0))
    around = F.interpolate(coarse, size=values.shape[-2:], mode="bilinear", align_corners=False)
    return known + (1.0 - weight) * around
