"""``worldgen fly``: a flythrough as a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from memory.cache import WorldCache
    from memory.world import World
    from render.cameras import Cameras


@dataclass(frozen=True)
class Fly:
    """Render a flythrough of a world as an MP4 video; needs no browser and no display."""

    world: Annotated[Path, tyro.conf.Positional]
    """Folder of the world."""

    out: Annotated[Path, tyro.conf.Positional]
    """Video to write (.mp4)."""

    path: str = "frames"
    """Camera path: frames (smoothly through the world's own), a preset, a move, a tour or a file, as grow."""

    seconds: float = 8.0
    """Length of the video; paths from files and --render frames keep their own number of pictures."""

    fps: float = 24.0
    """Pictures a second."""

    size: str = "512x512"
    """Size of the video, WIDTHxHEIGHT."""

    render: Literal["splats", "points", "frames"] = "splats"
    """What to show: splats, the bare points of the cache, or the frames as they were imagined."""

    def run(self) -> int:
        from memory.restore import restored_cache
        from memory.world import World
        from reconstruct.formats.video import write_mp4
        from worldgen.cli.inputs import picture_size
        from worldgen.cli.progress import bar

        width, height = picture_size(self.size)
        if self.out.suffix != ".mp4":
            raise ValueError(f"the video must end in .mp4, got {self.out}")
        if not (0.1 <= self.seconds <= 3600 and 1 <= self.fps <= 240):
            raise ValueError("--seconds lies between 0.1 and 3600, --fps between 1 and 240")
        with World.open(self.world) as world:
            cameras = self._cameras(world, width=width, height=height)
            cache = restored_cache(world)
            with bar(f"filming {self.world.name}", total=len(cameras)) as progress:

                def pictures() -> Iterator[Float[Tensor, "h w 3"]]:
                    for picture in self._pictures(world, cache, cameras):
                        yield picture
                        progress.step()

                write_mp4(self.out, pictures(), fps=self.fps)
        print(f"{self.out}: {len(cameras)} pictures, {len(cameras) / self.fps:.1f} s")  # noqa: T201
        return 0

    def _cameras(self, world: World, *, width: int, height: int) -> Cameras:
        """The cameras of the video, at its size; a wider picture sees more to the sides."""
        from render.cameras import with_size
        from render.keyframes import interpolated
        from worldgen.cli.inputs import film_path

        own = world.cameras()
        count = max(2, round(self.seconds * self.fps))
        if self.render == "frames":
            cameras = own
        elif self.path == "frames":
            cameras = interpolated(own, count)
        else:
            scene, fps = world.scene, self.fps
            cameras = film_path(
                self.path, own[:1], pictures=count, fps=fps, up=scene.up, scale=scene.scale, world=world
            )
        return with_size(cameras, width=width, height=height)

    def _pictures(
        self, world: World, cache: WorldCache, cameras: Cameras
    ) -> Iterator[Float[Tensor, "h w 3"]]:
        import torch.nn.functional as F

        from reconstruct.fitted import splats_of
        from render.splats import render_splats

        if self.render == "frames":
            for number in world.frame_ids():
                rgb = world.frames([number]).rgb.permute(0, 3, 1, 2)
                size = (cameras.height, cameras.width)
                yield (
                    F.interpolate(rgb, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).clamp(0, 1)
                )
            return
        gaussians = splats_of(world, cache.points)
        for i in range(len(cameras)):
            camera = cameras[i : i + 1]
            if self.render == "points":
                yield cache.render(camera).rgb[0]
            else:
                yield render_splats(gaussians, camera).rgb[0].clamp(0.0, 1.0)
