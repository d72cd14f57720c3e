"""World panel: what the world holds, and the way back: undo and redo.

Room: viewer. Every change goes through ``Changes``, so it waits for nobody and nobody sees half of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from memory.world import Head
from viewer.asks import History
from viewer.branch_panel import moved
from viewer.changes import Changes
from viewer.stage import Stage

MOST_CHUNKS = 100_000

STATEMENT = Path("/proc/self/statm")
"""Where Linux says how much memory a process has."""

PAGE_BYTES = 4096


class StatisticsPanel:
    """How much of everything there is."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._text = stage.server.gui.add_markdown("")
        stage.on_change(self._update)

    def _update(self) -> None:
        self._text.content = "\n".join(f"- {line}" for line in statistics(self._stage))


def statistics(stage: Stage) -> list[str]:
    """What there is to count, a line each."""
    pixels = sum(shot.pixels for shot in stage.shots)
    share = f" ({100 * stage.point_count / pixels:.0f} %)" if pixels else ""
    layers = stage.layers
    lines = [
        f"{len(stage.shots):,} frames, {pixels:,} pixels with depth",
        f"{stage.point_count:,} points kept{share}; the rest showed what was known",
        f"{layers.splat_count:,} splats drawn in {layers.node_count} parts",
    ]
    memory = memory_bytes()
    return lines if memory is None else [*lines, f"{memory / 2**20:,.0f} MiB of memory in this process"]


def memory_bytes() -> int | None:
    """What this process holds in memory; ``None`` where the system does not say."""
    try:
        return int(STATEMENT.read_text().split()[1]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return None


class HistoryPanel:
    """Undo and redo, and whether the newest frame comes out the same again."""

    def __init__(
        self, stage: Stage, history: History, changes: Changes, *, replay: Callable[[], str] | None
    ) -> None:
        self._tree, self._changes = history.tree, changes
        gui = stage.server.gui

        def ask_again(ask: Callable[[], str]) -> None:
            self._changes.ask(ask, self._say)

        with gui.add_folder("History"):
            self._where = gui.add_markdown("")
            self._count = gui.add_number(
                "Chunks", 1, min=1, max=MOST_CHUNKS, step=1, hint="How far to go; a frame or an edit each."
            )
            undo = gui.add_button("Undo", color="gray", hint="Go back; nothing is deleted, redo returns.")
            redo = gui.add_button("Redo", color="gray", hint="Go forward to where it was before undo.")
            if replay is not None:
                again = gui.add_button(
                    "Replay newest",
                    color="gray",
                    hint="Imagine the newest frame again and compare every bit.",
                )
                again.on_click(lambda _: ask_again(replay))
            self._note = gui.add_markdown("", visible=False)
        undo.on_click(lambda _: self._make(lambda: moved(self._tree.undo(self._chunks()))))
        redo.on_click(lambda _: self._make(lambda: moved(self._redone())))
        stage.on_change(self._update)

    def _chunks(self) -> int:
        return int(min(max(1, self._count.value), MOST_CHUNKS))

    def _redone(self) -> Head:
        ahead = len(self._tree.ahead(self._tree.current))
        return self._tree.redo(min(self._chunks(), ahead) if ahead else None)

    def _make(self, change: Callable[[], str]) -> None:
        self._changes.make(change, self._say)

    def _say(self, text: str) -> None:
        self._note.content, self._note.visible = text, True

    def _update(self) -> None:
        current = self._tree.current
        ahead = len(self._tree.ahead(current))
        undone = f"; {ahead} undone" if ahead else ""
        self._where.content = f"**{current.name}**, chunk {current.chunk}{undone}"
