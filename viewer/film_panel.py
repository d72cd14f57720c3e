"""Film panel: the drawn path as a video to download.

Room: viewer. Widgets; the work is done by ``Filming``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import viser

from render.gaussians import Gaussians
from viewer.film import Filming
from viewer.keyframes import Drawn
from viewer.stage import Stage

SIZES = {f"{w} x {h}": (w, h) for w, h in ((480, 320), (854, 480), (1280, 720), (1920, 1080))}

PATIENCE_S = 5.0


class FilmPanel:
    """Size of the video, and the buttons that make it, stop it and fetch it."""

    def __init__(self, stage: Stage, splats: Callable[[], Gaussians], *, path: Callable[[], Drawn]) -> None:
        self._stage, self._path = stage, path
        self._folder = tempfile.TemporaryDirectory(prefix="worldgen-film-")
        self._file = Path(self._folder.name) / "flythrough.mp4"
        self._filming = Filming(splats, progress=self._tell_progress)
        gui = stage.server.gui
        with gui.add_folder("Video"):
            self._size = gui.add_dropdown("Size", list(SIZES))
            self._make = gui.add_button("Render video", color="orange", hint="In the background, as MP4.")
            self._stop = gui.add_button("Stop rendering", color="red", visible=False)
            self._bar = gui.add_progress_bar(0.0, visible=False, animated=True, color="orange")
            self._fetch = gui.add_button("Download video", color="gray", visible=False)
            self._note = gui.add_markdown("", visible=False)
        self._make.on_click(lambda _: self._start())
        self._stop.on_click(lambda _: self._filming.stop())
        self._fetch.on_click(self._send)

    def close(self) -> None:
        """Stop filming, and forget the film."""
        self._filming.stop(timeout_s=PATIENCE_S)
        self._folder.cleanup()

    def _start(self) -> None:
        width, height = SIZES.get(self._size.value, SIZES["480 x 320"])
        drawn = self._path()
        cameras = drawn.cameras(width=width, height=height)
        if cameras is None:
            self._say("Add keyframes first.")
        elif self._filming.start(cameras, self._file, fps=drawn.fps, end=self._ended):
            self._make.visible, self._stop.visible = False, True
            self._bar.value, self._bar.visible = 0.0, True
            self._say(f"Picture 0 of {len(cameras)}.")

    def _tell_progress(self, done: int, total: int) -> None:
        self._bar.value = 100.0 * done / total
        self._say(f"Picture {done} of {total}.")

    def _ended(self, failure: str | None) -> None:
        if self._stage.is_closed:
            return
        self._make.visible, self._stop.visible, self._bar.visible = True, False, False
        self._fetch.visible = self._file.is_file()
        if failure is None:
            size = self._file.stat().st_size / 2**20
            self._say(f"The video is ready, {size:.1f} MiB.")
        else:
            self._say(failure)

    def _send(self, event: viser.GuiEvent) -> None:
        if event.client is not None and self._file.is_file():
            event.client.send_file_download(self._file.name, self._file.read_bytes(), save_immediately=True)

    def _say(self, text: str) -> None:
        self._note.content, self._note.visible = text, True
