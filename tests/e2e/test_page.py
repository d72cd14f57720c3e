"""Pages in a real browser: opened from the disk, without a network, they show the world to walk in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page

from reconstruct.formats import export_splats
from reconstruct.init import gaussians_from_points
from render.cameras import Cameras
from tests.e2e.test_viewer import ALIKE, CAMERAS, expected_picture, wait_for_picture
from tests.e2e.verbs import assert_one_sentence, forked, run
from tests.e2e.windows import HEIGHT, PATIENCE_MS, WIDTH, picture, put_away_note, settled, wait_until
from tests.viewer.box_room import cast, points_of
from viewer.conventions import poses_from_cameras
from viewer.page import page_of

Open = Callable[[Path], tuple[Page, list[str]]]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens files in windows without a network; the list says what they ask for besides."""
    context = browser.new_context(offline=True, viewport={"width": WIDTH, "height": HEIGHT})
    context.set_default_timeout(PATIENCE_MS)

    def open_one(file: Path) -> tuple[Page, list[str]]:
        page, asked = context.new_page(), list[str]()
        own = (file.as_uri(), "blob:", "data:")
        page.on("request", lambda it: None if it.url.startswith(own) else asked.append(it.url))
        page.goto(file.as_uri())
        put_away_note(page)
        return page, asked

    yield open_one
    context.close()


@pytest.fixture
def room(tmp_path: Path) -> Callable[[Cameras], Path]:
    """A page that starts at a camera in the painted room."""

    def written(camera: Cameras) -> Path:
        content, _ = page_of(
            gaussians_from_points(points_of(cast(CAMERAS))),
            start=poses_from_cameras(camera)[0],
            up=torch.tensor([0.0, -1.0, 0.0]),
            scale=2.0,
            title="room",
        )
        (tmp_path / "room.html").write_bytes(content)
        return tmp_path / "room.html"

    return written


@pytest.mark.parametrize("number", [0, 2], ids=["level", "its head to one side"])
def test_a_page_opens_where_it_shall_start_and_asks_for_nothing(opened: Open, room, number: int):
    camera = CAMERAS[number : number + 1]
    page, asked = opened(room(camera))
    wait_for_picture(page, expected_picture(camera), within=ALIKE)
    assert asked == []
    assert page.title() == "room"


def test_its_reader_turns_and_walks(opened: Open, room):
    page, _ = opened(room(CAMERAS[:1]))
    wait_for_picture(page, expected_picture(CAMERAS[:1]), within=ALIKE)
    start = settled(page)
    page.mouse.move(300, 200)
    page.mouse.down()
    page.mouse.move(220, 200, steps=4)
    page.mouse.up()
    wait_for_change(page, start)
    turned = settled(page)
    page.keyboard.down("w")  # and held for as long as it takes: a slow machine walks slowly
    wait_for_change(page, turned)
    page.keyboard.up("w")


def wait_for_change(page: Page, before: np.ndarray) -> None:
    """Wait until the window shows something else."""
    wait_until(
        lambda: np.abs(picture(page) - before).mean() > 0.03, what="the window shows the same as before"
    )


def test_worlds_are_exported_as_pages(
    opened: Open, walked: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run("export", walked(3), tmp_path / "w.html", "--max-splats", 1000) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path / 'w.html'}: 1,000 splats, ")
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.html"]
    page, asked = opened(tmp_path / "w.html")
    wait_for_colours(page)
    assert asked == []
    assert page.title() == walked(3).name


def wait_for_colours(page: Page) -> None:
    """Wait until splats are drawn: nothing else on a page has colours."""
    wait_until(lambda: np.ptp(picture(page)[60:, :400], axis=-1).mean() > 0.02, what="no splats are drawn")


def test_files_of_splats_become_pages_that_show_them_from_before(
    opened: Open, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    export_splats(gaussians_from_points(points_of(cast(CAMERAS))), tmp_path / "room.spz")
    assert run("convert", tmp_path / "room.spz", tmp_path / "room.html", "--max-splats", 1000) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'room.html'}: 1,000 splats, ")
    page, asked = opened(tmp_path / "room.html")
    wait_for_colours(page)
    assert asked == []
    assert page.title() == "room.spz"


def test_splats_that_nobody_can_stand_before_become_no_page(tmp_path: Path):
    one = gaussians_from_points(points_of(cast(CAMERAS)))[:1]
    export_splats(one, tmp_path / "one.ply")
    done = forked("convert", tmp_path / "one.ply", tmp_path / "one.html")
    assert_one_sentence(done, status=2, about="all in one place")
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.ply"]


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("gone/w.html", (), "there is no folder"),
        ("w.html", ("--max-splats", 0), "at least one splat"),
        ("w.html", ("--voxel", 0.1), "are for meshes"),
        ("w.html", ("--format", "mesh"), "w.html"),
    ],
)
def test_what_cannot_become_a_page_is_told_in_one_sentence(
    walked: Callable[[int], Path], tmp_path: Path, name: str, more: tuple[object, ...], message: str
):
    done = forked("export", walked(3), tmp_path / name, *more)
    assert_one_sentence(done, status=2, about=message)
    assert not list(tmp_path.iterdir())
