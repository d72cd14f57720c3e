"""What the verbs that grow share: the generator, the bar, and the last word."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldgen.generator import RGBDGenerator
    from worldgen.rollout import Growth


def generator_named(model: str, steps: int) -> RGBDGenerator:
    """The generator that ``--model`` and ``--steps`` ask for."""
    from worldgen.generator import RGBDGenerator

    return RGBDGenerator(model, steps=steps)


def follow(growth: Growth, *, title: str, before: int, total: int) -> None:
    """Grow to the end of the planned path behind a bar."""
    from worldgen.cli.progress import bar

    try:
        with bar(title, total=total) as progress:
            progress.to(before)
            for grown in growth.follow():
                progress.step(
                    f"{len(growth.cache):,} points, {grown.times.sample_ms:.0f} ms to imagine a frame"
                )
    except KeyboardInterrupt as stop:
        resume = f"worldgen extend {shlex.quote(str(growth.world.path))} --resume"
        stop.args = (f"interrupted; what has grown stays, and the rest is grown by: {resume}",)
        raise


def tell(path: Path) -> None:
    """Say what there is now, and how to look at it."""
    from memory.world import World

    with World.open(path) as world:
        count = len(world.frame_ids())
    print(f"{path}: {count} frames; look at it with: worldgen view {path}")  # noqa: T201
