"""Pictures of the viewer for docs/viewer.md: a real browser over a world, one picture a panel.

``python scripts/draw_viewer.py WORLD [FOLDER]`` works on a copy of WORLD, grows two frames, needs Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from memory.world import World
from tests.e2e.windows import FLAGS, PATIENCE_MS, chromium, enter, press, show_tab
from viewer import Viewer
from worldgen.cli.viewing import Desk, viewer_of
from worldgen.generator import RGBDGenerator

SIZE = {"width": 1100, "height": 700}
SHOWN = (900, 573)
"""Pixels of the pictures in the documentation."""

LEAST_REST_MS = 20_000
"""A browser that draws in software takes its time before anything changes."""


def keep(page: Page, file: Path) -> None:
    """One picture of the window, when it has come to rest."""
    before, shot = b"", b"-"
    page.wait_for_timeout(LEAST_REST_MS)
    while shot != before:
        page.wait_for_timeout(3_000)
        before, shot = shot, page.screenshot(timeout=PATIENCE_MS)
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture.resize(SHOWN, Image.Resampling.LANCZOS).save(file, quality=82, optimize=True)


def walk(viewer: Viewer, right: float, down: float, ahead: float) -> None:
    """Move the only visitor, in scene lengths along its own axes."""
    (visitor,) = viewer._stage.visitors.values()
    step = visitor.pose().rotation @ np.array([right, down, ahead])
    visitor.camera.position = visitor.camera.position + viewer._stage.scale * step


def draw(page: Page, viewer: Viewer, folder: Path) -> None:
    """Go through the panels as a person would."""
    page.get_by_label("Frames to add", exact=True).fill("2")
    page.keyboard.press("Tab")
    press(page, "Turn left")
    expect(page.get_by_text("Added 2 frames.")).to_be_attached()
    page.get_by_text("Frames", exact=True).scroll_into_view_if_needed()
    keep(page, folder / "viewer-grow.jpg")
    show_tab(page, "World")
    press(page, "Put a box here")
    expect(page.get_by_text("splats inside.")).to_be_attached()
    page.get_by_text("splats inside.").scroll_into_view_if_needed()
    keep(page, folder / "viewer-world.jpg")
    show_tab(page, "Path")
    for number, step in enumerate(((0.0, 0.0, 0.0), (0.2, 0.0, 0.3), (-0.5, -0.1, 0.3)), start=1):
        walk(viewer, *step)
        press(page, "Add keyframe")
        expect(page.get_by_text(f"{number} keyframe")).to_be_attached()
    walk(viewer, 0.3, -0.1, -1.3)
    keep(page, folder / "viewer-path.jpg")
    press(page, "Clear")
    show_tab(page, "Look")
    beside = page.get_by_text("Show", exact=True).locator("xpath=ancestor::*[.//input][1]//input")
    beside.first.click(force=True)
    page.get_by_role("option", name="What is imagined", exact=True).click(force=True)
    keep(page, folder / "viewer-look.jpg")


def main() -> None:
    """Copy the world, open it, draw."""
    source = Path(sys.argv[1])
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "docs/images")
    with tempfile.TemporaryDirectory() as room, sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        shutil.copytree(source, Path(room) / "world")
        with World.open(Path(room) / "world", writable=True) as world:
            desk = Desk(world, RGBDGenerator("tiny", steps=2))
            viewer = viewer_of(world, desk.scene(), desk.abilities(), port=0)
            viewer._look.choose("splats")  # as on a graphics card, whatever draws here
            path = chromium(playwright.chromium.executable_path)
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
            enter(page, viewer.url, frames=len(world.frame_ids()))
            draw(page, viewer, folder)
            browser.close()
            viewer.close()


if __name__ == "__main__":
    main()
