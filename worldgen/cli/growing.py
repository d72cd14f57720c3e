"""What the verbs that grow share: the generator, the bar, and the last word."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldgen.generator import RGBDGenerator
    from worldgen.rollout import Grown, Growth


def generator_named(model: str, steps: int) -> RGBDGenerator:
    """The generator that ``--model`` and ``--steps`` ask for."""
    from worldgen.generator import RGBDGenerator

    return RGBDGenerator(model, steps=steps)


def follow(
    growth: Growth,
    *,
    title: str,
    before: int,
    total: int,
    steps: Iterator[Grown] | None = None,
    again: str = "--resume",
) -> None:
    """Grow behind a bar: to the end of the planned path, or what ``steps`` grow.

    ``again`` are the words that make ``worldgen extend`` go on after an interruption.
    """
    from worldgen.cli.progress import bar

    try:
        with bar(title, total=total) as progress:
            progress.to(before)
            for grown in growth.follow() if steps is None else steps:
                progress.step(
                    f"{len(growth.cache):,} points, {grown.times.sample_ms:.0f} ms to imagine a frame"
                )
    except KeyboardInterrupt as stop:
        resume = f"worldgen extend {shlex.quote(str(growth.world.path))} {again}"
        stop.args = (f"interrupted; what has grown stays, and the rest is grown by: {resume}",)
        raise


def find_ways(growth: Growth, path: str, *, frames: int, seed: int) -> None:
    """Follow a path that is chosen on the way, behind a bar, and say so where it ends early."""
    from worldgen.explore import CHOSEN_ON_THE_WAY

    before = len(growth.world.frame_ids())
    total = before + frames
    steps = CHOSEN_ON_THE_WAY[path](growth, frames=frames, seed=seed)
    title = f"growing {growth.world.path.name}"
    follow(growth, title=title, before=before, total=total, steps=steps, again=f"--path {path}")
    if len(growth.world.frame_ids()) < total:
        print("nothing new is in reach; go on with another --path, for example wander")  # noqa: T201


def tell(path: Path) -> None:
    """Say what there is now, and how to look at it."""
    from memory.world import World

    with World.open(path) as world:
        count = len(world.frame_ids())
    print(f"{path}: {count} frames; look at it with: worldgen view {path}")  # noqa: T201
