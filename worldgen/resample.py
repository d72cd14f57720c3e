"""Resample: from a cache render to the picture that a prediction starts from.

Room: worldgen. A z-buffer shows each point in the pixel it falls into; the point itself lies up to a
pixel or two from that pixel's centre. ``recentred`` takes it back there to first order, and
``push_pull`` fills what no point has reached. The model then only has to add what these cannot know.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ROUNDS = 2
"""Slopes along x and y are estimated in turns, each with the other taken out."""

REACH = 3
"""How many pixels away the next point is looked for, past pixels that show the same point again."""

SAME_PLACE = 1e-3
"""Two pixels whose points lie within this many pixels of each other show the same point."""

SHORTEST_RUN = 0.3
"""Neighbouring points nearer to each other than this many pixels give no steeper slope."""

STEEPEST_ALONE = 0.2
"""Largest slope, per pixel, that one neighbour alone is trusted with."""


@dataclass(frozen=True, slots=True)
class _Neighbour:
    """The next other point in one direction, seen from every pixel's own."""

    rise: Float[Tensor, "n c h w"]
    """Difference of values, towards the right or down."""

    run: Float[Tensor, "n 1 h w"]
    """Distance along the axis, in pixels."""

    drift: Float[Tensor, "n 1 h w"]
    """Difference across the axis, in pixels, with the sign of ``rise``."""

    found: Float[Tensor, "n 1 h w"]
    """1 where there is such a point."""


def recentred(
    values: Float[Tensor, "n c h w"], known: Float[Tensor, "n 1 h w"], offset: Float[Tensor, "n 2 h w"]
) -> Float[Tensor, "n c h w"]:
    """Values at pixel centres, from values of points that lie ``offset`` (x, y; pixels) away from them.

    What changes by a constant amount a pixel, as the depth code does on a plane, comes back exactly.
    Slopes are limited by the neighbours on both sides (monotonized central, van Leer 1977), so nothing
    is smoothed over an edge. Pixels that are not ``known`` (0 or 1) keep their values.
    """
    x, y = ([_next(values, known, offset, step=step, axis=axis) for step in (1, -1)] for axis in (0, 1))
    along_x, along_y = _slope(x, across=None), _slope(y, across=None)
    for _ in range(ROUNDS - 1):
        along_x, along_y = _slope(x, across=along_y), _slope(y, across=along_x)
    return values - known * (along_x * offset[:, :1] + along_y * offset[:, 1:])


def _next(values: Tensor, known: Tensor, offset: Tensor, *, step: int, axis: int) -> _Neighbour:
    """The first other point in the direction ``step`` (1 or -1) along ``axis`` (0 is x).

    Near the camera a point covers several pixels. A neighbour that shows it again says nothing about
    the slope, and must not be mistaken for a surface without one.
    """
    rise, apart = torch.zeros_like(values), torch.zeros_like(offset)
    found, is_same = torch.zeros_like(known), known
    for reach in range(1, REACH + 1):
        there, is_known, place = (_moved(x, step * reach, axis=axis) for x in (values, known, offset))
        between = place - offset
        between[:, axis] += step * reach
        is_other = (between.abs() > SAME_PLACE).any(dim=1, keepdim=True)
        here = is_same * is_known * is_other
        rise, apart, found = rise + here * (there - values), apart + here * between, found + here
        is_same = is_same * is_known * ~is_other
    return _Neighbour(
        rise=step * rise,
        run=(step * apart[:, axis : axis + 1]).clamp_min(SHORTEST_RUN),
        drift=step * apart[:, 1 - axis : 2 - axis],
        found=found,
    )


def _slope(sides: list[_Neighbour], *, across: Tensor | None) -> Float[Tensor, "n c h w"]:
    """Change per pixel along an axis, without what the slope ``across`` it explains."""
    ahead, behind = (
        (side.rise if across is None else side.rise - across * side.drift) / side.run for side in sides
    )
    has_ahead, has_behind = (side.found for side in sides)
    least = 2.0 * torch.minimum(ahead.abs(), behind.abs())
    middle = 0.5 * (ahead + behind)
    limited = torch.where(ahead * behind > 0, middle.sign() * torch.minimum(middle.abs(), least), 0.0)
    alone = has_ahead * (1.0 - has_behind) * ahead + has_behind * (1.0 - has_ahead) * behind
    return has_ahead * has_behind * limited + alone.clamp(-STEEPEST_ALONE, STEEPEST_ALONE)


def _moved(x: Tensor, step: int, *, axis: int) -> Tensor:
    """The neighbour ``step`` pixels along ``axis`` of every pixel; 0 beyond the picture."""
    h, w = x.shape[-2:]
    down, right = (0, step) if axis == 0 else (step, 0)
    return F.pad(x, (REACH,) * 4)[..., REACH + down : REACH + down + h, REACH + right : REACH + right + w]


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
