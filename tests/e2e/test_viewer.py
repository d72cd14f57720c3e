"""The viewer in a real browser: headless Chromium draws the world and clicks its buttons."""

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from render.cameras import Cameras
from tests.e2e.windows import (
    HEIGHT,
    PATIENCE_MS,
    WIDTH,
    asked,
    enter,
    fill,
    picture,
    press,
    show_tab,
    wait_for_place,
    wait_until,
)
from tests.viewer.box_room import RoomGrow, cast, look, scene_of
from viewer import Abilities, GrowFn, Viewer
from viewer.conventions import poses_from_cameras

Open = Callable[[GrowFn | None], Viewer]
Visit = Callable[[Viewer], Page]

CLEAR = (slice(145, 310), slice(10, 205))
"""Rows and columns of the window that no panel covers."""

ALIKE = 0.045
"""Mean difference of colour. The blur of 64 x 48 splats alone is 0.02 to 0.033; a mirrored picture is off
by 0.07, the next frame by 0.12. Poses are compared exactly."""


def tilted(cameras: Cameras) -> Cameras:
    """The same cameras, the last with its head to one side."""
    roll, c2w = torch.eye(4), cameras.c2w.clone()
    roll[:2, :2] = torch.tensor([[math.cos(0.2), -math.sin(0.2)], [math.sin(0.2), math.cos(0.2)]])
    c2w[-1] = c2w[-1] @ roll
    return dataclasses.replace(cameras, c2w=c2w)


CAMERAS = tilted(look(3, first_yaw=-0.2))


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens viewers on a small world and closes them."""
    viewers: list[Viewer] = []

    def open_one(grow: GrowFn | None) -> Viewer:
        scene = scene_of(cast(CAMERAS))
        up, scale = torch.tensor([0.0, -1.0, 0.0]), float(scene.frames[:1].depth.median())
        viewer = Viewer(scene, up=up, scale=scale, abilities=Abilities(grow=grow), port=0)
        viewer._look.choose("splats")
        viewers.append(viewer)
        return viewer

    yield open_one
    for viewer in viewers:
        viewer.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens browser windows on a viewer and closes them."""
    pages: list[Page] = []

    def visit_one(viewer: Viewer) -> Page:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        pages.append(page)
        enter(page, viewer.url, frames=3)
        return page

    yield visit_one
    for page in pages:
        page.close()


def expected_picture(camera: Cameras) -> np.ndarray:
    """The room as rays see it from ``camera`` in a window that shows as much from top to bottom."""
    focal = float(camera.K[0, 1, 1]) * HEIGHT / camera.height
    K = torch.tensor([[[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]]])
    window = Cameras(c2w=camera.c2w, K=K, width=WIDTH, height=HEIGHT)
    return cast(window).rgb[0].double().numpy()[CLEAR]


