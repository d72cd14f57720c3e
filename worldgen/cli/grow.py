"""``worldgen grow``: start a world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Grow:
    """Start a world from a seed, a picture or an RGB-D picture, and grow it along a camera path.

    Examples:
        worldgen grow my-world --seed 3
        worldgen grow my-world --image room.jpg --path turn --frames 48
        worldgen grow my-world --image room.jpg --depth room.png --fov-deg 60
    """

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
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
    """Camera path: orbit, walk (straight, through anything), wander (round what is in the way), turn,
    there-and-back, loop, dolly, spiral, explore (to what is unknown); a move with numbers, such as
    arc:degrees=90,length=2; or a file: a tour, JSON of ours or nerfstudio's; the text of RealEstate10K,
    pose arrays (.npz) or a COLMAP model, whose motion begins here and counts in scene lengths (median depths
    of the first view)."""

    frames: int = 24
    """Frames of the world, the first view among them."""

    survey: bool = True
    """Imagine views far along the path first, and then the path between them; they come on top of --frames.
    Without it a long walk through what is imagined ends in patterns."""

    model: str = "tiny"
    """Weights: a name that ships with the package, or a .safetensors file."""

    steps: int = 4
    """Denoising steps a frame, 1 to 64; a view of which hardly anything is known takes 32 at least."""

    def run(self) -> int:
        from memory.world import SceneInfo, World
        from worldgen.cli.growing import find_ways, follow, generator_named, tell
        from worldgen.cli.inputs import checked_frames, first_view, path_from
        from worldgen.explore import CHOSEN_ON_THE_WAY
        from worldgen.rollout import Growth, scene_scale, start

        frames, generator = checked_frames(self.frames), generator_named(self.model, self.steps)
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
        cameras = path_from(self.path, camera, frames=frames, up=info.up, scale=info.scale)  # type: ignore[arg-type]
        start(
            self.out,
            info,
            first,
            cameras=cameras,
            generator=generator,
            seed=self.seed,
            name=self.path,
            surveys=self.survey,
        )
        with World.open(self.out, writable=True) as world:
            growth = Growth(world, generator)
            if self.path in CHOSEN_ON_THE_WAY:
                find_ways(growth, self.path, frames=frames - len(world.frame_ids()), seed=self.seed)
            else:
                follow(growth, title=f"growing {self.out.name}")
        tell(self.out)
        return 0
