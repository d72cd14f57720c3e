"""``worldgen extend``: grow a world on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from memory.world import World
    from render.cameras import Cameras


@dataclass(frozen=True)
class Extend:
    """Grow a world on from its last frame, or from any other, or finish a path that was interrupted.

    Examples:
        worldgen extend my-world --path wander --frames 48
        worldgen extend my-world --resume
        worldgen extend my-world --at 12 --head west     a new branch; the old one stays as it is
    """

    world: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the world."""

    resume: bool = False
    """Finish the interrupted path; without this a new one begins and the old one is given up."""

    at: Annotated[int | None, tyro.conf.arg(metavar="CHUNK")] = None
    """Chunk to branch off from, any that info shows: a new head begins there and becomes the current one."""

    head: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """With --at: the name of the new head; branch-1 and so on by default."""

    seed: int = 0
    """Decides everything that is imagined."""

    path: str = "walk"
    """Camera path: orbit, walk (straight, through anything), wander (round what is in the way), turn,
    there-and-back, loop, dolly, spiral, explore (to what is unknown); a move with numbers, such as
    arc:degrees=90,length=2; or a file: a tour, JSON of ours or nerfstudio's; the text of RealEstate10K,
    pose arrays (.npz) or a COLMAP model, whose motion begins here and counts in scene lengths (median depths
    of the first view)."""

    frames: int = 24
    """New frames."""

    survey: bool = True
    """Imagine views far along the path first, and then the path between them; they come on top of --frames.
    Without it a long walk through what is imagined ends in patterns."""

    model: str = "tiny"
    """Weights: a name that ships with the package, or a .safetensors file."""

    steps: int = 4
    """Denoising steps a frame, 1 to 64; a view of which hardly anything is known takes 32 at least."""

    def run(self) -> int:
        from memory.world import World, WorldError
        from worldgen.cli.growing import find_ways, follow, generator_named, tell
        from worldgen.explore import CHOSEN_ON_THE_WAY
        from worldgen.rollout import Growth

        if self.at is not None and self.resume:
            raise ValueError(
                "--resume finishes a path of the current head and --at begins a new one; give one"
            )
        if self.head is not None and self.at is None:
            raise ValueError(
                "--head names what --at begins; give --at CHUNK too, "
                f"or switch first: worldgen heads {self.world} --switch {self.head}"
            )
        with World.open(self.world, writable=True) as world:
            if world.head is None:
                raise WorldError(
                    f"{self.world} was interrupted before its first frame; delete it and grow it again"
                )
            generator = generator_named(self.model, self.steps)
            cameras = None if self.resume else self._cameras(world)
            finds_ways = self.path in CHOSEN_ON_THE_WAY and not self.resume
            with self._branched(world):
                growth = Growth(world, generator)
                if cameras is not None and not finds_ways:
                    growth.plan(cameras, seed=self.seed, name=self.path, surveys=self.survey)
            if finds_ways:
                find_ways(growth, self.path, frames=self.frames, seed=self.seed)
                tell(self.world)
                return 0
            if world.pending() is None:
                print(f"{self.world} has no interrupted path; nothing to do")  # noqa: T201
                return 0
            follow(growth, title=f"growing {self.world.name}")
        tell(self.world)
        return 0

    def _cameras(self, world: World) -> Cameras:
        """The new path, without the camera that it starts from."""
        from worldgen.cli.inputs import checked_frames, path_from

        chunks = world.chunks(to=self.at)
        ids = world.walked_ids() if self.at is None else [i for chunk in chunks for i in chunk.frame_ids]
        cameras = path_from(
            self.path,
            world.cameras(ids[-1:]),
            frames=checked_frames(self.frames) + 1,
            up=world.scene.up,
            scale=world.scene.scale,
            world=world,
        )
        return cameras[1:]

    @contextmanager
    def _branched(self, world: World) -> Iterator[None]:
        """Begin a head at ``--at``, if it is given; if the block fails, there never was one."""
        from worldgen.cli.branches import tell_head

        if self.at is None:
            yield
            return
        before = world.tree.current.name
        branch = world.tree.branch(self.head or _free_name(world), at=self.at).name
        try:
            yield
        except BaseException:
            world.tree.switch(before)
            world.tree.delete(branch)
            raise
        tell_head(world, self.world)


def _free_name(world: World) -> str:
    taken = {head.name for head in world.tree.heads()}
    return next(name for name in (f"branch-{number}" for number in itertools.count(1)) if name not in taken)
