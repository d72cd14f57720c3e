"""Attention between frames through relative cameras: PRoPE, and two others to compare it with.

Room: worldgen. Keys and values are kept raw and transformed when they are read, relative to the
camera that asks, so a change of world origin changes nothing (algorithms A3.3 and A3.4, after
"Cameras as Relative Positional Encoding", Li et al. 2025; CaPE after EscherNet, Kong et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from render.cameras import Cameras

ROPE_BASE = 100.0
REFERENCE_GRID = 16.0
"""Rotary positions are given in units of a 16 x 16 token grid, whatever the grid is."""

MAX_DISTANCE = 20.0
"""Relative camera positions are clamped to this many scene units (A3.5)."""

CameraCode = Literal["prope", "cape", "absolute"]
"""How attention learns of cameras. "prope": projections between frames, on queries, keys and values. "cape":
poses between frames, on queries and keys. "absolute": not at all; the pose of each frame in the world is
added to its tokens, once a frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Cameras as attention sees them: normalised intrinsics, positions in scene units."""

    w2c: Float[Tensor, "b f 4 4"]
    """World-to-camera; translation divided by the scale of the scene."""

    K_norm: Float[Tensor, "b f 4"]
    """fx / W, fy / H, cx / W - 0.5, cy / H - 0.5."""

    def __getitem__(self, index: slice | list[int]) -> Views:
        """A subset of the frames; the batch stays."""
        return Views(w2c=self.w2c[:, index], K_norm=self.K_norm[:, index])

    def to(self, device: torch.device) -> Views:
        """The same views on another device."""
        return Views(w2c=self.w2c.to(device), K_norm=self.K_norm.to(device))


def views_of(cameras: Cameras, *, scale: float) -> Views:
    """One clip of cameras, as a batch of one; ``scale`` is the scene's unit in world units."""
    w2c = cameras.w2c.clone()
    w2c[:, :3, 3] /= scale
    size = torch.tensor([cameras.width, cameras.height], dtype=cameras.K.dtype, device=cameras.K.device)
    focal = torch.stack([cameras.K[:, 0, 0], cameras.K[:, 1, 1]], dim=-1) / size
    centre = cameras.K[:, :2, 2] / size - 0.5
    return Views(w2c=w2c[None], K_norm=torch.cat([focal, centre], dim=-1)[None])


def joined(parts: list[Views]) -> Views:
    """Frames of several clips of one batch, one after the other."""
    return Views(
        w2c=torch.cat([part.w2c for part in parts], dim=1),
        K_norm=torch.cat([part.K_norm for part in parts], dim=1),
    )


def projections(
    views: Views, *, reference: Float[Tensor, "b 4 4"]
) -> tuple[Float[Tensor, "b f 4 4"], Float[Tensor, "b f 4 4"]]:
    """PRoPE matrices P = K E and their inverses, with E relative to the camera ``reference`` (w2c)."""
    w2c = views.w2c.double() @ torch.linalg.inv(reference.double())[:, None]
    rotation, translation = w2c[..., :3, :3], w2c[..., :3, 3]
    distance = translation.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    translation = translation * (MAX_DISTANCE / distance).clamp_max(1.0)
    fx, fy, cx, cy = views.K_norm.double().unbind(-1)
    lifted, inverse = _lifted(fx, fy, cx, cy)
    world_to_camera = _rigid(rotation, translation)
    camera_to_world = _rigid(rotation.mT, -(rotation.mT @ translation[..., None])[..., 0])
    return (lifted @ world_to_camera).float(), (camera_to_world @ inverse).float()


def _lifted(
    fx: Float[Tensor, "b f"], fy: Float[Tensor, "b f"], cx: Float[Tensor, "b f"], cy: Float[Tensor, "b f"]
) -> tuple[Float[Tensor, "b f 4 4"], Float[Tensor, "b f 4 4"]]:
    """Intrinsics as 4 x 4 matrices, and their closed-form inverses."""
    K = torch.eye(4, dtype=fx.dtype, device=fx.device).expand(*fx.shape, 4, 4).clone()
    inverse = K.clone()
    K[..., 0, 0], K[..., 1, 1], K[..., 0, 2], K[..., 1, 2] = fx, fy, cx, cy
    inverse[..., 0, 0], inverse[..., 1, 1] = 1.0 / fx, 1.0 / fy
    inverse[..., 0, 2], inverse[..., 1, 2] = -cx / fx, -cy / fy
    return K, inverse


def _rigid(
    rotation: Float[Tensor, "b f 3 3"], translation: Float[Tensor, "b f 3"]
) -> Float[Tensor, "b f 4 4"]:
    matrix = torch.eye(4, dtype=rotation.dtype, device=rotation.device).expand(*rotation.shape[:-2], 4, 4)
    matrix = matrix.clone()
    matrix[..., :3, :3], matrix[..., :3, 3] = rotation, translation
    return matrix


