"""Squares: the central square of a picture, of its depth and of its camera, at the size that a model takes.

Room: render (ground floor). Imports cameras; every other room may import this.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from render.cameras import Cameras, resized


def central_square(image: Float[Tensor, "1 h w c"], size: int) -> Float[Tensor, "1 s s c"]:
    """The central square of a picture at another size; areas are averaged."""
    top, left, side = _cut(image.shape[1], image.shape[2])
    cropped = image[:, top : top + side, left : left + side].permute(0, 3, 1, 2)
    return F.interpolate(cropped, (size, size), mode="area").permute(0, 2, 3, 1).contiguous()


def central_depth(
    depth: Float[Tensor, "1 h w 1"], valid: Bool[Tensor, "1 h w 1"], size: int
) -> tuple[Float[Tensor, "1 s s 1"], Bool[Tensor, "1 s s 1"]]:
    """The central square of a depth picture: each new pixel takes the measurement nearest to its centre.

    Depths are never averaged, which would invent surfaces between a thing and what is behind it, and
    a pixel is unknown only if nothing was measured in all of its area.
    """
    top, left, side = _cut(depth.shape[1], depth.shape[2])
    reach = side // (2 * size)
    centres = ((torch.arange(size) + 0.5) * (side / size)).long()
    offsets = sorted(
        itertools.product(range(-reach, reach + 1), repeat=2), key=lambda o: o[0] ** 2 + o[1] ** 2
    )
    z, known = torch.zeros(1, size, size, 1), torch.zeros(1, size, size, 1, dtype=torch.bool)
    for down, right in offsets:
        rows = top + (centres + down).clamp(0, side - 1)
        columns = left + (centres + right).clamp(0, side - 1)
        found = valid[:, rows][:, :, columns] & ~known
        z = torch.where(found, depth[:, rows][:, :, columns], z)
        known |= found
    return z, known


def central_cameras(cameras: Cameras, size: int) -> Cameras:
    """The cameras that see the central squares; an off-centre principal point stays one."""
    top, left, side = _cut(cameras.height, cameras.width)
    K = cameras.K.clone()
    K[:, 0, 2] -= left
    K[:, 1, 2] -= top
    return resized(Cameras(c2w=cameras.c2w, K=K, width=side, height=side), width=size, height=size)


def _cut(height: int, width: int) -> tuple[int, int, int]:
    """Top, left and side of the central square."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side
