"""Films made beside the browser, of a room small enough to see."""

from __future__ import annotations

import threading
from pathlib import Path

import av
import numpy as np

from reconstruct.init import gaussians_from_points
from render.gaussians import Gaussians
from render.splats import render_splats
from tests.viewer.box_room import cast, look, points_of
from viewer.film import Filming

CAMERAS = look(5, width=32, height=24)


def splats() -> Gaussians:
    return gaussians_from_points(points_of(cast(look(1, width=32, height=24))))


class Ended:
    """Waits for the end of a film."""

    def __init__(self) -> None:
        self._is_over = threading.Event()
        self.failure: str | None = None

    def __call__(self, failure: str | None) -> None:
        self.failure = failure
        self._is_over.set()

    def wait(self) -> str | None:
        assert self._is_over.wait(300)
        return self.failure


def test_a_film_shows_what_the_renderer_shows_and_tells_how_far_it_is(tmp_path: Path):
    told: list[tuple[int, int]] = []
    ended, file = Ended(), tmp_path / "film.mp4"
    filming = Filming(splats, progress=lambda done, total: told.append((done, total)))
    assert filming.start(CAMERAS, file, fps=8.0, end=ended)
    assert ended.wait() is None
    assert told == [(i, 5) for i in range(1, 6)]
    with av.open(str(file)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == 5
    expected = render_splats(splats(), CAMERAS[4:]).rgb[0].clamp(0, 1).numpy()
    assert np.abs(pictures[4] / 255.0 - expected).mean() < 0.04  # the video stores colour at half resolution


def test_a_stopped_film_leaves_nothing_and_another_can_be_made(tmp_path: Path):
    ended, file, at_first = Ended(), tmp_path / "film.mp4", threading.Event()
    go_on = threading.Event()

    def progress(done: int, total: int) -> None:
        at_first.set()
        go_on.wait(60)

    filming = Filming(splats, progress=progress)
    assert filming.start(CAMERAS, file, fps=8.0, end=ended)
    assert at_first.wait(300)
    assert not filming.start(CAMERAS, file, fps=8.0, end=Ended())
    filming.stop()
    go_on.set()
    assert ended.wait() == "Stopped; no video was kept."
    assert not list(tmp_path.iterdir())
    filming.stop(timeout_s=60.0)
    again = Ended()
    assert filming.start(CAMERAS[:1], file, fps=8.0, end=again)
    assert again.wait() is None
    assert file.is_file()


def test_a_film_that_cannot_be_made_ends_in_a_sentence(tmp_path: Path):
    def broken() -> Gaussians:
        raise ValueError("the splats are damaged\nand this is for the log")

    ended = Ended()
    filming = Filming(broken, progress=lambda done, total: None)
    assert filming.start(CAMERAS, tmp_path / "film.mp4", fps=8.0, end=ended)
    assert ended.wait() == "The splats are damaged."
