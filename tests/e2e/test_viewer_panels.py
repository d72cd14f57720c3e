"""The viewer's panels in a real browser, over a world on disk and the real model, untrained and small.

One world and one window for all, because both take long to open. Each test opens the tab that it needs, runs
alone too, and leaves the window usable for the next.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import trimesh
from playwright.sync_api import Browser, Page, expect

from memory.world import World
from reconstruct.formats import WRITERS, read_splats
from tests.e2e.windows import (
    HEIGHT,
    PATIENCE_MS,
    WIDTH,
    asked,
    choose,
    enter,
    fill,
    picture,
    press,
    rest,
    settled,
    show_tab,
    wait_for_place,
    wait_until,
)
from viewer import Viewer
from viewer.look_panel import QUALITIES
from viewer.visitor import Visitor
from viewer.walker import EYE
from worldgen.cli.viewing import Desk, viewer_of
from worldgen.generator import RGBDGenerator

FRAMES = 4


@dataclass(frozen=True)
class Open:
    """A world, the viewer that shows it, and a window on it."""

    world: World
    desk: Desk
    viewer: Viewer
    page: Page

    def say(self, text: str) -> None:
        """Wait until a panel says so, in view or not."""
        expect(self.page.get_by_text(text)).not_to_have_count(0)

    def fill(self, label: str, *texts: str) -> None:
        """Write into a field, or into the several of a vector."""
        fill(self.page, self.viewer, label, *texts)

    def choose(self, label: str, option: str) -> None:
        """Pick from a list."""
        choose(self.page, self.viewer, label, option)

    def press(self, name: str) -> None:
        """Press a button once nobody changes the world: until then it would only say that somebody does."""
        wait_until(lambda: not self.viewer._stage.pen.locked(), what="the end of a change")
        press(self.page, name)

    def here(self) -> Visitor:
        """What the viewer knows of the only browser, once it does not fly any more."""
        wait_until(lambda: len(self.viewer._stage.visitors) == 1, what="one visitor")
        (visitor,) = self.viewer._stage.visitors.values()
        wait_until(lambda: not visitor._walker.is_flying, what="the end of the flight")
        return visitor

    def fly_to_the_first(self) -> Visitor:
        """Stand where the first frame was seen from, and wait until the browser itself says that it does."""
        visitor = self.here()
        visitor.fly_to(0)
        wait_for_place(visitor, self.viewer._stage.shots[0].pose.position)
        return visitor

    def move(self, step: np.ndarray) -> None:
        """Carry the only browser's camera on, and wait until the browser itself says that it is there."""
        visitor = self.here()
        goal = asked(visitor).position + step
        visitor.camera.position = goal
        wait_for_place(visitor, goal)

    def frames(self, count: int) -> None:
        """Wait until the window counts so many frames."""
        expect(self.page.get_by_text(f"Frames: {count}", exact=True)).to_be_attached()
        assert len(self.world.frame_ids()) == count


@pytest.fixture(scope="module")
def seen(
    walked: Callable[[int], Path],
    small_weights: Path,
    browser: Browser,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Open]:
    folder = tmp_path_factory.mktemp("viewed") / "world"
    shutil.copytree(walked(FRAMES), folder)
    with World.open(folder, writable=True) as world:
        desk = Desk(world, RGBDGenerator(str(small_weights), steps=1))
        viewer = viewer_of(world, desk.scene(), desk.abilities(), port=0)
        viewer._look.choose("splats")
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, accept_downloads=True)
        enter(page, viewer.url, frames=FRAMES)
        yield Open(world, desk, viewer, page)
        page.close()
        viewer.close()


