"""Closed loops: does a place look the same when the camera comes back to it?

Room: worldgen. From one RGB-D picture of a held-out world the camera walks in a circle twice, through the
very same poses, and every frame of the second lap is compared with that of the first (WorldMem section 4.1,
where the target of a revisit is what was generated there before). The same walk *without memory* knows only
the last ``WINDOW`` frames and nothing ahead: what most video models are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from jaxtyping import Float
from torch import Tensor

from memory.cache import WorldCache
from memory.world import SceneInfo, World
from render.frames import Frames, concatenated
from render.metrics import contrast, psnr
from render.paths import loop
from worldgen.generator import Generator
from worldgen.rollout import Growth, scene_scale
from worldgen.training.clips import FIRST_HELD_OUT_SEED
from worldgen.worlds import random_scene, random_walk_cameras, render

FIRST_SEED = FIRST_HELD_OUT_SEED + 10_000
UP = (0.0, -1.0, 0.0)

WINDOW = 8
"""Frames that a walk without memory knows."""

SAME_DB = 60.0
"""What equal pictures count as."""

LAPS = 2
FEWEST_FRAMES = 8

TRUE_VIEWS = 16
"""Exact views of a world that say how much contrast it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The frames of one closed loop, all laps in order."""

    frames: Frames

    @property
    def lap(self) -> int:
        """Frames a lap."""
        return len(self.frames) // LAPS

    @property
    def closure(self) -> Float[Tensor, " n"]:
        """PSNR of every frame of the second lap against the first lap's at the same pose, in dB."""
        return psnr(self.frames.rgb[self.lap :], self.frames.rgb[: self.lap])

    @property
    def contrast(self) -> float:
        """Contrast of the half of a lap that is furthest from the start; see :func:`contrast_of`."""
        quarter = self.lap // 4
        return contrast_of(self.frames[self.lap + quarter : self.lap + 3 * quarter + 1])


def contrast_of(frames: Frames) -> float:
    """Standard deviation of the colours in a view, median over the views."""
    return float(contrast(frames.rgb).median())


def true_views(index: int, *, size: int) -> Frames:
    """``TRUE_VIEWS`` exact views of a walk through the ``index``-th world."""
    scene = random_scene(FIRST_SEED + index)
    return render(scene, random_walk_cameras(scene, n=TRUE_VIEWS, seed=index, width=size, height=size))


def true_contrast(index: int, *, size: int) -> float:
    """Contrast of the ``index``-th world as it is."""
    return contrast_of(true_views(index, size=size))


def walk(
    generator: Generator,
    index: int,
    *,
    frames: int,
    window: int | None = None,
    surveys: bool = True,
    seed: int = 0,
) -> Iterator[Frames]:
    """Grow the ``index``-th closed loop, a frame at a time, the first picture first.

    Args:
        generator: what imagines.
        index: the held-out world.
        frames: of both laps together; see :func:`check_length`.
        window: everything but so many frames is forgotten before each new one; nothing where None.
        surveys: whether views far ahead are imagined first, where nothing is forgotten.
        seed: decides what is imagined.
    """
    check_length(frames)
    scene = random_scene(FIRST_SEED + index)
    camera = random_walk_cameras(scene, n=1, seed=index, width=generator.size, height=generator.size)
    first = render(scene, camera)
    info = SceneInfo(units="metres", scale=scene_scale(first), up=UP)
    path = loop(camera, n=frames, up=torch.tensor(UP), scale=info.scale, lap=frames // LAPS)
    with (
        tempfile.TemporaryDirectory() as folder,
        World.create(Path(folder) / "world", info) as world,
    ):
        growth = Growth(world, generator)
        growth.begin(first, seed=seed)
        yield world.frames(world.frame_ids()[-1:])
        growth.plan(path[1:], seed=seed, name="loop", surveys=surveys and window is None)
        while world.pending() is not None:
            if window is not None:
                forget_all_but(growth, window)
            grown = next(growth.follow())
            if not grown.chunk.is_ahead:
                yield grown.frames


def check_length(frames: int) -> None:
    """Refuse loops that do not close."""
    if frames < FEWEST_FRAMES or frames % LAPS:
        raise ValueError(
            f"a closed loop of two laps has an even number of frames, {FEWEST_FRAMES} or more; got {frames}"
        )


def forget_all_but(growth: Growth, window: int) -> None:
    """Make a growth as if its world had begun with its last ``window`` frames.

    The cache is filled anew: it would otherwise lack what the kept frames show of surfaces that older ones
    brought.
    """
    known = growth.bank.units.ids.tolist()
    kept = known[-window:]
    growth.bank.remove(known[: len(known) - len(kept)])
    growth.cache = WorldCache()
    given = {frame for chunk in growth.world.chunks() if chunk.given for frame in chunk.frame_ids}
    for frame_id in kept:
        frame = growth.world.frames([frame_id])
        seen = growth.cache.render(frame.cameras)
        growth.cache.remember(frame, seen, ids=[frame_id], given=frame_id in given)


def walked(frames: list[Frames]) -> Walk:
    """A whole walk from its frames."""
    return Walk(frames=concatenated(frames))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopScores:
    """Means over several closed loops."""

    loops: int
    frames: int
    """Of both laps of one loop."""

    closure: float
    """PSNR of revisits, in dB; at most ``SAME_DB`` a frame."""

    closure_worst: float
    """That of the worst loop."""

    closure_forgetful: float
    """That of the same walks without memory."""

    contrast: float
    """Of the views furthest from the start on the second lap, over that of the true worlds: below 1 has
    faded to grey, above 1 is too hard."""


def scores_of_loops(remembered: list[Walk], forgetful: list[Walk], *, size: int) -> LoopScores:
    """Score the closed loops 0, 1, ... with memory, and the same ones without."""
    closures, without = (
        [float(one.closure.clamp_max(SAME_DB).mean()) for one in walks] for walks in (remembered, forgetful)
    )
    contrasts = [one.contrast / true_contrast(i, size=size) for i, one in enumerate(remembered)]
    return LoopScores(
        loops=len(remembered),
        frames=len(remembered[0].frames),
        closure=fmean(closures),
        closure_worst=min(closures),
        closure_forgetful=fmean(without),
        contrast=fmean(contrasts),
    )
