"""``worldgen redo``: take back undo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Redo:
    """Move the head forward again to where it was before undo, unless something new has grown since."""

    world: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the world."""

    chunks: int | None = None
    """How many chunks to go forward; all that were undone by default."""

    def run(self) -> int:
        from worldgen.cli.branches import moved_head

        return moved_head(self.world, lambda tree: tree.redo(self.chunks))
