"""``worldgen extend``: grow a world on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Extend:
    """Grow a world on from its last frame, or finish a path that was interrupted."""

    world: Annotated[Path, tyro.conf.Positional]
    """Folder of the world."""

    resume: bool = False
    """Finish the interrupted path; without this a new one begins and the old one is given up."""

    seed: int = 0
    """Decides everything that is imagined."""

    path: str = "walk"
    """Camera path: orbit, walk, turn, there-and-back, or a JSON file."""

    frames: int = 24
    """New frames."""

    model: str = "tiny"
    """Weights: a name that ships with the package, or a .safetensors file."""

    steps: int = 4
    """Denoising steps a frame, 1 to 64."""

    def run(self) -> int:
        from memory.world import World, WorldError
        from worldgen.cli.growing import follow, generator_named, tell
        from worldgen.cli.inputs import path_from
        from worldgen.rollout import Growth

        with World.open(self.world, writable=True) as world:
            if world.head is None:
                raise WorldError(
                    f"{self.world} was interrupted before its first frame; delete it and grow it again"
                )
            growth = Growth(world, generator_named(self.model, self.steps))
            if not self.resume:
                last = world.cameras(world.frame_ids()[-1:])
                cameras = path_from(
                    self.path, last, frames=self.frames + 1, up=world.scene.up, scale=world.scene.scale
                )
                growth.plan(cameras[1:], seed=self.seed, name=self.path)
            pending = world.pending()
            if pending is None:
                print(f"{self.world} has no interrupted path; nothing to do")  # noqa: T201
                return 0
            follow(
                growth, title=f"growing {self.world.name}", before=pending.done, total=len(pending.cameras)
            )
        tell(self.world)
        return 0
