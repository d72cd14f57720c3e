"""Hygiene: what is left out of fitted splats, and why.

Room: reconstruct; the command line and the viewer may import this. Every judgement rests on what splats do
to the frames of the world: drawn once a frame, the gradient of a picture times an image tells, for every
splat, how much of that image lies under its weight. So one backward pass a frame says how much each splat
is seen, and whether it hangs before the surfaces that the frame knows. Frames that were given must not lose
by it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from render.cameras import Cameras
from render.frames import Frames
from render.gaussians import SH_C0, Gaussians
from render.metrics import psnr
from render.splats import available_threads, render_splats

LEAST_SEEN = 0.1
"""Pixels' worth of weight in all frames together below which a splat is invisible."""

FLOATS = 1.25
"""A splat floats in a frame if what the frame knows behind it is this many times as far."""

SHARPNESS = 8
"""Power in which inverse depths under a splat are averaged; high, so that the nearest one decides."""

MOSTLY = 0.5
"""Share of its weight in which a splat floats before it is taken for one that does."""

LARGEST = 0.5
"""Standard deviation, in the world's scale, above which a splat is no part of a surface."""

MAX_LOSS_DB = 0.1
"""What frames that were given may lose on average by any one kind of cleaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What is left, and how many splats went."""

    splats: Gaussians
    invisible: int
    floating: int
    oversized: int

    @property
    def removed(self) -> int:
        """All together."""
        return self.invisible + self.floating + self.oversized


def cleaned(splats: Gaussians, frames: Frames, *, scale: float, threads: int | None = None) -> Cleaned:
    """Leave out splats that nobody sees, that float before known surfaces, or that are larger than things.

    A kind of splats stays if the frames that are trusted most would lose more than ``MAX_LOSS_DB`` without.

    Args:
        splats: fitted to the frames.
        frames: all that the splats should show; pixels without confidence do not count.
        scale: a length of the world, as a fit takes it.
        threads: of the CPU's kernels; all cores where not given.
    """
    count = available_threads() if threads is None else threads
    seen, floating = torch.zeros(len(splats)), torch.zeros(len(splats))
    for i in range(len(frames)):
        weight, floats = _judged(splats, frames[[i]], threads=count)
        seen += weight
        floating += floats
    faults = {
        "invisible": seen < LEAST_SEEN,
        "floating": floating > MOSTLY * seen,
        "oversized": splats.scales.amax(dim=1) > LARGEST * scale,
    }
    anchors = frames[_most_trusted(frames)]
    kept, gone = torch.ones(len(splats), dtype=torch.bool), dict.fromkeys(faults, 0)
    score = _score(splats, anchors, threads=count)
    for name, fault in faults.items():
        left = kept & ~fault
        if not left.any():
            continue
        after = _score(splats[left], anchors, threads=count)
        if after >= score - MAX_LOSS_DB:
            gone[name] = int((kept & fault).sum())
            kept, score = left, after
    return Cleaned(splats=splats[kept], **gone)


def _judged(
    splats: Gaussians, frame: Frames, *, threads: int
) -> tuple[Float[Tensor, " g"], Float[Tensor, " g"]]:
    """Weight of every splat in one frame, in pixels, and what of it floats before a known surface."""
    known = (frame.valid & (frame.confidence > 0)).float()
    middle = frame.depth[frame.valid].median() if frame.valid.any() else torch.tensor(1.0)
    inverse = torch.where(frame.valid, middle / frame.depth.clamp_min(1e-6), 0.0)
    images = torch.cat([torch.ones_like(known), known, known * inverse.pow(SHARPNESS)], dim=-1)
    weight, surface, nearness = _under(splats, frame.cameras, images, threads=threads).unbind(-1)
    depth = (splats.means @ frame.cameras.w2c[0, :3, :3].mT + frame.cameras.w2c[0, :3, 3])[:, 2]
    # Nearly the nearest surface under the splat: one beside an edge covers much of what is far behind it.
    behind = middle * (surface / nearness.clamp_min(1e-12)).pow(1.0 / SHARPNESS)
    floats = (surface > 0) & (depth > 0) & (behind > FLOATS * depth)
    return weight, torch.where(floats, surface, 0.0)


def _under(
    splats: Gaussians, cameras: Cameras, images: Float[Tensor, "1 h w 3"], *, threads: int
) -> Float[Tensor, "g 3"]:
    """How much of each channel of an image lies under the weight of every splat."""
    grey = torch.zeros(len(splats), 1, 3, requires_grad=True)
    picture = render_splats(dataclasses.replace(splats, sh=grey), cameras, threads=threads).rgb
    (picture * images).sum().backward()
    assert grey.grad is not None
    return grey.grad[:, 0] / SH_C0


def _most_trusted(frames: Frames) -> Bool[Tensor, " n"]:
    """Frames that are trusted as much as any."""
    trust = frames.confidence.amax(dim=(1, 2, 3))
    return trust == trust.max()


def _score(splats: Gaussians, frames: Frames, *, threads: int) -> float:
    """Mean PSNR where frames are trusted."""
    scores = []
    for i in range(len(frames)):
        frame = frames[[i]]
        rgb = render_splats(splats, frame.cameras, threads=threads).rgb.clamp(0.0, 1.0)
        scores.append(psnr(rgb, frame.rgb, mask=frame.confidence > 0))
    return float(torch.cat(scores).nanmean())
