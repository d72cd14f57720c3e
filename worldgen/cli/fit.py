"""``worldgen fit``: splats that show what the frames of a world show, or the photographs of a capture."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from memory.world import World
    from reconstruct.fit import Fit as Fitting
    from reconstruct.fit import FitSettings
    from render.frames import Frames
    from render.gaussians import Gaussians

MAX_FRAMES = 400
"""Frames that a fit learns from; of longer worlds an even choice is taken, so that memory is bounded."""


@dataclass(frozen=True)
class Fit:
    """Optimise splats against the frames of a world, or against photographs with known cameras.

    World: export, fly and view then show the fitted splats. A world that grows on, or is undone, shows its
    unfitted splats again until it is fitted there.

    Capture: a folder with transforms.json (nerfstudio), cameras.json ({"frames": [{"file", "K", "c2w"}]};
    OpenCV axes, pixel centres at whole numbers), or images and a COLMAP model (sparse/0, binary or text).
    Splats are written to --out. Without points to begin with, some are found by comparing photographs.

    One frame of eight is held out: the fit never learns from it, is scored by it, and ends early when that
    score gets no better.

    Resume: interrupted fits go on where they were when the command is given again.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")]
    """Folder of the world, or of the capture."""

    out: Path | None = None
    """File to write the splats of a capture to, such as splats.ply; a world keeps its own."""

    quality: Literal["preview", "standard", "high"] = "preview"
    """How long to try: 300, 3,000 or 15,000 steps; 1,000, 5,000 or 20,000 for captures."""

    steps: int | None = None
    """Steps instead of those of the quality."""

    max_splats: int | None = None
    """Splats that the fit of a capture may grow to, 200,000 where not given; worlds have one a point."""

    seed: int = 0
    """Order of the frames; the same seed gives the same splats."""

    clean: bool = True
    """Leave out splats that no frame sees, that float before surfaces, or that are larger than things are."""

    def run(self) -> int:
        from memory.world import NAME
        from reconstruct.formats.captures import LAYOUTS, is_capture

        if is_capture(self.source):
            return self._fit_capture()
        if self.out is not None or self.max_splats is not None:
            raise ValueError(
                f"--out and --max-splats are for captures, and {self.source} holds none of {LAYOUTS}; "
                "a world keeps its splats, and worldgen export writes them"
            )
        if self.source.is_dir() and not (self.source / NAME).exists():
            raise ValueError(
                f"{self.source} is neither a world, which holds {NAME}, nor a capture, which holds {LAYOUTS}"
            )
        return self._fit_world()

    def _fit_world(self) -> int:
        from memory.restore import restored_cache
        from memory.world import World
        from reconstruct.fit import QUALITIES, held_out_frames
        from reconstruct.fit import Fit as Fitting
        from reconstruct.fitted import checkpoint_file, fitted_file, frames_to_fit, keep_fitted
        from reconstruct.init import gaussians_from_points

        with World.open(self.source, writable=True) as world:
            checkpoint = checkpoint_file(world)
            checkpoint.parent.mkdir(exist_ok=True)
            ids = _even(world)
            fit = Fitting(
                gaussians_from_points(restored_cache(world).points),
                frames_to_fit(world, ids),
                held_out=held_out_frames(len(ids)),
                settings=self._settings(QUALITIES),
                scale=world.scene.scale,
                seed=self.seed,
            )
            said = self._finished(fit, checkpoint)
            splats = self._cleaned(fit.best, fit.frames, scale=world.scene.scale) if self.clean else fit.best
            keep_fitted(world, splats)
            checkpoint.unlink(missing_ok=True)
            print(f"{fitted_file(world)}: {len(splats):,} splats {said}")  # noqa: T201
        return 0

    def _fit_capture(self) -> int:
        from reconstruct.captured import CAPTURE_QUALITIES, MOST, fit_of_capture
        from reconstruct.formats import check_splat_file, export_splats
        from reconstruct.formats.captures import read_capture
        from reconstruct.sparse import capture_scale

        if self.out is None:
            raise ValueError(f"{self.source} is a capture: say where its splats go, such as --out splats.ply")
        check_splat_file(self.out)
        capture = read_capture(self.source, most=MAX_FRAMES)
        most = MOST if self.max_splats is None else self.max_splats
        fit = fit_of_capture(capture, settings=self._settings(CAPTURE_QUALITIES), most=most, seed=self.seed)
        checkpoint = self.out.with_suffix(".fit.safetensors")
        said = self._finished(fit, checkpoint)
        scale = capture_scale(capture.frames.cameras)
        splats = self._cleaned(fit.best, capture.frames, scale=scale) if self.clean else fit.best
        export_splats(splats, self.out)
        checkpoint.unlink(missing_ok=True)
        print(f"{self.out}: {len(splats):,} splats {said}")  # noqa: T201
        return 0

    def _settings(self, qualities: dict[str, FitSettings]) -> FitSettings:
        import dataclasses

        settings = qualities[self.quality]
        return settings if self.steps is None else dataclasses.replace(settings, steps=self.steps)

    def _finished(self, fit: Fitting, checkpoint: Path) -> str:
        """Take a fit to its end, on from where it was interrupted; what came of it."""
        from reconstruct.fit import fitted
        from worldgen.cli.progress import bar

        if fit.resume(checkpoint):
            print(f"going on from step {fit.steps:,}")  # noqa: T201
        first, before, began, rate = fit.steps, None, time.perf_counter(), 0.0
        try:
            with bar(f"fitting {self.source.name}", total=fit.settings.steps) as progress:
                for step, score in fitted(fit, checkpoint=checkpoint):
                    before = score if step == 0 else before
                    rate = (step - first) / max(time.perf_counter() - began, 1e-9)
                    progress.to(step, f"{score:.2f} dB, {len(fit):,} splats, {rate:.1f} steps/s")
        except KeyboardInterrupt as stop:
            kept = f"; the same command goes on from step {fit.saved:,}" if fit.saved else ""
            raise type(stop)(f"interrupted at step {fit.steps:,}{kept}") from None
        gain = "" if before is None else f" (before: {before:.2f} dB)"
        judged = "held-out frames" if fit.held_out else "its own frames"
        return f"after {fit.steps:,} steps ({rate:.1f} a second), {fit.best_score:.2f} dB on {judged}{gain}"

    def _cleaned(self, splats: Gaussians, frames: Frames, *, scale: float) -> Gaussians:
        from reconstruct.hygiene import cleaned

        found = cleaned(splats, frames, scale=scale)
        print(  # noqa: T201
            f"left out {found.removed:,} splats: {found.invisible:,} that no frame sees, {found.floating:,} "
            f"before surfaces, {found.oversized:,} too large"
        )
        return found.splats


def _even(world: World) -> list[int]:
    """The frames at the head, or an even choice of them."""
    ids = world.frame_ids()
    if len(ids) <= MAX_FRAMES:
        return ids
    return [ids[round(i * (len(ids) - 1) / (MAX_FRAMES - 1))] for i in range(MAX_FRAMES)]
