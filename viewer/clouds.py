"""Clouds: splats in the form that viser draws, wide enough to be drawn at all.

Room: viewer; the layers and the growth thread import this. Everything lives on the CPU.
Viser skips a splat when opacity * det(cov2d + 0.3 px^2 I) < 0.25 px^4, so a splat about a pixel wide or
less is not thinned but gone. Splats are therefore widened to be seen from some ``reach``, and the reach
follows the visitors: short while they walk inside the world, long when they look at it from afar.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, UInt8
from torch import Tensor
from viser.transforms import SO3

from reconstruct.levels import SOLIDEST, neighbours
from render.gaussians import Gaussians

SKIP_BELOW, BLUR = 0.25, 0.3
"""Viser's test for splats that are too small, in px^4, and the blur it adds, in px^2."""

FOCAL_PX = 750.0
"""Of the window that is planned for: 700 pixels high, 50 degrees from top to bottom."""

HALF_FLOAT_MARGIN = 1.01
"""Covariances travel as 16-bit floats."""

LEAST_OPACITY = 0.02
"""Anything fainter may vanish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Splats as viser takes them."""

    centers: Float32[np.ndarray, "g 3"]
    """World units."""

    covariances: Float32[np.ndarray, "g 3 3"]
    """World units squared."""

    rgbs: UInt8[np.ndarray, "g 3"]
    opacities: UInt8[np.ndarray, "g 1"]

    normals: Float32[np.ndarray, "g 3"]
    """Unit length, across the flat side of the splat."""

    confidence: Float32[np.ndarray, " g"]
    """Trust in [0, 1]; 1 for what was measured or placed."""

    def __len__(self) -> int:
        return len(self.centers)

    def __getitem__(self, index: slice | np.ndarray) -> Cloud:
        return Cloud(
            centers=self.centers[index],
            covariances=self.covariances[index],
            rgbs=self.rgbs[index],
            opacities=self.opacities[index],
            normals=self.normals[index],
            confidence=self.confidence[index],
        )


class Sent(TypedDict):
    """What viser's splats are made and changed with."""

    centers: Float32[np.ndarray, "g 3"]
    covariances: Float32[np.ndarray, "g 3 3"]
    rgbs: UInt8[np.ndarray, "g 3"]
    opacities: UInt8[np.ndarray, "g 1"]


def cloud_from_gaussians(gaussians: Gaussians, confidence: Float[Tensor, " g"] | None = None) -> Cloud:
    """What viser draws of ``gaussians``. View-dependent colour is lost; without confidence it is 1."""
    scales = gaussians.scales.detach().cpu().numpy()
    turns = SO3(gaussians.quats.detach().cpu().numpy()).as_matrix()
    axes = turns * scales[:, None, :]
    trust = torch.ones(len(gaussians)) if confidence is None else confidence
    return Cloud(
        centers=gaussians.means.detach().cpu().float().numpy(),
        covariances=(axes @ axes.transpose(0, 2, 1)).astype(np.float32),
        rgbs=(gaussians.base_rgb.detach().cpu() * 255).round().to(torch.uint8).numpy(),
        opacities=(gaussians.opacities.detach().cpu() * 255).round().to(torch.uint8).numpy()[:, None],
        normals=gaussians.normals.detach().cpu().float().numpy(),
        confidence=trust.detach().cpu().float().numpy(),
    )


def covariances_seen_from(cloud: Cloud, *, reach: float) -> Float32[np.ndarray, "g 3 3"]:
    """Covariances widened so that every splat is drawn from ``reach`` world units away.

    A round splat of s pixels passes viser's test when opacity * (s^2 + BLUR)^2 >= SKIP_BELOW. With s^2
    added along every axis, a splat of any shape passes it from any side.
    """
    opacity = np.maximum(cloud.opacities[:, 0] / 255.0, LEAST_OPACITY)
    least_px2 = np.maximum(np.sqrt(SKIP_BELOW / opacity) - BLUR, 0.0)
    added = HALF_FLOAT_MARGIN * least_px2 * (reach / FOCAL_PX) ** 2
    return (cloud.covariances + added[:, None, None] * np.eye(3)).astype(np.float32)


def pixel_unit(reach: float) -> float:
    """World units of what is sent: a few pixels at ``reach``."""
    return 8 * reach / FOCAL_PX


