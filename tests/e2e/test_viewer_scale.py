"""Worlds of different scale in a real browser: the same room 20 times as large is seen and walked alike."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page

from render.cameras import Cameras
from render.frames import Frames
from tests.e2e.test_viewer import ALIKE, CAMERAS, expected_picture, wait_for_picture
from tests.e2e.windows import HEIGHT, WIDTH, enter, settled, wait_for_place, wait_until
from tests.viewer.box_room import cast, scene_of
from viewer import Viewer
from viewer.browser import PACE, BrowserCamera

SCALES = {"small": 0.1, "large": 2.0}

HELD_S = 2.0
"""How long a key is held."""

FOV = 0.7
"""Of the view from behind a keyframe, radians."""

Visit = Callable[[float], tuple[Viewer, Page]]


def scaled(frames: Frames, scale: float) -> Frames:
    """The same pictures of a world so many times as large."""
    c2w = frames.cameras.c2w.clone()
    c2w[:, :3, 3] *= scale
    cameras: Cameras = dataclasses.replace(frames.cameras, c2w=c2w)
    return dataclasses.replace(frames, depth=scale * frames.depth, cameras=cameras)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens viewers on the room at some scale, each with a window."""
    opened: list[tuple[Viewer, Page]] = []

    def visit_one(scale: float) -> tuple[Viewer, Page]:
        frames = scaled(cast(CAMERAS), scale)
        up = torch.tensor([0.0, -1.0, 0.0])
        viewer = Viewer(scene_of(frames), up=up, scale=float(frames[:1].depth.median()), port=0)
        viewer._look.choose("splats")
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        opened.append((viewer, page))
        enter(page, viewer.url, frames=3)
        return viewer, page

    yield visit_one
    for viewer, page in opened:
        page.close()
        viewer.close()


def camera_of(viewer: Viewer) -> BrowserCamera:
    (visitor,) = viewer._stage.visitors.values()
    return visitor.camera


def scales_a_second(viewer: Viewer, page: Page) -> float:
    """How fast W walks, once it does, in scales of the world."""
    camera, scale = camera_of(viewer), viewer._stage.scale
    start = camera.position
    page.keyboard.down("w")
    # From the first step on: that one is as long as the browser had nothing to draw before it.
    wait_until(lambda: not np.array_equal(camera.position, start), what="the first step")
    begun, first = time.monotonic(), camera.position
    page.wait_for_timeout(1000 * HELD_S)
    walked, passed = camera.position - first, time.monotonic() - begun
    page.keyboard.up("w")
    ahead = camera.pose().rotation[:, 2]
    np.testing.assert_allclose(walked, (walked @ ahead) * ahead, atol=1e-3 * scale)
    return float(walked @ ahead) / (scale * passed)


def test_walking_is_as_fast_as_the_world_is_large(visit: Visit):
    speeds = {}
    for name, scale in SCALES.items():
        viewer, page = visit(scale)
        wait_for_picture(page, expected_picture(CAMERAS[:1]), within=ALIKE)
        speeds[name] = scales_a_second(viewer, page)
        page.close()
    assert 0.5 < speeds["small"] / speeds["large"] < 2.0, speeds
    assert 0.25 * PACE < speeds["large"] < 2.0 * PACE, "on a machine that draws when it can"


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_a_keyframe_is_dragged_as_far_as_the_mouse_goes(visit: Visit, scale: float):
    viewer, page = visit(scale)
    path, size, key = viewer._path, viewer._stage.scale, viewer._stage.shots[0].pose
    path._change(lambda drawn: drawn.with_key(key, leg_s=1.0))
    (visitor,) = viewer._stage.visitors.values()
    right, down, ahead = key.rotation.T
    distance, focal = 0.5 * size, 0.5 * HEIGHT / np.tan(0.5 * FOV)
    x, y, grip, way = 50, 230, 60, 70  # pixels: where the keyframe is seen, its arrow is caught, it is let go
    aside = ((x - 0.5 * WIDTH) * right + (y - 0.5 * HEIGHT) * down) / focal
    visitor.camera.fov = FOV
    visitor.camera.position = key.position - distance * (aside + ahead)
    wait_for_place(visitor, visitor.camera.position)
    settled(page)
    page.mouse.move(x + grip, y)
    page.mouse.down()
    page.mouse.move(x + grip + way, y, steps=7)
    page.mouse.up()
    expected = key.position + way / focal * distance * right
    wait_until(
        lambda: np.allclose(path.drawn().keys[0].position, expected, atol=0.02 * size),
        what=f"the keyframe at {expected}",
    )
