"""``worldgen replay``: does a world come out the same again?"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from worldgen.generator import RGBDGenerator


@dataclass(frozen=True)
class Replay:
    """Imagine every frame that a head reaches again and compare it bit for bit; the world is only read.

    Exit status: 0 if all are equal, 1 with the first frame that differs, 2 if the weights are not those
    that it was made with. Given frames are compared with their checksums.
    """

    world: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the world."""

    model: tuple[str, ...] = ()
    """Weights it was made with, as names or .safetensors files; by default what ships under their name."""

    def run(self) -> int:
        from memory.world import World
        from worldgen.cli.progress import bar
        from worldgen.replay import lines, replay

        with World.open(self.world) as world:
            total = sum(len(line) for line in lines(world))
        imagined = 0
        with bar(f"replaying {self.world.name}", total=total) as progress:
            for replayed in replay(self.world, generator_of=self._generator):
                if replayed.difference is not None:
                    sys.stderr.write(f"worldgen: {replayed.difference}\n")
                    return 1
                imagined += 0 if replayed.chunk.given else len(replayed.chunk.frame_ids)
                progress.step()
        print(f"{self.world}: imagined {imagined} frames again, and all are the same bit for bit")  # noqa: T201
        return 0

    def _generator(self, recorded: str) -> RGBDGenerator:
        """The generator that a world calls ``recorded``."""
        from worldgen.cli.recorded import recorded_generator

        return recorded_generator(recorded, world=self.world, models=self.model)
