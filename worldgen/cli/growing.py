"""What the verbs that grow share: the generator, the bar, and the last word."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from worldgen.cli.branches import counted

if TYPE_CHECKING:
    from worldgen.generator import RGBDGenerator
    from worldgen.rollout import Grown, Growth


def generator_named(model: str, steps: int) -> RGBDGenerator:
    """The generator that ``--model`` and ``--steps`` ask for."""
    from worldgen.generator import RGBDGenerator

    return RGBDGenerator(model, steps=steps)


def follow(growth: Growth, *, title: str) -> None:
    """Grow behind a bar to the end of the planned path, if there is one."""
    pending = growth.world.pending()
    if pending is not None:
        done, total = pending.done, len(pending.cameras)
        _watched(growth, growth.follow(), title=title, done=done, total=total, again="--resume")


def _watched(
    growth: Growth, steps: Iterator[Grown], *, title: str, done: int, total: int, again: str
) -> None:
    """Take steps behind a bar; ``again`` are the words that make ``worldgen extend`` go on with them."""
    from worldgen.cli.progress import bar

    try:
        with bar(title, total=total) as progress:
            progress.to(done)
            for grown in steps:
                ahead = "a view ahead, " if grown.chunk.is_ahead else ""
                progress.step(
                    f"{ahead}{len(growth.cache):,} points, {grown.times.sample_ms:.0f} ms to imagine a frame"
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
    _watched(growth, steps, title=title, done=before, total=total, again=f"--path {path}")
    if len(growth.world.frame_ids()) < total:
        print("nothing new is in reach; go on with another --path, for example wander")  # noqa: T201


def tell(path: Path) -> None:
    """Say what there is now, and how to look at it."""
    from memory.world import World

    with World.open(path) as world:
        count, ahead = len(world.frame_ids()), len(world.frame_ids()) - len(world.walked_ids())
    more = f" ({ahead} of them views ahead)" if ahead else ""
    print(f"{path}: {counted(count, 'frame')}{more}; look at it with: worldgen view {path}")  # noqa: T201