def test_moves_wait_for_each_other_and_the_queue_survives_a_reload(seen: Open):
    page, growing = seen.page, seen.viewer._growing
    assert growing is not None
    show_tab(page, "Grow")
    seen.fill("Frames to add", "2")
    with seen.desk._turn:  # nothing grows before both were asked for
        press(page, "Turn left")
        wait_until(lambda: growing._growth.is_running, what="the turn to the left")
        press(page, "Turn right")
        wait_until(lambda: growing._growth.waiting == ["Turn right"], what="the queue")
        page.reload()
        seen.say("Then: turn right.")
    seen.say("Added 2 frames.")
    seen.frames(FRAMES + 4)
    left = seen.world.cameras(seen.world.frame_ids()[FRAMES:]).c2w
    # Two frames to the left and two back: the second move began where the first one ended.
    torch.testing.assert_close(left[0, :3, :3], left[2, :3, :3], atol=1e-3, rtol=0)
    assert not torch.allclose(left[0, :3, :3], left[1, :3, :3], atol=1e-2)
    seen.say("What came last")
    expect(page.get_by_text(re.compile(r"^frame \d+: shows \d+ % of it"))).not_to_have_count(0)


def test_exploring_and_wandering_grow_and_stay_within_what_was_asked(seen: Open):
    before = len(seen.world.frame_ids())
    show_tab(seen.page, "Grow")
    seen.fill("Frames to add", "1")
    seen.press("Explore")
    seen.say("Added 1 frame.")
    seen.frames(before + 1)
    growing = seen.viewer._growing
    assert growing is not None
    seen.press("Wander")
    seen.frames(before + 2)
    wait_until(lambda: not growing._growth.is_running, what="the end")


def test_undo_and_redo_move_the_head(seen: Open):
    before, last = len(seen.world.frame_ids()), seen.world.chunks()[-3:]
    show_tab(seen.page, "World")
    seen.fill("Chunks", "3")
    seen.press("Undo")
    seen.frames(before - sum(len(chunk.frame_ids) for chunk in last))
    seen.say(f"{seen.world.tree.current.name} is at chunk")
    seen.say("3 undone")
    seen.press("Redo")
    seen.frames(before)


def test_branches_begin_are_renamed_and_switched(seen: Open):
    show_tab(seen.page, "World")
    seen.fill("Name", "west")
    seen.press("Branch off")
    seen.say("west is at chunk")
    seen.fill("Name", "no such/name")
    seen.press("Rename")
    seen.say("A head is named by")
    seen.fill("Name", "east")
    seen.press("Rename")
    seen.say("west is called east now.")
    assert [head.name for head in seen.world.tree.heads()] == ["east", "main"]
    assert seen.world.tree.current.name == "east"


def test_a_branch_is_deleted_by_the_second_click_and_not_by_the_first(seen: Open):
    tree = seen.world.tree
    home, names = tree.current.name, [head.name for head in tree.heads()]
    show_tab(seen.page, "World")
    seen.fill("Name", "north")
    seen.press("Branch off")
    seen.say("north is at chunk")
    seen.press("Delete")
    seen.say("Click once more to forget north.")
    assert [head.name for head in tree.heads()] == [*names, "north"]
    seen.press("Really delete north")
    seen.say("north is the current head and cannot be deleted")
    seen.choose("Branch", home)
    seen.press("Switch")
    seen.say(f"{home} is at chunk")
    seen.choose("Branch", "north")
    seen.press("Delete")
    seen.press("Really delete north")
    seen.say("north is deleted")
    assert [head.name for head in tree.heads()] == names
    assert tree.current.name == home


def test_the_newest_frame_is_imagined_again_and_is_the_same(seen: Open):
    newest = seen.world.frame_ids()[-1]
    show_tab(seen.page, "World")
    seen.press("Replay newest")
    seen.say(f"Imagined frame {newest} again: the same, bit for bit.")


