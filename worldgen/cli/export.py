"""``worldgen export``: a world as a file for other tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Export:
    """Write a world as a file for other tools; the suffix decides the format (.ply: 3D Gaussian splats).

    With --format nerfstudio or colmap the frames are written as a dataset, a folder that trainers read.
    """

    world: Annotated[Path, tyro.conf.Positional]
    """Folder of the world."""

    dest: Annotated[Path, tyro.conf.Positional]
    """File to write; a new folder for datasets."""

    format: Literal["nerfstudio", "colmap"] | None = None
    """What to write where a suffix cannot tell."""

    max_splats: int | None = None
    """At most so many splats, neighbours merged to cover as much; all where not given."""

    def run(self) -> int:
        from memory.restore import restored_cache
        from memory.world import World
        from reconstruct.datasets import DATASETS
        from reconstruct.fitted import splats_of
        from reconstruct.formats import export_splats
        from reconstruct.levels import thinned
        from worldgen.cli.datasets import export_dataset
        from worldgen.cli.progress import bar

        if self.format in DATASETS:
            if self.max_splats is not None:
                raise ValueError("--max-splats is for splats; a dataset holds every point of the world")
            return export_dataset(self.world, self.dest, self.format)
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