def wait_for_picture(page: Page, expected: np.ndarray, *, within: float) -> None:
    """Wait until the window looks as expected, up to a mean difference of ``within``."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    difference = np.inf
    while difference > within:
        assert time.monotonic() < deadline, f"the window is off by {difference:.3f} on average"
        page.wait_for_timeout(500)
        difference = np.abs(picture(page)[CLEAR] - expected).mean()


def wait_for_pose(viewer: Viewer, number: int) -> None:
    """Wait until the only visitor says that it stands where frame ``number`` was seen from."""
    expected = poses_from_cameras(CAMERAS)[number]
    deadline = time.monotonic() + PATIENCE_MS / 1000
    error = np.inf
    while error > 1e-4:
        assert time.monotonic() < deadline, f"the visitor is off by {error:.4f}"
        time.sleep(0.1)
        (visitor,) = viewer._stage.visitors.values()
        pose = visitor.pose()
        turn = np.abs(pose.rotation - expected.rotation).max()
        error = max(turn, np.abs(pose.position - expected.position).max(), abs(pose.fov - expected.fov))
    wait_until(lambda: not visitor._walker.is_flying, what="the end of the flight")
    wait_for_place(visitor, expected.position)


def wait_briefly(holds: Callable[[], bool], *, timeout_s: float) -> None:
    """Wait until something holds on this side, or so long."""
    deadline = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_the_first_view_is_the_first_frame(opened: Open, visit: Visit):
    viewer = opened(None)
    page = visit(viewer)
    wait_for_picture(page, expected_picture(CAMERAS[:1]), within=ALIKE)
    wait_for_pose(viewer, 0)
    expect(page.get_by_text("Growing is off")).to_be_attached()


def test_the_slider_moves_the_camera(opened: Open, visit: Visit):
    viewer = opened(None)
    page = visit(viewer)
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    wait_for_pose(viewer, 2)
    wait_for_picture(page, expected_picture(CAMERAS[2:]), within=ALIKE)


def test_a_click_on_a_camera_flies_into_it_and_its_picture_is_not_in_the_way(opened: Open, visit: Visit):
    viewer = opened(None)
    page = visit(viewer)
    show_tab(page, "Look")
    page.get_by_role("checkbox", name="Cameras").click(force=True)
    (visitor,) = viewer._stage.visitors.values()
    goal, x, y = CAMERAS.origins[2].double().numpy(), 110, 230
    focal = 0.5 * HEIGHT / np.tan(0.5 * 0.7)
    away = np.array([x - WIDTH / 2, y - HEIGHT / 2, focal]) / focal  # at this pixel, looking along +z
    with visitor.camera._client.atomic():
        visitor.camera.fov = 0.7
        visitor.camera.position = goal - 0.6 * away
        visitor.camera.look_at = goal - 0.6 * away + np.array([0.0, 0.0, 1.0])
    wait_until(lambda: asked(visitor).fov == pytest.approx(0.7), what="the view from aside")
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not visitor._flight:  # once it flies, a click would hit whatever it passes
        assert time.monotonic() < deadline, "no click reached the camera"
        page.mouse.click(x, y)
        wait_briefly(lambda: visitor._flight > 0, timeout_s=10.0)
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", "2")
    wait_for_pose(viewer, 2)
    wait_for_picture(page, expected_picture(CAMERAS[2:]), within=ALIKE)


def test_growing_adds_frames_while_another_browser_comes_and_goes(opened: Open, visit: Visit):
    gate = threading.Event()
    viewer = opened(RoomGrow(chunk=1, gate=gate))
    page, other = visit(viewer), visit(viewer)
    page.bring_to_front()
    fill(page, viewer, "Frames to add", "4")
    press(page, "Grow")
    expect(page.get_by_text("Growing: 0 of 4 frames.")).to_be_attached()
    other.close()
    gate.set()
    expect(page.get_by_text("Added 4 frames.")).to_be_attached()
    expect(page.get_by_text("Frames: 7")).to_be_attached()


def test_views_ahead_are_shown_and_not_counted_among_the_frames_asked_for(opened: Open, visit: Visit):
    viewer = opened(RoomGrow(chunk=1, ahead=2))
    page = visit(viewer)
    fill(page, viewer, "Frames to add", "4")
    press(page, "Grow")
    expect(page.get_by_text("Added 4 frames. 2 views ahead came first.")).to_be_attached()
    expect(page.get_by_text("Frames: 9")).to_be_attached()


def test_stop_ends_growing_after_the_chunk_in_progress(opened: Open, visit: Visit):
    gate = threading.Event()
    page = visit(opened(RoomGrow(chunk=1, gate=gate)))
    press(page, "Grow")
    expect(page.get_by_text("Growing: 0 of 8 frames.")).to_be_attached()
    press(page, "Stop")
    expect(page.get_by_text("Stopping after the chunk in progress.")).to_be_attached()
    gate.set()
    expect(page.get_by_text("Added 1 frame.")).to_be_attached()
    expect(page.get_by_text("Frames: 4")).to_be_attached()


def test_a_failing_generator_is_told_in_a_sentence_and_the_viewer_lives(opened: Open, visit: Visit):
    page = visit(opened(RoomGrow(chunk=1, fails_after=1)))
    for count in (4, 5):
        press(page, "Grow")
        expect(page.get_by_text(f"Frames: {count}")).to_be_attached()
        expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    assert "The generator ran out of ideas." in page.inner_text("body")
    assert "this line is for the log" not in page.inner_text("body")
