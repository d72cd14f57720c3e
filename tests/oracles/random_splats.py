"""Gaussians of every shape, and cameras and Gaussians in double precision."""

from __future__ import annotations

import dataclasses
import math
from typing import TypeVar

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from render.cameras import Cameras
from render.gaussians import Gaussians, sh_from_rgb
from render.splat_twin import projected

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


def hard_splats() -> Gaussians:
    """Huge, needle-thin, hardly visible, opaque, at the near plane, behind: ten of each."""
    gaussians = random_splats(70, size=-2.0, seed=5)
    gaussians.log_scales[:10] += 4.0
    gaussians.log_scales[10:20] = torch.tensor([0.5, -9.0, -9.5])
    gaussians.logit_opacities[20:30] = -5.4
    gaussians.logit_opacities[30:40] = 12.0
    gaussians.means[40:50, 2] = torch.linspace(0.005, 0.02, 10)
    gaussians.means[50:60, 2] = -1.0
    return gaussians


def stacked_splats(count: int) -> Gaussians:
    """Flat discs of Gaussians right ahead, one behind the other, each of which takes 1/151 of the light."""
    means = torch.tensor([[0.0, 0.0, 2.0]]).repeat(count, 1)
    means[:, 2] += torch.linspace(0.0, 0.1, count)
    return Gaussians(
        means=means,
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(count, 1),
        log_scales=torch.tensor([[-1.0, -1.0, -1.5]]).repeat(count, 1),
        logit_opacities=torch.full((count,), -math.log(150.0)),
        # Unlike colours: where all are alike, what is in front and what is behind cancel in gradients.
        sh=torch.randn(count, 1, 3, generator=torch.Generator().manual_seed(0)),
    )


TURN = Rotation.from_rotvec((0.7, -1.9, 0.4))
B_FROM_A = torch.eye(4)
B_FROM_A[:3, :3] = torch.from_numpy(TURN.as_matrix())
B_FROM_A[:3, 3] = torch.tensor([1.5, -0.8, 2.5])


def moved(gaussians: Gaussians, cameras: Cameras) -> tuple[Gaussians, Cameras]:
    """The same world and its cameras, turned and shifted by ``B_FROM_A``."""
    x, y, z, w = (TURN * Rotation.from_quat(gaussians.quats.numpy()[:, [1, 2, 3, 0]])).as_quat().T
    there = dataclasses.replace(
        gaussians,
        means=gaussians.means @ B_FROM_A[:3, :3].mT + B_FROM_A[:3, 3],
        quats=torch.stack([torch.from_numpy(part).float() for part in (w, x, y, z)], dim=-1),
    )
    return there, dataclasses.replace(cameras, c2w=B_FROM_A @ cameras.c2w)


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
