"""``worldgen import``: posed pictures with depth become a world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from reconstruct.formats.rgbd import Recording
    from render.frames import Frames
    from worldgen.generator import RGBDGenerator

MAX_FRAMES = 1_000
"""Pictures of one import: all are read before the first becomes a world, so that a bad one spoils none."""


@dataclass(frozen=True)
class Import:
    """Make a world of posed pictures with measured depth, as they are; grow it on with extend.

    Read are folders with sequence.json, nerfstudio's transforms.json with depth_file_path, TUM RGB-D
    (rgb.txt, depth.txt, groundtruth.txt) and 7-Scenes (frame-000000.color.png and so on). Pictures are
    cropped to the central square and resized to what the weights take.

    Examples:
        worldgen import rgbd_dataset_freiburg1_desk desk --frames 60
        worldgen extend desk --path wander --frames 24
    """

    src: Annotated[Path, tyro.conf.Positional]
    """Folder of the pictures."""

    out: Annotated[Path, tyro.conf.Positional]
    """Folder of the new world."""

    frames: int = 48
    """Pictures to take, up to 1,000; an even choice of all that there are."""

    resume: bool = False
    """Go on with an import that was interrupted; the other words have to be the same."""

    intrinsics: Annotated[tuple[float, float, float, float] | None, tyro.conf.arg(metavar="FX FY CX CY")] = (
        None
    )
    """In pixels of the stored pictures, centres of pixels at halves; else what the folder says, or the
    Kinect's for TUM and 7-Scenes, which say nothing."""

    depth_units: float | None = None
    """Steps of integer depth files in a metre, where the folder does not say it or says it wrong."""

    model: str = "tiny"
    """Weights that will grow the world: a name that ships with the package, or a .safetensors file."""

    def run(self) -> int:
        from memory.world import World
        from reconstruct.formats.rgbd import read_recording
        from worldgen.cli.growing import generator_named, tell

        if not 1 <= self.frames <= MAX_FRAMES:
            raise ValueError(f"--frames must lie between 1 and {MAX_FRAMES}, got {self.frames}")
        if self.resume:
            World.open(self.out).close()
        else:
            World.free_place(self.out)
        recording = read_recording(
            self.src, most=self.frames, intrinsics=self.intrinsics, units_per_metre=self.depth_units
        )
        generator = generator_named(self.model, steps=1)
        frames = self._read(recording, size=generator.size)
        try:
            self._keep(recording, frames, generator)
        except KeyboardInterrupt as stop:
            if self.out.exists():
                rest = "the same command with --resume brings the rest"
                stop.args = (f"interrupted; what is in {self.out} stays; {rest}",)
            raise
        tell(self.out)
        return 0

    def _read(self, recording: Recording, *, size: int) -> Frames:
        from reconstruct.formats.rgbd import read_frame
        from render.frames import concatenated
        from worldgen.cli.progress import bar

        frames = []
        with bar(f"reading {self.src.name}", total=len(recording.views)) as progress:
            for number in range(len(recording.views)):
                frames.append(read_frame(recording, number, size=size))
                progress.step()
        return concatenated(frames)

    def _keep(self, recording: Recording, frames: Frames, generator: RGBDGenerator) -> None:
        """Commit what is not there yet, behind a bar."""
        from memory.world import World
        from worldgen.cli.progress import bar
        from worldgen.recorded import begin_recorded, give_rest, scene_of
        from worldgen.rollout import Growth

        names = [view.file.relative_to(self.src).as_posix() for view in recording.views]
        if not self.resume:
            info = scene_of(frames, units=recording.units, up=recording.up)
            begin_recorded(self.out, info, frames, names=names, generator=generator)
        with (
            World.open(self.out, writable=True) as world,
            bar(f"importing {self.src.name}", total=len(frames)) as progress,
        ):
            growth = Growth(world, generator)
            progress.to(len(world.frame_ids()))
            for _ in give_rest(growth, frames, names=names):
                progress.step(f"{len(growth.cache):,} points")
