"""Growth beside the browser, with a hand-written generator and a list in place of the browser."""

import threading
import time
from collections.abc import Iterator

import pytest

from reconstruct.init import gaussians_from_points
from render.cameras import Cameras
from tests.viewer.box_room import RoomGrow, look
from viewer import GrowFn, Grown
from viewer.clouds import cloud_from_gaussians
from viewer.live import SECONDS_BETWEEN_UPDATES, Chunk, Ending, Growth, one_sentence
from viewer.pictures import shots_from_frames


def prepared(grown: Grown) -> Chunk:
    cloud = cloud_from_gaussians(gaussians_from_points(grown.points))
    return Chunk(shots=shots_from_frames(grown.frames), cloud=cloud)


class Screen:
    """Remembers what it was shown, and when."""

    def __init__(self, grow: GrowFn) -> None:
        self.batches: list[list[Chunk]] = []
        self.times: list[float] = []
        self.endings: list[Ending] = []
        self.growth = Growth(grow, prepare=prepared, show=self.show, on_end=self.endings.append)

    def show(self, chunks: list[Chunk]) -> None:
        self.batches += [chunks] if chunks else []
        self.times.append(time.monotonic())

    @property
    def frame_count(self) -> int:
        return sum(len(chunk.shots) for batch in self.batches for chunk in batch)


def test_growth_shows_every_frame_in_order():
    screen = Screen(RoomGrow(chunk=2))
    cameras = look(7)
    assert screen.growth.start(cameras, seed=3)
    assert screen.growth.join(timeout_s=30.0)
    assert screen.endings == [Ending(kind="done")]
    shots = [shot for batch in screen.batches for chunk in batch for shot in chunk.shots]
    assert [shot.pose.position.tolist() for shot in shots] == cameras.origins.double().tolist()
    assert all(len(chunk.cloud) for batch in screen.batches for chunk in batch)


def test_frames_come_while_growing_but_no_more_than_two_batches_a_second():
    screen = Screen(RoomGrow(chunk=1, pause_s=0.1))
    screen.growth.start(look(14), seed=0)
    assert screen.growth.join(timeout_s=30.0)
    assert screen.frame_count == 14
    assert len(screen.batches) >= 3
    gaps = [later - earlier for earlier, later in zip(screen.times, screen.times[1:], strict=False)]
    assert min(gaps) > 0.95 * SECONDS_BETWEEN_UPDATES


def test_stop_keeps_what_was_grown_and_ends_after_the_chunk_in_progress():
    screen = Screen(RoomGrow(chunk=1, pause_s=0.1))
    screen.growth.start(look(100), seed=0)
    while screen.frame_count < 2:
        time.sleep(0.01)
    screen.growth.stop()
    assert screen.growth.join(timeout_s=10.0)
    assert screen.endings == [Ending(kind="stopped")]
    assert 2 <= screen.frame_count < 20


def test_a_generator_that_fails_ends_with_one_sentence_and_another_growth_can_start():
    screen = Screen(RoomGrow(chunk=1, fails_after=2))
    for attempt in (1, 2):
        assert screen.growth.start(look(5), seed=0)
        assert screen.growth.join(timeout_s=30.0)
        assert screen.frame_count == 2 * attempt
    assert screen.endings == [Ending(kind="failed", message="The generator ran out of ideas.")] * 2


def test_only_one_growth_runs_at_a_time():
    screen = Screen(RoomGrow(chunk=1, pause_s=0.1))
    assert screen.growth.start(look(4), seed=0)
    assert not screen.growth.start(look(4), seed=0)
    assert screen.growth.join(timeout_s=30.0)
    assert screen.frame_count == 4


def test_a_stopped_generator_is_closed_by_its_own_thread_before_the_end_is_told():
    order: list[str] = []
    is_shown = threading.Event()

    def endless(cameras: Cameras, *, seed: int) -> Iterator[Grown]:
        try:
            while True:
                yield from RoomGrow()(cameras, seed=seed)
        finally:
            time.sleep(0.2)
            order.append(f"closed on {threading.current_thread().name}")

    growth = Growth(
        endless,
        prepare=prepared,
        show=lambda chunks: is_shown.set(),
        on_end=lambda ending: order.append(ending.kind),
    )
    growth.start(look(2), seed=0)
    assert is_shown.wait(10)
    growth.stop()
    assert growth.join(timeout_s=10.0)
    assert order == ["closed on viewer-grow", "stopped"]


def test_a_screen_that_breaks_stops_the_growth():
    endings: list[Ending] = []

    def broken(chunks: list[Chunk]) -> None:
        raise ConnectionError("the window is gone")

    growth = Growth(RoomGrow(chunk=1, pause_s=0.05), prepare=prepared, show=broken, on_end=endings.append)
    growth.start(look(200), seed=0)
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
