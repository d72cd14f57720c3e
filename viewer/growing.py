"""Growing: what the grow panel's buttons mean, and what everybody sees while the world grows.

Room: viewer. Turns clicks into orders, orders into camera paths, and chunks into pictures on the stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import viser

from render.cameras import Cameras
from render.cameras import checked as checked_cameras
from render.paths import arc
from viewer.asks import Abilities, ExploreFn, GrowFn, Grown, Remembered
from viewer.conventions import cameras_ahead
from viewer.grow_panel import DEGREES_A_FRAME, GrowPanel, GrowSettings, Move
from viewer.live import Chunk, Ending, Growth, Order, Screen
from viewer.pictures import Shot
from viewer.stage import BUSY, Stage, prepared

STEP = 0.1
"""Step length the panel suggests, in world scales."""

FULL_TURN = round(360.0 / DEGREES_A_FRAME)
"""Frames of a look around; the last is back where it began."""

TURNS: dict[Move, int] = {"Turn left": 1, "Turn right": -1, "Look around": 1}
"""Moves on the spot, and which way round they go."""

TOO_MUCH = "A lot is waiting already; try again when some of it has grown."
NO_PATH = "No path is drawn yet; add keyframes under Path first."

PathFn = Callable[[], Cameras | None]
"""The path that is drawn now, if there is one."""


class Growing:
    """Growth on a stage, steered from a panel."""

    def __init__(self, stage: Stage, abilities: Abilities, *, grow: GrowFn, path: PathFn) -> None:
        self._stage, self._grow, self._path = stage, grow, path
        self._free: dict[Move, ExploreFn | None] = {"Explore": abilities.explore, "Wander": abilities.wander}
        missing = frozenset(move for move, go in self._free.items() if go is None)
        step = float(f"{STEP * stage.scale:.1g}")
        self._panel = GrowPanel(stage.server, step=step, without=missing)
        self._done, self._ahead, self._since = 0, 0, 0.0
        self._total = 0
        self._growth = Growth(
            pen=stage.pen,
            prepare=prepared,
            screen=Screen(begin=self._begin, show=self._show, end=self._end, idle=self._panel.idle),
        )
        self._panel.on_move(self._ask)
        self._panel.on_stop(self._growth.stop)

    def close(self, *, timeout_s: float) -> None:
        """Stop after the chunk in progress, and wait for it for a while."""
        self._growth.stop()
        self._growth.join(timeout_s=timeout_s)

    def _ask(self, client: viser.ClientHandle, move: Move, ask: GrowSettings) -> None:
        """Someone clicked a move."""
        here = self._stage.camera_of(client)
        if here is None:
            return
        try:
            order = self._order(move, here, ask)
        except ValueError as error:
            self._panel.say(str(error))
            return
        if self._growth.ask(order):
            self._panel.wait(self._growth.waiting)
        else:
            self._panel.say(TOO_MUCH if self._growth.is_running else BUSY)

    def _order(self, move: Move, here: Cameras, ask: GrowSettings) -> Order:
        go = self._free.get(move)
        if go is not None:
            return Order(
                title=move,
                total=ask.n,
                start=here,
                begin=lambda camera: go(camera, frames=ask.n, seed=ask.seed),
            )
        if move == "Along the path":
            drawn = self._path()
            if drawn is None:
                raise ValueError(NO_PATH)
            return self._along(move, here, len(drawn), ask.seed, lambda _: drawn)
        if move in TURNS:
            n = FULL_TURN if move == "Look around" else ask.n
            return self._along(move, here, n, ask.seed, lambda camera: self._turned(camera, move, n))
        return self._along(
            move, here, ask.n, ask.seed, lambda camera: cameras_ahead(camera, n=ask.n, step=ask.step)
        )

    def _along(
        self, move: Move, here: Cameras, total: int, seed: int, cameras: Callable[[Cameras], Cameras]
    ) -> Order:
        def begin(camera: Cameras) -> Iterator[Grown]:
            return self._grow(checked_cameras(cameras(camera)), seed=seed)

        return Order(title=move, total=total, start=here, begin=begin)

    def _turned(self, camera: Cameras, move: Move, n: int) -> Cameras:
        degrees = TURNS[move] * DEGREES_A_FRAME * n
        return arc(camera, n=n + 1, up=self._stage.up, scale=self._stage.scale, degrees=degrees)[1:]

    def _begin(self, order: Order) -> None:
        self._done, self._ahead, self._total, self._since = 0, 0, order.total, time.monotonic()
        self._panel.begin()
        self._panel.wait(self._growth.waiting)
        self._say_progress()

    def _show(self, chunks: list[Chunk]) -> None:
        if self._stage.is_closed:
            return
        shots = [shot for chunk in chunks for shot in chunk.shots]
        self._stage.add(chunks)
        ahead = sum(len(chunk.shots) for chunk in chunks if chunk.is_ahead)
        self._ahead += ahead
        self._done += len(shots) - ahead
        self._say_progress()
        if shots:
            self._panel.show(shots[-1], self._memories(chunks[-1].remembered))

    def _memories(self, remembered: tuple[Remembered, ...]) -> list[tuple[Remembered, Shot]]:
        shots = self._stage.shots
        return [(why, shots[why.number]) for why in remembered if 0 <= why.number < len(shots)]

    def _say_progress(self) -> None:
        passed = time.monotonic() - self._since
        every = self._done + self._ahead
        speed = f", {every / passed:.2g} a second" if every and passed > 0 else ""
        ahead = f" after {_counted(self._ahead, 'view')} ahead" if self._ahead else ""
        self._panel.progress(
            f"Growing: {self._done} of {self._total} frames{ahead}{speed}.", share=self._done / self._total
        )

    def _end(self, order: Order, ending: Ending) -> None:
        if self._stage.is_closed:
            return
        ahead = f" {_counted(self._ahead, 'view')} ahead came first." if self._ahead else ""
        added = f"Added {_counted(self._done, 'frame')}.{ahead}"
        if ending.kind == "failed":
            self._panel.say(f"**Growing failed.** {ending.message} {added}")
            self._stage.warn("Growing failed", ending.message)
        elif ending.kind == "done" and self._done < order.total:
            self._panel.say(f"{added} Nothing new is in reach from there.")
        else:
            self._panel.say(added)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
