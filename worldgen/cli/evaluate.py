"""``worldgen evaluate``: how good the weights are on worlds they have never seen."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldgen.evaluation import Answer, Scores

PICTURED_SCENES = 24
SCENES_A_SHEET = 6


@dataclass(frozen=True)
class Evaluate:
    """Imagine the third view of held-out procedural worlds from two, and print a table of scores."""

    model: str = "tiny"
    """Weights: a name that ships with the package, or a .safetensors file."""

    scenes: int = 200
    """Held-out scenes."""

    steps: tuple[int, ...] = (4, 16)
    """Denoising steps to compare."""

    out: Path = Path("out/evaluation")
    """Folder for side-by-side pictures and scores.json."""

    def run(self) -> int:
        from worldgen.cli.progress import bar
        from worldgen.evaluation import answers, scores_of
        from worldgen.generator import RGBDGenerator

        if self.scenes < 2 or not self.steps:
            raise ValueError("an evaluation needs at least 2 scenes and one number of steps")
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


def _sheet(rows: list[list[Answer]]):
    """Sources, cache render, nearest fill, an answer for each number of steps, truth; one scene a row."""
    import torch

    from memory.pictures import contact_sheet
    from render.frames import Frames, concatenated
    from worldgen.evaluation import nearest_filled

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
