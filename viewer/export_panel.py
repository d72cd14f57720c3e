"""Export panel: the world as files to download, in every format that ``worldgen export`` knows.

Room: viewer. A file is written on the side and then sent to whoever asked, and to nobody else.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import viser

from reconstruct.formats import WRITERS, export_splats
from reconstruct.levels import thinned
from reconstruct.manifold import closed_decimated
from reconstruct.mesh_files import PLAIN_ENDINGS, write_mesh
from reconstruct.tidy import decimated
from render.gaussians import Gaussians
from viewer.live import one_sentence
from viewer.meshing import Meshing
from viewer.page import page_of
from viewer.stage import Stage

log = logging.getLogger(__name__)

MOST_SPLATS = MOST_FACES = 100_000_000

MESH_ENDINGS = (".glb", ".obj", ".stl")
"""All stand upright; PLY would be mistaken for splats."""


class ExportPanel:
    """One button a format."""

    def __init__(self, stage: Stage, splats: Callable[[], Gaussians], meshing: Meshing | None) -> None:
        """Without ``meshing`` there are no meshes to download."""
        self._stage, self._splats = stage, splats
        self._writing = threading.Lock()
        gui = stage.server.gui
        gui.add_markdown("The splats of now, fitted ones if there are any.")
        self._most = gui.add_number(
            "At most",
            0,
            min=0,
            max=MOST_SPLATS,
            step=10_000,
            hint="Splats; neighbours are merged until so many are left. 0 for all.",
        )
        for ending in WRITERS:
            button = gui.add_button(f"Download {ending}", color="orange", hint="Made for you alone.")
            button.on_click(self._clicked(ending))
        if meshing is not None:
            self._add_meshes(meshing)
        page = gui.add_button(
            "Share as one HTML file", color="orange", hint="Opens in any browser, offline, where you stand."
        )
        page.on_click(lambda event: self._send(event, "world.html", lambda: self._page(event)))
        self._note = gui.add_markdown("", visible=False)

    def _add_meshes(self, meshing: Meshing) -> None:
        gui = self._stage.server.gui
        gui.add_markdown("The frames of now, fused into one surface with colours.")
        most = gui.add_number(
            "Faces at most",
            0,
            min=0,
            max=MOST_FACES,
            step=10_000,
            hint="About so many, those that bend little go first. 0 for all.",
        )
        watertight = gui.add_checkbox(
            "Watertight",
            initial_value=False,
            hint="A closed solid for printers: the wall behind what was seen, holes spanned.",
        )

        def clicked(ending: str) -> Callable[[viser.GuiEvent], None]:
            def make() -> tuple[bytes, str]:
                return self._mesh_file(meshing, ending, int(most.value), watertight=watertight.value)

            return lambda event: self._send(event, f"mesh{ending}", make)

        for ending in MESH_ENDINGS:
            plain = " Without colours." if ending in PLAIN_ENDINGS else ""
            button = gui.add_button(
                f"Download mesh {ending}",
                color="orange",
                hint=f"Fusing a large world takes a while.{plain}",
            )
            button.on_click(clicked(ending))

    def _page(self, event: viser.GuiEvent) -> tuple[bytes, str]:
        """The splats as a page that opens where whoever asked stands, and how many they are."""
        stage = self._stage
        visitor = stage.visitors.get(event.client_id) if event.client_id is not None else None
        content, count = page_of(
            self._splats(),
            start=stage.shots[0].pose if visitor is None else visitor.pose(),
            up=stage.up,
            scale=stage.scale,
            title="A world",
            most=self._asked() or MOST_SPLATS,
        )
        return content, f"{count:,} splats"

    def _asked(self) -> int:
        """At most so many splats; 0 for all."""
        return int(min(max(0, self._most.value), MOST_SPLATS))

    def _clicked(self, ending: str) -> Callable[[viser.GuiEvent], None]:
        return lambda event: self._send(event, f"world{ending}", lambda: self._file(ending))

    def _send(self, event: viser.GuiEvent, name: str, make: Callable[[], tuple[bytes, str]]) -> None:
        if event.client is None:
            return
        if not self._writing.acquire(blocking=False):
            self._say("Another file is being written; try again when it is done.")
            return
        try:
            self._say(f"Writing {name}.")
            content, what = make()
        except Exception as error:
            log.warning("an export failed", exc_info=not isinstance(error, ValueError))
            content, what = b"", one_sentence(error)
        finally:
            self._writing.release()
        # Only now: whoever has the file and asks for the next one must not be told that one is being written.
        if content:
            event.client.send_file_download(name, content, save_immediately=True)
            what = f"{name}: {what}, {len(content) / 2**20:.1f} MiB."
        self._say(what)

    def _file(self, ending: str) -> tuple[bytes, str]:
        """The world in one format, and how much of it that is."""
        splats = self._splats()
        if most := self._asked():
            splats = thinned(splats, most)
        with tempfile.TemporaryDirectory(prefix="worldgen-export-") as folder:
            file = Path(folder) / f"world{ending}"
            export_splats(splats, file)
            return file.read_bytes(), f"{len(splats):,} splats"

    def _mesh_file(self, meshing: Meshing, ending: str, most: int, *, watertight: bool) -> tuple[bytes, str]:
        """The world as a mesh with at most about so many faces, 0 for all, and how many it has."""
        surface = meshing.whole(watertight=watertight).surface
        if most:
            fewer = closed_decimated if watertight else decimated
            surface = fewer(surface, min(most, MOST_FACES))
        up = self._stage.up.double()
        x, y, z = (up / up.norm()).tolist()
        with tempfile.TemporaryDirectory(prefix="worldgen-export-") as folder:
            file = Path(folder) / f"mesh{ending}"
            write_mesh(surface, file, up=(x, y, z))
            body = ", watertight" if watertight else ""
            return file.read_bytes(), f"{len(surface):,} faces{body}"

    def _say(self, text: str) -> None:
        self._note.content, self._note.visible = text, True
