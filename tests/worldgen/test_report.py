"""Reports on worlds that are exact, and on the same worlds with frames that were spoilt."""

from __future__ import annotations

import dataclasses
import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from memory.boxes import Box
from memory.cache import WorldCache
from memory.costs import machine_here
from memory.points import Points
from memory.restore import restored_cache
from memory.world import World
from render.cameras import Cameras
from render.frames import Frames
from render.paths import path_named
from tests.memory.test_world_formats import OLD
from tests.worldgen.conftest import SIZE
from tests.worldgen.test_rollout import INFO, Photographer
from worldgen.conditions import Known, SceneUnits
from worldgen.evaluation.loops import SAME_DB, WINDOW
from worldgen.report import Report, page_of, report_on
from worldgen.report import measures as measures_module
from worldgen.report.plots import Series, lines, stacked, ticks
from worldgen.report.summary import ChunkLook, drift_of
from worldgen.rollout import Growth, start
from worldgen.worlds import Scene

FRAMES = 21
HOSTILE = "<script src=http://bad.example/x.js></script>"
FIGURES = {
    "known_before",
    "depth_error",
    "depth_error_worst",
    "revisit_psnr",
    "revisit_ssim",
    "return_psnr",
    "return_psnr_worst",
    "mean_drift",
    "contrast_drift",
    "seconds_a_frame",
    "memory_bytes",
    "bytes_a_frame",
}


class Forgetful(Photographer):
    """A ``Generator`` whose pictures are noisy, grey, and too deep, from some frame on."""

    def __init__(self, scene: Scene, *, spoilt_from: int):
        super().__init__(scene)
        self.spoilt_from, self.taken = spoilt_from, 0

    def __call__(self, known: Known, recall: Frames | None, *, units: SceneUnits, seed: int) -> Frames:
        """Take a picture, and spoil it."""
        frames = super().__call__(known, recall, units=units, seed=seed)
        self.taken += len(frames)
        if self.taken <= self.spoilt_from:
            return frames
        noise = torch.rand(frames.rgb.shape, generator=torch.Generator().manual_seed(seed))
        grey = 0.5 + 0.3 * (frames.rgb - 0.5) + 0.2 * noise
        return dataclasses.replace(frames, rgb=grey.clamp(0.0, 1.0), depth=1.1 * frames.depth)


def grow(folder: Path, generator: Photographer, camera: Cameras, *, frames: int = FRAMES) -> Path:
    cameras = path_named("there-and-back", camera, n=frames)
    start(folder, INFO, camera, cameras=cameras, generator=generator, seed=1, name="there-and-back")
    with World.open(folder, writable=True) as world:
        for _ in Growth(world, generator).follow():
            pass
    return folder


def measured(folder: Path) -> Report:
    with World.open(folder) as world:
        return report_on(world, machine="a <b>machine</b>")


@pytest.fixture(scope="module")
def exact_world(tmp_path_factory: pytest.TempPathFactory, scene: Scene, camera: Cameras) -> Path:
    return grow(tmp_path_factory.mktemp("worlds") / "exact", Photographer(scene), camera)


