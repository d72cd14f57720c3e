"""Affine maps between inverse depths, found where two depth maps overlap.

Room: worldgen. An estimator of depth leaves two numbers open in every picture: ``1 / z = a / z_source + b``
(algorithms A12.3). They are found by robust least squares, and where that cannot work, by something simpler
that says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MIN_PIXELS = 500
"""Fewer pixels that overlap say too little for two numbers."""

MIN_SHARE = 0.02
"""The same, as a share of the picture."""

MIN_SCALE_PIXELS = 50
"""Fewer pixels that overlap say too little even for one number."""

MAX_CONDITION = 1e4
"""Of the normal equations in units of the median: below it inverse depths spread by 2% or more."""

ITERATIONS = 30
TO_SIGMA = 1.4826
"""Median absolute residual of a normal distribution to its standard deviation."""

EXACT = 1e-9
"""Relative residual below which a fit is exact; keeps the weights finite."""

QUANTILES = (0.2, 0.8)
PAIRS = 64
"""Lines through two pixels that are tried as a start."""

MAX_SAMPLES = 1 << 16
"""Of more pixels than this an even subset is fitted."""

JUDGED_SAMPLES = 1 << 11
"""Pixels that choose among starts."""

FARTHEST = 1e3
"""Depths beyond this many medians are none: their inverse is nothing but the error of the fit."""

Method = Literal["affine", "scale", "previous", "none"]
"""What a fit is: both numbers, only ``a``, those of an earlier frame, or no fit at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """``1 / z = a / z_source + b``; as it comes, it changes nothing."""

    a: float = 1.0
    """Source units in a world unit."""

    b: float = 0.0
    """1 / world units."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.a) and math.isfinite(self.b) and self.a > 0.0):
            raise ValueError(
                f"an alignment needs a finite a above 0 and a finite b, got {self.a} and {self.b}"
            )

    def applied(
        self, depth: Float[Tensor, "n h w 1"], valid: Bool[Tensor, "n h w 1"]
    ) -> tuple[Float[Tensor, "n h w 1"], Bool[Tensor, "n h w 1"]]:
        """Depths in world units (0 where there is none), and where they are depths at all.

        A ``b`` below 0 sends what is far beyond infinity: such pixels have no depth.
        """
        inverse = torch.where(valid, self.a / depth.double().clamp_min(1e-12) + self.b, 0.0)
        near = inverse[inverse > 0.0]
        if not near.numel():
            return torch.zeros_like(depth), torch.zeros_like(valid)
        kept = inverse > float(near.median()) / FARTHEST
        aligned = torch.where(kept, 1.0 / inverse.masked_fill(~kept, 1.0), 0.0)
        return aligned.to(depth.dtype), kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """An affine map, and what it rests on."""

    affine: Affine

    method: Method
    """How it was found: anything but "affine" is a fallback."""

    overlap: int
    """Pixels in which both depths are known."""

    error: float
    """Robust standard deviation of the inverse depth over its median; nan where nothing overlaps."""


def fitted(
    source: Float[Tensor, "1 h w 1"],
    target: Float[Tensor, "1 h w 1"],
    overlap: Bool[Tensor, "1 h w 1"],
    *,
    previous: Affine | None = None,
) -> Fit:
    """The map from ``source`` to ``target``.

    Both numbers are fitted where 500 pixels and 2% of the picture overlap and the depths there differ
    enough; else the scale alone, where a few pixels overlap; else ``previous`` is taken over.

    Args:
        source: z-depth, any units; positive where it overlaps.
        target: z-depth in world units; positive where it overlaps.
        overlap: where both are known and finite, and it is no sky.
        previous: the map of the frame before, if there is one.

    Returns:
        The map and how it was found: "none", and no change, if all else fails.
    """
    count = int(overlap.sum())
    x, y = (_sampled(1.0 / depth[overlap].double()) for depth in (source, target))
    is_enough = count >= max(MIN_PIXELS, MIN_SHARE * overlap.numel())
    found = _two_numbers(x, y) if is_enough else None
    method: Method = "affine"
    if found is None and count >= MIN_SCALE_PIXELS:
        found, method = Affine(a=1.0 / float((x / y).median())), "scale"
    if found is None:
        found, method = (Affine(), "none") if previous is None else (previous, "previous")
    error = math.nan
    if count:
        error = TO_SIGMA * float((y - found.a * x - found.b).abs().median() / y.median())
    return Fit(affine=found, method=method, overlap=count, error=error)


def _sampled(values: Float[Tensor, " p"]) -> Float[Tensor, " s"]:
    return values[:: max(1, math.ceil(values.numel() / MAX_SAMPLES))]


def _two_numbers(x: Float[Tensor, " p"], y: Float[Tensor, " p"]) -> Affine | None:
    """Iteratively reweighted squares of ``y = a x + b``; None where they have no sound answer."""
    x_unit, y_unit = float(x.median()), float(y.median())
    x, y = x / x_unit, y / y_unit
    a, b = _start(x, y)
    for _ in range(ITERATIONS):
        residual = (y - a * x - b).abs()
        spread = (TO_SIGMA * residual.median()).clamp_min(EXACT)
        weight = (residual / spread).clamp_min(1.0).pow(-2)
        found = _line(x, y, weight / weight.sum())
        if found is None:
            return None
        a, b = found
    return Affine(a=a * y_unit / x_unit, b=b * y_unit)


def _line(
    x: Float[Tensor, " p"], y: Float[Tensor, " p"], weight: Float[Tensor, " p"]
) -> tuple[float, float] | None:
    """Slope and offset of least weighted distance to a line that rises; weights have the sum 1.

    Distances are perpendicular (Deming, 1943), since both depths are noisy, and in units of the median
    about equally so. Vertical ones make every slope a little too small, and along a walk that adds up.
    """
    rows = torch.stack([x, torch.ones_like(x)])
    if not float(torch.linalg.cond((weight * rows) @ rows.T)) < MAX_CONDITION:
        return None
    middle_x, middle_y = float(weight @ x), float(weight @ y)
    across, along = x - middle_x, y - middle_y
    xx, xy, yy = (float(weight @ product) for product in (across.square(), across * along, along.square()))
    if not xy > 0.0:
        return None
    slope = (yy - xx + math.hypot(yy - xx, 2.0 * xy)) / (2.0 * xy)
    return slope, middle_y - slope * middle_x


def _start(x: Float[Tensor, " p"], y: Float[Tensor, " p"]) -> tuple[float, float]:
    """The line with the least median residual: that of the quantiles, or one through two pixels.

    Outliers that all lie on one side, a fifth of the pixels or more, move the quantiles so far that
    reweighting never comes back.
    """
    ends = torch.tensor(QUANTILES, dtype=x.dtype)
    left, right = torch.quantile(x, ends), torch.quantile(y, ends)
    rng = torch.Generator().manual_seed(0)
    i, j = torch.randint(x.numel(), (2, PAIRS), generator=rng)
    run = torch.cat([(left[1] - left[0])[None], x[j] - x[i]])
    rise = torch.cat([(right[1] - right[0])[None], y[j] - y[i]])
    slopes = (rise / run).nan_to_num(0.0, posinf=0.0, neginf=0.0).clamp_min(0.0)
    through_x, through_y = torch.cat([x.median()[None], x[i]]), torch.cat([y.median()[None], y[i]])
    offsets = through_y - slopes * through_x
    few = slice(None, None, max(1, x.numel() // JUDGED_SAMPLES))
    residuals = (y[few] - slopes[:, None] * x[few] - offsets[:, None]).abs().median(dim=1).values
    best = int(residuals.argmin())
    return float(slopes[best]), float(offsets[best])
