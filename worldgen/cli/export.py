"""``worldgen export``: a world as a file for other tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Export:
    """Write a world as 3D Gaussian splats for other tools; the suffix decides the format.

    .ply keeps everything and opens everywhere, .compressed.ply and .spz are small, .splat has plain colours,
    .glb is glTF (KHR_gaussian_splatting).
    """

    world: Annotated[Path, tyro.conf.Positional]
    """Folder of the world."""

    dest: Annotated[Path, tyro.conf.Positional]
    """File to write."""

    max_splats: int | None = None
    """At most so many splats, neighbours merged to cover as much; all where not given."""

    def run(self) -> int:
        from memory.restore import restored_cache
        from memory.world import World
        from reconstruct.fitted import splats_of
        from reconstruct.formats import export_splats
        from reconstruct.levels import thinned
        from worldgen.cli.progress import bar

        with World.open(self.world) as world, bar(f"exporting {self.world.name}", total=2) as progress:
            cache = restored_cache(world)
            progress.step(f"{len(cache):,} points")
            gaussians = splats_of(world, cache.points)
            if self.max_splats is not None:
                gaussians = thinned(gaussians, self.max_splats)
            export_splats(gaussians, self.dest)
            progress.step(f"{len(gaussians):,} splats")
        print(f"{self.dest}: {len(gaussians):,} splats")  # noqa: T201
        return 0
