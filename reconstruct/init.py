"""Init: the first splats of a world, straight from what was seen (algorithms, section 12.5).

Room: reconstruct; the viewer and the command line may import this. One flat splat a point, as wide
as the pixel that saw it; nothing is optimised here.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from memory.points import Points
from render.cameras import unproject
from render.frames import Frames
from render.gaussians import Gaussians, sh_from_rgb
from render.geometry import normals

SPREAD = 0.6
"""Standard deviation of a splat in pixels of its source camera. At 0.5 that camera's picture gains
1.3 dB, but one with four times the pixels loses 3 dB to the gaps between splats (procedural worlds)."""

FLATNESS = 0.1
"""Thickness of a splat over its width."""

OPACITY_FLOOR, OPACITY_RANGE = 0.5, 0.4
"""Opacity of what is not trusted at all, and what full trust adds."""


def gaussians_from_frames(frames: Frames) -> Gaussians:
    """One splat for every pixel that lies on a surface.

    Pixels without a neighbour at their depth are left out: they float between two surfaces. Those
    beside an edge stay, unlike in the world cache: here no other view would close the gap.
    """
    depth = frames.depth.masked_fill(~frames.valid, 0.0)
    position = unproject(depth, frames.cameras)
    origin = frames.cameras.origins[:, None, None].expand_as(position)
    normal = normals(depth, frames.cameras, valid=frames.valid)
    focal = (frames.cameras.K[:, 0, 0] * frames.cameras.K[:, 1, 1]).sqrt()
    kept = (normal != 0).any(dim=-1)
    points = Points(
        positions=position[kept],
        rgb=frames.rgb[kept],
        normals=normal[kept],
        confidence=frames.confidence[..., 0][kept],
        footprint=(depth[..., 0] / focal[:, None, None])[kept],
        source=torch.nonzero(kept)[:, 0],
    )
    return gaussians_from_points(points, seen_from=origin[kept])


def gaussians_from_points(points: Points, *, seen_from: Float[Tensor, "p 3"] | None = None) -> Gaussians:
    """One flat splat a point, lying in the surface.

    A pixel covers more of a surface that turns away from it, so a splat grows along the slope, up to
    five times. Points forget where that pixel was: without ``seen_from`` each counts as seen head-on.

    Args:
        points: What was seen.
        seen_from: Centre of the camera that brought each point, world units.
    """
    towards = points.normals if seen_from is None else normalize(seen_from - points.positions, dim=1)
    quats = quats_from_normals(points.normals)
    slope = _rotated_back(towards, quats)
    cosine = slope[:, 2].abs()
    turn = 0.5 * torch.atan2(slope[:, 1], slope[:, 0])  # any angle will do head-on, where the splat is round
    zero = torch.zeros_like(turn)
    width = SPREAD * points.footprint
    return Gaussians(
        means=points.positions,
        quats=_product(quats, torch.stack([turn.cos(), zero, zero, turn.sin()], dim=1)),
        log_scales=torch.stack([width / (0.2 + 0.8 * cosine), width, FLATNESS * width], dim=1).log(),
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