def rope(
    grid: tuple[int, int], *, channels: int, device: torch.device
) -> tuple[Float[Tensor, "s c"], Float[Tensor, "s c"]]:
    """Cosines and signed sines that rotate ``channels`` of a token by its row-major grid position.

    ``channels`` is a multiple of 4 and ``grid`` is (rows, columns). The first quarter of the channels
    pairs with the second (x), the third with the fourth (y).
    """
    pairs = channels // 4
    frequencies = ROPE_BASE ** (-torch.arange(pairs, device=device) / pairs)
    y, x = ((torch.arange(size, device=device) + 0.5) * (REFERENCE_GRID / size) for size in grid)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    x_angles, y_angles = (axis.flatten()[:, None] * frequencies for axis in (grid_x, grid_y))
    cos = torch.cat([x_angles.cos()] * 2 + [y_angles.cos()] * 2, dim=-1)
    sin = torch.cat([-x_angles.sin(), x_angles.sin(), -y_angles.sin(), y_angles.sin()], dim=-1)
    return cos, sin


def rotated(
    x: Float[Tensor, "b f s n c"], cos: Float[Tensor, "s c"], sin: Float[Tensor, "s c"]
) -> Float[Tensor, "b f s n c"]:
    """Rotate channel pairs by the angles of their tokens; negate ``sin`` to rotate back."""
    first, second, third, fourth = x.chunk(4, dim=-1)
    swapped = torch.cat([second, first, fourth, third], dim=-1)
    return x * cos[:, None].to(x.dtype) + swapped * sin[:, None].to(x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Everything that a frame's tokens need to meet tokens of other cameras."""

    into: Float[Tensor, "b f 4 4"]
    """P of each frame."""

    out_of: Float[Tensor, "b f 4 4"]
    """The inverse of P."""

    cos: Float[Tensor, "s c"]
    """Cosines of the tokens' rotary angles, for the second half of each head."""

    sin: Float[Tensor, "s c"]
    """Their signed sines; negated they rotate back."""

    moves_values: bool = True
    """Whether what is taken from a frame is brought from its camera to the one that asks."""


def codes_of(
    views: Views,
    *,
    reference: Float[Tensor, "b 4 4"],
    grid: tuple[int, int],
    head_width: int,
    cameras: CameraCode = "prope",
) -> Codes:
    """Camera matrices and rotary angles for frames on a ``grid`` (rows, columns) of tokens."""
    cos, sin = rope(grid, channels=head_width // 2, device=views.w2c.device)
    if cameras == "absolute":
        same = torch.eye(4, device=cos.device).expand(*views.w2c.shape)
        return Codes(into=same, out_of=same, cos=cos, sin=sin, moves_values=False)
    if cameras == "cape":
        plain = torch.tensor([1.0, 1.0, 0.0, 0.0], device=cos.device).expand(*views.K_norm.shape)
        views = Views(w2c=views.w2c, K_norm=plain)
    into, out_of = projections(views, reference=reference)
    return Codes(into=into, out_of=out_of, cos=cos, sin=sin, moves_values=cameras == "prope")


def applied(
    x: Float[Tensor, "b f s n c"],
    matrix: Float[Tensor, "b f 4 4"],
    *,
    cos: Float[Tensor, "s half"],
    sin: Float[Tensor, "s half"],
) -> Float[Tensor, "b f s n c"]:
    """Apply a camera matrix to the first half of each head and a rotation to the second half.

    The 4 x 4 matrix becomes one block-diagonal product, which matrix units like better than many
    small ones.
    """
    camera, plane = x.chunk(2, dim=-1)
    same_group = torch.eye(camera.shape[-1] // 4, device=x.device)
    tiled = torch.einsum("gh,bfij->bfgihj", same_group, matrix).flatten(4).flatten(2, 3)
    turned = camera.flatten(2, 3) @ tiled.mT.to(x.dtype)
    return torch.cat([turned.view(camera.shape), rotated(plane, cos, sin)], dim=-1)


def attend(
    q: Float[Tensor, "b s n c"], k: Float[Tensor, "b m n c"], v: Float[Tensor, "b m n c"]
) -> Float[Tensor, "b s n c"]:
    """Plain multi-head attention of ``s`` queries over ``m`` keys.

    Written out for training because, on a CPU, the gradients of two batched products and a softmax cost less
    than those of the fused kernel at a few hundred tokens; without gradients the fused kernel is up to three
    times faster.
    """
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    if not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    weights = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), dim=-1)
    return (weights.to(v.dtype) @ v).transpose(1, 2)
