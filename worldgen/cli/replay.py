"""``worldgen replay``: does a world come out the same again?"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from worldgen.generator import RGBDGenerator

RECORDED = re.compile(
    r"rgbd:(?P<name>.+):[0-9a-f]{16}:(?P<steps>[0-9]{1,2})(/(?P<shift>[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?))?"
)
"""How our generator calls itself: its weights, their checksum, steps and shift."""


@dataclass(frozen=True)
class Replay:
    """Imagine every frame that a head reaches again and compare it bit for bit; the world is only read.

    Exit status: 0 if all are equal, 1 with the first frame that differs, 2 if the weights are not those
    that it was made with. Given frames are compared with their checksums.
    """

    world: Annotated[Path, tyro.conf.Positional]
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
        from worldgen.generator import RGBDGenerator

        parts = RECORDED.fullmatch(recorded)
        if parts is None:
            raise ValueError(
                f"{self.world} was made with {recorded!r:.200}, which replay does not know how to run"
            )
        found = []
        for model in self.model or (parts["name"],):
            try:
                generator = RGBDGenerator(model, steps=int(parts["steps"]), shift=float(parts["shift"] or 1))
            except ValueError as error:
                raise ValueError(f"{self.world} was made with {recorded}, but {error}") from error
            if generator.name == recorded:
                return generator
            found.append(generator.name)
        raise ValueError(
            f"{self.world} was made with {recorded} and cannot be replayed with {' or '.join(found)}; "
            "name the weights it was made with (--model FILE), or use the version of worldgen that made it"
        )
