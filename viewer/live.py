"""Live: growth that runs beside the browser and shows each chunk as it comes.

Room: viewer. Knows neither viser nor any generator: it takes a ``GrowFn`` and hands finished chunks to
a callback, at most two batches a second. One thread grows and prepares, a second one shows, so a slow
browser never holds back the generator, and all heavy arithmetic stays on one thread.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from memory.points import Points
from render.cameras import Cameras
from render.frames import Frames
from viewer.clouds import Cloud
from viewer.pictures import Shot

log = logging.getLogger(__name__)

SECONDS_BETWEEN_UPDATES = 0.5
LONGEST_MESSAGE = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """One committed chunk: what was imagined, and the points it added to the world."""

    frames: Frames
    points: Points


@runtime_checkable
class GrowFn(Protocol):
    """Anything that can imagine what cameras would see, chunk after chunk."""

    def __call__(self, cameras: Cameras, *, seed: int) -> Iterator[Grown]:
        """Yield what was committed, in the order of the cameras."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A grown chunk, ready to be drawn."""

    shots: list[Shot]
    cloud: Cloud


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a growth ended."""

    kind: Literal["done", "stopped", "failed"]

    message: str = ""
    """One sentence on what went wrong; empty unless it failed."""


class Growth:
    """At most one growth at a time."""

    def __init__(
        self,
        grow: GrowFn,
        *,
        prepare: Callable[[Grown], Chunk],
        show: Callable[[list[Chunk]], None],
        on_end: Callable[[Ending], None],
    ) -> None:
        """``prepare`` runs on the growing thread, ``show`` and ``on_end`` on the showing one."""
        self._grow, self._prepare, self._show, self._on_end = grow, prepare, show, on_end
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._is_running = False

    @property
    def is_running(self) -> bool:
        return self._is_running

    def start(self, cameras: Cameras, *, seed: int) -> bool:
        """Grow towards ``cameras``; False if a growth is running already."""
        with self._lock:
            if self._is_running:
                return False
            self._is_running = True
            self._stop.clear()
            inbox: queue.Queue[Chunk | Ending] = queue.Queue()
            producing = threading.Thread(
                target=self._produce, args=(inbox, cameras, seed), name="viewer-grow", daemon=True
            )
            publishing = threading.Thread(
                target=self._publish, args=(inbox,), name="viewer-show", daemon=True
            )
            self._threads = [producing, publishing]
            for thread in self._threads:
                thread.start()
            return True

    def stop(self) -> None:
        """Ask the growth to end after the chunk it is working on; what was grown stays."""
        self._stop.set()

    def join(self, *, timeout_s: float) -> bool:
        """Wait for the growth to end; False if it did not in time."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _produce(self, inbox: queue.Queue[Chunk | Ending], cameras: Cameras, seed: int) -> None:
        try:
            chunks = self._grow(cameras, seed=seed)
            is_stopped = False
            for grown in chunks:
                inbox.put(self._prepare(grown))
                is_stopped = self._stop.is_set()
                if is_stopped:
                    break
            if isinstance(chunks, Generator):
                chunks.close()
            ending = Ending(kind="stopped" if is_stopped else "done")
        except Exception as error:
            log.warning("growing failed", exc_info=True)
            ending = Ending(kind="failed", message=one_sentence(error))
        inbox.put(ending)

    def _publish(self, inbox: queue.Queue[Chunk | Ending]) -> None:
        ending: Ending | None = None
        failure: Ending | None = None
        while ending is None:
            chunks, ending = _drained(inbox)
            try:
                self._show([] if failure else chunks)
            except Exception as error:
                log.warning("showing what was grown failed", exc_info=True)
                failure = Ending(kind="failed", message=one_sentence(error))
                self._stop.set()
            if ending is None:
                self._stop.wait(SECONDS_BETWEEN_UPDATES)
        with self._lock:  # nobody starts the next growth before everyone knows how this one ended
            self._is_running = False
            self._on_end(failure or ending)


def _drained(inbox: queue.Queue[Chunk | Ending]) -> tuple[list[Chunk], Ending | None]:
    """All that waits in ``inbox``, at least one thing."""
    chunks: list[Chunk] = []
    item = inbox.get()
    while isinstance(item, Chunk):
        chunks.append(item)
        try:
            item = inbox.get_nowait()
        except queue.Empty:
            return chunks, None
    return chunks, item


def one_sentence(error: Exception) -> str:
    """The first line of an error, as a sentence for people."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else type(error).__name__
    text = text[0].upper() + text[1:] if text.split()[0].isalpha() else text
    text = text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1].rstrip() + "…"
    return text if text[-1] in ".!?…" else text + "."