@pytest.fixture(scope="module")
def exact(exact_world: Path) -> Report:
    return measured(exact_world)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory, scene: Scene, camera: Cameras) -> Report:
    generator = Forgetful(scene, spoilt_from=FRAMES // 2)
    return measured(grow(tmp_path_factory.mktemp("worlds") / "spoilt", generator, camera))


def figure(report: Report, name: str) -> float:
    value = report.figures[name]
    assert value is not None, f"{name} was not measured"
    return value


def test_a_world_that_is_exact_agrees_with_itself(exact: Report):
    assert figure(exact, "return_psnr") > 30.0
    assert figure(exact, "return_psnr_worst") > 25.0
    assert figure(exact, "revisit_psnr") > 25.0
    assert figure(exact, "revisit_ssim") > 0.85
    assert figure(exact, "depth_error") < 0.01
    assert abs(figure(exact, "mean_drift")) < 0.1
    assert 0.8 < figure(exact, "contrast_drift") < 1.25
    assert exact.missing == []


def test_every_figure_gets_worse_where_frames_are_spoilt(exact: Report, spoilt: Report):
    for name in ("return_psnr", "return_psnr_worst", "revisit_psnr"):
        assert figure(spoilt, name) < figure(exact, name) - 5.0, name
    assert figure(spoilt, "revisit_ssim") < figure(exact, "revisit_ssim") - 0.1
    assert figure(spoilt, "depth_error_worst") > 0.05 > 0.02 > figure(exact, "depth_error_worst")
    assert figure(spoilt, "contrast_drift") < figure(exact, "contrast_drift") - 0.2
    spoilt_frames = slice(FRAMES // 2 + 1, None)
    worse, fine = (
        np.median([one.depth_error for one in report.frames[spoilt_frames]]) for report in (spoilt, exact)
    )
    assert worse > 0.05 > 0.01 > fine


def test_depth_is_compared_with_all_other_frames_and_with_no_others(
    exact_world: Path, tmp_path: Path, scene: Scene, camera: Cameras
):
    """One frame of three, too deep by a fifth: it is off by a sixth, and the other two are still sound."""
    folder = tmp_path / "w"
    with World.open(exact_world) as world:
        frames = world.frames([0, 1, 2])
    depth = frames.depth.clone()
    depth[1] *= 1.2
    frames = dataclasses.replace(frames, depth=depth)
    with World.create(folder, INFO) as world:
        for i in range(3):
            world.commit(frames[i : i + 1], given=False, generator="test", seed=0, settings={})
    first, second, third = measured(folder).frames
    assert second.depth_error == pytest.approx(1.0 - 1.0 / 1.2, abs=0.01)
    for one in (first, third):
        assert one.depth_error is not None
        assert one.depth_error < 0.02


def test_a_frame_was_known_as_far_as_the_cache_showed_it(exact: Report, exact_world: Path):
    assert exact.frames[0].known == 0.0
    with World.open(exact_world) as world:
        cache = WorldCache()
        for number in (0, 1):
            frame = world.frames([number])
            cache.remember(frame, cache.render(frame.cameras), ids=[number], given=False)
        seen = cache.render(world.cameras([2]))
    assert exact.frames[2].known == pytest.approx(float(seen.mask.float().mean()))


def test_what_was_recalled_is_what_growth_recalled(
    tmp_path: Path, scene: Scene, camera: Cameras, exact: Report
):
    generator = Photographer(scene)
    cameras = path_named("there-and-back", camera, n=FRAMES)
    start(tmp_path / "w", INFO, camera, cameras=cameras, generator=generator, seed=1, name="again")
    with World.open(tmp_path / "w", writable=True) as world:
        grown = list(Growth(world, generator).follow())
    assert [list(one.recalled) for one in exact.frames[1:]] == [step.recalled for step in grown]
    assert exact.frames[0].recalled == ()


def test_points_are_those_of_the_cache_and_the_rest_was_culled(exact: Report, exact_world: Path):
    with World.open(exact_world) as world:
        points = restored_cache(world).points
    assert exact.points == int((points.confidence > 0).sum()) == sum(k.points for k in exact.kept.values())
    for one in exact.frames:
        assert exact.kept[one.id].points + exact.kept[one.id].culled == one.pixels


def test_returns_name_the_frame_that_was_taken_from_the_same_place(exact: Report):
    back = {one.position: one.came_back.earlier for one in exact.frames if one.came_back is not None}
    assert back[FRAMES - 1] == 0
    for position, earlier in back.items():
        assert position - earlier >= WINDOW
        mirrored = FRAMES - 1 - position  # there and back
        assert abs(earlier - min(mirrored, position - WINDOW)) <= 1


def test_a_camera_that_stands_still_never_comes_back(tmp_path: Path, exact_world: Path):
    with World.open(exact_world) as world:
        frame = world.frames([0])
    with World.create(tmp_path / "w", INFO) as world:
        for _ in range(WINDOW + 3):
            world.commit(frame, given=False, generator="test", seed=0, settings={})
    report = measured(tmp_path / "w")
    assert report.figures["return_psnr"] is None
    assert figure(report, "revisit_psnr") == SAME_DB  # the very same picture
    assert any(sentence.startswith("Loop closure needs") for sentence in report.missing)


def test_only_what_is_old_makes_a_revisit(exact: Report):
    positions = [one.position for one in exact.frames if one.revisit is not None]
    assert positions[0] == WINDOW


def test_a_world_that_is_another_after_an_edit_is_no_contradiction(tmp_path: Path, exact_world: Path):
    """Two frames, everything removed, and from the same camera something else, twice as far away."""
    with World.open(exact_world) as world:
        before = world.frames([0])
    after = dataclasses.replace(before, rgb=1.0 - before.rgb, depth=2.0 * before.depth)
    origin = {"given": False, "generator": "test", "seed": 0, "settings": {}}
    with World.create(tmp_path / "w", INFO) as world:
        for frame in (before, before):
            world.commit(frame, **origin)
        world.remove(Box(low=(-99.0,) * 3, high=(99.0,) * 3), settings={})
        for _ in range(WINDOW + 2):
            world.commit(after, **origin)
    frames = measured(tmp_path / "w").frames
    assert [one.time for one in frames] == [0, 0] + [1] * (WINDOW + 2)
    assert max(one.depth_error or 0.0 for one in frames) < 1e-3
    assert [one.position for one in frames if one.revisit is not None] == [WINDOW + 2, WINDOW + 3]
    assert all(one.revisit.psnr == SAME_DB for one in frames if one.revisit is not None)


def test_frames_on_two_sides_of_an_edit_are_not_compared(tmp_path: Path, scene: Scene, camera: Cameras):
    folder = grow(tmp_path / "w", Photographer(scene), camera)
    assert measured(folder).figures["return_psnr"] is not None
    with World.open(folder, writable=True) as world:
        everywhere = Box(low=(-99.0,) * 3, high=(99.0,) * 3)
        world.tree.undo(FRAMES // 2)
        world.remove(everywhere, settings={})
        growth = Growth(world, Photographer(scene))
        for _ in growth.follow():
            pass
    report = measured(folder)
    after = [one for one in report.frames if one.time == 1]
    assert after
    assert after[0].known == 0.0
    assert all(one.came_back is None for one in after)
    assert report.as_json()["counts"]["edits"] == 1


def test_a_world_of_one_frame_says_what_cannot_be_measured(tmp_path: Path, scene: Scene, camera: Cameras):
    report = measured(grow(tmp_path / "w", Photographer(scene), camera, frames=1))
    missing = {name for name, value in report.figures.items() if value is None}
    assert missing == FIGURES - {"bytes_a_frame", "memory_bytes"}
    page = page_of(report)
    assert "Not measured" in page
    for sentence in report.missing:
        assert sentence in page
    assert len(report.missing) == 6


def test_frames_of_every_size_and_without_depth_are_measured(tmp_path: Path, exact_world: Path):
    with World.open(exact_world) as world:
        frame = world.frames([0])
    blind = dataclasses.replace(
        frame, depth=torch.zeros_like(frame.depth), valid=torch.zeros_like(frame.valid)
    )
    sides = [(SIZE, SIZE, frame), (5, 3, frame), (SIZE, SIZE, blind), (1, 1, blind)]
    with World.create(tmp_path / "w", INFO) as world:
        for rows, columns, one in sides:
            cropped = [
                getattr(one, name)[:, :rows, :columns] for name in ("rgb", "depth", "valid", "confidence")
            ]
            rgb, depth, valid, confidence = cropped
            cameras = dataclasses.replace(one.cameras, width=columns, height=rows)
            small = Frames(rgb=rgb, depth=depth, valid=valid, confidence=confidence, cameras=cameras)
            world.commit(small, given=False, generator="test", seed=0, settings={})
    report = measured(tmp_path / "w")
    assert report.sizes == [(1, 1), (3, 5), (SIZE, SIZE)]
    assert [one.pixels for one in report.frames][2:] == [0, 0]
    assert [one.depth_error for one in report.frames][2:] == [None, None]
    assert_needs_nothing(page_of(report))
    json.dumps(report.as_json(), allow_nan=False)


def test_long_worlds_are_measured_on_an_even_choice_and_the_page_says_so(
    exact_world: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(measures_module, "MOST_FRAMES", 6)
    report = measured(exact_world)
    assert [one.position for one in report.measured] == [0, 4, 8, 12, 16, 20]
    assert len(report.frames) == FRAMES
    assert f"measured on 6 of {FRAMES} frames" in page_of(report)
    assert figure(report, "return_psnr") > 25.0


def test_json_has_stable_names_and_plain_numbers(exact: Report):
    facts = json.loads(json.dumps(exact.as_json(), allow_nan=False))
    assert set(facts) == {
        "format", "world", "counts", "figures", "missing", "cost", "chunks", "frames",
    }  # fmt: skip
    assert set(facts["figures"]) == FIGURES
    assert set(facts["counts"]) == {"frames", "measured", "chunks", "edits", "pixels", "points", "culled"}
    assert set(facts["frames"][-1]) == {
        "id", "chunk", "path", "given", "pixels", "points", "culled", "known_before", "recalled", "measured",
        "depth_error", "depth_share", "revisit", "return",
    }  # fmt: skip
    assert set(facts["frames"][-1]["revisit"]) == {"share", "psnr", "ssim"}
    assert set(facts["frames"][-1]["return"]) == {"earlier", "share", "psnr"}
    assert set(facts["frames"][-1]["recalled"][0]) == {"frame", "overlap", "gain", "age"}
    assert facts["counts"]["frames"] == len(facts["frames"]) == FRAMES
    assert facts["world"]["sizes"] == [[SIZE, SIZE]]


def test_the_same_world_gives_the_same_page(exact: Report, exact_world: Path):
    again = measured(exact_world)
    assert page_of(again) == page_of(exact)
    assert again.as_json() == exact.as_json()


class Parsed(HTMLParser):
    """Every tag and attribute of a page, with what stands between them."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def assert_needs_nothing(page: str) -> Parsed:
    """The page is whole, runs no script and loads nothing."""
    parsed = Parsed(page)
    assert parsed.open == []
    assert {"script", "link", "iframe", "object", "embed", "base"}.isdisjoint(tag for tag, _ in parsed.tags)
    for tag, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("src", "href", "srcset", "xlink:href", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/"), (tag, value)
    assert "url(" not in page
    assert "@import" not in page
    return parsed


def test_the_page_needs_no_network_and_no_script(exact: Report):
    parsed = assert_needs_nothing(page_of(exact))
    policies = [attributes["content"] for tag, attributes in parsed.tags if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert "http:" not in page_of(exact)
    assert "https:" not in page_of(exact)
    pictures = [attributes for tag, attributes in parsed.tags if tag == "img"]
    assert len(pictures) >= FRAMES + 2
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page_of(exact)).lower().split()


def test_names_that_came_from_the_world_are_escaped(tmp_path: Path, scene: Scene, camera: Cameras):
    folder = grow(tmp_path / "<b onclick=x>world", Photographer(scene), camera, frames=2)
    patch = Points(
        positions=torch.zeros(1, 3),
        rgb=torch.ones(1, 3),
        normals=torch.tensor([[0.0, 0.0, -1.0]]),
        confidence=torch.ones(1),
        axes=torch.tensor([[[0.1, 0.0, 0.0], [0.0, 0.1, 0.0]]]),
        source=torch.zeros(1, dtype=torch.int64),
    )
    with World.open(folder, writable=True) as world:
        world.place(patch, settings={"mesh": HOSTILE + "\x00\u202e"})
        frame = world.frames([0])
        world.commit(frame, given=True, generator=HOSTILE, seed=0, settings={})
    page = page_of(measured(folder))
    parsed = assert_needs_nothing(page)
    assert parsed.words.count(HOSTILE) == 2  # as text: the generator's name and the mesh's
    assert "<b onclick=x>world" in parsed.words
    assert "a <b>machine</b>" in parsed.words
    assert "\x00" not in page
    assert "\u202e" not in page


def look(brightness: float, contrast: float, exact: Report) -> ChunkLook:
    chunk = exact.frames[0].chunk
    return ChunkLook(chunk=chunk, mean=(brightness,) * 3, contrast=contrast, seconds=None)


def test_drift_compares_the_last_quarter_with_the_first(exact: Report):
    looks = [look(0.2, 0.4, exact)] * 2 + [look(0.9, 0.9, exact)] * 4 + [look(0.5, 0.1, exact)] * 2
    assert drift_of(looks) == (pytest.approx(0.3), pytest.approx(0.25))
    assert drift_of(looks[:7]) == (None, None)
    assert drift_of([look(0.0, 0.0, exact)] * 8) == (0.0, None)


def test_time_is_what_commits_are_apart_without_pauses(tmp_path: Path, exact_world: Path, camera: Cameras):
    cameras = path_named("turn", camera, n=6)
    with World.open(exact_world) as world:
        frame = world.frames([0])
    with World.create(tmp_path / "w", INFO) as world:
        path = world.plan(cameras, seed=0, generator="test", settings={})
        for i, second in enumerate((0, 2, 5, 7, 900, 902)):
            created = f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.000+00:00"
            one = dataclasses.replace(frame, cameras=cameras[i : i + 1])
            origin = {"given": False, "generator": "test", "seed": 0, "settings": {}, "created": created}
            world.commit(one, path=path, path_start=i, **origin)
    report = measured(tmp_path / "w")
    assert [look.seconds for look in report.chunks] == [None, 2.0, 3.0, 2.0, None, 2.0]
    assert report.figures["seconds_a_frame"] == 2.0


def test_a_report_says_what_growth_took_of_which_machine(exact: Report):
    facts, here = exact.as_json(), machine_here()
    assert facts["cost"]["grown_on"] == [dataclasses.asdict(here) | {"frames": FRAMES}]
    peaks = [chunk["memory_bytes"] for chunk in facts["chunks"]]
    assert min(peaks) > 20 << 20
    assert max(peaks) == facts["figures"]["memory_bytes"]
    assert {chunk["machine"] for chunk in facts["chunks"]} == {str(here)}
    words = assert_needs_nothing(page_of(exact)).words
    assert f"grown on {here}" in words
    assert f"{max(peaks) / 1e6:,.0f} MB" in words
    assert words.count(str(here)) == 1 + FRAMES
    assert "not recorded" not in words


def test_of_worlds_from_before_the_report_says_that_it_was_not_recorded(tmp_path: Path):
    with zipfile.ZipFile(OLD) as packed:
        packed.extractall(tmp_path)
    report = measured(tmp_path / "world")
    facts = report.as_json()
    assert facts["figures"]["memory_bytes"] is None
    assert facts["cost"]["grown_on"] == []
    assert {(chunk["memory_bytes"], chunk["machine"]) for chunk in facts["chunks"]} == {(None, None)}
    assert any(sentence.startswith("Memory was not recorded") for sentence in report.missing)
    words = assert_needs_nothing(page_of(report)).words
    assert "grown on a machine that was not recorded" in words
    with World.open(tmp_path / "world", writable=True) as world:
        world.commit(world.frames([0]), given=True, generator="input", seed=0, settings={})
    words = assert_needs_nothing(page_of(measured(tmp_path / "world"))).words
    assert f"grown on {machine_here()} (1 frame), a machine that was not recorded (4 frames)" in words


def points_of(svg: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)]


def test_plots_put_larger_values_higher_and_later_ones_to_the_right():
    svg = lines([Series(name="a", x=[0.0, 1.0, 2.0], y=[1.0, None, 3.0])], x_label="<x>", y_label="y & z")
    (x0, y0), (x2, y2) = points_of(svg)
    assert x0 < x2
    assert y0 > y2
    assert "&lt;x&gt;" in svg
    assert "y &amp; z" in svg
    assert svg.count("M", svg.index('class="line')) >= 2  # the line is broken where nothing is known


def test_a_log_axis_gives_every_decade_the_same_room():
    svg = lines(
        [Series(name="a", x=[0.0, 1.0, 2.0], y=[0.01, 1.0, 100.0])], x_label="x", y_label="y", log=True
    )
    low, middle, high = (y for _, y in points_of(svg))
    assert low - middle == pytest.approx(middle - high, abs=0.2)
    assert ">0.01<" in svg
    assert ">100<" in svg


def test_stacked_bars_stand_on_each_other():
    svg = stacked(
        [Series(name="a", x=[0.0, 1.0], y=[1.0, 2.0]), Series(name="b", x=[0.0, 1.0], y=[3.0, 1.0], style=1)],
        x_label="x",
        y_label="y",
    )
    bars = re.findall(r'class="c(\d)" x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', svg)
    a, b = ([(float(y), float(h)) for style, _, y, h in bars[:4] if style == which] for which in "01")
    for (y_a, h_a), (y_b, h_b) in zip(a, b, strict=True):
        assert y_b + h_b == pytest.approx(y_a, abs=0.02)
        assert h_a > 0
    assert b[0][1] == pytest.approx(3 * a[0][1], abs=0.05)


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-3.0, 17.0), (0.0, 123_456.0), (0.741, 0.953), (5.0, 5.001)]
)
def test_ticks_are_round_and_inside(low: float, high: float):
    values = [value for value, _ in ticks(low, high)]
    assert 2 <= len(values) <= 11
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in values)
    assert [float(text.replace(",", "")) for _, text in ticks(low, high)] == pytest.approx(values, abs=1e-9)
