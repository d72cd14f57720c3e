"""``worldgen fit``: splats that show what the frames of a world show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from memory.world import World
    from reconstruct.fit import Fit as Fitting
    from render.frames import Frames
    from render.gaussians import Gaussians

MAX_FRAMES = 400
"""Frames that a fit learns from; of longer worlds an even choice is taken, so that memory is bounded."""


@dataclass(frozen=True)
class Fit:
    """Optimise the splats of a world against its frames; export, fly and view then show these.

    One frame of eight is held out: the fit never learns from it, is scored by it, and ends early when that
    score gets no better.

    Resume: interrupted fits go on where they were when the command is given again.

    A world that grows on, or is undone, shows its unfitted splats again until it is fitted there.
    """

    world: Annotated[Path, tyro.conf.Positional]
    """Folder of the world."""

    quality: Literal["preview", "standard", "high"] = "preview"
    """How long to try: 300, 3,000 or 15,000 steps."""

    steps: int | None = None
    """Steps instead of those of the quality."""

    seed: int = 0
    """Order of the frames; the same seed gives the same splats."""

    clean: bool = True
    """Leave out splats that no frame sees, that float before surfaces, or that are larger than things are."""

    def run(self) -> int:
        import dataclasses

        from memory.restore import restored_cache
        from memory.world import World
        from reconstruct.fit import QUALITIES, held_out_frames
        from reconstruct.fit import Fit as Fitting
        from reconstruct.fitted import checkpoint_file, fitted_file, frames_to_fit, keep_fitted
        from reconstruct.init import gaussians_from_points

        settings = QUALITIES[self.quality]
        if self.steps is not None:
            settings = dataclasses.replace(settings, steps=self.steps)
        with World.open(self.world, writable=True) as world:
            checkpoint = checkpoint_file(world)
            checkpoint.parent.mkdir(exist_ok=True)
            ids = _even(world)
            frames = frames_to_fit(world, ids)
            fit = Fitting(
                gaussians_from_points(restored_cache(world).points),
                frames,
                held_out=held_out_frames(len(ids)),
                settings=settings,
                scale=world.scene.scale,
                seed=self.seed,
            )
            if fit.resume(checkpoint):
                print(f"going on from step {fit.steps:,}")  # noqa: T201
            before = self._finish(fit, checkpoint)
            splats = self._cleaned(fit.best, frames, scale=world.scene.scale) if self.clean else fit.best
            keep_fitted(world, splats)
            checkpoint.unlink(missing_ok=True)
            gain = "" if before is None else f" (before: {before:.2f} dB)"
            judged = "held-out frames" if fit.held_out else "its own frames"
            print(  # noqa: T201
                f"{fitted_file(world)}: {len(splats):,} splats after {fit.steps:,} steps, "
                f"{fit.best_score:.2f} dB on {judged}{gain}"
            )
        return 0

    def _finish(self, fit: Fitting, checkpoint: Path) -> float | None:
        """Take a fit to its end; the score of what it started from, if it starts now."""
        from reconstruct.fit import fitted
        from worldgen.cli.progress import bar

        before = None
        try:
            with bar(f"fitting {self.world.name}", total=fit.settings.steps) as progress:
                for step, score in fitted(fit, checkpoint=checkpoint):
                    before = score if step == 0 else before
                    progress.to(step, f"{score:.2f} dB, {len(fit.best):,} splats")
        except KeyboardInterrupt as stop:
            kept = f"; the same command goes on from step {fit.saved:,}" if fit.saved else ""
            raise type(stop)(f"interrupted at step {fit.steps:,}{kept}") from None
        return before

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
