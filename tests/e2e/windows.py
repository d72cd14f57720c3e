"""What tests of the viewer in a real browser share: headless Chromium, clicks, pictures of the window."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from viser._messages import ViewerCameraMessage

from viewer import Viewer
from viewer.visitor import Visitor

WIDTH, HEIGHT = 480, 320

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 180_000
"""Software rendering on a busy machine is slow."""


def chromium(bundled: str) -> str:
    """A Chromium to drive: the system's, else playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found or Path(bundled).exists():
        return found or bundled
    missing = "no Chromium: `apt-get install chromium` or `playwright install chromium`"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def enter(page: Page, url: str, *, frames: int) -> None:
    """Open a viewer of a world with so many frames, and put away the note on software rendering."""
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    expect(page.get_by_text(f"Frames: {frames}", exact=True)).to_be_visible()
    put_away_note(page)


def put_away_note(page: Page, text: str = "Software WebGL") -> None:
    """Close a note, by default viser's on software rendering: it is in all pictures, as tall as its fonts."""
    note = page.get_by_role("alert").filter(has_text=text)
    note.get_by_role("button").press("Enter")  # another note may push it away from under a mouse
    expect(note).to_have_count(0)


def press(page: Page, name: str) -> None:
    """With the keyboard: a panel that is scrolling moves its buttons away from under a mouse."""
    page.get_by_role("button", name=name, exact=True).press("Enter")


def show_tab(page: Page, name: str) -> None:
    """Bring one of the tabs to the front."""
    tab = page.get_by_role("tab", name=name, exact=True)
    tab.press("Enter")
    expect(tab).to_have_attribute("aria-selected", "true")


def beside(page: Page, label: str) -> Locator:
    """The fields beside a label; some do not say which label is theirs."""
    return page.get_by_text(label, exact=True).locator("xpath=ancestor::*[.//input][1]//input")


def fill(page: Page, viewer: Viewer, label: str, *texts: str) -> None:
    """Write into a field, or into the several of a vector, and wait until the viewer has read it.

    A browser says what was typed a moment later, maybe after the click that follows.
    """
    for i, text in enumerate(texts):
        beside(page, label).nth(i).fill(text, force=True)
        page.keyboard.press("Tab")
    wait_until(lambda: texts in written(viewer, label), what=f"{label}: {texts}")


def choose(page: Page, viewer: Viewer, label: str, option: str) -> None:
    """Pick from a list, and wait until the viewer has read it."""
    beside(page, label).first.click(force=True)
    page.get_by_role("option", name=option, exact=True).click(force=True)
    wait_until(lambda: (option,) in written(viewer, label), what=f"{label}: {option}")


def written(viewer: Viewer, label: str) -> list[tuple[str, ...]]:
    """What the viewer has read from the fields with this label."""
    handles = viewer._server.gui._gui_input_handle_from_uuid.values()
    values = [handle.value for handle in handles if getattr(handle, "label", None) == label]
    several = [value if isinstance(value, tuple) else (value,) for value in values]
    return [tuple(f"{x:g}" if isinstance(x, int | float) else x for x in value) for value in several]


NUDGE = 1e-3
"""Radians by which a browser's field of view is changed to make it speak."""


@dataclass(frozen=True)
class Said:
    """What a browser said of its camera, lengths in world units."""

    position: np.ndarray
    look_at: np.ndarray
    fov: float


def asked(visitor: Visitor) -> Said:
    """What a browser itself says of its camera, after all that it was told before.

    What the viewer asks for counts here at once, and what a browser says on its way arrives late; one that
    stands still says nothing. So its field of view is changed and changed back, and it must say that it was.
    """
    camera, client = visitor.camera, visitor.camera._client
    said: list[ViewerCameraMessage] = []

    def hear(_client_id: int, message: ViewerCameraMessage) -> None:
        said.append(message)

    client._websock_connection.register_handler(ViewerCameraMessage, hear)
    fov = camera.fov
    try:
        for wanted in (fov + NUDGE, fov):

            def is_told(wanted: float = wanted) -> bool:
                camera.fov = wanted  # again, should a word that was late have undone it
                return bool(said) and abs(said[-1].fov - wanted) < 0.1 * NUDGE

            wait_until(is_told, what=f"a browser that says its field of view is {wanted:.4f}")
    finally:
        client._websock_connection.unregister_handler(ViewerCameraMessage, hear)
    last, unit = said[-1], camera.unit
    return Said(unit * np.array(last.position), unit * np.array(last.look_at), last.fov)


def wait_for_place(visitor: Visitor, place: np.ndarray) -> None:
    """Wait until a browser itself says that it is there."""
    near = 1e-4 * visitor.camera.scale
    wait_until(lambda: np.allclose(asked(visitor).position, place, atol=near), what=f"a browser at {place}")


def rest(visitor: Visitor) -> None:
    """Wait until a browser stands still."""
    before = asked(visitor)

    def is_still() -> bool:
        nonlocal before
        time.sleep(0.3)
        last, before = before, asked(visitor)
        return np.allclose(last.position, before.position) and np.allclose(last.look_at, before.look_at)

    wait_until(is_still, what="rest")


def settled(page: Page) -> np.ndarray:
    """The whole window once it shows the same twice, in [0, 1]."""
    last = picture(page)

    def is_same() -> bool:
        nonlocal last
        page.wait_for_timeout(300)
        before, last = last, picture(page)
        return np.abs(last - before).mean() < 1e-3

    wait_until(is_same, what="the window shows something else all the time")
    return last


def picture(page: Page) -> np.ndarray:
    """The whole window, in [0, 1]."""
    shot = Image.open(io.BytesIO(page.screenshot(timeout=PATIENCE_MS))).convert("RGB")
    return np.asarray(shot, dtype=np.float64) / 255


def wait_until(holds: Callable[[], bool], *, what: str) -> None:
    """Wait until something holds on this side, and fail if it does not come to pass."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {PATIENCE_MS // 1000} s in vain: {what}")
        time.sleep(0.1)
