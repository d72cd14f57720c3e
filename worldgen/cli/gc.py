"""``worldgen gc``: delete for good what no head reaches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Gc:
    """Delete for good what undo and deleted heads left behind; what a head reaches is never touched."""

    world: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the world."""

    dry_run: bool = False
    """Only say what would be deleted."""

    def run(self) -> int:
        from rich.filesize import decimal

        from memory.world import World
        from worldgen.cli.branches import counted

        with World.open(self.world, writable=not self.dry_run) as world:
            freed = world.tree.waste() if self.dry_run else world.tree.collect()
        did = "would free" if self.dry_run else "freed"
        what = f"{counted(freed.chunks, 'chunk')}, {counted(freed.frames, 'frame')}, {decimal(freed.bytes)}"
        print(f"{self.world}: {did} {what}")  # noqa: T201
        return 0
