"""App: a world in the browser, with panels to walk through it, to grow it and to change it.

Room: viewer; the command line imports this. ``Viewer`` owns the server and puts the parts together; what is
shown is on the stage, and every panel is a part of its own.
"""

from __future__ import annotations

import contextlib
import functools
import math
import threading
import warnings
from collections.abc import Callable

import torch
import viser
from jaxtyping import Float
from torch import Tensor

from viewer.asks import Abilities, Scene
from viewer.branch_panel import BranchPanel
from viewer.changes import Changes
from viewer.door import Door, checked_token
from viewer.edit_panel import PlacePanel, RemovePanel
from viewer.export_panel import ExportPanel
from viewer.grow_panel import add_growing_is_off
from viewer.growing import Growing
from viewer.look_panel import Ground, LookPanel
from viewer.meshing import Meshing
from viewer.path_panel import PathPanel
from viewer.stage import Stage
from viewer.uploads import bound_uploads
from viewer.world_panel import HistoryPanel, StatisticsPanel

PATIENCE_S = 5.0
"""How long closing waits for a chunk in progress. Past that it is dropped; the world folder loses nothing."""

HELP = """\
**Drag** to look around, **scroll** to come closer, **right-drag** to slide.
Keys **W A S D Q E** walk, arrows turn."""


class Viewer:
    """A running server. It answers from the moment it is made until ``close``."""

    def __init__(
        self,
        scene: Scene,
        *,
        up: Float[Tensor, " 3"],
        scale: float,
        abilities: Abilities | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
        token: str | None = None,
    ) -> None:
        """Show a world.

        Args:
            scene: what there is so far, at least one frame; the first is where visitors start.
            up: world up, any length.
            scale: a typical distance in world units, such as the median depth of the first frame.
            abilities: what can be done besides looking; panels say what is off.
            host: address to listen on. Without a token anyone who can reach it can look and steer.
            port: port to listen on; the next free one is taken if it is busy.
            token: lets in only browsers that know it; it stands in ``url``.
        """
        _check(scene, up=up, scale=scale)
        token = None if token is None else checked_token(token)
        # A browser may go between any two lines of ours; viser would say so each time.
        warnings.filterwarnings("ignore", message="Queued a .* on a closed connection")
        self._closing, self._closed = threading.Lock(), threading.Event()
        self._host, self._token, self._door = host, token, None
        self._server = _served(host=host, port=port) if token is None else _served(host="127.0.0.1", port=0)
        self._stage = Stage(self._server, scene, up=up, scale=scale)
        bound_uploads(self._server)
        self._growing: Growing | None = None
        self._closing_too: list[Callable[[], None]] = []
        self._add_panels(Abilities() if abilities is None else abilities)
        self._stage.open()
        if token is not None:
            self._door = Door(host=host, port=port, inner_port=self._server.get_port(), token=token)

    @property
    def url(self) -> str:
        """Where the browser finds this viewer, token included."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        if self._door is None:
            return f"http://{host}:{self._server.get_port()}"
        return f"http://{host}:{self._door.port}/?token={self._token}"

    def run(self) -> None:
        """Serve until ``close`` is called elsewhere or the user presses Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            self._closed.wait()
        self.close()

    def close(self) -> None:
        """Stop growing and serving. Calling it twice does no harm."""
        with self._closing:
            if self._closed.is_set():
                return
            if self._growing is not None:
                self._growing.close(timeout_s=PATIENCE_S)
            self._stage.close()
            self._closed.set()
            if self._door is not None:
                self._door.close()
            for close in self._closing_too:
                close()
            self._server.stop()

    def _add_panels(self, abilities: Abilities) -> None:
        gui = self._server.gui
        gui.add_markdown(HELP, order=0.5)
        tabs = gui.add_tab_group(order=1)
        growing, world, path, look = (tabs.add_tab(name) for name in ("Grow", "World", "Path", "Look"))
        meshing = None if abilities.mesh is None else Meshing(self._stage, abilities.mesh)
        if abilities.splats is not None:
            with tabs.add_tab("Export"):
                ExportPanel(self._stage, abilities.splats, meshing)
        with path:
            self._path = PathPanel(self._stage, abilities)
            self._closing_too.append(self._path.close)
        with growing:
            if abilities.grow is None:
                add_growing_is_off(self._server)
            else:
                self._growing = Growing(self._stage, abilities, grow=abilities.grow, path=self._path.cameras)
        with world:
            StatisticsPanel(self._stage)
            if abilities.history is not None:
                changes = Changes(self._stage, abilities.history)
                HistoryPanel(self._stage, abilities.history, changes, replay=abilities.replay)
                BranchPanel(self._stage, abilities.history, changes)
                if abilities.edit is not None:
                    RemovePanel(self._stage, abilities.edit, changes)
                    self._closing_too.append(PlacePanel(self._stage, abilities.edit, changes).close)
        with look:
            ground = functools.partial(_set_theme, self._server)
            self._look = LookPanel(self._stage, ground=ground, meshing=meshing)


def _served(*, host: str, port: int) -> viser.ViserServer:
    server = viser.ViserServer(host=host, port=port, verbose=False)
    _set_theme(server, "Night")
    server.gui.set_panel_label("worldgen")
    server.gui.main_panel.dock_right()
    return server


def _set_theme(server: viser.ViserServer, ground: Ground) -> None:
    server.gui.configure_theme(
        dark_mode=ground == "Night", show_logo=False, show_share_button=False, brand_color=(255, 146, 43)
    )


def _check(scene: Scene, *, up: Float[Tensor, " 3"], scale: float) -> None:
    if len(scene.frames) == 0:
        raise ValueError("a world needs at least one frame before it can be viewed; grow or import one first")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"the scale of a world must be a positive length, got {scale:g}")
    if not (bool(torch.isfinite(up).all()) and float(up.norm()) > 0):
        raise ValueError(f"up must be a direction, got {up.tolist()}")