def test_a_box_takes_out_what_is_inside_and_undo_brings_it_back(seen: Open):
    page, before = seen.page, seen.world.chunks()
    show_tab(page, "World")
    seen.press("Put a box here")
    seen.say("splats inside.")
    seen.fill("Sides", "4", "4", "4")
    seen.press("Remove what is inside")
    expect(page.get_by_text(re.compile(r"^Removed [\d,]+ points"))).not_to_have_count(0)
    *chunks, removed = seen.world.chunks()
    assert chunks == before
    assert removed.edit is not None
    assert removed.edit.kind == "remove"
    seen.fill("Chunks", "1")
    seen.press("Undo")
    wait_until(lambda: seen.world.chunks() == before, what="undo")


def test_a_mesh_is_uploaded_seen_and_placed(seen: Open, tmp_path: Path):
    page, mesh, bad = seen.page, tmp_path / "crate.glb", tmp_path / "crate.exe"
    trimesh.creation.box((1.0, 1.0, 1.0)).export(mesh)
    bad.write_bytes(b"MZ")
    show_tab(page, "World")
    files = page.locator("input[type=file]")
    files.first.set_input_files(bad)
    seen.say("A file that ends in")
    files.first.set_input_files(mesh)
    seen.say("crate.glb: 12 faces")
    seen.press("Place it")
    expect(page.get_by_text(re.compile(r"^Placed [\d,]+ points"))).not_to_have_count(0)
    edit = seen.world.chunks()[-1].edit
    assert edit is not None
    assert edit.kind == "place"
    assert edit.points > 0


def draw(seen: Open) -> None:
    """Two keyframes, half a second and five pictures."""
    show_tab(seen.page, "Path")
    seen.press("Clear")
    seen.say("No keyframes yet.")
    seen.fill("Seconds a leg", "0.5")
    seen.fill("Pictures a second", "8")
    seen.press("Add keyframe")
    seen.say("1 keyframe, 1 pictures")
    seen.move(np.array([0.2, 0.0, 0.3]))
    seen.press("Add keyframe")
    seen.say("2 keyframes, 5 pictures, 0.6 s.")


def test_a_path_is_drawn_and_its_keyframes_are_timed_widened_and_moved(seen: Open):
    draw(seen)
    seen.fill("Seconds to the next", "1")
    seen.say("2 keyframes, 9 pictures, 1.1 s.")
    seen.fill("It sees", "40")
    path = seen.viewer._path
    wait_until(lambda: path.drawn().keys[0].fov == pytest.approx(np.deg2rad(40)), what="what it sees")
    assert path.drawn().keys[1].fov != pytest.approx(np.deg2rad(40))
    seen.fill("Which", "2")
    seen.move(np.array([0.1, 0.0, 0.0]))
    before = path.drawn().keys[1].position
    seen.press("Take my view")
    wait_until(
        lambda: np.allclose(path.drawn().keys[1].position - before, [0.1, 0.0, 0.0], atol=1e-3),
        what="the keyframe where the view is",
    )
    seen.fill("Which", "1")
    seen.fill("Seconds a leg", "0.4")
    seen.fill("Seconds a leg", "0.5")
    seen.say("2 keyframes, 5 pictures, 0.6 s.")


def test_a_path_is_played_saved_loaded_and_filmed(seen: Open, tmp_path: Path):
    page = seen.page
    draw(seen)
    visitor = seen.here()
    flights = visitor._flight
    seen.press("Play")
    wait_until(lambda: visitor._flight > flights, what="the flight")
    with page.expect_download() as saved:
        seen.press("Save")
    file = tmp_path / "path.json"
    saved.value.save_as(file)
    assert len(json.loads(file.read_text())["frames"]) == 5
    seen.move(50.0 * seen.viewer._stage.scale * np.array([0.0, 0.0, 1.0]))
    seen.press("Add keyframe")
    seen.say("3 keyframes")
    seen.say("Clearance is broken")
    seen.press("Use preset")
    seen.say("9 keyframes")
    seen.press("Clear")
    seen.say("No keyframes yet.")
    page.locator("input[type=file]").last.set_input_files(file)
    seen.say("5 keyframes")
    seen.press("Render video")
    seen.say("The video is ready")
    with page.expect_download() as filmed:
        seen.press("Download video")
    video = tmp_path / "film.mp4"
    filmed.value.save_as(video)
    with av.open(str(video)) as container:
        assert container.streams.video[0].frames == 17  # 5 keyframes, 4 pictures a leg


