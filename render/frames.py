"""Frames: posed RGB-D pictures, the one type that every room speaks.

Room: render (ground floor). Imports nothing of ours but cameras; every other room may import this.
Images are channel-last; colour is sRGB in [0, 1]; depth is z-depth in world units.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from render.cameras import Cameras
from render.cameras import checked as checked_cameras
from render.cameras import concatenated as concatenated_cameras


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """A batch of RGB-D pictures and the cameras that took them."""

    rgb: Float[Tensor, "n h w 3"]
    """Colour in [0, 1]."""

    depth: Float[Tensor, "n h w 1"]
    """Z-depth in world units; positive and finite where ``valid``, 0 elsewhere."""

    valid: Bool[Tensor, "n h w 1"]
    """Where the depth is known."""

    confidence: Float[Tensor, "n h w 1"]
    """Trust in each pixel, in [0, 1]: 1 for what was measured, less for what was imagined."""

    cameras: Cameras

    def __post_init__(self) -> None:
        expected = (len(self.cameras), self.cameras.height, self.cameras.width)
        if self.rgb.shape[:3] != expected:
            raise ValueError(
                f"pictures and cameras disagree: pictures are {tuple(self.rgb.shape[:3])}, cameras "
                f"say {expected} (views, height, width)"
            )

    def __len__(self) -> int:
        return len(self.rgb)

    def __getitem__(self, index: slice | list[int] | Tensor) -> Frames:
        return Frames(
            rgb=self.rgb[index],
            depth=self.depth[index],
            valid=self.valid[index],
            confidence=self.confidence[index],
            cameras=self.cameras[index],
        )

    def to(self, device: torch.device | str) -> Frames:
        """The same frames with their tensors on ``device``."""
        return Frames(
            rgb=self.rgb.to(device),
            depth=self.depth.to(device),
            valid=self.valid.to(device),
            confidence=self.confidence.to(device),
            cameras=self.cameras.to(device),
        )


def concatenated(parts: list[Frames]) -> Frames:
    """Several batches as one; they must share one image size."""
    cameras = concatenated_cameras([part.cameras for part in parts])
    fields = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in ("rgb", "depth", "valid", "confidence")
    }
    return Frames(cameras=cameras, **fields)


def checked(frames: Frames) -> Frames:
    """Return ``frames`` if they are usable; the door for files and for network output.

    Raises:
        ValueError: if colour leaves [0, 1], a number is not finite, a valid depth is not positive,
            or a camera is unusable.
    """
    checked_cameras(frames.cameras)
    for name in ("rgb", "depth", "confidence"):
        if not torch.isfinite(getattr(frames, name)).all():
            raise ValueError(f"{name} holds NaN or infinite numbers; mark unknown depth with valid = False")
    if frames.rgb.numel() and (frames.rgb.amin() < 0 or frames.rgb.amax() > 1):
        raise ValueError(
            f"colour must lie in [0, 1], got [{float(frames.rgb.amin()):g}, {float(frames.rgb.amax()):g}]"
        )
    if (frames.depth[frames.valid] <= 0).any():
        raise ValueError("valid depth must be positive")
    if frames.confidence.numel() and (frames.confidence.amin() < 0 or frames.confidence.amax() > 1):
        raise ValueError("confidence must lie in [0, 1]")
    return frames


def median_depth(frames: Frames) -> float:
    """Median of all valid depths; the length that scales a scene (its first view has median 1)."""
    known = frames.depth[frames.valid]
    if known.numel() == 0:
        raise ValueError("no pixel has a valid depth, so the scene has no scale")
    return float(known.median())


def moved(frames: Frames, b_from_a: Float[Tensor, "4 4"]) -> Frames:
    """The same pictures after one rigid motion of the whole world."""
    cameras = dataclasses.replace(frames.cameras, c2w=b_from_a.to(frames.cameras.c2w) @ frames.cameras.c2w)
    return dataclasses.replace(frames, cameras=cameras)
