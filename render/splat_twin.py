"""Splats in plain torch: EWA projection and compositing as the kernels and gsplat compute them.

Room: render (ground floor). Imports cameras and gaussians; ``render.splats`` chooses between this twin and
the kernels. Differentiable, any precision, any device; for tests, tiny scenes and what no kernel does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from kornia.geometry.conversions import quaternion_to_rotation_matrix
from torch import Tensor

from render.cameras import Cameras, pixel_centres
from render.gaussians import SH_C0, Gaussians

NEAR_PLANE, FAR_PLANE = 0.01, 1e10
"""Z-depths between which a Gaussian's centre must lie to be seen."""

BLUR = 0.3
"""Variance in square pixels added to every splat, so that none falls between pixels."""

MIN_ALPHA, MAX_ALPHA = 1.0 / 255.0, 0.999
"""Fainter contributions are dropped, stronger ones are clamped."""

MIN_TRANSMITTANCE = 1e-4
"""A pixel is full when less light than this would pass the next splat."""

FRUSTUM_SLACK = 0.3
"""Share of the half field of view by which the frustum is widened before projection is linearised."""

BLOCK = 16
"""Pixels along a side of the squares that the twin composites at a time."""


def sh_basis(directions: Float[Tensor, "g 3"], coefficients: int) -> Float[Tensor, "g k"]:
    """The first 1, 4, 9 or 16 spherical harmonics along unit ``directions``, in the order of splat files."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z

    def c(numerator: int, denominator: int) -> float:
        return math.sqrt(numerator / (denominator * math.pi))

    basis = [torch.full_like(x, SH_C0)]
    if coefficients > 1:
        basis += [-c(3, 4) * y, c(3, 4) * z, -c(3, 4) * x]
    if coefficients > 4:
        basis += [c(15, 4) * x * y, -c(15, 4) * y * z, c(5, 16) * (2 * zz - xx - yy)]
        basis += [-c(15, 4) * x * z, c(15, 16) * (xx - yy)]
    if coefficients > 9:
        basis += [-c(35, 32) * y * (3 * xx - yy), c(105, 4) * x * y * z, -c(21, 32) * y * (4 * zz - xx - yy)]
        basis += [c(7, 16) * z * (2 * zz - 3 * xx - 3 * yy), -c(21, 32) * x * (4 * zz - xx - yy)]
        basis += [c(105, 16) * z * (xx - yy), -c(35, 32) * x * (xx - 3 * yy)]
    return torch.stack(basis, dim=-1)


def sh_colours(sh: Float[Tensor, "g k 3"], directions: Float[Tensor, "g 3"]) -> Float[Tensor, "g 3"]:
    """Colours that spherical harmonics show along unit ``directions`` from the camera; not negative."""
    return ((sh_basis(directions, sh.shape[1])[..., None] * sh).sum(dim=1) + 0.5).clamp(min=0.0)


def _colours_from(gaussians: Gaussians, origin: Float[Tensor, " 3"]) -> Float[Tensor, "g 3"]:
    """Colours of Gaussians as seen from ``origin``."""
    return sh_colours(gaussians.sh, torch.nn.functional.normalize(gaussians.means - origin, dim=-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenSplats:
    """The Gaussians that one camera can see, nearest first."""

    ids: Int[Tensor, " v"]
    """Which Gaussians they are."""

    uv: Float[Tensor, "v 2"]
    """Centres in pixels."""

    conics: Float[Tensor, "v 3"]
    """Inverse of the blurred screen covariance (a, b, c), so that sigma = (a dx^2 + c dy^2) / 2 + b dx dy."""

    depth: Float[Tensor, " v"]
    opacities: Float[Tensor, " v"]

    reach: Float[Tensor, "v 2"]
    """How far from the centre, in pixels, alpha falls to ``MIN_ALPHA``."""

    def __getitem__(self, index: Tensor) -> ScreenSplats:
        return ScreenSplats(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def projected(gaussians: Gaussians, cameras: Cameras, *, view: int) -> ScreenSplats:
    """Project Gaussians into one of the cameras; EWA splatting, in torch."""
    w2c, K = cameras.w2c[view], cameras.K[view]
    points = gaussians.means @ w2c[:3, :3].mT + w2c[:3, 3]
    is_ahead = (points[:, 2] > NEAR_PLANE) & (points[:, 2] < FAR_PLANE)
    ids = (is_ahead & (gaussians.opacities > MIN_ALPHA)).nonzero()[:, 0]
    ids = ids[points[ids, 2].argsort(stable=True)]
    x, y, z = points[ids].unbind(-1)
    seen = gaussians[ids]

    size = torch.tensor([cameras.width, cameras.height]).to(K)
    focal, centre = torch.stack([K[0, 0], K[1, 1]]), K[:2, 2]
    slack = FRUSTUM_SLACK * 0.5 * size / focal
    tangents = torch.stack([x, y], dim=-1) / z[:, None]
    t = tangents.clamp(min=-centre / focal - slack, max=(size - centre) / focal + slack)
    zero, (fx, fy) = torch.zeros_like(z), (focal / z[:, None]).unbind(-1)
    jacobian = torch.stack([fx, zero, -fx * t[:, 0], zero, fy, -fy * t[:, 1]], dim=-1).reshape(-1, 2, 3)

    half = jacobian @ w2c[:3, :3] @ quaternion_to_rotation_matrix(seen.quats) * seen.scales[:, None]
    covariance = half @ half.mT + BLUR * torch.eye(2).to(K)
    uu, uv, vv = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    det = uu * vv - uv * uv
    level = 2 * (seen.opacities / MIN_ALPHA).log()
    return ScreenSplats(
        ids=ids,
        uv=tangents * focal + centre,
        conics=torch.stack([vv, -uv, uu], dim=-1) / det[:, None],
        depth=z,
        opacities=seen.opacities,
        reach=(level[:, None] * torch.stack([uu, vv], dim=-1)).sqrt(),
    )


def alphas(splats: ScreenSplats, uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p v"]:
    """How opaque each splat is at pixel centres ``uv``; 0 where it is too faint to count."""
    dx, dy = (uv[:, None] - splats.uv).unbind(-1)
    a, b, c = splats.conics.unbind(-1)
    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = (splats.opacities * torch.exp(-sigma)).clamp(max=MAX_ALPHA)
    return torch.where(alpha >= MIN_ALPHA, alpha, 0.0)


def composited(
    splats: ScreenSplats, values: Float[Tensor, "v d"], *, uv: Float[Tensor, "p 2"]
) -> tuple[Float[Tensor, "p d"], Float[Tensor, "p 1"]]:
    """Values blended front to back at pixel centres ``uv``, not divided by alpha; and alpha."""
    alpha = alphas(splats, uv)
    after = torch.cumprod(1.0 - alpha, dim=-1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], dim=-1)
    weights = torch.where(after > MIN_TRANSMITTANCE, before * alpha, 0.0)
    return weights @ values, weights.sum(dim=-1, keepdim=True)


def twin_layers(gaussians: Gaussians, cameras: Cameras) -> Float[Tensor, "n h w 5"]:
    """Colour and depth times weight, over black, and alpha."""

    def layers(view: int) -> Float[Tensor, "h w 5"]:
        splats = projected(gaussians, cameras, view=view)
        colours = _colours_from(gaussians, cameras.origins[view])[splats.ids]
        values = torch.cat([colours, splats.depth[:, None]], dim=-1)

        def block(near: Bool[Tensor, " v"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p 5"]:
            return torch.cat(composited(splats[near], values[near], uv=uv), dim=-1)

        return _in_blocks(splats, cameras, block)

    return torch.stack([layers(view) for view in range(len(cameras))])


def twin_fronts(gaussians: Gaussians, cameras: Cameras) -> Int[Tensor, "n h w"]:
    """Per pixel, the Gaussian at which less than half of the light passes on; -1 where more passes all."""

    def fronts(view: int) -> Int[Tensor, "h w 1"]:
        splats = projected(gaussians, cameras, view=view)

        def block(near: Bool[Tensor, " v"], uv: Float[Tensor, "p 2"]) -> Int[Tensor, "p 1"]:
            ids = torch.cat([splats.ids[near], splats.ids.new_full((1,), -1)])
            passed = (torch.cumprod(1.0 - alphas(splats[near], uv), dim=-1) >= 0.5).sum(dim=-1)
            return ids[passed][:, None]

        return _in_blocks(splats, cameras, block)

    with torch.no_grad():
        return torch.stack([fronts(view)[..., 0] for view in range(len(cameras))])


def _in_blocks(splats: ScreenSplats, cameras: Cameras, of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """A picture ``[h w d]`` of what ``of`` says of every block, given who reaches it and its pixels."""
    strips = []
    for rows in pixel_centres(cameras)[..., :2].split(BLOCK, dim=0):
        blocks = []
        for uv in rows.split(BLOCK, dim=1):
            lo, hi = uv[0, 0], uv[-1, -1]
            near = ((splats.uv + splats.reach >= lo) & (splats.uv - splats.reach <= hi)).all(dim=-1)
            blocks.append(of(near, uv.reshape(-1, 2)).reshape(*uv.shape[:2], -1))
        strips.append(torch.cat(blocks, dim=1))
    return torch.cat(strips)
