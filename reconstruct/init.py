"""Init: the first splats of a world, straight from what was seen (algorithms, section 12.5).

Room: reconstruct; the viewer and the command line may import this. One flat splat a point, as wide
as the pixel that saw it; nothing is optimised here.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from memory.points import Points
from render.cameras import unproject
from render.frames import Frames
from render.gaussians import Gaussians, sh_from_rgb
from render.geometry import normals, patch_axes

SPREAD = 0.6
"""Standard deviation of a splat in pixels of its source camera. At 0.5 that camera's picture gains
1.3 dB, but one with four times the pixels loses 3 dB to the gaps between splats (procedural worlds)."""

FLATNESS = 0.1
"""Thickness of a splat over its width."""

OPACITY_FLOOR, OPACITY_RANGE = 0.8, 0.1
"""Opacity of what is not trusted at all, and what full trust adds. With a floor of 0.5 the alpha of a wall
that was imagined is 0.85 where the picture has three times the pixels of a frame: too dark, but for bright
lines where two frames meet. Fits end equal."""


def gaussians_from_frames(frames: Frames) -> Gaussians:
    """One splat for every pixel that lies on a surface.

    Pixels without a neighbour at their depth are left out: they float between two surfaces. Those
    beside an edge stay, unlike in the world cache: here no other view would close the gap.
    """
    depth = frames.depth.masked_fill(~frames.valid, 0.0)
    position = unproject(depth, frames.cameras)
    normal = normals(depth, frames.cameras, valid=frames.valid)
    kept = (normal != 0).any(dim=-1)
    points = Points(
        positions=position[kept],
        rgb=frames.rgb[kept],
        normals=normal[kept],
        confidence=frames.confidence[..., 0][kept],
        axes=patch_axes(position, normal, depth, frames.cameras)[kept],
        source=torch.nonzero(kept)[:, 0],
    )
    return gaussians_from_points(points)


def gaussians_from_points(points: Points) -> Gaussians:
    """One flat splat a point that anything is claimed of (confidence above 0), lying in the surface.

    Its spread along the surface is that of the patch which the point stands for.
    """
    points = points[points.confidence > 0]
    quats = quats_from_normals(points.normals)
    sides = torch.stack([_rotated_back(points.axes[:, k], quats)[:, :2] for k in range(2)], dim=2)
    xx, xy, yy = ((sides[:, i] * sides[:, j]).sum(dim=1) for i, j in ((0, 0), (0, 1), (1, 1)))
    middle, gap = 0.5 * (xx + yy), torch.hypot(0.5 * (xx - yy), xy)
    long, short = (middle + gap).sqrt(), (middle - gap).clamp_min(1e-4 * (middle + gap)).sqrt()
    turn = 0.5 * torch.atan2(2.0 * xy, xx - yy)  # any angle will do head-on, where the splat is round
    half = 0.5 * turn
    zero = torch.zeros_like(half)
    return Gaussians(
        means=points.positions,
        quats=_product(quats, torch.stack([half.cos(), zero, zero, half.sin()], dim=1)),
        log_scales=(2.0 * SPREAD * torch.stack([long, short, FLATNESS * short], dim=1)).log(),
        logit_opacities=torch.logit(OPACITY_FLOOR + OPACITY_RANGE * points.confidence),
        sh=sh_from_rgb(points.rgb),
    )


def quats_from_normals(normals: Float[Tensor, "p 3"]) -> Float[Tensor, "p 4"]:
    """The shortest turn that takes +z to each unit normal, wxyz.

    Continuous everywhere but at -z, where every half turn is as short and the one about x is taken
    (no field of tangents on a sphere does without such a point). Towards -z, 1 + z would cancel, so
    the lower half of the sphere writes it as sine^2 / (1 - z).
    """
    x, y, z = normals.unbind(dim=1)
    w = torch.where(z > 0, 1 + z.abs(), (x * x + y * y) / (1 + z.abs()))
    quats = torch.stack([w, -y, x, torch.zeros_like(w)], dim=1)
    length = quats.norm(dim=1, keepdim=True)
    about_x = torch.tensor([0.0, 1.0, 0.0, 0.0]).to(quats)
    return torch.where(length > 1e-12, quats / length, about_x)


def _product(a: Float[Tensor, "p 4"], b: Float[Tensor, "p 4"]) -> Float[Tensor, "p 4"]:
    """Quaternions that turn by ``b`` first, then by ``a``."""
    a_w, a_xyz, b_w, b_xyz = a[:, :1], a[:, 1:], b[:, :1], b[:, 1:]
    w = a_w * b_w - (a_xyz * b_xyz).sum(dim=1, keepdim=True)
    return torch.cat([w, a_w * b_xyz + b_w * a_xyz + torch.cross(a_xyz, b_xyz, dim=1)], dim=1)


def _rotated_back(vectors: Float[Tensor, "p 3"], quats: Float[Tensor, "p 4"]) -> Float[Tensor, "p 3"]:
    """Vectors in the axes that ``quats`` turn into the world's."""
    w, xyz = quats[:, :1], -quats[:, 1:]
    twice = 2 * torch.cross(xyz, vectors, dim=1)
    return vectors + w * twice + torch.cross(xyz, twice, dim=1)
