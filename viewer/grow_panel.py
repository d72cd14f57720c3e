"""Grow panel: how to grow, what is growing, and what came last.

Room: viewer. Widgets and no decisions; what a click does is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from viser import ClientHandle, ViserServer

from viewer.asks import Remembered
from viewer.pictures import Shot, caption, side_by_side, strip

MOST_FRAMES, MOST_SEED = 512, 2**31 - 1

DEGREES_A_FRAME = 10.0
"""What a turn advances, so that neighbouring views overlap."""

GROWING_IS_OFF = """\
**Growing is off**: this world was opened without a generator. Open it with one to imagine more of it."""

Move = Literal["Grow", "Turn left", "Turn right", "Look around", "Explore", "Wander", "Along the path"]

HINTS: dict[Move, str] = {
    "Grow": "Walk on along your view, starting one step ahead of you.",
    "Turn left": f"Turn on the spot, {DEGREES_A_FRAME:g} degrees a frame.",
    "Turn right": f"Turn on the spot, {DEGREES_A_FRAME:g} degrees a frame.",
    "Look around": "Turn on the spot once round, however many frames that takes.",
    "Explore": "Turn and walk to where the biggest hole comes into view and nothing is in the way.",
    "Wander": "Walk straight on, and round what is in the way.",
    "Along the path": "Follow the path that is drawn under Path, picture by picture.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowSettings:
    """What the grow panel says."""

    n: int
    step: float
    """World units from one frame to the next."""

    seed: int


class GrowPanel:
    """How far to grow and where to, the buttons that start and stop it, and what it brings."""

    def __init__(self, server: ViserServer, *, step: float, without: frozenset[str] = frozenset()) -> None:
        """``without`` names the moves that cannot be made here."""
        self._shortest = 0.001 * step
        self._n = server.gui.add_number(
            "Frames to add", 8, min=1, max=MOST_FRAMES, step=1, hint="How many to imagine, one after another."
        )
        self._step = server.gui.add_number(
            "Step length",
            step,
            min=self._shortest,
            step=0.1 * step,
            hint="World units from one frame to the next. Short steps stay closer to what is known.",
        )
        self._seed = server.gui.add_number(
            "Seed", 0, min=0, max=MOST_SEED, step=1, hint="Another seed imagines another world."
        )
        self._buttons = {
            move: server.gui.add_button(move, color="orange" if move == "Grow" else "gray", hint=HINTS[move])
            for move in get_args(Move)
            if move not in without
        }
        self._stop = server.gui.add_button(
            "Stop",
            visible=False,
            color="red",
            hint="Stop after the chunk in progress and forget what waits; what was grown stays.",
        )
        self._bar = server.gui.add_progress_bar(0.0, visible=False, animated=True, color="orange")
        self._note = server.gui.add_markdown("", visible=False)
        self._queue = server.gui.add_markdown("", visible=False)
        with server.gui.add_folder("What came last", visible=False) as self._last:
            blank = np.zeros((2, 2, 3), dtype=np.uint8)
            self._picture = server.gui.add_image(blank, label="")
            self._memories = server.gui.add_image(blank, label="Remembered for it", visible=False)
            self._reasons = server.gui.add_markdown("", visible=False)

    def on_move(self, act: Callable[[ClientHandle, Move, GrowSettings], None]) -> None:
        """Call ``act`` with whoever clicked one of the moves."""
        for move, button in self._buttons.items():
            button.on_click(self._clicked(move, act))

    def _clicked(self, move: Move, act: Callable[[ClientHandle, Move, GrowSettings], None]) -> Callable:
        def tell(event) -> None:
            if event.client is not None:
                act(event.client, move, self.settings())

        return tell

    def settings(self) -> GrowSettings:
        """What the fields say; a browser may send anything, so it is brought within bounds here."""
        return GrowSettings(
            n=int(min(max(1, self._n.value), MOST_FRAMES)),
            step=float(max(self._shortest, self._step.value)),
            seed=int(min(max(0, self._seed.value), MOST_SEED)),
        )

    def on_stop(self, act: Callable[[], None]) -> None:
        """Call ``act`` when anyone clicks Stop."""

        @self._stop.on_click
        def _(_event) -> None:
            self._stop.disabled = True
            self.say("Stopping after the chunk in progress.")
            act()

    def begin(self) -> None:
        """An order begins: a bar, and a way to stop."""
        self._stop.disabled, self._stop.visible = False, True
        self._bar.value, self._bar.visible = 0.0, True

    def progress(self, text: str, *, share: float) -> None:
        """How far the order has come; ``share`` in [0, 1]."""
        self._bar.value = 100.0 * min(1.0, share)
        if not self._stop.disabled:
            self.say(text)

    def idle(self) -> None:
        """Nothing grows any more."""
        self._stop.visible = self._bar.visible = False
        self.wait([])

    def wait(self, titles: list[str]) -> None:
        """What grows after this."""
        self._queue.content = f"Then: {', '.join(titles).lower()}."
        self._queue.visible = bool(titles)

    def say(self, note: str) -> None:
        """One line under the buttons."""
        self._note.content, self._note.visible = note, True

    def show(self, shot: Shot, remembered: list[tuple[Remembered, Shot]]) -> None:
        """What came last, and the frames that were remembered for it."""
        self._last.visible = True
        self._picture.image, self._picture.label = side_by_side(shot), caption(shot)
        if remembered:
            self._memories.image = strip([memory.rgb for _, memory in remembered])
            self._reasons.content = "\n".join(f"- {reason(why)}" for why, _ in remembered)
        self._memories.visible = self._reasons.visible = bool(remembered)


def reason(why: Remembered) -> str:
    """Why a frame was remembered."""
    ago = "the one before" if why.age == 1 else f"{why.age} frames ago"
    return f"frame {why.number}: shows {100 * why.overlap:.0f} % of it, {ago}"


def add_growing_is_off(server: ViserServer) -> None:
    """What stands in the grow panel's place when there is nothing to grow with."""
    server.gui.add_markdown(GROWING_IS_OFF)
