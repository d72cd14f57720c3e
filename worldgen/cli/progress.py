"""Progress on the terminal: one bar for everything that takes longer than a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


@dataclass(frozen=True)
class Bar:
    """A running progress bar."""

    progress: Progress
    task: TaskID

    def to(self, done: int, note: str = "") -> None:
        """Move to ``done`` of the total, with a note beside it."""
        self.progress.update(self.task, completed=done, note=note)

    def step(self, note: str = "") -> None:
        """One more of the total is done."""
        self.progress.update(self.task, advance=1, note=note)


@contextmanager
def bar(title: str, *, total: int | None) -> Iterator[Bar]:
    """Show a bar on standard error while the block runs; silent where nobody watches."""
    console = Console(stderr=True)
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Bar(progress=progress, task=progress.add_task(title, total=total, note=""))
