"""Stereo: depth of posed photographs, pixel by pixel, from what they show of the same places.

Room: reconstruct; the command line may import this. Around every pixel of a photograph's central square a
patch is compared with what other photographs show at each of many depths; smoothness decides where patches
do not (semi-global matching, Hirschmüller 2008). Kept is what another photograph's depth agrees with; plain
walls, mirrors and the sky stay unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from reconstruct._stereo_kernel import aggregated, likeness_of_planes
from reconstruct.sweep import other_views, swept_points
from render.cameras import Cameras, project, resized
from render.frames import Frames
from render.geometry import speckles
from render.jobs import spread
from render.squares import central_cameras, central_square

FINER, SIDE = 3, 5
"""Pixels of the pictures that are compared, in a pixel of the result and in a patch around its middle."""

OTHERS = 5
"""Photographs that each one is compared with."""

PIXELS_A_STEP = 1.5
"""What is seen by the farthest of the others moves by so much from one depth to the next."""

FEWEST_DEPTHS, MOST_DEPTHS = 48, 256

FARTHEST = 8
"""Steps from infinity within which a depth is hardly more than a guess."""

ENOUGH_POINTS = 30
NEAR_SHARE, CLOSER = 0.02, 0.7
"""The search begins a little before the nearest points that a photograph shows; some of them are wrong."""

CLOSEST = 1.5
"""Where no points say it: smallest depth, over the distance of the nearest of the others."""

SMALL, LARGE, EDGE = 0.03, 0.3, 0.05
"""Prices of smoothness, and the difference of greys that halves the larger one; see ``aggregated``."""

PLAIN = 0.02
"""Standard deviation of a patch below which its word counts less."""

ALIKE = 0.5
"""Least normalised correlation of what is kept."""

AGREE = 0.02
"""Relative difference of depths that say the same."""

Progress = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Views:
    """Photographs, ready to be compared."""

    greys: Float32[np.ndarray, "n h w"]
    cameras: Cameras
    squares: Cameras
    """Of the result."""
    corner: tuple[int, int]
    """Row and column where the squares begin."""
    others: list[list[int]]


def with_stereo_depth(
    photographs: Frames,
    *,
    size: int,
    points: Float[Tensor, "p 3"] | None = None,
    threads: int = 1,
    progress: Progress = lambda: None,
) -> Frames:
    """The central squares of photographs, with depth wherever two or more of them agree about it.

    Args:
        photographs: two or more with known cameras; depth is not looked at. Without confidence, a pixel has
            no depth.
        size: pixels a side of the result.
        points: places on surfaces, which say where to begin to look; found by a sweep if there are none.
        threads: a photograph a job; the result is the same.
        progress: called after every photograph.

    Returns:
        Frames of ``size`` x ``size``; confidence is 1 where there is depth, else 0.

    Raises:
        ValueError: if the photographs have too little in common to tell any depth.
    """
    views = _views_of(photographs, size)
    if points is None or len(points) < ENOUGH_POINTS:
        points, _ = swept_points(photographs, threads=threads)

    def found(i: int) -> Float[Tensor, "s s"]:
        depth = _depth(views, i, points, size=size)
        progress()
        return depth

    depths = torch.stack(spread(found, range(len(photographs)), threads=threads))
    covers = [central_square(photographs.confidence[i : i + 1], size)[0, ..., 0] for i in range(len(depths))]
    agreed = torch.stack([_agreed(views, i, depths) & (covers[i] > 0.99) for i in range(len(depths))])
    if not agreed.any():
        raise ValueError(
            "the photographs do not tell how far anything is: they show too little in common, or their "
            "cameras are wrong"
        )
    valid = agreed[..., None]
    valid &= ~speckles(depths[..., None], valid)
    squares = [central_square(photographs.rgb[i : i + 1], size) for i in range(len(depths))]
    return Frames(
        rgb=torch.cat(squares).clamp(0.0, 1.0),
        depth=depths[..., None].masked_fill(~valid, 0.0),
        valid=valid,
        confidence=valid.float(),
        cameras=views.squares,
    )


def _views_of(photographs: Frames, size: int) -> _Views:
    height, width = photographs.rgb.shape[1:3]
    share = FINER * size / min(height, width)
    height, width = (max(FINER * size, round(side * share)) for side in (height, width))
    picture = photographs.rgb.mean(dim=-1)[:, None]
    greys = F.interpolate(picture, (height, width), mode="area" if share <= 1.0 else "bilinear")[:, 0]
    top, left = (height - FINER * size) // 2, (width - FINER * size) // 2
    cameras = resized(photographs.cameras, width=width, height=height)
    return _Views(
        greys=greys.float().contiguous().numpy(),
        cameras=cameras,
        squares=central_cameras(cameras, size),
        corner=(top, left),
        others=[other_views(i, cameras, most=OTHERS)[0] for i in range(len(photographs))],
    )


def _depth(views: _Views, i: int, points: Float[Tensor, "p 3"], *, size: int) -> Float[Tensor, "s s"]:
    """The depth of photograph ``i``; 0 where nothing speaks for any."""
    others = views.others[i]
    if len(others) < 2:
        return torch.zeros(size, size)
    cameras, grey = views.cameras, views.greys[i]
    gaps = (cameras.origins[others] - cameras.origins[i]).norm(dim=1)
    nearest = _nearest(points, views.squares[i : i + 1]) or 1.0 / (CLOSEST * float(gaps.min()))
    reach = float(cameras.K[i, 0, 0] * gaps.max()) * nearest
    count = min(max(FEWEST_DEPTHS, round(reach / PIXELS_A_STEP)), MOST_DEPTHS)
    likeness = _likeness(views, i, count=count, nearest=nearest)
    top, left = views.corner
    square = torch.from_numpy(grey[top : top + FINER * size, left : left + FINER * size])[None, None]
    patches = F.unfold(F.pad(square, ((SIDE - FINER) // 2,) * 4, mode="replicate"), SIDE, stride=FINER)
    weight = (patches.std(dim=1).view(size, size, 1) / PLAIN).clamp(max=1.0).numpy()
    costs = (1.0 - likeness.clip(min=0.0)) * weight
    small = F.avg_pool2d(square, FINER)[0, 0].numpy()
    total = torch.from_numpy(aggregated(costs, small, SMALL, LARGE, EDGE))
    at = total.argmin(dim=-1, keepdim=True).clamp(1, count - 2)
    before, best, after = (total.gather(-1, at + shift) for shift in (-1, 0, 1))
    offset = (0.5 * (before - after) / (before - 2.0 * best + after).clamp_min(1e-6)).clamp(-0.5, 0.5)
    inverse = nearest * (at + 1 + offset) / count
    is_depth = (torch.from_numpy(likeness).gather(-1, at) > ALIKE) & (at >= FARTHEST) & (at < count - 2)
    return torch.where(is_depth, 1.0 / inverse, 0.0)[..., 0].float()


def _nearest(points: Float[Tensor, "p 3"], camera: Cameras) -> float:
    """Inverse of the depth from which on a camera sees points; 0 if it sees too few to tell."""
    pixels, depth = (part[0] for part in project(points, camera))
    size = torch.tensor([camera.width, camera.height])
    seen = depth[(depth > 0.0).all(dim=-1) & ((pixels >= 0.0) & (pixels < size)).all(dim=-1)]
    if len(seen) < ENOUGH_POINTS:
        return 0.0
    return 1.0 / (CLOSER * float(seen.quantile(NEAR_SHARE)))


def _likeness(views: _Views, i: int, *, count: int, nearest: float) -> Float32[np.ndarray, "s s k"]:
    """How alike the patches of photograph ``i`` look in others at each depth; -1 where they show nothing."""
    others, cameras = views.others[i], views.cameras
    K = cameras.K.double()
    other_from_this = cameras.w2c[others].double() @ cameras.c2w[i].double()
    turns = K[others] @ other_from_this[:, :3, :3] @ torch.linalg.inv(K[i])
    shifts = (K[others] @ other_from_this[:, :3, 3:])[..., 0]
    return likeness_of_planes(
        views.greys[i],
        views.corner,
        views.greys[others],
        turns.numpy(),
        shifts.numpy(),
        (views.squares.width, FINER, SIDE),
        count,
        nearest,
    )


def _agreed(views: _Views, i: int, depths: Float[Tensor, "n s s"]) -> Bool[Tensor, "s s"]:
    """Where another photograph finds the same place at the same depth."""
    size, cameras = depths.shape[-1], views.squares
    centres = torch.arange(size) + 0.5
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], dim=-1) @ torch.linalg.inv(cameras.K[i]).mT
    places = (rays * depths[i, ..., None]) @ cameras.c2w[i, :3, :3].mT + cameras.origins[i]
    agreed = torch.zeros(size, size, dtype=torch.bool)
    for j in views.others[i]:
        pixels, depth = project(places.reshape(-1, 3), cameras[j : j + 1])
        at, depth = pixels[0].floor().clamp(-1, size).long(), depth[0, :, 0]
        inside = (depth > 0.0) & ((at >= 0) & (at < size)).all(dim=-1)
        x, y = at.clamp(0, size - 1).unbind(dim=-1)
        theirs = depths[j, y, x]
        same = inside & (theirs > 0.0) & ((depth / theirs - 1.0).abs() < AGREE)
        agreed |= same.view(size, size)
    return agreed & (depths[i] > 0.0)
