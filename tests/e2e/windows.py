"""What tests of the viewer in a real browser share: headless Chromium, clicks, pictures of the window."""

from __future__ import annotations

import io
import os
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

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


def free_port() -> int:
    """A port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def enter(page: Page, url: str, *, frames: int) -> None:
    """Open a viewer of a world with so many frames, and put away the note on software rendering."""
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    expect(page.get_by_text(f"Frames: {frames}", exact=True)).to_be_visible()
    # The note is as tall as the fonts here make it, so it goes before anybody compares pictures.
    note = page.get_by_role("alert").filter(has_text="Software WebGL")
    note.get_by_role("button").click(force=True)
    expect(note).to_have_count(0)


def click(page: Page, name: str) -> None:
    """Forced: the page redraws too slowly here for playwright to call a button stable."""
    page.get_by_role("button", name=name, exact=True).click(force=True)


def press(page: Page, name: str) -> None:
    """With the keyboard: a panel that is scrolling moves its buttons away from under a mouse."""
    page.get_by_role("button", name=name, exact=True).press("Enter")


def show_tab(page: Page, name: str) -> None:
    """Bring one of the tabs to the front."""
    page.get_by_role("tab", name=name, exact=True).press("Enter")


def picture(page: Page) -> np.ndarray:
    """The whole window, in [0, 1]."""
    shot = Image.open(io.BytesIO(page.screenshot(timeout=PATIENCE_MS))).convert("RGB")
    return np.asarray(shot, dtype=np.float64) / 255


def wait_until(holds: Callable[[], bool], *, what: str) -> None:
    """Wait until something holds on this side."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
