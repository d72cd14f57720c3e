"""Film: a path through the world as a video, made beside the browser by our own renderer.

Room: viewer. Knows no widgets. One film at a time, on one thread, so that growing is not held up; the picture
in the browser is never filmed, because it depends on the browser.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from reconstruct.formats.video import write_mp4
from render.cameras import Cameras
from render.gaussians import Gaussians
from render.splats import render_splats
from viewer.live import one_sentence

log = logging.getLogger(__name__)


class _StoppedError(Exception):
    """Somebody stopped the film."""


class Filming:
    """Makes films of the splats that there are when it begins."""

    def __init__(self, splats: Callable[[], Gaussians], *, progress: Callable[[int, int], None]) -> None:
        """``progress`` gets how many pictures of how many are made."""
        self._splats, self._progress = splats, progress
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, cameras: Cameras, path: Path, *, fps: float, end: Callable[[str | None], None]) -> bool:
        """Film into ``path``; False if a film is being made already.

        Args:
            cameras: one a picture, at the size of the video.
            path: the video; there only when it is whole.
            fps: pictures a second.
            end: gets ``None`` when it is done, and a sentence if it was not; called on another thread.
        """
        with self._lock:
            if self.is_running:
                return False
            self._stop.clear()
            self._thread = threading.Thread(
                target=self._film, args=(cameras, path, fps, end), name="viewer-film", daemon=True
            )
            self._thread.start()
            return True

    def stop(self, *, timeout_s: float = 0.0) -> None:
        """End the film after the picture in progress; nothing of it stays."""
        self._stop.set()
        thread = self._thread
        if thread is not None and timeout_s > 0:
            thread.join(timeout_s)

    def _film(self, cameras: Cameras, path: Path, fps: float, end: Callable[[str | None], None]) -> None:
        failure: str | None = None
        try:
            write_mp4(path, self._pictures(cameras), fps=fps)
        except _StoppedError:
            failure = "Stopped; no video was kept."
        except Exception as error:
            log.warning("filming failed", exc_info=True)
            failure = one_sentence(error)
        end(failure)

    def _pictures(self, cameras: Cameras) -> Iterator[Float[Tensor, "h w 3"]]:
        splats = self._splats()
        for i in range(len(cameras)):
            if self._stop.is_set():
                raise _StoppedError
            yield render_splats(splats, cameras[i : i + 1], threads=1).rgb[0].clamp(0.0, 1.0)
            self._progress(i + 1, len(cameras))
