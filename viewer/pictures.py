"""Pictures: what a frame looks like in the panel and on its camera.

Room: viewer. Full frames are floats and large; the viewer keeps only small 8-bit pictures of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from memory.pictures import depth_colours
from render.frames import Frames
from viewer.conventions import ViserPose, poses_from_cameras

LONGEST_SIDE = 192
"""Of a kept picture, in pixels."""

KNOWN, IMAGINED = (214, 218, 226), (255, 146, 43)
"""What the world knew before a frame was imagined, and what is new in it."""

GAP = 36
"""Grey between two pictures: the panel's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One frame as the viewer keeps it."""

    pose: ViserPose

    rgb: UInt8[np.ndarray, "h w 3"]

    depth: UInt8[np.ndarray, "h w 3"]
    """In the colours of :func:`memory.pictures.depth_colours`, which span this frame."""

    nearest: float
    """Smallest known depth, in world units; 0 if none is known."""

    farthest: float

    pixels: int = 0
    """How many pixels of the frame itself have a depth."""

    known: UInt8[np.ndarray, "h w 3"] | None = None
    """``KNOWN`` where the world was known before, ``IMAGINED`` elsewhere; ``None`` if nobody said."""


def shots_from_frames(frames: Frames, known: Bool[Tensor, "n h w 1"] | None = None) -> list[Shot]:
    """Small pictures of every frame, in order; ``known`` is where the world was known before them."""
    poses = poses_from_cameras(frames.cameras)
    return [
        _shot(frames[i : i + 1], pose, None if known is None else known[i : i + 1])
        for i, pose in enumerate(poses)
    ]


def _shot(frame: Frames, pose: ViserPose, known_before: Bool[Tensor, "1 h w 1"] | None) -> Shot:
    known = frame.depth[frame.valid]
    nearest, farthest = (float(known.amin()), float(known.amax())) if known.numel() else (0.0, 0.0)
    return Shot(
        pose=pose,
        rgb=_small(frame.rgb),
        depth=_small(depth_colours(frame)),
        nearest=nearest,
        farthest=farthest,
        pixels=known.numel(),
        known=None if known_before is None else _small(_known_colours(known_before)),
    )


def side_by_side(shot: Shot) -> UInt8[np.ndarray, "h w 3"]:
    """Picture, depth and what was known before, as one image, which leaves room in the panel."""
    pictures = [shot.rgb, shot.depth, *([] if shot.known is None else [shot.known])]
    return strip(pictures)


def strip(pictures: list[UInt8[np.ndarray, "_ _ 3"]]) -> UInt8[np.ndarray, "h w 3"]:
    """Pictures beside each other, all as high as the lowest."""
    height = min(len(picture) for picture in pictures)
    gap = np.full((height, 4, 3), GAP, dtype=np.uint8)
    parts: list[np.ndarray] = []
    for picture in pictures:
        rows = ((np.arange(height) + 0.5) * (len(picture) / height)).astype(int)
        width = max(1, round(picture.shape[1] * height / len(picture)))
        columns = ((np.arange(width) + 0.5) * (picture.shape[1] / width)).astype(int)
        parts += [picture[rows][:, columns], gap]
    return np.concatenate(parts[:-1], axis=1)


def caption(shot: Shot) -> str:
    """What stands above the image."""
    depth = f"from {shot.nearest:.3g} to {shot.farthest:.3g}" if shot.farthest > 0 else "unknown"
    if shot.known is None:
        return f"Picture, and depth {depth}"
    return f"Picture, depth {depth}, and what is new in it (orange)"


def _known_colours(known: Bool[Tensor, "1 h w 1"]) -> Float[Tensor, "1 h w 3"]:
    return torch.where(known.cpu(), torch.tensor(KNOWN), torch.tensor(IMAGINED)).float() / 255


def _small(images: Float[Tensor, "1 h w 3"]) -> UInt8[np.ndarray, "hs ws 3"]:
    height, width = images.shape[1:3]
    ratio = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(ratio * height)), max(1, round(ratio * width)))
    small = interpolate(images.detach().cpu().movedim(-1, 1), size=size, mode="area")
    return (small[0].movedim(0, -1).clamp(0.0, 1.0) * 255).round().to(torch.uint8).contiguous().numpy()
