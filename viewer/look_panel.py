"""Look panel: what is drawn, in which colours, how much of it, and on what ground.

Room: viewer. Everybody sees the same; what a choice does is done by the layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import viser

from viewer.layers import MOST_SPLATS, LayerName
from viewer.mesh_switch import MeshSwitch
from viewer.meshing import Meshing
from viewer.paint import PAINTS
from viewer.stage import Stage

LAYER_HINTS: dict[LayerName, str] = {
    "splats": "The world as soft splats: the finished look.",
    "points": "The world as plain points: quick to draw where there is no graphics card.",
    "cameras": "Where each frame was seen from, with its picture. Click one to stand there.",
}

QUALITIES = {"Full": MOST_SPLATS, "Standard": 400_000, "Preview": 60_000}
"""How many splats are drawn at most."""

MESH_FACES = {"Full": 200_000, "Standard": 100_000, "Preview": 20_000}
"""How many faces of a mesh are drawn at most, about, at each quality."""

AXES = 0.5
"""Scene lengths that the axes of the world are long."""

Ground = Literal["Night", "Day"]


class LookPanel:
    """Layers, mesh, colours, quality and background."""

    def __init__(self, stage: Stage, *, ground: Callable[[Ground], None], meshing: Meshing | None) -> None:
        """``ground`` changes the background of the window; without ``meshing`` there is no mesh to show."""
        self._stage = stage
        gui = stage.server.gui
        for name, hint in LAYER_HINTS.items():
            self._add_switch(name, hint)
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
        self._quality.on_update(lambda _: self._limited())
        self._ground.on_update(lambda _: ground("Day" if self._ground.value == "Day" else "Night"))

    def _add_switch(self, name: LayerName, hint: str) -> None:
        box = self._stage.server.gui.add_checkbox(
            name.capitalize(), initial_value=name == "splats", hint=hint
        )
        box.on_update(lambda _: self._stage.layers.switch(name, visible=box.value))

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

    def _limited(self) -> None:
        self._stage.layers.limit(QUALITIES.get(self._quality.value, MOST_SPLATS))
        self._stage.say_counts()
        if self._mesh is not None:
            self._mesh.limit(MESH_FACES.get(self._quality.value, MESH_FACES["Full"]))
