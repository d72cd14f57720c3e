"""Warped noise: noise that moves with what a camera sees and stays white.

Room: worldgen. A picture's noise is carried along the flow to the next picture; where it is stretched it is
refined by new noise, where it is squeezed it is merged, so that every pixel stays standard normal
and independent of all others (Go-with-the-Flow, Burgert et al. 2025, section 3; algorithms A10).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from render.cameras import Cameras, project, unproject

HIDDEN = 0.05
"""A point that lies further behind another in the same pixel than this share of its depth is hidden."""

ROUNDS = 8
"""How often the place that a pixel comes from is corrected."""

GAP = 1.5
"""A pixel that nothing reaches is part of one that lands within this many pixels of it: surfaces may come
three times as near in one step. Further away, something moved aside and shows what was hidden."""

TAME_FLOOR, TAME_POWER = 1e-5, 0.9999


@dataclass(frozen=True, slots=True, kw_only=True)
class WarpedNoise:
    """The noise of one picture."""

    noise: Float[Tensor, "c h w"]
    """Standard normal, white."""

    weight: Float[Tensor, "h w"]
    """How much area of earlier pictures a pixel stands for; positive."""


def fresh(
    shape: tuple[int, int, int], *, rng: torch.Generator, dtype: torch.dtype = torch.float32
) -> WarpedNoise:
    """Noise that no picture had before."""
    return WarpedNoise(
        noise=torch.randn(shape, generator=rng, dtype=dtype), weight=torch.ones(shape[1:], dtype=dtype)
    )


def warped(
    old: WarpedNoise,
    flow: Float[Tensor, "h w 2"],
    *,
    visible: Bool[Tensor, "h w"] | None = None,
    rng: torch.Generator,
) -> WarpedNoise:
    """The noise one picture on.

    Args:
        old: the noise so far.
        flow: from every old pixel to where it is in the new picture, x and y in pixels; finite.
        visible: old pixels that the new picture shows; the others go nowhere. All where None.
        rng: decides what is new.

    Returns:
        The old noise where a pixel came alone, merged where several came, refined where one is seen in
        several pixels, and fresh where the flow brings nothing: beside what moved apart, and at the rim.
    """
    c, h, w = old.noise.shape
    source, target = _copies(flow, visible)
    copies, share = shared(old.noise.flatten(1), source, rng=rng)
    weight = old.weight.flatten()[source] / share
    count = torch.bincount(target, minlength=h * w)
    total = torch.zeros(c, h * w, dtype=copies.dtype).index_add_(1, target, weight * copies)
    norm = torch.zeros(h * w, dtype=copies.dtype).index_add_(0, target, weight.square()).sqrt()
    alone = torch.zeros_like(total).index_copy_(1, target, copies)
    new = torch.randn(c, h * w, generator=rng, dtype=copies.dtype)
    merged = torch.where(count > 1, total / norm.clamp_min(1e-30), torch.where(count == 1, alone, new))
    area = torch.zeros(h * w, dtype=copies.dtype).index_add_(0, target, weight)
    area = torch.where(count > 0, area, 1.0)
    tame = (area / area.mean() + TAME_FLOOR).pow(TAME_POWER)
    return WarpedNoise(noise=merged.view(c, h, w), weight=tame.view(h, w))


def shared(
    noise: Float[Tensor, "c p"], source: Int[Tensor, " k"], *, rng: torch.Generator
) -> tuple[Float[Tensor, "c k"], Float[Tensor, " k"]]:
    """Copies of ``noise`` that are white though a source may have several, and how many it has.

    The sum of m copies is the square root of m times their source. What differs between them is new,
    without its mean.
    """
    uses = torch.bincount(source, minlength=noise.shape[1]).to(noise.dtype)
    new = torch.randn(noise.shape[0], len(source), generator=rng, dtype=noise.dtype)
    mean = torch.zeros_like(noise).index_add_(1, source, new) / uses.clamp_min(1.0)
    share = uses[source]
    return noise[:, source] / share.sqrt() + (new - mean[:, source]), share


def _copies(
    flow: Float[Tensor, "h w 2"], visible: Bool[Tensor, "h w"] | None
) -> tuple[Int[Tensor, " k"], Int[Tensor, " k"]]:
    """Which old pixel goes where: all to where they land, then some again to where nothing has landed."""
    h, w = flow.shape[:2]
    here = _grid(h, w)
    lands = here + flow.round().long()
    moves = _inside(lands, h, w) if visible is None else _inside(lands, h, w) & visible
    source = _index(here, w)[moves]
    target = _index(lands, w)[moves]
    empty = torch.ones(h * w, dtype=torch.bool).index_fill_(0, target, False).view(h, w)  # noqa: FBT003
    origin = _origins(flow)
    nearest = origin.round().long()
    found = empty & _inside(nearest, h, w)
    back = _index(nearest, w).clamp(0, h * w - 1)
    gap = (origin.round() + flow.reshape(-1, 2)[back] - here).abs().amax(dim=-1)
    found &= gap <= GAP
    if visible is not None:
        found &= visible.flatten()[back]
    return torch.cat([source, back[found]]), torch.cat([target, _index(here, w)[found]])


def _origins(flow: Float[Tensor, "h w 2"]) -> Float[Tensor, "h w 2"]:
    """Where every new pixel comes from: q with q + flow(q) = p, by damped fixed-point iteration.

    Its first guess, p - flow(p), lies elsewhere wherever the flow changes over its own length.
    """
    h, w = flow.shape[:2]
    here = _grid(h, w).to(flow.dtype)
    size = torch.tensor([w, h], dtype=flow.dtype)
    origin = here - flow
    for _ in range(ROUNDS):
        places = 2.0 * (origin + 0.5) / size - 1.0
        there = F.grid_sample(
            flow.permute(2, 0, 1)[None], places[None], padding_mode="border", align_corners=False
        )
        origin = 0.5 * (origin + here - there[0].permute(1, 2, 0))
    return origin


def _grid(h: int, w: int) -> Int[Tensor, "h w 2"]:
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([x, y], dim=-1)


def _inside(places: Int[Tensor, "h w 2"], h: int, w: int) -> Bool[Tensor, "h w"]:
    x, y = places.unbind(-1)
    return (x >= 0) & (x < w) & (y >= 0) & (y < h)


def _index(places: Int[Tensor, "*n 2"], w: int) -> Int[Tensor, "*n"]:
    return places[..., 1] * w + places[..., 0]


def degraded(noise: Float[Tensor, "c h w"], share: float, *, rng: torch.Generator) -> Float[Tensor, "c h w"]:
    """Noise of which a ``share`` in [0, 1] is new; 1/2 leaves a correlation of 0.707."""
    new = torch.randn(noise.shape, generator=rng, dtype=noise.dtype)
    return (share * new + (1.0 - share) * noise) / (share**2 + (1.0 - share) ** 2) ** 0.5


def reduced(fine: WarpedNoise, factor: int) -> Float[Tensor, "c h w"]:
    """The noise of a picture ``factor`` times smaller on either side, still white.

    Warping a finer grid follows the flow to a fraction of a pixel.
    """
    total = F.avg_pool2d(fine.weight * fine.noise, factor)
    norm = F.avg_pool2d(fine.weight.square()[None], factor).sqrt()
    return total / norm * factor


def flow_between(
    depth: Float[Tensor, "1 h w 1"], cameras: Cameras, new: Cameras
) -> tuple[Float[Tensor, "h w 2"], Bool[Tensor, "h w"]]:
    """Flow from one camera to the next in pixels, and which pixels the next camera sees.

    Args:
        depth: z-depth of the old view, in world units; 0 where there is none, which goes nowhere.
        cameras: the old camera.
        new: the next one, of the same size.
    """
    h, w = depth.shape[1:3]
    uv, z = project(unproject(depth, cameras).reshape(-1, 3), new)
    here = _grid(h, w).to(uv.dtype) + 0.5
    ahead = (depth[0, ..., 0] > 0) & (z.view(h, w) > 1e-6)
    flow = torch.where(ahead[..., None], uv.view(h, w, 2) - here, 0.0)
    lands = _grid(h, w) + flow.round().long()
    ahead &= _inside(lands, h, w)
    pixel = _index(lands, w).clamp(0, h * w - 1).flatten()
    depths = torch.where(ahead, z.view(h, w), torch.inf).flatten()
    front = torch.full((h * w,), torch.inf, dtype=z.dtype).scatter_reduce_(0, pixel, depths, "amin")
    return flow, ahead & (depths <= (1.0 + HIDDEN) * front[pixel]).view(h, w)
