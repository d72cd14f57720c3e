"""``worldgen import``: posed pictures become a world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from render.frames import Frames
    from worldgen.generator import RGBDGenerator

MAX_FRAMES = 1_000
"""Pictures of one import: all are read before the first becomes a world, so that a bad one spoils none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posed:
    """Pictures that become a world as they are."""

    frames: Frames
    names: list[str]
    """Of the files that they came from."""
    units: str
    up: tuple[float, float, float] | None


@dataclass(frozen=True)
class Import:
    """Make a world of posed pictures, as they are; grow it on with extend.

    With measured depth: folders with sequence.json, nerfstudio's transforms.json with depth_file_path, TUM
    RGB-D (rgb.txt, depth.txt, groundtruth.txt) and 7-Scenes (frame-000000.color.png and so on).

    Photographs alone: folders with transforms.json, cameras.json or a COLMAP model, as fit takes them. They
    are compared to find depth, which takes some seconds a photograph; what they do not tell stays unknown.

    Splats: files of any format that convert reads. They are seen from a ring of cameras around them, or as
    --cameras says, which a scene needs that is seen from within.

    Pictures are cropped to the central square and resized to what the weights take.

    Examples:
        worldgen import rgbd_dataset_freiburg1_desk desk --frames 60
        worldgen import my-photographs place
        worldgen import guitar.spz guitar --frames 16
        worldgen extend desk --path wander --frames 24
    """

    src: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")]
    """Folder of the pictures, or a file of splats."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the new world."""

    frames: int = 48
    """Pictures to take, up to 1,000; an even choice of all that there are."""

    cameras: Path | None = None
    """For splats: from where they are seen. A file as --path takes it, whose poses are taken as they are."""

    resume: bool = False
    """Go on with an import that was interrupted; the other words have to be the same."""

    intrinsics: Annotated[tuple[float, float, float, float] | None, tyro.conf.arg(metavar="FX FY CX CY")] = (
        None
    )
    """In pixels of the stored pictures, centres of pixels at halves; else what the folder says, or the
    Kinect's for TUM and 7-Scenes, which say nothing. Of pictures with depth."""

    depth_units: float | None = None
    """Steps of integer depth files in a metre, where the folder does not say it or says it wrong."""

    model: str = "tiny"
    """Weights that will grow the world: a name that ships with the package, or a .safetensors file."""

    def run(self) -> int:
        from memory.world import World
        from worldgen.cli.growing import generator_named, tell

        if not 1 <= self.frames <= MAX_FRAMES:
            raise ValueError(f"--frames must lie between 1 and {MAX_FRAMES}, got {self.frames}")
        if self.resume:
            World.open(self.out).close()
        else:
            World.free_place(self.out)
        if self.cameras is not None and not self.src.is_file():
            raise ValueError(f"--cameras is for a file of splats, and {self.src} is none")
        generator = generator_named(self.model, steps=1)
        posed = self._reader()(generator.size)
        try:
            self._keep(posed, generator)
        except KeyboardInterrupt as stop:
            if self.out.exists():
                rest = "the same command with --resume brings the rest"
                stop.args = (f"interrupted; what is in {self.out} stays; {rest}",)
            raise
        tell(self.out)
        return 0

    def _reader(self) -> Callable[[int], Posed]:
        """What reads the source, at a size."""
        from reconstruct.formats.captures import is_capture
        from reconstruct.formats.rgbd import has_depth

        if self.src.is_file():
            return self._splats
        return self._photographs if is_capture(self.src) and not has_depth(self.src) else self._recording

    def _recording(self, size: int) -> Posed:
        from reconstruct.formats.rgbd import read_frame, read_recording
        from render.frames import concatenated
        from worldgen.cli.progress import bar

        recording = read_recording(
            self.src, most=self.frames, intrinsics=self.intrinsics, units_per_metre=self.depth_units
        )
        frames = []
        with bar(f"reading {self.src.name}", total=len(recording.views)) as progress:
            for number in range(len(recording.views)):
                frames.append(read_frame(recording, number, size=size))
                progress.step()
        names = [view.name_in(self.src) for view in recording.views]
        return Posed(frames=concatenated(frames), names=names, units=recording.units, up=recording.up)

    def _photographs(self, size: int) -> Posed:
        from reconstruct.formats.captures import read_capture
        from reconstruct.stereo import with_stereo_depth
        from render.splats import available_threads
        from worldgen.cli.progress import bar

        self._refuse_depth()
        capture = read_capture(self.src, most=self.frames)
        with bar(f"comparing {self.src.name}", total=len(capture.names)) as progress:
            frames = with_stereo_depth(
                capture.frames,
                size=size,
                points=capture.points,
                threads=available_threads(),
                progress=progress.step,
            )
        kept = frames.valid.flatten(1).any(dim=1).nonzero()[:, 0]
        if len(kept) < len(frames):
            print(f"{len(frames) - len(kept)} photographs are left out: nothing tells their depth")  # noqa: T201
        return Posed(
            frames=frames[kept], names=[capture.names[i] for i in kept.tolist()], units="scene", up=None
        )

    def _splats(self, size: int) -> Posed:
        from reconstruct.formats import read_splats
        from reconstruct.shots import ring_around, shot, square_views
        from render.frames import concatenated
        from render.paths import WORLD_UP
        from worldgen.cli.inputs import poses_from
        from worldgen.cli.progress import bar

        self._refuse_depth()
        gaussians = read_splats(self.src)
        if self.cameras is None:
            views = ring_around(gaussians, n=self.frames, size=size)
        else:
            views = square_views(poses_from(self.cameras), most=self.frames, size=size)
        frames = []
        with bar(f"looking at {self.src.name}", total=len(views)) as progress:
            for number in range(len(views)):
                frames.append(shot(gaussians, views[number : number + 1]))
                progress.step()
        seen = [number for number, frame in enumerate(frames) if frame.valid.any()]
        if not seen:
            raise ValueError(f"no camera sees anything of {self.src.name}; give others with --cameras")
        return Posed(
            frames=concatenated([frames[number] for number in seen]),
            names=[f"{self.src.name} from camera {number}" for number in seen],
            units="scene",
            up=tuple(WORLD_UP.tolist()) if self.cameras is None else None,
        )

    def _refuse_depth(self) -> None:
        if self.intrinsics is not None or self.depth_units is not None:
            raise ValueError(
                f"--intrinsics and --depth-units are for pictures with depth, and {self.src} has none"
            )

    def _keep(self, posed: Posed, generator: RGBDGenerator) -> None:
        """Commit what is not there yet, behind a bar."""
        from memory.world import World
        from worldgen.cli.progress import bar
        from worldgen.recorded import begin_recorded, give_rest, scene_of
        from worldgen.rollout import Growth

        frames, names = posed.frames, posed.names
        if not self.resume:
            info = scene_of(frames, units=posed.units, up=posed.up)
            begin_recorded(self.out, info, frames, names=names, generator=generator)
        with (
            World.open(self.out, writable=True) as world,
            bar(f"importing {self.src.name}", total=len(frames)) as progress,
        ):
            growth = Growth(world, generator)
            progress.to(len(world.frame_ids()))
            for _ in give_rest(growth, frames, names=names):
                progress.step(f"{len(growth.cache):,} points")
