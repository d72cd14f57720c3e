"""Levels: the same world from fewer splats, for what is far away, for weak machines and for small files.

Room: reconstruct; the command line and the viewer may import this. Neighbours of like colour are merged into
one splat that has the mean, the covariance and the colour of both together, weighted by what they cover ("A
Hierarchical 3D Gaussian Representation", Kerbl et al. 2024, section 4.1). Who merges with whom is told by a
balanced tree that halves whatever is widest, place or colour.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from kornia.geometry.conversions import quaternion_to_rotation_matrix, rotation_matrix_to_quaternion
from torch import Tensor

from reconstruct._level_kernels import group
from render.gaussians import Gaussians

COLOURFUL = 0.05
"""How far apart black and white are, over the side of the world, when it is decided what belongs together."""

SOLIDEST = 0.99
"""Opacity above which a merged splat becomes wider instead."""

THINNEST = 1e-4
"""Least standard deviation of a merged splat over its largest."""


def levels(splats: Gaussians, *, least: int) -> list[Gaussians]:
    """The splats, half as many, a quarter, and so on; a splat of one level stands for some of the one before.

    Args:
        splats: all of them; the first level.
        least: no level has fewer, but the first if there are none to begin with.

    Raises:
        ValueError: if levels might become empty.
    """
    _check(least)
    found = [splats]
    while len(found[-1]) // 2 >= least:
        found.append(thinned(found[-1], len(found[-1]) // 2))
    return found


def thinned(splats: Gaussians, most: int) -> Gaussians:
    """At most so many splats that together cover what all did; the very same ones if they are few enough.

    Raises:
        ValueError: if there should be none.
    """
    _check(most)
    if len(splats) <= most:
        return splats
    means, rgbs = splats.means.detach().cpu().numpy(), splats.base_rgb.detach().cpu().numpy()
    groups = torch.from_numpy(neighbours(means, rgbs, count=most)).to(splats.means.device)
    return _merged(splats, groups, most)


def _check(count: int) -> None:
    if count < 1:
        raise ValueError(f"at least one splat is to stay, got {count}")


def neighbours(
    means: Float[np.ndarray, "g 3"], rgbs: Float[np.ndarray, "g 3"], *, count: int
) -> Int64[np.ndarray, " g"]:
    """Group of every splat, 0 to ``count`` - 1: all nearly as large, each of neighbours of like colour.

    Args:
        means: where the splats are; at least one.
        rgbs: their colours in [0, 1].
        count: how many groups; at most as many as there are splats.
    """
    places = means.astype(np.float64)
    side = max(float((places.max(axis=0) - places.min(axis=0)).max()), 1e-12)
    features = np.concatenate([places / side, COLOURFUL * rgbs.astype(np.float64)], axis=1)
    groups = np.empty(len(features), np.int64)
    group(features, count, groups)
    return groups


def _merged(splats: Gaussians, groups: Tensor, count: int) -> Gaussians:
    """One splat a group, with the moments of all in it; alone, a splat stays as it is."""

    def total(values: Float[Tensor, "g ..."]) -> Float[Tensor, "m ..."]:
        return values.new_zeros(count, *values.shape[1:]).index_add_(0, groups, values)

    scales = splats.scales.double()
    area = scales.sort(dim=1).values[:, 1:].prod(dim=1)
    weight = splats.opacities.double() * area
    share = weight / total(weight).clamp_min(1e-300)[groups]
    mean = total(share[:, None] * splats.means.double())
    axes = quaternion_to_rotation_matrix(torch.nn.functional.normalize(splats.quats.double(), dim=1))
    axes = axes * scales[:, None]
    apart = (splats.means.double() - mean[groups])[..., None]
    spread, turn = torch.linalg.eigh(total(share[:, None, None] * (axes @ axes.mT + apart @ apart.mT)))
    deviation = spread.clamp_min(0.0).sqrt()
    deviation = torch.maximum(deviation, THINNEST * deviation[:, 2:]).clamp_min(1e-12)
    opacity = total(weight) / deviation[:, 1:].prod(dim=1)
    wider = (opacity / SOLIDEST).clamp_min(1.0).sqrt()
    deviation[:, 1:] *= wider[:, None]
    turn = turn * torch.linalg.det(turn).sign()[:, None, None]
    merged = Gaussians(
        means=mean.float(),
        quats=rotation_matrix_to_quaternion(turn).float(),
        log_scales=deviation.log().float(),
        logit_opacities=torch.logit(opacity.clamp(max=SOLIDEST)).float(),
        sh=total(share[:, None, None] * splats.sh.double()).float(),
    )
    return _with_lone(merged, splats, groups)


def _with_lone(merged: Gaussians, splats: Gaussians, groups: Tensor) -> Gaussians:
    """Bit for bit what was alone in its group."""
    alone = (torch.bincount(groups, minlength=len(merged))[groups] == 1).nonzero()[:, 0]
    for name in ("means", "quats", "log_scales", "logit_opacities", "sh"):
        getattr(merged, name)[groups[alone]] = getattr(splats, name).detach()[alone]
    return merged
