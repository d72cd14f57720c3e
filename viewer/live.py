"""Live: growth that runs beside the browser, order after order, and shows each chunk as it comes.

Room: viewer. Knows neither viser nor any generator: an ``Order`` says what to grow, and finished chunks go to
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
from typing import Literal

from render.cameras import Cameras
from viewer.asks import Grown, Remembered
from viewer.clouds import Cloud
from viewer.pictures import Shot

log = logging.getLogger(__name__)

SECONDS_BETWEEN_UPDATES = 0.5
LONGEST_MESSAGE = 240

MOST_WAITING = 16
"""Orders that may wait; beyond it somebody is only clicking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One thing that somebody wants grown."""

    title: str

    total: int
    """Frames that it grows, or at most grows."""

    start: Cameras
    """Where whoever asked stands; one camera."""

    begin: Callable[[Cameras], Iterator[Grown]]
    """Grows on from a camera: ``start``, or where the order before this one ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A grown chunk, ready to be drawn."""

    shots: list[Shot]
    cloud: Cloud
    remembered: tuple[Remembered, ...] = ()
    is_ahead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an order ended."""

    kind: Literal["done", "stopped", "failed"]

    message: str = ""
    """One sentence on what went wrong; empty unless it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What a growth tells; one thing at a time, and of every order begin, show and end in this order."""

    begin: Callable[[Order], None]
    show: Callable[[list[Chunk]], None]
    end: Callable[[Order, Ending], None]

    idle: Callable[[], None] = lambda: None
    """Called when nothing grows and nothing waits any more; must not ask for growth."""


Item = Order | Chunk | Ending | None
"""What the growing thread hands over; ``None`` when it has nothing left to do."""


class Growth:
    """Grows orders one after another."""

    def __init__(self, *, pen: threading.Lock, prepare: Callable[[Grown], Chunk], screen: Screen) -> None:
        """``pen`` is held while anything grows; ``prepare`` runs on the growing thread."""
        self._pen, self._prepare, self._screen = pen, prepare, screen
        self._stop = threading.Event()
        self._lock = threading.RLock()
        self._threads: list[threading.Thread] = []
        self._waiting: list[Order] = []
        self._is_running = False

    @property
    def is_running(self) -> bool:
        return self._is_running

    @property
    def waiting(self) -> list[str]:
        """The titles of the orders whose turn has not come."""
        return [order.title for order in self._waiting]

    def ask(self, order: Order) -> bool:
        """Grow this when its turn comes; False if too much waits, or somebody else changes the world."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                return False
            if not self._is_running:
                if not self._pen.acquire(blocking=False):
                    return False
                self._run(order)
            else:
                self._waiting.append(order)
            return True

    def stop(self) -> None:
        """End after the chunk in progress, and forget what waits; what was grown stays."""
        with self._lock:
            self._waiting.clear()
            self._stop.set()

    def join(self, *, timeout_s: float) -> bool:
        """Wait until nothing grows; False if that took too long."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, first: Order) -> None:
        """Start the two threads; called with the lock held."""
        self._is_running = True
        self._stop.clear()
        inbox: queue.Queue[Item] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._produce, args=(first, inbox), name="viewer-grow", daemon=True),
            threading.Thread(target=self._publish, args=(inbox,), name="viewer-show", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _next(self) -> Order | None:
        with self._lock:
            return self._waiting.pop(0) if self._waiting and not self._stop.is_set() else None

    def _produce(self, first: Order, inbox: queue.Queue[Item]) -> None:
        here: Cameras | None = None
        order: Order | None = first
        while order is not None:
            inbox.put(order)
            here, ending = self._grown(order, here, inbox)
            if ending.kind == "failed":
                self.stop()
            inbox.put(ending)
            order = self._next()
        inbox.put(None)

    def _grown(
        self, order: Order, here: Cameras | None, inbox: queue.Queue[Item]
    ) -> tuple[Cameras | None, Ending]:
        """Grow one order to its end; where that is, and how it ended."""
        is_stopped = False
        try:
            chunks = order.begin(order.start if here is None else here)
            for grown in chunks:
                inbox.put(self._prepare(grown))
                here = grown.frames.cameras[-1:]
                is_stopped = self._stop.is_set()
                if is_stopped:
                    break
            if isinstance(chunks, Generator):
                chunks.close()
        except Exception as error:
            log.warning("growing failed", exc_info=True)
            return here, Ending(kind="failed", message=one_sentence(error))
        return here, Ending(kind="stopped" if is_stopped else "done")

    def _publish(self, inbox: queue.Queue[Item]) -> None:
        order: Order | None = None
        failure: Ending | None = None
        is_over = False
        while not is_over:
            for item in _drained(inbox):
                if item is None:
                    is_over = True
                elif isinstance(item, Order):
                    order, failure = item, self._told(lambda o=item: self._screen.begin(o))
                elif isinstance(item, list):
                    failure = failure or self._told(lambda chunks=item: self._screen.show(chunks))
                elif order is not None:
                    self._told(lambda o=order, e=failure or item: self._screen.end(o, e))
            if not is_over:
                self._stop.wait(SECONDS_BETWEEN_UPDATES)
        self._rest()

    def _told(self, tell: Callable[[], None]) -> Ending | None:
        """Tell the screen; if it breaks, everything stops."""
        try:
            tell()
        except Exception as error:
            log.warning("showing what was grown failed", exc_info=True)
            self.stop()
            return Ending(kind="failed", message=one_sentence(error))
        return None

    def _rest(self) -> None:
        """Everybody knows how it ended: go on with what was asked for meanwhile, or let others in."""
        with self._lock:
            if self._waiting:
                self._run(self._waiting.pop(0))
                return
            self._told(self._screen.idle)
            self._pen.release()
            self._is_running = False  # last: whoever sees it may change the world


def _drained(inbox: queue.Queue[Item]) -> list[Order | Ending | list[Chunk] | None]:
    """All that waits in ``inbox``, at least one thing; chunks that follow each other come together."""
    found: list[Order | Ending | list[Chunk] | None] = []
    item = inbox.get()
    while True:
        if isinstance(item, Chunk):
            if found and isinstance(found[-1], list):
                found[-1].append(item)
            else:
                found.append([item])
        else:
            found.append(item)
        try:
            item = inbox.get_nowait()
        except queue.Empty:
            return found


def one_sentence(error: Exception) -> str:
    """The first line of an error, as a sentence for people."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else type(error).__name__
    text = text[0].upper() + text[1:] if text.split()[0].isalpha() else text
    text = text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1].rstrip() + "…"
    return text if text[-1] in ".!?…" else text + "."
