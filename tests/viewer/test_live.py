"""Growth beside the browser, with a hand-written generator and a list in place of the browser."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from render.cameras import Cameras
from tests.viewer.box_room import RoomGrow, look
from viewer import GrowFn, Grown
from viewer.live import (
    MOST_WAITING,
    SECONDS_BETWEEN_UPDATES,
    Chunk,
    Ending,
    Growth,
    Order,
    Screen,
    one_sentence,
)
from viewer.stage import prepared


def order(grow: GrowFn, cameras: Cameras, *, seed: int = 0, title: str = "walk") -> Order:
    """Grows the same cameras wherever it begins."""
    return Order(title=title, total=len(cameras), start=cameras[:1], begin=lambda _: grow(cameras, seed=seed))


class Watcher:
    """A growth, and all that it told."""

    def __init__(self) -> None:
        self.pen = threading.Lock()
        self.begun: list[str] = []
        self.batches: list[list[Chunk]] = []
        self.times: list[float] = []
        self.endings: list[Ending] = []
        self.idles = 0
        screen = Screen(begin=self.begin, show=self.show, end=self.end, idle=self.idle)
        self.growth = Growth(pen=self.pen, prepare=prepared, screen=screen)

    def begin(self, order: Order) -> None:
        self.begun.append(order.title)

    def show(self, chunks: list[Chunk]) -> None:
        self.batches.append(chunks)
        self.times.append(time.monotonic())

    def end(self, order: Order, ending: Ending) -> None:
        self.endings.append(ending)

    def idle(self) -> None:
        self.idles += 1

    @property
    def frame_count(self) -> int:
        return sum(len(chunk.shots) for batch in self.batches for chunk in batch)


def test_growth_shows_every_frame_in_order():
    watcher = Watcher()
    cameras = look(7)
    assert watcher.growth.ask(order(RoomGrow(chunk=2), cameras, seed=3))
    assert watcher.growth.join(timeout_s=30.0)
    assert (watcher.begun, watcher.endings, watcher.idles) == (["walk"], [Ending(kind="done")], 1)
    shots = [shot for batch in watcher.batches for chunk in batch for shot in chunk.shots]
    assert [shot.pose.position.tolist() for shot in shots] == cameras.origins.double().tolist()
    assert all(len(chunk.cloud) for batch in watcher.batches for chunk in batch)


def test_frames_come_while_growing_but_no_more_than_two_batches_a_second():
    watcher = Watcher()
    watcher.growth.ask(order(RoomGrow(chunk=1, pause_s=0.1), look(14)))
    assert watcher.growth.join(timeout_s=30.0)
    assert watcher.frame_count == 14
    assert len(watcher.batches) >= 3
    gaps = [later - earlier for earlier, later in zip(watcher.times, watcher.times[1:], strict=False)]
    assert min(gaps) > 0.95 * SECONDS_BETWEEN_UPDATES


def test_stop_keeps_what_was_grown_ends_after_the_chunk_in_progress_and_forgets_what_waits():
    watcher = Watcher()
    watcher.growth.ask(order(RoomGrow(chunk=1, pause_s=0.1), look(100)))
    watcher.growth.ask(order(RoomGrow(), look(2), title="never"))
    while watcher.frame_count < 2:
        time.sleep(0.01)
    watcher.growth.stop()
    assert watcher.growth.join(timeout_s=30.0)
    assert (watcher.begun, watcher.endings) == (["walk"], [Ending(kind="stopped")])
    assert 2 <= watcher.frame_count < 100


def test_a_generator_that_fails_ends_with_one_sentence_and_another_growth_can_start():
    watcher = Watcher()
    for attempt in (1, 2):
        assert watcher.growth.ask(order(RoomGrow(chunk=1, fails_after=2), look(5)))
        assert watcher.growth.join(timeout_s=30.0)
        assert watcher.frame_count == 2 * attempt
    assert watcher.endings == [Ending(kind="failed", message="The generator ran out of ideas.")] * 2


def test_what_waits_grows_on_from_where_the_order_before_it_ended():
    watcher, starts = Watcher(), []
    first, second = look(3), look(2, first_yaw=1.0)

    def begin(camera: Cameras) -> Iterator[Grown]:
        starts.append(camera.c2w)
        return RoomGrow(chunk=1)(second, seed=0)

    gate = threading.Event()
    assert watcher.growth.ask(order(RoomGrow(gate=gate), first))
    assert watcher.growth.ask(Order(title="turn", total=2, start=look(1), begin=begin))
    assert watcher.growth.waiting == ["turn"]
    gate.set()
    assert watcher.growth.join(timeout_s=30.0)
    assert (watcher.begun, watcher.idles) == (["walk", "turn"], 1)
    torch.testing.assert_close(starts[0], first.c2w[-1:], rtol=0, atol=0)


def test_the_pen_is_held_while_growing_and_nobody_grows_while_another_holds_it():
    watcher, gate = Watcher(), threading.Event()
    with watcher.pen:
        assert not watcher.growth.ask(order(RoomGrow(), look(1)))
    assert watcher.growth.ask(order(RoomGrow(gate=gate), look(1)))
    assert watcher.pen.locked()
    gate.set()
    assert watcher.growth.join(timeout_s=30.0)
    assert not watcher.pen.locked()
    assert watcher.frame_count == 1


def test_no_more_may_wait_than_somebody_can_mean():
    watcher, gate = Watcher(), threading.Event()
    asked = [watcher.growth.ask(order(RoomGrow(gate=gate), look(1))) for _ in range(MOST_WAITING + 2)]
    watcher.growth.stop()
    gate.set()
    assert watcher.growth.join(timeout_s=30.0)
    assert all(asked[:MOST_WAITING])
    assert not asked[-1]


def test_what_is_asked_for_while_a_stop_is_on_its_way_still_grows():
    watcher, gate = Watcher(), threading.Event()
    watcher.growth.ask(order(RoomGrow(chunk=1, gate=gate), look(2)))
    watcher.growth.stop()
    assert watcher.growth.ask(order(RoomGrow(), look(2), title="again"))
    gate.set()
    deadline = time.monotonic() + 30.0
    while watcher.growth.is_running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert watcher.endings == [Ending(kind="stopped"), Ending(kind="done")]


def test_a_stopped_generator_is_closed_by_its_own_thread_before_the_end_is_told():
    told: list[str] = []
    is_shown = threading.Event()

    def endless(cameras: Cameras, *, seed: int) -> Iterator[Grown]:
        try:
            while True:
                yield from RoomGrow()(cameras, seed=seed)
        finally:
            time.sleep(0.2)
            told.append(f"closed on {threading.current_thread().name}")

    screen = Screen(
        begin=lambda order: None,
        show=lambda chunks: is_shown.set(),
        end=lambda order, ending: told.append(ending.kind),
    )
    growth = Growth(pen=threading.Lock(), prepare=prepared, screen=screen)
    growth.ask(order(endless, look(2)))
    assert is_shown.wait(10)
    growth.stop()
    assert growth.join(timeout_s=10.0)
    assert told == ["closed on viewer-grow", "stopped"]


def test_a_screen_that_breaks_stops_the_growth():
    endings: list[Ending] = []

    def broken(chunks: list[Chunk]) -> None:
        raise ConnectionError("the window is gone")

    screen = Screen(begin=lambda order: None, show=broken, end=lambda order, ending: endings.append(ending))
    growth = Growth(pen=threading.Lock(), prepare=prepared, screen=screen)
    growth.ask(order(RoomGrow(chunk=1, pause_s=0.05), look(200)))
    assert growth.join(timeout_s=10.0)
    assert endings == [Ending(kind="failed", message="The window is gone.")]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("no depth\n  File x, line 3"), "No depth."),
        (KeyError(), "KeyError."),
        (ValueError("c2w must be rigid!"), "c2w must be rigid!"),
        (ValueError("word " * 200), "Word " + "word " * 46 + "word…"),
    ],
)
def test_errors_become_one_sentence(error: Exception, sentence: str):
    assert one_sentence(error) == sentence
