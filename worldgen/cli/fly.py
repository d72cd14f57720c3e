"""``worldgen fly``: a flythrough as a video, a GIF or pictures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from torch import Tensor

    from memory.world import World
    from reconstruct.film import Film, Scene
    from render.cameras import Cameras


@dataclass(frozen=True)
class Fly:
    """Film a flythrough of a world; needs no browser and no display.

    Filmed again after an interruption, it goes on where it stopped.
    """

    world: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the world."""

    out: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILM")]
    """Film to write: .mp4, .webm, .gif, or a new folder for PNG files (no ending, or a / at the end)."""

    path: str = "frames"
    """Camera path: frames (smoothly through the world's own), a preset, a move, a tour or a file, as grow."""

    seconds: float = 8.0
    """Length of the video; paths from files and --render frames keep their own number of pictures."""

    fps: float | None = None
    """Pictures a second; where not given as many as a tour or a JSON file of cameras says, else 24."""

    size: str = "512x512"
    """Size of the video, WIDTHxHEIGHT, up to 4096x4096; side by side it is twice as wide."""

    render: Literal["splats", "points", "frames"] = "splats"
    """What to show: splats, the bare points of the cache, or the frames as they were imagined."""

    show: Literal["rgb", "depth", "normals", "side-by-side"] = "rgb"
    """Which picture of it: colour, depth (near red, far blue), normals, or colour and depth side by side."""

    @cached_property
    def _pace(self) -> float:
        """Pictures a second."""
        from worldgen.cli.inputs import film_fps

        return film_fps(self.fps, self.path)

    def run(self) -> int:
        from memory.world import World
        from reconstruct.film import Film, check_target, drawer, film_width, kind_of
        from worldgen.cli.inputs import check_dest, picture_count, picture_size

        width, height = picture_size(self.size)
        kind, out = kind_of(self.out), Path(self.out)
        check_dest(out, world=self.world)
        picture_count(self.seconds, self._pace)  # whatever is filmed
        check_target(out, kind=kind, fps=self._pace)
        with World.open(self.world) as world:
            scene, fingerprint = self._scene(world, width=width, height=height)
            film = Film(
                count=scene.count,
                width=film_width(width, self.show),
                height=height,
                fps=self._pace,
                draw=drawer(scene, show=self.show, width=width, height=height),
                fingerprint=fingerprint,
            )
            shown = self._write(film, out, kind=kind, title=f"filming {world.path.name}")
        grown = "" if shown == (film.width, film.height) else ", as H.264 needs even sides"
        size, seconds = f"{shown[0]}x{shown[1]}{grown}", film.count / self._pace
        print(f"{out}: {film.count} pictures, {size}; {seconds:.1f} s")  # noqa: T201
        return 0

    def _write(self, film: Film, out: Path, *, kind: str, title: str) -> tuple[int, int]:
        """Film behind a bar; the size of the film."""
        from reconstruct.film import has_parts, write_film
        from worldgen.cli.progress import bar

        try:
            with bar(title, total=film.count) as progress:
                return write_film(film, out, kind=kind, tell=progress.to)
        except KeyboardInterrupt as stop:
            if has_parts(out):
                stop.args = ("interrupted; what is filmed stays, and the same command goes on from there",)
            raise

    def _scene(self, world: World, *, width: int, height: int) -> tuple[Scene, str]:
        """What is filmed, and a fingerprint of all that decides how it looks."""
        from memory.points import FIELDS
        from memory.restore import restored_cache
        from reconstruct.film import frame_scene, point_scene, splat_scene
        from reconstruct.fitted import splats_of
        from render.splats import drawing_device

        if self.render == "frames":
            return frame_scene(world), self._fingerprint([], world.chunks())
        cameras = self._cameras(world, width=width, height=height)
        cache, views = restored_cache(world), [cameras.c2w, cameras.K]
        points = cache.points
        if self.render == "points":
            drawn = [getattr(points, name) for name in FIELDS]
            return point_scene(cache, cameras), self._fingerprint([*views, *drawn], None)
        device, gaussians = drawing_device(), splats_of(world, points)
        drawn = [getattr(gaussians, field.name) for field in fields(gaussians)]
        scene = splat_scene(gaussians.to(device), cameras.to(device), show=self.show)
        return scene, self._fingerprint([*views, *drawn], device)

    def _fingerprint(self, tensors: list[Tensor], more: object) -> str:
        """Another one for other pictures."""
        digest = hashlib.sha256(repr((self.render, self.show, more)).encode())
        for tensor in tensors:
            digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _cameras(self, world: World, *, width: int, height: int) -> Cameras:
        """The cameras of the video, at its size; a wider picture sees more to the sides."""
        from render.cameras import with_size
        from render.keyframes import interpolated
        from worldgen.cli.inputs import film_path, picture_count

        own, count = world.cameras(world.walked_ids()), picture_count(self.seconds, self._pace)
        if self.path == "frames":
            cameras = interpolated(own, count)
        else:
            scene, fps = world.scene, self._pace
            cameras = film_path(
                self.path, own[:1], pictures=count, fps=fps, up=scene.up, scale=scene.scale, world=world
            )
        return with_size(cameras, width=width, height=height)