def as_sent(cloud: Cloud, rgbs: UInt8[np.ndarray, "g 3"], *, reach: float, unit: float | None = None) -> Sent:
    """What viser is sent to draw of a cloud from up to ``reach`` world units away, in units of ``unit``.

    Covariances travel as 16-bit floats: in units of a few pixels they keep their digits.
    """
    unit = pixel_unit(reach) if unit is None else unit
    covariances = covariances_seen_from(cloud, reach=reach)
    return {
        "centers": cloud.centers / np.float32(unit),
        "covariances": (covariances / np.float32(unit**2)).clip(-6e4, 6e4),
        "rgbs": rgbs,
        "opacities": cloud.opacities,
    }


def reach_needed(
    places: Float[np.ndarray, "n 3"], *, low: Float[np.ndarray, " 3"], high: Float[np.ndarray, " 3"]
) -> float:
    """How far the farthest visitor is from a box around the world, and once more as the view widens."""
    outside = np.linalg.norm(np.maximum(np.maximum(low - places, places - high), 0.0), axis=1)
    return float((outside + np.minimum(outside, np.linalg.norm(high - low))).max())


def next_reach(reach: float, *, needed: float, least: float) -> float:
    """``least`` times a power of two that covers ``needed``; shrinks only when it is far too long."""
    if 0.25 * reach <= needed <= reach or needed <= reach == least:
        return reach
    return least * 2.0 ** max(0, math.ceil(math.log2(max(needed, least) / least)))


def concatenated(clouds: list[Cloud]) -> Cloud:
    """Several clouds as one, in order."""
    return Cloud(
        centers=np.concatenate([cloud.centers for cloud in clouds]),
        covariances=np.concatenate([cloud.covariances for cloud in clouds]),
        rgbs=np.concatenate([cloud.rgbs for cloud in clouds]),
        opacities=np.concatenate([cloud.opacities for cloud in clouds]),
        normals=np.concatenate([cloud.normals for cloud in clouds]),
        confidence=np.concatenate([cloud.confidence for cloud in clouds]),
    )


def packed(clouds: list[Cloud], *, least: int) -> list[Cloud]:
    """The same splats in clouds of at least ``least``, but for the last; empty ones are dropped."""
    done: list[Cloud] = []
    waiting: list[Cloud] = []
    for cloud in clouds:
        waiting += [cloud] if len(cloud) else []
        if sum(map(len, waiting)) >= least:
            done.append(concatenated(waiting))
            waiting = []
    return [*done, concatenated(waiting)] if waiting else done


def thinned(cloud: Cloud, *, one_in: int) -> Cloud:
    """One splat for so many neighbours of like colour, with the moments of all of them.

    As ``reconstruct.levels`` merges, but what a splat covers is told by its covariance alone.
    """
    if one_in == 1 or not len(cloud):
        return cloud
    count = max(1, len(cloud) // one_in)
    groups = neighbours(cloud.centers, cloud.rgbs / 255.0, count=count)

    def total(values: Float[np.ndarray, "g k"]) -> Float64[np.ndarray, "m k"]:
        columns = [np.bincount(groups, weights=column, minlength=count) for column in values.T]
        return np.stack(columns, axis=1)

    covered = np.maximum(cloud.opacities[:, 0] / 255.0 * _area(cloud.covariances), 1e-30)
    whole = total(covered[:, None])
    share = covered[:, None] / whole[groups]
    centers = total(share * cloud.centers)
    apart = cloud.centers - centers[groups]
    spread = cloud.covariances + apart[:, :, None] * apart[:, None, :]
    covariances = total(share * spread.reshape(-1, 9)).reshape(-1, 3, 3)
    opacity = whole[:, 0] / np.maximum(_area(covariances), 1e-30)
    covariances *= np.maximum(opacity / SOLIDEST, 1.0)[:, None, None]
    most = np.lexsort((covered, groups))[np.bincount(groups, minlength=count).cumsum() - 1]
    return Cloud(
        centers=centers.astype(np.float32),
        covariances=covariances.astype(np.float32),
        rgbs=total(share * cloud.rgbs).round().astype(np.uint8),
        opacities=(255.0 * opacity.clip(LEAST_OPACITY, SOLIDEST)).round().astype(np.uint8)[:, None],
        normals=cloud.normals[most],
        confidence=total(share * cloud.confidence[:, None])[:, 0].astype(np.float32),
    )


def _area(covariances: Float[np.ndarray, "g 3 3"]) -> Float64[np.ndarray, " g"]:
    """Product of the two larger deviations, but for how thick a splat is: from the principal minors."""
    c = covariances.astype(np.float64)
    minors = sum(c[:, i, i] * c[:, j, j] - c[:, i, j] ** 2 for i, j in ((0, 1), (0, 2), (1, 2)))
    return np.sqrt(np.maximum(minors, 0.0))
