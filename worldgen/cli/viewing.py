"""What the viewer can do with an open world: grow it, edit it, step through its history."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memory.boxes import Box, Corner
    from memory.points import Points
    from memory.world import World
    from reconstruct.surface import Surface
    from render.cameras import Cameras
    from render.gaussians import Gaussians
    from render.tours import Setting
    from viewer import Abilities, Grown, Scene, Viewer
    from worldgen.generator import Generator
    from worldgen.rollout import Grown as Committed


def shown(world: World, points: Points) -> Scene:
    """All that a world shows whose cache holds ``points``: fitted splats, if there are any for its head."""
    from reconstruct.fitted import has_fitted, splats_of
    from viewer import Scene

    splats = splats_of(world, points) if has_fitted(world) else None
    return Scene(frames=world.frames(), points=points, splats=splats)


def viewer_of(world: World, scene: Scene, abilities: Abilities, **listening: Any) -> Viewer:
    """A viewer of a world; ``listening`` is where, and to whom (``host``, ``port``, ``token``)."""
    import torch

    from viewer import Viewer

    up, scale = torch.tensor(world.scene.up), world.scene.scale
    return Viewer(scene, up=up, scale=scale, abilities=abilities, **listening)


class Desk:
    """A world open for writing, as the viewer uses it. Whoever asks waits for the chunk in progress."""

    def __init__(self, world: World, generator: Generator):
        self._world, self._generator = world, generator
        self._turn = threading.RLock()
        self._return_to_head()

    def abilities(self) -> Abilities:
        """All that can be done with the world."""
        from viewer import Abilities, History

        return Abilities(
            grow=self.grow,
            explore=self.explore,
            wander=self.wander,
            history=History(tree=self._world.tree, scene=self.scene),
            edit=self,
            replay=self.replay,
            setting=self.setting,
            splats=self.splats,
            mesh=self.mesh,
        )

    def scene(self) -> Scene:
        """What the world shows at its head, wherever that was moved to."""
        with self._turn:
            if self._world.head != self._at:
                self._return_to_head()
            return shown(self._world, self._growth.cache.points)

    def setting(self) -> Setting:
        """The world of now as the place where tours are flown."""
        from memory.settings import setting_in

        with self._turn:
            return setting_in(self._world)

    def splats(self) -> Gaussians:
        """The splats of now: fitted ones, if there are any for the head, else one a point."""
        from reconstruct.fitted import splats_of

        with self._turn:
            return splats_of(self._world, self._growth.cache.points)

    def mesh(self, *, watertight: bool) -> Surface:
        """The frames of now as a mesh, or a solid. They lie on the disk: the world grows on meanwhile."""
        from reconstruct.meshed import MeshSettings, meshed
        from reconstruct.seen import SeenFrames

        with self._turn:
            frames = SeenFrames(self._world)
        return meshed(frames, MeshSettings(watertight=watertight)).surface

    def grow(self, cameras: Cameras, *, seed: int) -> Iterator[Grown]:
        """Plan the path and follow it; a path left unfinished is given up."""
        with self._turn:
            self._growth.plan(cameras, seed=seed, name="viewer", surveys=True)
            steps = self._growth.follow()
        return self._told(steps)

    def explore(self, camera: Cameras, *, frames: int, seed: int) -> Iterator[Grown]:
        """Go wherever most is unknown."""
        from worldgen.explore import explore

        return self._told(explore(self._growth, frames=frames, seed=seed, start=camera))

    def wander(self, camera: Cameras, *, frames: int, seed: int) -> Iterator[Grown]:
        """Go straight on, and round what is in the way."""
        from worldgen.explore import wander

        return self._told(wander(self._growth, frames=frames, seed=seed, start=camera))

    def remove(self, box: Box) -> str:
        """Take what is known inside a box out of the world."""
        with self._turn:
            _, count = self._growth.remove(box, settings={})
            self._at = self._world.head
        return f"Removed {count:,} points."

    def place(self, mesh: Path, *, at: Corner, yaw_deg: float, scale: float) -> str:
        """Stand a mesh in the world."""
        from reconstruct.meshes import read_mesh, stood
        from reconstruct.sampling import points_of_mesh, spacing_of

        world = self._world
        standing = stood(read_mesh(mesh), at=at, up=world.scene.up, yaw_deg=yaw_deg, scale=scale)
        with self._turn:
            spacing = spacing_of(world.cameras(world.frame_ids()[-1:]), scale=world.scene.scale)
            _, placed = self._growth.place(
                points_of_mesh(standing, spacing=spacing),
                settings={"mesh": mesh.name, "at": list(at), "yaw_deg": yaw_deg, "scale": scale},
            )
            self._at = world.head
        return f"Placed {len(placed):,} points of {mesh.name}."

    def replay(self) -> str:
        """Imagine the newest frame again, beside the world, and say how it compares."""
        from worldgen.replay import replay_newest

        with self._turn:
            replayed = replay_newest(self._world.path, generator_of=self._named)
        numbers = ", ".join(map(str, replayed.chunk.frame_ids))
        return (
            f"Not the same: {replayed.difference}."
            if replayed.difference
            else (f"Imagined frame {numbers} again: the same, bit for bit.")
        )

    def _named(self, recorded: str) -> Generator:
        """The generator that the world calls ``recorded``; the one at hand, if it is that."""
        from worldgen.cli.recorded import recorded_generator

        if recorded == self._generator.name:
            return self._generator
        return recorded_generator(recorded, world=self._world.path)

    def _return_to_head(self) -> None:
        """Rebuild what follows from the head."""
        from worldgen.rollout import Growth

        self._growth = Growth(self._world, self._generator)
        self._at = self._world.head
        self._numbers = {frame: i for i, frame in enumerate(self._world.frame_ids())}

    def _told(self, steps: Iterator[Committed]) -> Iterator[Grown]:
        """What is committed, in the viewer's words, a chunk at a time."""
        while True:
            with self._turn:
                committed = next(steps, None)
                if committed is None:
                    return
                told = self._in_its_words(committed)
            yield told

    def _in_its_words(self, committed: Committed) -> Grown:
        from viewer import Grown, Remembered

        remembered = tuple(
            Remembered(number=self._numbers[view.frame_id], overlap=view.overlap, age=view.age)
            for view in committed.recalled
        )
        self._at = committed.chunk.id
        for frame in committed.chunk.frame_ids:
            self._numbers[frame] = len(self._numbers)
        return Grown(
            frames=committed.frames,
            points=committed.points,
            known=committed.known,
            remembered=remembered,
            is_ahead=committed.chunk.is_ahead,
        )
