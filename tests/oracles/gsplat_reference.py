"""gsplat's own torch code, as far as it runs on a CPU: the one place that reaches for its private names.

Projection, harmonics and ``accumulate``, the blending, are gsplat's. Its rasteriser gets the pairs of pixels
and splats from a CUDA kernel; :func:`pairs` lists them instead. ``accumulate`` takes two scans along rays
from nerfacc, which compiles for CUDA alone; :func:`_weights` and :func:`_sums` are the same in torch.
"""

import sys
from types import SimpleNamespace
from unittest.mock import patch

import torch
from gsplat.cuda._torch_impl import (
    _fully_fused_projection,
    _quat_scale_to_covar_preci,
    _spherical_harmonics,
    accumulate,
)
from torch import Tensor

from render.cameras import Cameras, pixel_centres
from render.gaussians import Gaussians
from render.splat_twin import BLOCK, MIN_TRANSMITTANCE, alphas
from render.splat_twin import projected as twin_projected


def projected(gaussians: Gaussians, cameras: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """Pixel positions [n g 2], z-depths [n g] and conics [n g 3] of all Gaussians in all cameras."""
    covariances, _ = _quat_scale_to_covar_preci(gaussians.quats, gaussians.scales, compute_preci=False)
    _, uv, depth, conics, _ = _fully_fused_projection(
        gaussians.means,
        covariances,
        torch.linalg.inv(cameras.c2w),
        cameras.K,
        cameras.width,
        cameras.height,
    )
    return uv, depth, conics


def sh_colours(sh: Tensor, directions: Tensor) -> Tensor:
    """Colours [g 3] of spherical harmonics [g k 3] along directions [g 3]."""
    degree = {1: 0, 4: 1, 9: 2, 16: 3}[sh.shape[1]]
    return (_spherical_harmonics(degree, directions, sh) + 0.5).clamp(min=0.0)


@torch.no_grad()
def pairs(gaussians: Gaussians, cameras: Cameras) -> tuple[Tensor, Tensor]:
    """Which Gaussians add to which pixels of the first camera: numbers of both, by pixel, nearest first."""
    splats, width = twin_projected(gaussians, cameras, view=0), cameras.width
    ids, pixels = [splats.ids[:0]], [splats.ids[:0]]
    for rows in pixel_centres(cameras)[..., :2].split(BLOCK, dim=0):
        for uv in rows.split(BLOCK, dim=1):
            lo, hi, flat = uv[0, 0], uv[-1, -1], uv.reshape(-1, 2)
            near = ((splats.uv + splats.reach >= lo) & (splats.uv - splats.reach <= hi)).all(dim=-1)
            alpha = alphas(splats[near], flat)
            adds = (alpha > 0) & (torch.cumprod(1.0 - alpha, dim=-1) > MIN_TRANSMITTANCE)
            pixel, splat = adds.nonzero().unbind(-1)
            ids.append(splats.ids[near][splat])
            pixels.append((flat[pixel, 1].long() * width) + flat[pixel, 0].long())
    return torch.cat(ids), torch.cat(pixels)


def layers(gaussians: Gaussians, cameras: Cameras, listed: tuple[Tensor, Tensor]) -> Tensor:
    """Colour and depth times weight, over black, and alpha [h w 5] of the first camera, given its pairs."""
    uv, depth, conics = projected(gaussians, cameras[:1])
    colours = sh_colours(gaussians.sh, gaussians.means - cameras.origins[0])
    values = torch.cat([colours, depth[0][:, None]], dim=-1)
    ids, pixels = listed
    scans = SimpleNamespace(render_weight_from_alpha=_weights, accumulate_along_rays=_sums)
    with patch.dict(sys.modules, {"nerfacc": scans}):
        blend, alpha = accumulate(
            uv,
            conics,
            gaussians.opacities[None],
            values[None],
            ids,
            pixels,
            torch.zeros_like(ids),
            cameras.width,
            cameras.height,
        )
    return torch.cat([blend, alpha], dim=-1)[0]


def _weights(alpha: Tensor, *, ray_indices: Tensor, n_rays: int) -> tuple[Tensor, Tensor]:
    """Weight of every sample on its ray, and the light that reaches it; samples of a ray stand together."""
    dimmed = torch.log1p(-alpha.double())
    before = dimmed.cumsum(0) - dimmed
    counts = torch.bincount(ray_indices, minlength=n_rays)
    is_first = torch.ones_like(ray_indices, dtype=torch.bool)
    is_first[1:] = ray_indices[1:] != ray_indices[:-1]
    runs = counts[ray_indices[is_first]]
    light = (before - before[is_first].repeat_interleave(runs)).exp().to(alpha)
    return light * alpha, light


def _sums(weights: Tensor, values: Tensor | None, *, ray_indices: Tensor, n_rays: int) -> Tensor:
    """Sum along every ray of values times weights, or of the weights."""
    source = weights[:, None] if values is None else weights[:, None] * values
    return source.new_zeros(n_rays, source.shape[1]).index_add(0, ray_indices, source)
