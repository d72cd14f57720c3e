"""Front-to-back compositing said with loops, one pixel and one splat at a time, in Python floats."""

import math

import torch
from torch import Tensor


def composited(
    uv: Tensor, conics: Tensor, depth: Tensor, opacities: Tensor, colours: Tensor, *, width: int, height: int
) -> Tensor:
    """Colour, depth times alpha, alpha, and median depth [h w 6] of splats [g ...], over black."""
    order = sorted((z, i) for i, z in enumerate(depth.tolist()) if z > 0.01)
    splats = [
        (*uv[i].tolist(), *conics[i].tolist(), float(opacities[i]), (*colours[i].tolist(), z))
        for z, i in order
    ]
    rows = [[_pixel(splats, column + 0.5, row + 0.5) for column in range(width)] for row in range(height)]
    return torch.tensor(rows, dtype=torch.float64)


def _pixel(splats: list[tuple], x: float, y: float) -> list[float]:
    through, blend, median = 1.0, [0.0] * 4, 0.0
    for u, v, a, b, c, opacity, values in splats:
        dx, dy = x - u, y - v
        sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = min(0.999, opacity * math.exp(-sigma))
        if alpha < 1.0 / 255.0:
            continue
        if through * (1.0 - alpha) <= 1e-4:
            break
        blend = [total + through * alpha * value for total, value in zip(blend, values, strict=True)]
        median = values[3] if through >= 0.5 > through * (1.0 - alpha) else median
        through *= 1.0 - alpha
    return [*blend, 1.0 - through, median]
