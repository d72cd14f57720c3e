"""What a real browser says that it draws with, and what it is shown for that."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from tests.e2e.test_viewer import ALIKE, CAMERAS, expected_picture, wait_for_picture
from tests.e2e.windows import HEIGHT, PATIENCE_MS, WIDTH, put_away_note, show_tab, wait_until
from tests.viewer.box_room import cast, scene_of
from viewer import Viewer
from viewer.look_panel import POINTS, QUALITIES, YOURS
from viewer.renderer import SCRIPT, STORED

NVIDIA = "ANGLE (NVIDIA Corporation, NVIDIA GeForce RTX 3060/PCIe/SSE2, OpenGL 4.5.0)"

PRETEND = """
for (const kind of [WebGLRenderingContext, WebGL2RenderingContext]) {
  const real = kind.prototype.getParameter;
  kind.prototype.getParameter = function (what) { return what === 0x9246 ? "NAME" : real.call(this, what); };
}
const real = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, wanted) {
  if (!wanted || !wanted.failIfMajorPerformanceCaveat) return real.call(this, kind, wanted);
  return CAVEAT ? null : real.call(this, kind, {...wanted, failIfMajorPerformanceCaveat: false});
};
"""
"""Makes a browser say that something else draws; 0x9246 asks for its unmasked name."""


def pretending(name: str, *, caveat: bool) -> str:
    return PRETEND.replace("NAME", name).replace("CAVEAT", str(caveat).lower())


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.set_default_timeout(PATIENCE_MS)
    yield page
    page.close()


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    """Of a world in which nobody has chosen how it looks."""
    scene = scene_of(cast(CAMERAS))
    scale = float(scene.frames[:1].depth.median())
    viewer = Viewer(scene, up=torch.tensor([0.0, -1.0, 0.0]), scale=scale, port=0)
    yield viewer
    viewer.close()


def answer(page: Page) -> str | None:
    """What the script leaves for the viewer on an empty page."""
    page.route("**/*", lambda route: route.fulfill(body="<html></html>", content_type="text/html"))
    page.goto("http://nowhere.test/")
    page.evaluate(f"() => {{ {SCRIPT} }}")
    return page.evaluate(f"localStorage.getItem('{STORED}')")


def test_this_browser_says_that_it_draws_in_software(page: Page):
    assert answer(page) == "software"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (NVIDIA, "hardware"),
        ("ANGLE (Intel, Mesa Intel(R) UHD Graphics 620 (KBL GT2), OpenGL 4.6)", "hardware"),
        ("Apple M1", "hardware"),
        ("ANGLE (Apple, ANGLE Metal Renderer: Apple M2 Pro, Unspecified Version)", "hardware"),
        ("Adreno (TM) 640", "hardware"),
        ("ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (Subzero) (0x0000C0DE)), driver)", "software"),
        ("Google SwiftShader", "software"),
        ("llvmpipe (LLVM 15.0.7, 256 bits)", "software"),
        ("llvmpipe, or similar", "software"),
        ("softpipe", "software"),
        ("ANGLE (Microsoft, Microsoft Basic Render Driver Direct3D11 vs_5_0 ps_5_0, D3D11)", "software"),
        ("Apple Software Renderer", "software"),
        ("GDI Generic", "software"),
    ],
)
def test_names_of_what_draws_are_told_apart(page: Page, name: str, expected: str):
    page.add_init_script(pretending(name, caveat=False))
    assert answer(page) == expected


def test_a_name_that_is_hidden_does_not_hide_that_it_is_slow(page: Page):
    page.add_init_script(pretending("Generic Renderer", caveat=True))
    assert answer(page) == "software"


def test_where_nothing_can_be_drawn_nothing_is_said(page: Page):
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    assert answer(page) == ""


def test_a_browser_that_draws_in_software_is_shown_points_and_told_so(viewer: Viewer, page: Page):
    layers = viewer._stage.layers
    page.goto(viewer.url)
    expect(page.get_by_text(POINTS)).to_be_visible()
    expect(page.get_by_text(YOURS)).to_be_visible()
    assert (layers._shown, layers._most) == ({"points"}, QUALITIES["Preview"])
    put_away_note(page, POINTS)
    put_away_note(page)
    wait_for_picture(page, expected_picture(CAMERAS[:1]), within=ALIKE)
    show_tab(page, "Look")
    expect(page.get_by_role("checkbox", name="Points")).to_be_checked()
    page.get_by_role("checkbox", name="Splats").press("Space")
    wait_until(lambda: layers._shown == {"splats", "points"}, what="splats too")
    page.reload()
    wait_until(lambda: [v.renderer for v in viewer._stage.visitors.values()] == ["software"], what="it again")
    show_tab(page, "Look")
    expect(page.get_by_role("checkbox", name="Splats")).to_be_checked()
    expect(page.get_by_text(POINTS)).to_have_count(0)
    assert layers._shown == {"splats", "points"}, "somebody has chosen"


def test_a_browser_with_a_graphics_card_is_shown_splats(viewer: Viewer, page: Page):
    layers = viewer._stage.layers
    page.add_init_script(pretending(NVIDIA, caveat=False))
    page.goto(viewer.url)
    wait_until(lambda: [v.renderer for v in viewer._stage.visitors.values()] == ["hardware"], what="its word")
    wait_for_picture(page, expected_picture(CAMERAS[:1]), within=ALIKE)
    assert (layers._shown, layers._most) == ({"splats"}, QUALITIES["Full"])
    expect(page.get_by_text(POINTS)).to_have_count(0)


@pytest.fixture
def guarded() -> Iterator[Viewer]:
    """The same behind a door, which needs a thread without the loop that drives the browser."""
    scene, up = scene_of(cast(CAMERAS)), torch.tensor([0.0, -1.0, 0.0])
    with ThreadPoolExecutor() as threads:
        viewer = threads.submit(Viewer, scene, up=up, scale=2.0, port=0, token="open-sesame_42").result()
        yield viewer
        viewer.close()


def test_who_comes_through_a_door_is_asked_too(guarded: Viewer, page: Page):
    page.goto(guarded.url)
    expect(page.get_by_text(POINTS)).to_be_visible()
