"""Panels: the part of the window that every browser shares: the world, growing it, its layers.

Room: viewer. Panels hold widgets and no decisions; what a click does is handed in by the app.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from viser import ClientHandle, ViserServer

from viewer.layers import LayerName, Layers

HELP = """\
**Drag** to look around, **scroll** to come closer, **right-drag** to slide.
Keys **W A S D Q E** walk, arrows turn."""

GROWING_IS_OFF = """\
**Growing is off**: this world was opened without a generator. Open it with one to imagine more of it."""

LAYER_HINTS: dict[LayerName, str] = {
    "splats": "The world as soft splats: the finished look.",
    "points": "The world as plain points: quick to draw where there is no graphics card.",
    "cameras": "Where each frame was seen from, with its picture. Click one to stand there.",
}

MOST_FRAMES, MOST_SEED = 512, 2**31 - 1

ORDER = {"world": 0, "grow": 1, "layers": 2, "frames": 3}
"""From the top of the window down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowSettings:
    """What the grow panel says."""

    n: int
    step: float
    """World units from one frame to the next."""

    seed: int


class WorldPanel:
    """What the world holds, and how to walk in it."""

    def __init__(self, server: ViserServer) -> None:
        self._status = server.gui.add_markdown("", order=ORDER["world"])
        server.gui.add_markdown(HELP, order=ORDER["world"] + 0.5)

    def update(self, layers: Layers) -> None:
        """Show the counts of now."""
        drawn = "" if layers.one_in == 1 else f" (one in {layers.one_in} drawn)"
        self._status.content = f"### Frames: {layers.frame_count}\n{layers.splat_count:,} splats{drawn}"


class LayerPanel:
    """One switch a layer."""

    def __init__(self, server: ViserServer, layers: Layers) -> None:
        with server.gui.add_folder("Layers", order=ORDER["layers"]):
            for name, hint in LAYER_HINTS.items():
                self._add_switch(server, layers, name=name, hint=hint)

    def _add_switch(self, server: ViserServer, layers: Layers, *, name: LayerName, hint: str) -> None:
        box = server.gui.add_checkbox(name.capitalize(), initial_value=name == "splats", hint=hint)
        box.on_update(lambda _: layers.switch(name, visible=box.value))


class GrowPanel:
    """How far to grow, and the buttons that start and stop it."""

    def __init__(self, server: ViserServer, *, step: float) -> None:
        self._total = 0
        self._shortest = 0.001 * step
        with server.gui.add_folder("Grow", order=ORDER["grow"]):
            server.gui.add_markdown("Imagine what lies ahead of where you look.")
            self._n = server.gui.add_number(
                "Frames to add",
                8,
                min=1,
                max=MOST_FRAMES,
                step=1,
                hint="How many frames to imagine, one after another.",
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
            self._grow = server.gui.add_button(
                "Grow", color="orange", hint="Grow along your view, starting one step ahead of you."
            )
            self._stop = server.gui.add_button(
                "Stop",
                visible=False,
                color="gray",
                hint="Stop after the chunk in progress; what was grown stays.",
            )
            self._bar = server.gui.add_progress_bar(0.0, visible=False, animated=True, color="orange")
            self._note = server.gui.add_markdown("", visible=False)

    def on_grow(self, act: Callable[[ClientHandle, GrowSettings], None]) -> None:
        """Call ``act`` with whoever clicked Grow."""

        @self._grow.on_click
        def _(event) -> None:
            if event.client is not None:
                act(event.client, self.settings())

    def settings(self) -> GrowSettings:
        """What the fields say; a browser may send anything, so it is brought within bounds here."""
        return GrowSettings(
            n=min(max(1, self._n.value), MOST_FRAMES),
            step=max(self._shortest, self._step.value),
            seed=min(max(0, self._seed.value), MOST_SEED),
        )

    def on_stop(self, act: Callable[[], None]) -> None:
        """Call ``act`` when anyone clicks Stop."""

        @self._stop.on_click
        def _(_event) -> None:
            self._stop.disabled = True
            self.say("Stopping after the chunk in progress.")
            act()

    def begin(self, total: int) -> None:
        """Growing starts: no second click, a bar, a way to stop."""
        self._total = total
        self._grow.disabled = True
        self._stop.disabled, self._stop.visible = False, True
        self._bar.value, self._bar.visible = 0.0, True
        self.say(f"Growing: 0 of {total} frames.")

    def progress(self, done: int) -> None:
        """``done`` frames of this growth are shown."""
        self._bar.value = 100.0 * min(1.0, done / max(1, self._total))
        if not self._stop.disabled:
            self.say(f"Growing: {done} of {self._total} frames.")

    def end(self, note: str) -> None:
        """Growing is over, one way or another."""
        self._grow.disabled = False
        self._stop.visible = self._bar.visible = False
        self.say(note)

    def say(self, note: str) -> None:
        """One line under the buttons."""
        self._note.content, self._note.visible = note, True


def add_growing_is_off(server: ViserServer) -> None:
    """What stands in the grow panel's place when there is nothing to grow with."""
    with server.gui.add_folder("Grow", order=ORDER["grow"]):
        server.gui.add_markdown(GROWING_IS_OFF)
