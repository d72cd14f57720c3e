"""``worldgen evaluate``: how good the weights are on worlds they have never seen."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from worldgen.evaluation.loops import LoopScores, Walk
    from worldgen.evaluation.views import Answer, Scores
    from worldgen.generator import RGBDGenerator

PICTURED_SCENES = 24
SCENES_A_SHEET = 6
SHEET_COLUMNS = 8


@dataclass(frozen=True)
class Evaluate:
    """Let the weights imagine worlds they have never seen, and print a table of scores.

    The suite "views" imagines the third view of held-out procedural worlds from two. "standard" adds closed
    loops: from one picture twice round a circle, with everything remembered and with the last 8 frames alone.
    """

    model: str = "tiny"
    """Weights: a name that ships with the package, or a .safetensors file."""

    suite: Literal["views", "standard"] = "views"
    """What to measure; "standard" takes about half an hour on two cores."""

    scenes: int = 200
    """Held-out scenes of which a view is imagined."""

    steps: tuple[int, ...] = (4, 16)
    """Denoising steps to compare; closed loops take the first."""

    loops: int = 4
    """Closed loops of the standard suite."""

    loop_frames: int = 100
    """Frames of a closed loop, both laps together; an even number."""

    out: Path = Path("out/evaluation")
    """Folder for side-by-side pictures and scores.json."""

    def run(self) -> int:
        from worldgen.cli.progress import bar
        from worldgen.evaluation.loops import check_length
        from worldgen.evaluation.views import answers, scores_of
        from worldgen.generator import RGBDGenerator

        if self.scenes < 2 or not self.steps:
            raise ValueError("an evaluation needs at least 2 scenes and one number of steps")
        if self.suite == "standard":
            check_length(self.loop_frames)
            if self.loops < 1:
                raise ValueError(f"the standard suite needs a closed loop, got --loops {self.loops}")
        generators = [RGBDGenerator(self.model, steps=steps) for steps in self.steps]
        collected: list[list[Answer]] = []
        with bar("evaluating", total=self.scenes * len(generators)) as progress:
            for generator in generators:
                collected.append([])
                for answer in answers(generator, scenes=self.scenes):
                    collected[-1].append(answer)
                    progress.step()
        table = {steps: scores_of(row) for steps, row in zip(self.steps, collected, strict=True)}
        self._write(collected, table)
        _show(table)
        if self.suite == "standard":
            _show_loops(self._walked(generators[0]))
        print(f"side-by-side pictures and scores.json are in {self.out}")  # noqa: T201
        return 0

    def _write(self, collected: list[list[Answer]], table: dict[int, Scores]) -> None:
        from memory.pictures import write_png

        self.out.mkdir(parents=True, exist_ok=True)
        plain = {str(steps): dataclasses.asdict(scores) for steps, scores in table.items()}
        (self.out / "scores.json").write_text(json.dumps(plain, indent=2) + "\n")
        for first in range(0, min(PICTURED_SCENES, self.scenes), SCENES_A_SHEET):
            rows = [row[first : first + SCENES_A_SHEET] for row in collected]
            write_png(self.out / f"scenes-{first:03d}.png", _sheet(rows))

    def _walked(self, generator: RGBDGenerator) -> LoopScores:
        """Walk the closed loops, with their sheets and scores beside those of the views."""
        from memory.pictures import write_png
        from worldgen.cli.progress import bar
        from worldgen.evaluation.loops import WINDOW, scores_of_loops, walk, walked

        walks = {None: [], WINDOW: []}
        with bar("walking in circles", total=2 * self.loops * self.loop_frames) as progress:
            for window, done in walks.items():
                for index in range(self.loops):
                    frames = []
                    for frame in walk(generator, index, frames=self.loop_frames, window=window):
                        frames.append(frame)
                        progress.step()
                    done.append(walked(frames))
                    kind = "remembered" if window is None else "forgetful"
                    write_png(self.out / f"loop-{index:03d}-{kind}.png", _loop_sheet(done[-1]))
        scores = scores_of_loops(walks[None], walks[WINDOW], size=generator.size)
        (self.out / "loops.json").write_text(json.dumps(dataclasses.asdict(scores), indent=2) + "\n")
        return scores


def _sheet(rows: list[list[Answer]]):
    """Sources, cache render, nearest fill, an answer for each number of steps, truth; one scene a row."""
    import torch

    from memory.pictures import contact_sheet
    from render.frames import Frames, concatenated
    from worldgen.evaluation.views import nearest_filled

    cells: list[Frames] = []
    for answers in zip(*rows, strict=True):
        case = answers[0].case
        raw = Frames(
            rgb=case.seen.rgb,
            depth=case.seen.depth,
            valid=case.seen.mask,
            confidence=torch.zeros_like(case.seen.depth),
            cameras=case.seen.cameras,
        )
        sources = [case.sources[i : i + 1] for i in range(len(case.sources))]
        cells += [*sources, raw, nearest_filled(case.seen), *(a.frames for a in answers), case.truth]
    columns = len(cells) // len(rows[0])
    return contact_sheet(concatenated(cells), columns=columns)


def _loop_sheet(walk: Walk):
    """Some frames of the first lap, and under them those of the second at the same poses."""
    from memory.pictures import contact_sheet

    shown = [walk.lap * i // SHEET_COLUMNS for i in range(SHEET_COLUMNS)]
    return contact_sheet(walk.frames[[*shown, *(walk.lap + i for i in shown)]], columns=SHEET_COLUMNS)


def _show(table: dict[int, Scores]) -> None:
    from rich.console import Console
    from rich.table import Table

    view = Table(title=f"{next(iter(table.values())).scenes} held-out worlds, third view from two")
    for name in ("score", *(f"{steps} steps" for steps in table), "baseline", "wanted"):
        view.add_column(name, justify="left" if name in ("score", "wanted") else "right")
    rows = list(table.values())
    first = rows[0]
    lines = [
        ("PSNR, known pixels (dB)", "psnr_known", first.psnr_known_raw, "{:.2f}", "raw render + 1.0"),
        (
            "depth-code error, known pixels",
            "depth_known",
            first.depth_known_raw,
            "{:.4f}",
            "half the raw render's",
        ),
        (
            "Frechet distance, holes",
            "frechet_holes",
            first.frechet_holes_filled,
            "{:.4f}",
            "half the nearest fill's",
        ),
        ("PSNR, holes (dB)", "psnr_holes", first.psnr_holes_filled, "{:.2f}", ""),
        ("time a frame (ms)", "ms_a_frame", None, "{:.0f}", ""),
    ]
    for title, field, baseline, form, wanted in lines:
        values = (form.format(getattr(scores, field)) for scores in rows)
        view.add_row(title, *values, "" if baseline is None else form.format(baseline), wanted)
    Console().print(view)


def _show_loops(scores: LoopScores) -> None:
    from rich.console import Console
    from rich.table import Table

    from worldgen.cli.branches import counted

    view = Table(title=f"{counted(scores.loops, 'closed loop')} of {scores.frames} frames, two laps each")
    for name in ("score", "all remembered", "last 8 frames", "wanted"):
        view.add_column(name, justify="left" if name in ("score", "wanted") else "right")
    view.add_row(
        "PSNR of revisits (dB)", f"{scores.closure:.2f}", f"{scores.closure_forgetful:.2f}", "20, and 6 more"
    )
    view.add_row("the same, worst loop (dB)", f"{scores.closure_worst:.2f}", "", "20")
    view.add_row("contrast, over that of the true worlds", f"{scores.contrast:.2f}", "", "near 1")
    Console().print(view)
