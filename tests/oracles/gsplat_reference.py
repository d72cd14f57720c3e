"""gsplat's own torch code, which runs on a CPU: the one place that reaches for its private names."""

import torch
from gsplat.cuda._torch_impl import (
    _fully_fused_projection,
    _quat_scale_to_covar_preci,
    _spherical_harmonics,
)
from torch import Tensor

from render.cameras import Cameras
from render.gaussians import Gaussians


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
