"""Edit panel: take what a box holds out of the world, and stand meshes in it.

Room: viewer. A box or a mesh is moved in the scene by its gizmo, which all browsers share, and nothing in the
world changes before a button says so.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import viser
from jaxtyping import Float64
from viser import GuiUploadButtonHandle

from memory.boxes import Box
from reconstruct.meshes import Mesh, read_mesh, stood
from viewer.asks import Editor
from viewer.browser import Gizmo
from viewer.changes import Changes
from viewer.live import one_sentence
from viewer.stage import Stage
from viewer.uploads import check_self_contained, kept

AHEAD, SIDE = 1.0, 0.4
"""Where a box or a mesh appears, in world scales before whoever asked, and how large the box is."""

THINNEST = 0.01
"""Side of the thinnest box, in world scales."""

WIDEST = 1000.0
"""Side of the widest box, in world scales."""

GIZMO = 1.5
"""Size of a gizmo in sides of a new box: its arrows reach out of what they move."""

RED, BLUE = (235, 64, 52), (120, 170, 235)

ENDINGS = (".glb", ".ply", ".stl")
"""Meshes that hold all that belongs to them in one file."""


class RemovePanel:
    """A box with a gizmo, and the button that empties it."""

    def __init__(self, stage: Stage, edit: Editor, changes: Changes) -> None:
        self._stage, self._edit, self._changes = stage, edit, changes
        self._gizmo: Gizmo | None = None
        gui = stage.server.gui
        with gui.add_folder("Take something out"):
            choose = gui.add_button("Put a box here", color="gray", hint="A box before you; drag its arrows.")
            side = SIDE * stage.scale
            self._sides = gui.add_vector3(
                "Sides", (side, side, side), step=0.1 * side, hint="World units, along the world's axes."
            )
            self._remove = gui.add_button(
                "Remove what is inside", color="red", visible=False, hint="Undo takes it back."
            )
            self._note = gui.add_markdown("", visible=False)
        choose.on_click(self._put)
        self._sides.on_update(lambda _: self._draw())
        self._remove.on_click(lambda _: self._taken_out())

    def box(self) -> Box | None:
        """The box as it stands, if there is one."""
        if self._gizmo is None:
            return None
        asked = np.nan_to_num(np.abs(np.array(self._sides.value, dtype=np.float64)))
        sides = asked.clip(THINNEST * self._stage.scale, WIDEST * self._stage.scale)
        middle = self._gizmo.position
        x0, y0, z0 = (middle - 0.5 * sides).tolist()
        x1, y1, z1 = (middle + 0.5 * sides).tolist()
        return Box(low=(x0, y0, z0), high=(x1, y1, z1))

    def _put(self, event: viser.GuiEvent) -> None:
        place = None if event.client is None else place_ahead(self._stage, event.client)
        if place is None:
            return
        if self._gizmo is None:
            self._gizmo = self._stage.browser.add_gizmo(
                "/edit/box", place, size=GIZMO * SIDE * self._stage.scale
            )
            self._gizmo.on_drag(lambda is_over: self._count() if is_over else None)
        else:
            self._gizmo.put(place)
        self._remove.visible = True
        self._draw()

    def _draw(self) -> None:
        box = self.box()
        if box is not None:
            self._stage.browser.add_box("/edit/box/sides", np.subtract(box.high, box.low), color=RED)
            self._count()

    def _count(self) -> None:
        box = self.box()
        if box is not None:
            self._say(f"{self._stage.layers.count_within(box):,} splats inside.")

    def _taken_out(self) -> None:
        try:
            box = self.box()
        except ValueError as error:
            self._say(one_sentence(error))
            return
        if box is not None and self._changes.make(lambda: self._edit.remove(box), self._say):
            self._clear()

    def _clear(self) -> None:
        if self._gizmo is not None:
            self._gizmo.remove()
            self._gizmo = None
        self._remove.visible = False

    def _say(self, text: str) -> None:
        self._note.content, self._note.visible = text, True


class PlacePanel:
    """A mesh from a file, moved by a gizmo, and the button that makes it part of the world."""

    def __init__(self, stage: Stage, edit: Editor, changes: Changes) -> None:
        self._stage, self._edit, self._changes = stage, edit, changes
        self._folder = tempfile.TemporaryDirectory(prefix="worldgen-upload-")
        self._mesh: Mesh | None = None
        self._file = Path(self._folder.name)
        self._gizmo: Gizmo | None = None
        gui = stage.server.gui
        with gui.add_folder("Put something in"):
            self._upload = gui.add_upload_button(
                "Upload a mesh",
                color="gray",
                mime_type=",".join(ENDINGS),
                hint=".glb, .ply or .stl, +y up.",
            )
            self._yaw = gui.add_slider(
                "Turned", min=-180, max=180, step=5, initial_value=0, hint="Degrees, seen from above."
            )
            self._size = gui.add_number(
                "Size", 1.0, min=1e-6, max=1e6, step=0.05, hint="World units in a unit of the mesh."
            )
            self._place = gui.add_button(
                "Place it", color="orange", visible=False, hint="Undo takes it out again."
            )
            self._note = gui.add_markdown("", visible=False)
        self._upload.on_upload(self._uploaded)
        self._yaw.on_update(lambda _: self._draw())
        self._size.on_update(lambda _: self._draw())
        self._place.on_click(lambda _: self._placed())

    def close(self) -> None:
        """Forget what was uploaded."""
        self._folder.cleanup()

    def _uploaded(self, event: viser.GuiEvent[GuiUploadButtonHandle]) -> None:
        place = None if event.client is None else place_ahead(self._stage, event.client)
        if place is None:
            return
        try:
            file = kept(event.target.value, Path(self._folder.name), endings=ENDINGS)
            if file.suffix == ".glb":
                check_self_contained(file.read_bytes())
            self._mesh, self._file = read_mesh(file), file
        except ValueError as error:
            self._say(one_sentence(error).replace(f"{self._folder.name}/", ""))
            return
        high = float(np.ptp(self._mesh.corners.reshape(-1, 3)[:, 1]))
        self._size.value = float(f"{SIDE * self._stage.scale / max(high, 1e-9):.2g}")
        if self._gizmo is None:
            self._gizmo = self._stage.browser.add_gizmo(
                "/edit/mesh", place, size=GIZMO * SIDE * self._stage.scale
            )
        else:
            self._gizmo.put(place)
        self._place.visible = True
        self._say(f"{file.name}: {len(self._mesh.corners):,} faces. Drag it to where it shall stand.")
        self._draw()

    def _draw(self) -> None:
        """Show the mesh as it would stand."""
        if self._mesh is None or self._gizmo is None:
            return
        up = self._stage.up.double()
        x, y, z = (up / up.norm()).tolist()
        standing = stood(
            self._mesh, at=(0.0, 0.0, 0.0), up=(x, y, z), yaw_deg=float(self._yaw.value), scale=self._scale()
        )
        corners = standing.corners.reshape(-1, 3).astype(np.float32)
        self._stage.browser.add_mesh("/edit/mesh/shape", corners, color=BLUE)

    def _scale(self) -> float:
        return float(min(max(1e-6, self._size.value), 1e6))

    def _placed(self) -> None:
        if self._gizmo is None:
            return
        x, y, z = self._gizmo.position.tolist()
        yaw, scale, file = float(self._yaw.value), self._scale(), self._file
        if self._changes.make(
            lambda: self._edit.place(file, at=(x, y, z), yaw_deg=yaw, scale=scale), self._say
        ):
            self._gizmo.remove()
            self._gizmo = self._mesh = None
            self._place.visible = False

    def _say(self, text: str) -> None:
        self._note.content, self._note.visible = text, True


def place_ahead(stage: Stage, client: viser.ClientHandle) -> Float64[np.ndarray, " 3"] | None:
    """A place before a browser's view; ``None`` if it has left."""
    camera = stage.camera_of(client)
    if camera is None:
        return None
    c2w = camera.c2w[0].double().numpy()
    return c2w[:3, 3] + AHEAD * stage.scale * c2w[:3, 2]
