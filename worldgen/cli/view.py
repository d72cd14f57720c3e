"""``worldgen view``: walk through a world in the browser, and grow it from there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from render.cameras import Cameras
    from viewer import Grown
    from worldgen.rollout import Growth


@dataclass(frozen=True)
class View:
    """Open a world in the browser; the grow button imagines more of it where you look."""

    world: Annotated[Path, tyro.conf.Positional]
    """Folder of the world."""

    host: str = "127.0.0.1"
    """Address to listen on. Anyone who can reach it can look and grow."""

    port: int = 8080
    """Port to listen on; the next free one is taken if it is busy."""

    read_only: bool = False
    """Only look; needed while another process grows the world."""

    model: str = "tiny"
    """Weights: a name that ships with the package, or a .safetensors file."""

    steps: int = 4
    """Denoising steps a frame, 1 to 64."""

    def run(self) -> int:
        import torch

        from memory.restore import restored_cache
        from memory.world import World
        from reconstruct.fitted import has_fitted, splats_of
        from viewer import Viewer
        from worldgen.generator import RGBDGenerator
        from worldgen.rollout import Growth

        with World.open(self.world, writable=not self.read_only) as world:
            frames = world.frames()
            grow = None
            if self.read_only:
                cache = restored_cache(world)
            else:
                growth = Growth(world, RGBDGenerator(self.model, steps=self.steps))
                cache, grow = growth.cache, _GrowOn(growth)
            viewer = Viewer(
                frames,
                [cache.points],
                up=torch.tensor(world.scene.up),
                scale=world.scene.scale,
                splats=splats_of(world, cache.points) if has_fitted(world) else None,
                grow=grow,
                host=self.host,
                port=self.port,
            )
            print(f"{self.world} is at {viewer.url} (Ctrl-C to stop)", flush=True)  # noqa: T201
            viewer.run()
        return 0


class _GrowOn:
    """The viewer's ``GrowFn`` over an open world; one growth at a time."""

    def __init__(self, growth: Growth):
        self._growth = growth
        self._busy = threading.Lock()

    def __call__(self, cameras: Cameras, *, seed: int) -> Iterator[Grown]:
        """Plan the path and follow it; a path left unfinished is finished first."""
        from viewer import Grown

        with self._busy:
            self._growth.plan(cameras, seed=seed, name="viewer")
            for grown in self._growth.follow():
                yield Grown(frames=grown.frames, points=grown.points)
