"""Hygiene: what is left out of fitted splats, and why; how few are enough from afar.

Room: reconstruct; the command line and the viewer may import this. Every judgement rests on what splats do
to the frames of the world: drawn once a frame, the gradient of a picture times an image tells, for every
splat, how much of that image lies under its weight. So one backward pass a frame says how much each splat
is seen, and whether it hangs before the surfaces that the frame knows. Frames that were given must not lose
by it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
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

CURVE_BITS = 16
"""A side of the cube around the world is cut into 2 to the power of so many cells."""

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


def thinned(splats: Gaussians, most: int) -> Gaussians:
    """At most so many splats, evenly chosen all over the world, wide enough to cover as much.

    Splats are put in the order of a space-filling curve; of every stretch of it one stays, and grows along
    the surface by the root of how many it stands for.

    Raises:
        ValueError: if there should be none.
    """
    if most < 1:
        raise ValueError(f"at least one splat is to stay, got {most}")
    if len(splats) <= most:
        return splats
    places = ((torch.arange(most, dtype=torch.float64) + 0.5) * (len(splats) / most)).long()
    few = splats[_curve(splats.means)[places].sort().values]
    thinnest = few.log_scales.argmin(dim=1, keepdim=True)
    wider = few.log_scales + 0.5 * math.log(len(splats) / most)
    return dataclasses.replace(few, log_scales=wider.scatter(1, thinnest, few.log_scales.gather(1, thinnest)))


def _curve(means: Float[Tensor, "g 3"]) -> Int[Tensor, " g"]:
    """Rows in Morton order: neighbours along it are near each other."""
    low, high = means.amin(dim=0), means.amax(dim=0)
    cells = ((means - low) / (high - low).amax().clamp_min(1e-12) * ((1 << CURVE_BITS) - 1)).long()
    keys = torch.zeros(len(means), dtype=torch.int64)
    for bit in range(CURVE_BITS):
        for axis in range(3):
            keys |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return keys.argsort(stable=True)


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
