"""``worldgen undo``: take back what grew last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Undo:
    """Move the head back; nothing is deleted until gc, and redo takes it forward again.

    Inside a path, extend --resume goes on with the path's next camera there.
    """

    world: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the world."""

    chunks: int = 1
    """How many chunks to go back; the first view always stays."""

    def run(self) -> int:
        from worldgen.cli.branches import moved_head

        return moved_head(self.world, lambda tree: tree.undo(self.chunks))
