"""Look panel: what is drawn, in which colours, how much of it, and on what ground.

Room: viewer. Everybody sees the same; what a choice does is done by the layers. As long as nobody has chosen,
it is splats, or points while somebody is here whose browser draws in software. Nothing is sent before the
first has said which: a browser sorts splats that it was sent before it draws the points that replace them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

import numpy as np
import viser

from viewer.layers import MOST_SPLATS, LayerName
from viewer.mesh_switch import MeshSwitch
from viewer.meshing import Meshing
from viewer.paint import PAINTS
from viewer.stage import Stage
from viewer.visitor import Visitor

LAYER_HINTS: dict[LayerName, str] = {
    "splats": "The world as soft splats: the finished look.",
    "points": "The world as plain points: quick to draw where there is no graphics card.",
    "cameras": "Where each frame was seen from, with its picture. Click one to stand there.",
}

QUALITIES = {"Full": MOST_SPLATS, "Standard": 400_000, "Preview": 60_000}
"""How many splats are drawn at most."""

MESH_FACES = {"Full": 200_000, "Standard": 100_000, "Preview": 20_000}
"""How many faces of a mesh are drawn at most, about, at each quality."""

NOTE_S = 20.0
"""How long a note on the choice of points stays."""

AXES = 0.5
"""Scene lengths that the axes of the world are long."""

Ground = Literal["Night", "Day"]
Look = Literal["splats", "points"]

DEFAULTS: dict[Look, str] = {"splats": "Full", "points": "Preview"}
"""How much is drawn of each as long as nobody has chosen."""

POINTS = "Shown as points"
YOURS, ANOTHERS = "Your browser draws in software", "A browser that draws in software is here"
REASON = "{who}, so everybody sees up to {most:,} points. Choose splats and quality under Look."
"""Told to whoever finds points without having chosen them."""


class LookPanel:
    """Layers, mesh, colours, quality and background."""

    def __init__(self, stage: Stage, *, ground: Callable[[Ground], None], meshing: Meshing | None) -> None:
        """``ground`` changes the background of the window; without ``meshing`` there is no mesh to show."""
        self._stage = stage
        self._deciding, self._is_chosen = threading.Lock(), False
        gui = stage.server.gui
        self._layers = {name: self._add_switch(name, hint) for name, hint in LAYER_HINTS.items()}
        self._add_axes()
        most = MESH_FACES[next(iter(QUALITIES))]
        self._mesh = None if meshing is None else MeshSwitch(stage, meshing, most=most)
        self._paint = gui.add_dropdown(
            "Show",
            PAINTS,
            hint="Nearness: from where you stand now. What is imagined: orange; blue was measured or placed.",
        )
        self._quality = gui.add_dropdown(
            "Quality", list(QUALITIES), hint="Fewer splats and mesh faces draw faster."
        )
        self._ground = gui.add_dropdown("Background", ("Night", "Day"))
        self._paint.on_update(self._painted)
        self._quality.on_update(self._limited)
        self._ground.on_update(lambda _: ground("Day" if self._ground.value == "Day" else "Night"))
        stage.on_arrival(self._arrived)

    def choose(self, look: Look, *, quality: str = "Full") -> None:
        """Show the world like this, whatever browsers come, until one of them chooses otherwise."""
        with self._deciding:
            self._is_chosen = True
            self._show(look, quality)

    def _arrived(self, visitor: Visitor) -> None:
        """Somebody has come: let nobody wait for splats that are drawn in software."""
        with self._deciding:
            if self._is_chosen:
                return
            here = [other.renderer for other in list(self._stage.visitors.values())]
            look: Look = "points" if "software" in here else "splats"
            self._show(look, DEFAULTS[look])
        if look == "points":
            who = YOURS if visitor.renderer == "software" else ANOTHERS
            reason = REASON.format(who=who, most=QUALITIES[DEFAULTS[look]])
            visitor.client.add_notification(POINTS, reason, color="orange", auto_close_seconds=NOTE_S)

    def _show(self, look: Look, quality: str) -> None:
        """Set the fields; what they mean is done as if somebody had, but that nobody has chosen it."""
        other: Look = "points" if look == "splats" else "splats"
        with self._stage.browser.atomic():
            self._layers[other].value = False  # first: what is hidden is not sent again at another quality
            self._quality.value = quality
            self._layers[look].value = True

    def _add_switch(self, name: LayerName, hint: str) -> viser.GuiCheckboxHandle:
        box = self._stage.server.gui.add_checkbox(name.capitalize(), initial_value=False, hint=hint)

        def switched(event: viser.GuiEvent) -> None:
            self._is_chosen |= event.client is not None and name != "cameras"
            self._stage.layers.switch(name, visible=box.value)

        box.on_update(switched)
        return box

    def _add_axes(self) -> None:
        """The axes of the world where it began, in the colours of docs/conventions.md."""
        axes = self._stage.browser.size_axes(AXES * self._stage.scale)
        box = self._stage.server.gui.add_checkbox(
            "Axes", initial_value=False, hint="Of the world, from its origin: x red, y green, z blue."
        )

        def switch(_: viser.GuiEvent) -> None:
            axes.visible = box.value

        box.on_update(switch)

    def _painted(self, event: viser.GuiEvent) -> None:
        if self._paint.value not in PAINTS:
            return
        camera = None if event.client is None else self._stage.camera_of(event.client)
        place = np.zeros(3) if camera is None else camera.origins[0].double().numpy()
        self._stage.layers.paint(self._paint.value, place=place)

    def _limited(self, event: viser.GuiEvent) -> None:
        self._is_chosen |= event.client is not None
        self._stage.layers.limit(QUALITIES.get(self._quality.value, MOST_SPLATS))
        self._stage.say_counts()
        if self._mesh is not None:
            self._mesh.limit(MESH_FACES.get(self._quality.value, MESH_FACES["Full"]))