def test_growing_follows_the_path_that_is_drawn(seen: Open):
    page, before = seen.page, len(seen.world.walked_ids())
    show_tab(page, "Path")
    seen.press("Clear")
    seen.say("No keyframes yet.")
    seen.fill("Pictures a second", "1")
    seen.fill("Seconds a leg", "1")
    seen.press("Use preset")
    seen.say("9 keyframes, 9 pictures")
    show_tab(page, "Grow")
    seen.press("Along the path")
    seen.say("Added 9 frames.")
    assert len(seen.world.walked_ids()) == before + 9
    seen.frames(len(seen.world.frame_ids()))


def test_the_world_is_downloaded_as_splats(seen: Open, tmp_path: Path):
    page = seen.page
    show_tab(page, "Export")
    seen.fill("At most", "500")
    for ending in WRITERS:
        file = tmp_path / f"world{ending}"
        with page.expect_download() as sent:
            seen.press(f"Download {ending}")
        assert sent.value.suggested_filename == file.name
        sent.value.save_as(file)
        assert len(read_splats(file)) == 500
        seen.say(f"{file.name}: 500 splats")


def test_the_world_is_shared_as_one_page(seen: Open, tmp_path: Path):
    page = seen.page
    show_tab(page, "Export")
    seen.fill("At most", "400")
    with page.expect_download() as sent:
        seen.press("Share as one HTML file")
    assert sent.value.suggested_filename == "world.html"
    sent.value.save_as(tmp_path / "world.html")
    seen.say("world.html: 400 splats")
    assert "__VISER_EMBED_DATA__" in (tmp_path / "world.html").read_text()


def test_the_world_is_downloaded_as_meshes(seen: Open, tmp_path: Path):
    page = seen.page
    show_tab(page, "Export")
    seen.fill("Faces at most", "3")
    seen.press("Download mesh .obj")
    seen.say("A mesh is left with 4 faces or more, got 3.")
    for ending, most in ((".glb", 0), (".obj", 300)):
        seen.fill("Faces at most", str(most))
        file = tmp_path / f"mesh{ending}"
        with page.expect_download() as sent:
            seen.press(f"Download mesh {ending}")
        assert sent.value.suggested_filename == file.name
        sent.value.save_as(file)
        (mesh,) = trimesh.load_scene(file, process=False).geometry.values()
        assert len(mesh.faces) > 300 if most == 0 else len(mesh.faces) <= 300
        seen.say(f"{file.name}: {len(mesh.faces):,} faces")
    page.get_by_role("checkbox", name="Watertight").press("Space")
    with page.expect_download() as sent:
        seen.press("Download mesh .stl")
    sent.value.save_as(tmp_path / "mesh.stl")
    assert trimesh.load_mesh(tmp_path / "mesh.stl").is_watertight
    seen.say("faces, watertight, ")


