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
    group = torch.from_numpy(_groups(splats, most)).to(splats.means.device)
    return _merged(splats, group, most)


def _check(count: int) -> None:
    if count < 1:
        raise ValueError(f"at least one splat is to stay, got {count}")


def _groups(splats: Gaussians, count: int) -> Int64[np.ndarray, " g"]:
    """Group of every splat, 0 to ``count`` - 1: all nearly as large, each of neighbours of like colour."""
    means = splats.means.detach().cpu().double().numpy()
    side = max(float((means.max(axis=0) - means.min(axis=0)).max()), 1e-12)
    features = np.concatenate(
        [means / side, COLOURFUL * splats.base_rgb.detach().cpu().double().numpy()], axis=1
    )
    order, starts, quotas = np.arange(len(means)), np.array([0]), np.array([count])
    while (quotas > 1).any():
        ends = np.append(starts[1:], len(order))
        sizes, values = ends - starts, features[order]
        widest = np.maximum.reduceat(values, starts) - np.minimum.reduceat(values, starts)
        part = np.repeat(np.arange(len(starts)), sizes)
        keys = np.take_along_axis(values, widest.argmax(axis=1)[part][:, None], axis=1)[:, 0]
        order = order[np.lexsort((order, keys, part))]
        # Each part is cut where its groups are halved, so that groups stay equally large.
        left = quotas // 2
        cuts = starts + np.round(sizes * left / quotas).astype(np.int64)
        cut = quotas > 1
        starts = np.concatenate([starts, cuts[cut]])
        quotas = np.concatenate([np.where(cut, quotas - left, quotas), left[cut]])
        # The right half keeps its number, the left one is what lies before the cut.
        starts[: len(cut)][cut], starts[len(cut) :] = cuts[cut], starts[: len(cut)][cut]
        sorting = starts.argsort(kind="stable")
        starts, quotas = starts[sorting], quotas[sorting]
    group = np.empty(len(order), np.int64)
    group[order] = np.repeat(np.arange(count), np.diff(np.append(starts, len(order))))
    return group


def _merged(splats: Gaussians, group: Tensor, count: int) -> Gaussians:
    """One splat a group, with the moments of all in it; alone, a splat stays as it is."""

    def total(values: Float[Tensor, "g ..."]) -> Float[Tensor, "m ..."]:
        return values.new_zeros(count, *values.shape[1:]).index_add_(0, group, values)

    scales = splats.scales.double()
    area = scales.sort(dim=1).values[:, 1:].prod(dim=1)
    weight = splats.opacities.double() * area
    share = weight / total(weight).clamp_min(1e-300)[group]
    mean = total(share[:, None] * splats.means.double())
    axes = quaternion_to_rotation_matrix(torch.nn.functional.normalize(splats.quats.double(), dim=1))
    axes = axes * scales[:, None]
    apart = (splats.means.double() - mean[group])[..., None]
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
    return _with_lone(merged, splats, group)


def _with_lone(merged: Gaussians, splats: Gaussians, group: Tensor) -> Gaussians:
    """Bit for bit what was alone in its group."""
    alone = (torch.bincount(group, minlength=len(merged))[group] == 1).nonzero()[:, 0]
    for name in ("means", "quats", "log_scales", "logit_opacities", "sh"):
        getattr(merged, name)[group[alone]] = getattr(splats, name).detach()[alone]
    return merged
