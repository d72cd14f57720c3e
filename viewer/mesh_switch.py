"""Mesh switch: the button that shows the world as a mesh, and takes the mesh away when the world changes.

Room: viewer. Fusing takes seconds, so it runs beside everything else. Nobody is left with the mesh of a world
that is no more.
"""

from __future__ import annotations

import logging
import threading

from reconstruct.mesh_files import MESH_WRITERS
from reconstruct.tidy import decimated
from viewer.live import one_sentence
from viewer.meshing import Meshing
from viewer.stage import Stage

log = logging.getLogger(__name__)

SHOW, FUSING, HIDE = "Show mesh", "Fusing …", "Hide mesh"
"""What the button says."""

OUTDATED = "The world has changed, so its mesh is gone; show it again."


class MeshSwitch:
    """A button and a note."""

    def __init__(self, stage: Stage, meshing: Meshing, *, most: int) -> None:
        """``most`` is how many faces are drawn at most, about."""
        self._stage, self._meshing, self._most = stage, meshing, most
        self._lock = threading.Lock()
        self._is_busy = self._is_shown = False
        gui = stage.server.gui
        self._button = gui.add_button(
            SHOW,
            color="gray",
            hint="All frames fused into one surface, in its own colours. Switch Splats off to see it alone.",
        )
        self._note = gui.add_markdown("", visible=False)
        self._button.on_click(lambda _: self._pressed())
        stage.on_change(self._changed)

    def limit(self, most: int) -> None:
        """Draw at most about so many faces; what is shown is drawn anew."""
        with self._lock:
            if most != self._most:
                self._most = most
                if self._is_shown:
                    self._begin()

    def _pressed(self) -> None:
        with self._lock:
            if self._is_shown and not self._is_busy:
                self._hide()
                self._note.visible = False
            else:
                self._begin()

    def _begin(self) -> None:
        """Fuse beside everything else; called with the lock held, as the three below."""
        if not self._is_busy:
            self._is_busy = True
            self._label()
            threading.Thread(target=self._draw, name="viewer-mesh", daemon=True).start()

    def _hide(self) -> None:
        self._stage.layers.show_mesh(None)
        self._is_shown = False
        self._label()

    def _label(self) -> None:
        self._button.label = FUSING if self._is_busy else HIDE if self._is_shown else SHOW
        self._button.disabled = self._is_busy

    def _say(self, text: str) -> None:
        self._note.content, self._note.visible = text, True

    def _changed(self) -> None:
        """The stage shows something else."""
        with self._lock:
            if self._is_shown:
                self._hide()
                self._say(OUTDATED)

    def _draw(self) -> None:
        try:
            said = self._drawn()
        except Exception as error:
            log.warning("fusing a mesh failed", exc_info=not isinstance(error, ValueError))
            said = one_sentence(error)
        with self._lock:
            self._is_busy = False
            if not self._stage.is_closed:
                self._label()
                self._say(said)

    def _drawn(self) -> str:
        """Show the mesh of now, and say what it is."""
        whole = self._meshing.whole()
        while True:
            most = self._most
            surface = decimated(whole.surface, most)
            glb = MESH_WRITERS[".glb"](surface)
            with self._lock:
                # A change raises the version before it asks for the lock, so none comes in between.
                if whole.version != self._stage.version:
                    return OUTDATED
                if most == self._most:
                    self._stage.layers.show_mesh(glb)
                    self._is_shown = True
                    return f"{len(surface):,} of {len(whole.surface):,} faces."
