"""Gaussians: a world as coloured, translucent ellipsoids.

Room: render (ground floor). Imports nothing of ours; every other room may import this.
Parameters are stored in the unconstrained space that optimisers and PLY files use.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from kornia.geometry.conversions import quaternion_to_rotation_matrix
from torch import Tensor

SH_C0 = 0.28209479177387814
"""Value of the constant spherical harmonic, 1 / (2 sqrt(pi))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussians:
    """A set of 3D Gaussian splats."""

    means: Float[Tensor, "g 3"]
    """Centres in world units."""

    quats: Float[Tensor, "g 4"]
    """Rotations, wxyz, unit length."""

    log_scales: Float[Tensor, "g 3"]
    """Natural logarithm of the standard deviations, in world units."""

    logit_opacities: Float[Tensor, " g"]
    """Logit of the opacity."""

    sh: Float[Tensor, "g k 3"]
    """Spherical-harmonic colour coefficients, k = (degree + 1)^2; ``sh[:, 0]`` is the base colour."""

    def __post_init__(self) -> None:
        if self.sh.shape[1] not in (1, 4, 9, 16):
            raise ValueError(f"sh holds 1, 4, 9 or 16 coefficients (degree 0 to 3), got {self.sh.shape[1]}")

    def __len__(self) -> int:
        return len(self.means)

    def __getitem__(self, index: slice | Tensor) -> Gaussians:
        return Gaussians(
            means=self.means[index],
            quats=self.quats[index],
            log_scales=self.log_scales[index],
            logit_opacities=self.logit_opacities[index],
            sh=self.sh[index],
        )

    def to(self, device: torch.device | str) -> Gaussians:
        """The same Gaussians with their tensors on ``device``."""
        return Gaussians(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    @property
    def scales(self) -> Float[Tensor, "g 3"]:
        """Standard deviations in world units."""
        return self.log_scales.exp()

    @property
    def opacities(self) -> Float[Tensor, " g"]:
        """Opacity in (0, 1)."""
        return self.logit_opacities.sigmoid()

    @property
    def normals(self) -> Float[Tensor, "g 3"]:
        """The shortest axis, a unit vector in the world; it may point to either side."""
        shortest = self.log_scales.argmin(dim=-1)
        axes = quaternion_to_rotation_matrix(self.quats)
        return axes.take_along_dim(shortest[:, None, None], dim=-1)[..., 0]

    @property
    def base_rgb(self) -> Float[Tensor, "g 3"]:
        """Colour without view dependence, clipped to [0, 1]."""
        return (self.sh[:, 0] * SH_C0 + 0.5).clamp(0.0, 1.0)


def sh_from_rgb(rgb: Float[Tensor, "g 3"]) -> Float[Tensor, "g 1 3"]:
    """Degree-0 coefficients of plain colours in [0, 1]."""
    return ((rgb - 0.5) / SH_C0)[:, None]


def concatenated(parts: list[Gaussians]) -> Gaussians:
    """Several sets as one; they must share one spherical-harmonic degree."""
    return Gaussians(
        means=torch.cat([part.means for part in parts]),
        quats=torch.cat([part.quats for part in parts]),
        log_scales=torch.cat([part.log_scales for part in parts]),
        logit_opacities=torch.cat([part.logit_opacities for part in parts]),
        sh=torch.cat([part.sh for part in parts]),
    )
