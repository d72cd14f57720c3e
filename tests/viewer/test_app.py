"""The viewer as the command line uses it, without a browser. ``tests/e2e`` has one."""

import threading
import urllib.request
from pathlib import Path

import pytest
import torch
from viser import UploadedFile

from reconstruct.init import gaussians_from_points
from render.tour_files import save_tour
from render.tours import Setting, Tour
from tests.viewer.box_room import RoomGrow, cast, look, points_of, scene_of
from viewer import Abilities, GrowFn, Scene, Viewer

UP = torch.tensor([0.0, -1.0, 0.0])


def opened(*, grow: GrowFn | None = None) -> Viewer:
    scene = scene_of(cast(look(2, width=32, height=24)))
    return Viewer(scene, up=UP, scale=2.0, abilities=Abilities(grow=grow), port=0)


def test_the_room_grow_is_a_grow_fn():
    assert isinstance(RoomGrow(), GrowFn)


@pytest.mark.parametrize("grow", [None, RoomGrow()], ids=["growing off", "growing on"])
def test_it_serves_a_page_on_this_machine_only(grow: GrowFn | None):
    viewer = opened(grow=grow)
    try:
        assert viewer.url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(viewer.url, timeout=10) as page:
            assert page.status == 200
    finally:
        viewer.close()
        viewer.close()


def test_run_ends_when_the_viewer_is_closed():
    viewer = opened()
    serving = threading.Thread(target=viewer.run)
    serving.start()
    assert serving.is_alive()
    viewer.close()
    serving.join(timeout=10)
    assert not serving.is_alive()


def test_fitted_splats_take_the_place_of_points():
    frames = cast(look(1, width=32, height=24))
    fitted = gaussians_from_points(points_of(frames))[:100]
    scene = Scene(frames=frames, points=points_of(frames), splats=fitted)
    viewer = Viewer(scene, up=UP, scale=2.0, port=0)
    try:
        assert viewer._stage.layers.splat_count == 100
    finally:
        viewer.close()


def test_a_tour_is_loaded_into_the_path_that_is_drawn(tmp_path: Path):
    save_tour(tmp_path / "tour.json", Tour().then("walk", seconds=3))
    frames = cast(look(2, width=32, height=24))
    here = Setting(start=frames.cameras[1:], scale=2.0)
    viewer = Viewer(scene_of(frames), up=UP, scale=2.0, abilities=Abilities(setting=lambda: here), port=0)
    try:
        upload = UploadedFile(name="tour.json", content=(tmp_path / "tour.json").read_bytes())
        viewer._path.load(upload)
        cameras = viewer._path.cameras()
        assert cameras is not None
        assert len(cameras) == 3 * 24
        torch.testing.assert_close(cameras.c2w[0], here.start.c2w[0], atol=1e-5, rtol=0)
        assert float((cameras.origins[-1] - cameras.origins[0]).norm()) == pytest.approx(2.0, rel=1e-3)
    finally:
        viewer.close()


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_no_length_is_refused(scale: float):
    scene = scene_of(cast(look(1, width=32, height=24)))
    with pytest.raises(ValueError, match="positive length"):
        Viewer(scene, up=UP, scale=scale)


def test_no_frames_and_no_direction_are_refused():
    frames = cast(look(1, width=32, height=24))
    with pytest.raises(ValueError, match="at least one frame"):
        Viewer(scene_of(frames[:0]), up=UP, scale=1.0)
    with pytest.raises(ValueError, match="direction"):
        Viewer(scene_of(frames), up=0 * UP, scale=1.0)
