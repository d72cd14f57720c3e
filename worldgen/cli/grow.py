"""``worldgen grow`` and ``worldgen extend``: start a world, and grow it on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from worldgen.generator import RGBDGenerator
    from worldgen.rollout import Growth

Positional = tyro.conf.Positional


@dataclass(frozen=True)
class Grow:
    """Start a world from a seed, a picture or an RGB-D picture, and grow it along a camera path.

    Examples:
        worldgen grow my-world --seed 3
        worldgen grow my-world --image room.jpg --path turn --frames 48
        worldgen grow my-world --image room.jpg --depth room.png --fov-deg 60
    """

    out: Annotated[Path, Positional]
    """Folder of the new world."""

    image: Path | None = None
    """Picture to start from; without one the first view is imagined from the seed."""

    depth: Path | None = None
    """Depth of the picture, registered to it: 16-bit PNG, float TIFF or .npy, of z-depth."""

    depth_units: float = 1000.0
    """Units of a depth PNG in a metre."""

    fov_deg: float = 70.0
    """Horizontal field of view of the picture, in degrees."""

    seed: int = 0
    """Decides everything that is imagined."""

    path: str = "turn"
    """Camera path: orbit, walk, turn, there-and-back, or a JSON file."""

    frames: int = 24
    """Frames of the world, the first view among them."""

    model: str = "tiny"
    """Weights: a name that ships with the package, or a .safetensors file."""

    steps: int = 4
    """Denoising steps a frame, 1 to 64."""

    def run(self) -> int:
        from memory.world import SceneInfo, World
        from worldgen.cli.inputs import first_view, path_from
        from worldgen.rollout import Growth, scene_scale, start

        generator = _generator(self.model, self.steps)
        first = first_view(
            self.image,
            self.depth,
            fov_deg=self.fov_deg,
            depth_units_per_metre=self.depth_units,
            size=generator.size,
        )
        camera = first if self.image is None else first.cameras  # type: ignore[union-attr]
        info = SceneInfo(
            units="scene" if self.depth is None else "metres", scale=scene_scale(first), up=(0.0, -1.0, 0.0)
        )
        cameras = path_from(self.path, camera, frames=self.frames, up=info.up, scale=info.scale)  # type: ignore[arg-type]
        start(self.out, info, first, cameras=cameras, generator=generator, seed=self.seed, name=self.path)
        with World.open(self.out, writable=True) as world:
            growth = Growth(world, generator)
            before = len(world.frame_ids())
            _follow(growth, title=f"growing {self.out.name}", before=before, total=len(cameras))
        _tell(self.out)
        return 0


@dataclass(frozen=True)
class Extend:
    """Grow a world on from its last frame, or finish a path that was interrupted."""

    world: Annotated[Path, Positional]
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
        from worldgen.cli.inputs import path_from
        from worldgen.rollout import Growth

        with World.open(self.world, writable=True) as world:
            if world.head is None:
                raise WorldError(
                    f"{self.world} was interrupted before its first frame; delete it and grow it again"
                )
            growth = Growth(world, _generator(self.model, self.steps))
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
            _follow(
                growth, title=f"growing {self.world.name}", before=pending.done, total=len(pending.cameras)
            )
        _tell(self.world)
        return 0


def _generator(model: str, steps: int) -> RGBDGenerator:
    from worldgen.generator import RGBDGenerator

    return RGBDGenerator(model, steps=steps)


def _follow(growth: Growth, *, title: str, before: int, total: int) -> None:
    from worldgen.cli.progress import bar

    with bar(title, total=total) as progress:
        progress.to(before)
        for grown in growth.follow():
            progress.step(f"{len(growth.cache):,} points, {grown.times.sample_ms:.0f} ms to imagine a frame")


def _tell(path: Path) -> None:
    from memory.world import World

    with World.open(path) as world:
        count = len(world.frame_ids())
    print(f"{path}: {count} frames; look at it with: worldgen view {path}")  # noqa: T201
