"""``worldgen report``: how consistent a world is, as a page and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from worldgen.report import Report as Measurements


@dataclass(frozen=True)
class Report:
    """Measure how consistent a world is, where it drifts, what it cost; write one HTML page.

    Looked at is what the current head reaches. The page needs no network and no script.

    Examples:
        worldgen report my-world
        worldgen report my-world --out page.html --json figures.json
    """

    world: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the world."""

    out: Path = Path("report.html")
    """Page to write."""

    json: Path | None = None
    """Also write all figures as JSON with stable names."""

    def run(self) -> int:
        import json

        from reconstruct.formats.atomic import replacing
        from worldgen.report import page_of

        if self.json is not None and self.json.resolve() == self.out.resolve():
            raise ValueError(f"--out and --json both name {self.out}; name two files")
        for file in (self.out, self.json):
            _check_place(file, self.world)
        report = self._measured()
        texts = {self.out: page_of(report)}
        if self.json is not None:
            texts[self.json] = json.dumps(report.as_json(), indent=2, allow_nan=False) + "\n"
        for file, text in texts.items():
            with replacing(file) as temporary:
                temporary.write_text(text, encoding="utf-8")
        print(f"{self.out}: {len(report.frames)} frames measured; open it in a browser")  # noqa: T201
        return 0

    def _measured(self) -> Measurements:
        """Both walks through the world, behind a bar."""
        from memory.costs import machine_here
        from memory.world import World
        from worldgen.cli.progress import bar
        from worldgen.report import report_on, steps_of

        with World.open(self.world) as world:
            steps = steps_of(world)
            if not steps:
                raise ValueError(
                    f"{self.world} has no frames yet, so there is nothing to measure; grow it first"
                )
            with bar(f"measuring {self.world.name}", total=steps) as progress:
                return report_on(
                    world,
                    machine=str(machine_here()),
                    stepped=lambda points: progress.step(f"{points:,} points"),
                )


def _check_place(file: Path | None, world: Path) -> None:
    """Refuse what could not be written, before minutes of work."""
    from worldgen.cli.inputs import check_dest

    if file is None:
        return
    if file.is_dir():
        raise ValueError(f"{file} is a folder; name a file to write")
    check_dest(file, world=world)
