"""``worldgen heads``: the branches of a world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from memory.world import World


@dataclass(frozen=True)
class Heads:
    """List the heads of a world, or change them: a head names the end of a branch, one is the current one.

    Examples:
        worldgen heads my-world                        list heads, and what undo left behind
        worldgen heads my-world --switch west          look at that branch, and grow it
        worldgen heads my-world --new west --at 12     begin a branch at chunk 12 and switch to it
        worldgen heads my-world --rename west east
        worldgen heads my-world --delete east          its chunks stay until gc
    """

    world: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the world."""

    switch: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Make this head the current one."""

    new: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Begin a head of this name and make it the current one."""

    at: Annotated[int | None, tyro.conf.arg(metavar="CHUNK")] = None
    """With --new: the chunk to begin at, any that info shows; that of the current head by default."""

    rename: Annotated[tuple[str, str] | None, tyro.conf.arg(metavar="OLD NEW")] = None
    """Give a head another name: the old one, then the new one."""

    delete: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Forget this head; it must not be the current one."""

    def run(self) -> int:
        from memory.world import World
        from worldgen.cli.branches import lines_of_heads

        changes = [self.switch, self.new, self.rename, self.delete]
        count = sum(change is not None for change in changes)
        if count > 1:
            raise ValueError("one thing at a time: give one of --switch, --new, --rename and --delete")
        if self.at is not None and self.new is None:
            raise ValueError("--at says where a new head begins; give --new NAME too")
        with World.open(self.world, writable=count > 0) as world:
            self._change(world)
            print("\n".join(lines_of_heads(world, self.world)))  # noqa: T201
        return 0

    def _change(self, world: World) -> None:
        from memory.world import WorldError

        tree = world.tree
        if self.switch is not None:
            tree.switch(self.switch)
        if self.new is not None:
            at = world.head if self.at is None else self.at
            if at is None:
                raise WorldError(f"{self.world} has no frames yet, so no head can begin there; grow it first")
            tree.branch(self.new, at=at)
        if self.rename is not None:
            tree.rename(*self.rename)
        if self.delete is not None:
            tree.delete(self.delete)
