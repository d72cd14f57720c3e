"""Gaussians of every shape, and cameras and Gaussians in double precision."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import torch
from torch import Tensor

from render.cameras import Cameras
from render.gaussians import Gaussians, sh_from_rgb
from render.splats import projected

T = TypeVar("T", Gaussians, Cameras)


def random_splats(g: int, *, degree: int = 0, size: float = -2.5, seed: int = 0) -> Gaussians:
    """Gaussians all over the painted room and a little beyond it; ``size`` is the mean log scale."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(g, *shape, generator=generator)

    return Gaussians(
        means=noise(3) * torch.tensor([1.2, 0.9, 1.5]) + torch.tensor([0.4, 0.1, 1.2]),
        quats=noise(4),
        log_scales=0.8 * noise(3) + size,
        logit_opacities=1.5 * noise() + 0.5,
        sh=torch.cat([sh_from_rgb(torch.rand(g, 3, generator=generator)), 0.3 * noise(15, 3)], dim=1)[
            :, : (degree + 1) ** 2
        ],
    )


def doubled(thing: T) -> T:
    """The same in double precision."""
    changes = {
        field.name: getattr(thing, field.name).double()
        for field in dataclasses.fields(thing)
        if isinstance(getattr(thing, field.name), Tensor)
    }
    return dataclasses.replace(thing, **changes)


def order_is_safe(gaussians: Gaussians, cameras: Cameras) -> bool:
    """Whether no two depths are so near that single precision might order them differently."""
    gaps = [projected(doubled(gaussians), doubled(cameras), view=i).depth.diff() for i in range(len(cameras))]
    return min(gap.min().item() for gap in gaps if len(gap)) > 1e-6
