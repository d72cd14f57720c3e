"""``worldgen report`` as a user meets it: the page in a browser, the JSON, and how it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from memory.world import SceneInfo, World
from tests.e2e.verbs import assert_one_sentence, fill, forked, run, small_disk

WINDOW = {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def world(walked: Callable[[int], Path]) -> Path:
    """A world of twelve frames."""
    return walked(12)


def test_page_and_json_say_the_same_of_a_grown_world(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    page, figures = tmp_path / "page.html", tmp_path / "figures.json"
    before = sorted(file.name for file in world.rglob("*"))
    assert run("report", world, "--out", page, "--json", figures) == 0
    assert "12 frames" in capsys.readouterr().out
    facts = json.loads(figures.read_text())
    assert facts["counts"]["frames"] == 12
    assert [frame["path"] is None for frame in facts["frames"]] == [True] + [False] * 11
    assert all(len(frame["recalled"]) == min(i, 2) for i, frame in enumerate(facts["frames"]))
    assert facts["figures"]["seconds_a_frame"] > 0
    assert f"<b>{facts['figures']['known_before']:.0%}</b>" in page.read_text()
    assert {file.name for file in tmp_path.iterdir()} == {"page.html", "figures.json"}
    assert sorted(file.name for file in world.rglob("*")) == before  # a world is only read


def test_the_page_shows_in_a_browser_that_has_no_network(browser: Browser, world: Path, tmp_path: Path):
    page_file = tmp_path / "page.html"
    assert run("report", world, "--out", page_file) == 0
    context = browser.new_context(viewport=WINDOW, offline=True, java_script_enabled=False)
    page, asked, complaints = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(page_file.as_uri())
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    assert complaints == []
    assert page.title() == f"{world.name} - worldgen report"
    assert page.evaluate("document.documentElement.scrollWidth") <= WINDOW["width"]
    shown = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(shown) >= 12 + 2
    assert min(shown) > 0
    heights = page.evaluate("[...document.querySelectorAll('svg')].map(svg => svg.clientHeight)")
    assert len(heights) >= 6
    assert min(heights) > 100
    context.close()


def test_it_writes_report_html_where_one_stands(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert run("report", world) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("options", "about"),
    [
        (("--out", "no/such/page.html"), "there is no folder"),
        (("--out", "."), "is a folder"),
        (("--out", "a.html", "--json", "a.html"), "name two files"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_measured(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], about: str
):
    monkeypatch.chdir(tmp_path)
    assert_one_sentence(forked("report", world, *options), status=2, about=about)
    assert list(tmp_path.iterdir()) == []


def test_a_world_without_frames_and_no_world_are_refused(tmp_path: Path):
    World.create(tmp_path / "empty", SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))).close()
    out = ("--out", tmp_path / "page.html")
    assert_one_sentence(forked("report", tmp_path / "empty", *out), status=2, about="no frames yet")
    assert_one_sentence(forked("report", tmp_path / "none", *out), status=2, about="does not exist")
    assert not (tmp_path / "page.html").exists()


def test_a_damaged_frame_ends_it_in_one_sentence(world: Path, tmp_path: Path):
    copy = Path(shutil.copytree(world, tmp_path / "w"))
    file = copy / "frames" / "000003.png"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    done = forked("report", copy, "--out", tmp_path / "page.html")
    assert_one_sentence(done, status=2, about="frame 3")
    assert not (tmp_path / "page.html").exists()


def test_a_full_disk_leaves_no_half_of_a_page(world: Path, tmp_path: Path):
    with small_disk(tmp_path / "disk", kib=256) as disk:
        ballast = fill(disk, leave=8 << 10)
        done = forked("report", world, "--out", disk / "page.html")
        assert_one_sentence(done, status=1, about="page.html")
        assert list(disk.iterdir()) == [ballast]