def test_a_mesh_is_shown_until_the_world_changes(seen: Open):
    page, layers, before = seen.page, seen.viewer._stage.layers, len(seen.world.frame_ids())
    show_tab(page, "Look")
    rest(seen.fly_to_the_first())
    full = settled(page)
    page.get_by_role("checkbox", name="Splats").press("Space")
    wait_until(lambda: layers._shown == set(), what="no splats")
    wait_until(lambda: np.abs(picture(page) - full).mean() > 0.01, what="the splats are drawn still")
    empty = settled(page)
    seen.press("Show mesh")
    expect(page.get_by_text(re.compile(r"^[\d,]+ of [\d,]+ faces\."))).not_to_have_count(0)
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while np.abs(picture(page) - empty).mean() < 0.01:
        assert time.monotonic() < deadline, "no mesh is drawn"
        page.wait_for_timeout(500)
    seen.press("Hide mesh")
    wait_until(lambda: layers._mesh is None, what="hidden")
    seen.press("Show mesh")
    expect(page.get_by_role("button", name="Hide mesh")).to_be_attached()
    show_tab(page, "World")
    seen.fill("Chunks", "1")
    seen.press("Undo")
    wait_until(lambda: layers._mesh is None, what="gone")
    seen.press("Redo")
    seen.frames(before)
    show_tab(page, "Look")
    seen.say("The world has changed, so its mesh is gone")
    page.get_by_role("checkbox", name="Splats").press("Space")
    wait_until(lambda: layers._shown == {"splats"}, what="splats again")


def test_colours_quality_and_background_can_be_chosen(seen: Open):
    page, layers = seen.page, seen.viewer._stage.layers
    show_tab(page, "Look")
    seen.choose("Show", "What is imagined")
    wait_until(lambda: layers._paint == "What is imagined", what="the paint")
    night = picture(page).mean()
    seen.choose("Background", "Day")
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while picture(page).mean() < night + 0.2:
        assert time.monotonic() < deadline, "it never becomes day"
        page.wait_for_timeout(500)
    seen.choose("Quality", "Preview")
    wait_until(lambda: layers._most == QUALITIES["Preview"], what="the limit")
    page.get_by_role("checkbox", name="Axes").press("Space")
    wait_until(lambda: seen.viewer._server.scene.world_axes.visible, what="the axes")


@pytest.mark.slow  # a browser beside a dozen busy processes once stopped answering here
def test_whoever_stays_inside_is_held_before_what_is_known(seen: Open):
    page, stage = seen.page, seen.viewer._stage
    visitor = seen.fly_to_the_first()
    start = visitor.pose().position
    beyond = start + 50.0 * stage.scale * visitor.pose().rotation[:, 2]
    held = stage.walls.held(start, beyond)
    assert np.linalg.norm(held - beyond) > stage.scale, "this world has something ahead"
    page.get_by_role("checkbox", name="Stay inside").press("Space")
    wait_until(lambda: visitor._walker._inside.value, what="the choice")
    visitor.camera.position = beyond
    wait_until(lambda: np.allclose(asked(visitor).position, held, atol=1e-3), what="held back")
    page.get_by_role("checkbox", name="Stay inside").press("Space")
    wait_until(lambda: not visitor._walker._inside.value, what="the choice")
    visitor.camera.position = beyond
    wait_for_place(visitor, beyond)
    np.testing.assert_allclose(visitor.pose().position, beyond, atol=1e-3)


@pytest.mark.slow  # a browser beside a dozen busy processes once stopped answering here
def test_a_head_turns_where_it_is(seen: Open):
    page, stage = seen.page, seen.viewer._stage
    visitor = seen.fly_to_the_first()

    def ahead() -> float:
        said = asked(visitor)
        return float(np.linalg.norm(np.subtract(said.look_at, said.position)))

    page.get_by_role("checkbox", name="Turn my head").press("Space")
    wait_until(lambda: ahead() == pytest.approx(EYE * stage.scale, rel=1e-2), what="eyes that turn")
    before = visitor.pose()
    page.mouse.move(120, 200)
    page.mouse.down()
    page.mouse.move(60, 200, steps=5)
    page.mouse.up()
    wait_until(lambda: visitor.pose().rotation[:, 2] @ before.rotation[:, 2] < 0.99, what="a turn")
    rest(visitor)
    assert np.linalg.norm(visitor.pose().position - before.position) < 0.05 * stage.scale
    page.get_by_role("checkbox", name="Turn my head").press("Space")
    wait_until(lambda: ahead() == pytest.approx(stage.scale, rel=1e-3), what="what is seen")
