"""What a film shows: the room that rays see, in bands that join, with one meaning of colours throughout."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from memory.cache import WorldCache
from memory.pictures import coloured_depth, coloured_normals, depth_colours, depth_span
from memory.world import SceneInfo, World
from reconstruct.film.scenes import Show, drawer, film_width, frame_scene, point_scene, splat_scene
from reconstruct.formats.video import picture_bytes
from reconstruct.init import gaussians_from_points
from render.cameras import Cameras, resized
from render.geometry import normals
from render.splat_bands import ROWS
from render.splats import render_splats
from tests.oracles.box_room import BoxRoom, raycast, room_cameras, room_mesh

SHOWS: list[Show] = ["rgb", "depth", "normals", "side-by-side"]


@pytest.fixture(scope="module")
def cache() -> WorldCache:
    """A room, seen well enough to look at from close by."""
    made = WorldCache()
    made.insert(raycast(room_mesh(), views()).frames, ids=[0, 1, 2])
    return made


def views() -> Cameras:
    """Three views of the room, of 120 x 88 pixels."""
    return resized(room_cameras(), width=120, height=88)


def tall(height: int) -> Cameras:
    """The views of the room, so high."""
    return resized(views(), width=30 * height // 44, height=height)


def picture_of(image: np.ndarray) -> np.ndarray:
    return image.astype(float) / 255.0


@pytest.mark.parametrize("show", SHOWS)
def test_points_and_splats_show_what_rays_see(cache: WorldCache, show: Show):
    cameras = views()
    truth = raycast(room_mesh(), cameras).frames
    span = depth_span(truth.depth[truth.valid])
    seen = {
        "rgb": truth.rgb,
        "depth": coloured_depth(truth.depth, truth.valid, span=span),
        "normals": coloured_normals(normals(truth.depth, cameras, valid=truth.valid)),
    }
    seen["side-by-side"] = torch.cat([seen["rgb"], seen["depth"]], dim=2)
    scenes = {
        "points": point_scene(cache, cameras),
        "splats": splat_scene(gaussians_from_points(cache.points), cameras, show=show),
    }
    for name, scene in scenes.items():
        draw = drawer(scene, show=show, width=120, height=88)
        for number in range(len(cameras)):
            error = np.abs(picture_of(draw(number)) - seen[show][number].numpy()).mean(axis=-1)
            assert error.shape == (88, film_width(120, show))
            assert np.median(error) < 0.04, name
            assert (error < 0.15).mean() > 0.85, name


@pytest.mark.parametrize("show", SHOWS)
@pytest.mark.parametrize("of", ["points", "splats"])
def test_a_large_picture_in_bands_is_that_drawn_whole(
    cache: WorldCache, show: Show, of: str, monkeypatch: pytest.MonkeyPatch
):
    cameras = tall(2 * ROWS + 20)
    width, height = cameras.width, cameras.height

    def picture() -> np.ndarray:
        scene = (
            point_scene(cache, cameras)
            if of == "points"
            else splat_scene(gaussians_from_points(cache.points), cameras, show=show)
        )
        return drawer(scene, show=show, width=width, height=height)(1)

    in_bands = picture()
    for module in ("reconstruct.film.scenes.ROWS", "render.splat_bands.ROWS"):
        monkeypatch.setattr(module, 4096)
    assert in_bands.std() > 10.0
    assert np.array_equal(in_bands, picture())


def test_colour_of_splats_is_what_the_renderer_shows(cache: WorldCache):
    gaussians, cameras = gaussians_from_points(cache.points), views()
    draw = drawer(splat_scene(gaussians, cameras, show="rgb"), show="rgb", width=120, height=88)
    assert np.array_equal(draw(2), picture_bytes(render_splats(gaussians, cameras[[2]]).rgb[0]))


def test_a_distance_has_one_colour_in_the_whole_film(cache: WorldCache):
    cameras = views()
    back = cameras.c2w.clone()
    back[1:, :3, 3] -= 0.4 * cameras.forwards[1:]
    moving = dataclasses.replace(cameras, c2w=back)
    draw = drawer(point_scene(cache, moving), show="depth", width=120, height=88)
    bins: dict[int, list[np.ndarray]] = {}
    for number in range(len(moving)):
        depth, picture = cache.render(moving[[number]]).depth[0, ..., 0].numpy(), draw(number)
        for step in range(10, 40):
            near = np.abs(depth - step / 10) < 0.01
            if near.sum() > 20:
                bins.setdefault(step, []).append(np.median(picture[near], axis=0))
    shared = [colours for colours in bins.values() if len(colours) > 1]
    assert len(shared) > 3
    assert max(np.ptp(colours, axis=0).max() for colours in shared) < 12


SCENE = SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))


@pytest.fixture
def world(tmp_path: Path, box_room: BoxRoom) -> Iterator[World]:
    with World.create(tmp_path / "w", SCENE) as made:
        made.commit(box_room.frames, given=True, generator="rays", seed=0, settings={})
        yield made


def test_frames_keep_their_shape_and_what_is_beside_them_is_black(world: World, box_room: BoxRoom):
    scene = frame_scene(world)
    own = drawer(scene, show="rgb", width=60, height=44)
    assert scene.count == 3
    assert np.array_equal(own(2), picture_bytes(world.frames([2]).rgb[0]))
    wide = drawer(scene, show="rgb", width=100, height=44)(2)
    assert np.array_equal(wide[:, 20:80], own(2))
    assert not wide[:, :20].any()
    assert not wide[:, 80:].any()
    high = drawer(scene, show="rgb", width=120, height=100)(2)
    assert not high[:6].any()
    assert not high[-6:].any()
    inner = picture_of(high[6:94].reshape(44, 2, 60, 2, 3)).mean(axis=(1, 3))
    assert np.abs(inner - picture_of(own(2))).mean() < 0.03


def test_depth_of_frames_has_the_colours_of_contact_sheets(world: World):
    frames = world.frames()
    draw = drawer(frame_scene(world), show="depth", width=60, height=44)
    assert np.array_equal(draw(1), picture_bytes(depth_colours(frames)[1]))
    both = drawer(frame_scene(world), show="side-by-side", width=60, height=44)(1)
    assert np.array_equal(both[:, 60:], draw(1))
    assert np.array_equal(both[:, :60], picture_bytes(frames.rgb[1]))


def test_the_floor_the_walls_and_the_ceiling_have_the_colours_of_their_normals(world: World):
    draw = drawer(frame_scene(world), show="normals", width=60, height=44)
    found = np.unique(np.concatenate([draw(i).reshape(-1, 3) for i in range(3)]), axis=0)
    expected = normals(world.frames().depth, world.cameras(), valid=world.frames().valid)
    picture = coloured_normals(expected)
    assert np.array_equal(draw(0), picture_bytes(picture[0]))
    assert len(found) > 3


def test_an_empty_world_is_refused(tmp_path: Path):
    with World.create(tmp_path / "empty", SCENE) as empty, pytest.raises(ValueError, match="nothing to film"):
        frame_scene(empty)
