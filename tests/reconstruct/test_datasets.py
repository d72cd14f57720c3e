"""Datasets: what is written is what the world holds, by our own reader and by COLMAP's library."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from memory.boxes import Box
from memory.cache import WorldCache
from memory.points import Points
from memory.restore import restored_cache
from memory.world import SceneInfo, World
from reconstruct import datasets
from reconstruct.datasets import depth_unit, only_lens, steps_a_unit, write_dataset
from reconstruct.formats.captures import Capture, read_capture
from reconstruct.formats.tum import tum_views
from render.cameras import project
from render.frames import Frames
from tests.memory.test_world_hostile import contents
from tests.oracles.box_room import BoxRoom
from tests.reconstruct.test_colmap import library

KINDS = ("nerfstudio", "colmap", "colmap-text")
"""Kinds that tell lenses and points."""


@pytest.fixture
def frames(box_room: BoxRoom) -> Frames:
    """Three views with a hole each, and one surface out of reach."""
    valid, depth = box_room.frames.valid.clone(), box_room.frames.depth.clone()
    valid[:, 10:14, 20:30] = False
    depth[1, 30:, :9] = 500.0
    return dataclasses.replace(box_room.frames, valid=valid, depth=depth.masked_fill(~valid, 0.0))


@pytest.fixture
def world(tmp_path: Path, frames: Frames) -> World:
    """The views as a world, at a place with an up of its own."""
    world = World.create(tmp_path / "w", SceneInfo(units="metres", scale=2.0, up=(0.0, 0.0, 1.0)))
    world.commit(frames[:2], given=True, generator="input", seed=0, settings={})
    world.commit(frames[2:], given=False, generator="test", seed=0, settings={})
    return world


def points_of(world: World) -> Points:
    return restored_cache(world).points


def exported(world: World, folder: Path, *, kind: str) -> Capture:
    assert write_dataset(world, points_of(world), folder, kind=kind) == len(world.frame_ids())
    return read_capture(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_our_own_reader_gets_back_pictures_cameras_and_points(world: World, tmp_path: Path, kind: str):
    found, stored = exported(world, tmp_path / "set", kind=kind), world.frames()
    torch.testing.assert_close(found.frames.cameras.c2w, stored.cameras.c2w, atol=1e-6, rtol=0)
    assert torch.equal(found.frames.cameras.K, stored.cameras.K)
    assert torch.equal(found.frames.rgb, stored.rgb)
    assert (found.frames.confidence == 1).all()
    points = points_of(world)
    points = points[points.confidence > 0]
    assert len(points) > 1_000
    torch.testing.assert_close(found.points, points.positions, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.rgb, points.rgb, atol=0.5 / 255 + 1e-6, rtol=0)


def test_poses_for_nerfstudio_are_exact(world: World, tmp_path: Path):
    found = exported(world, tmp_path / "set", kind="nerfstudio")
    assert torch.equal(found.frames.cameras.c2w, world.cameras().c2w)


def test_points_lie_where_the_pictures_show_them(world: World, tmp_path: Path):
    """What a trainer relies on: cameras, depth and points are of one space, whatever its axes are called."""
    folder = tmp_path / "set"
    exported(world, folder, kind="nerfstudio")
    said = json.loads((folder / "transforms.json").read_text())
    places = np.asarray(trimesh.load(folder / "sparse_pc.ply").vertices)
    agreed = 0
    for frame in said["frames"]:
        camera = np.array(frame["transform_matrix"])
        local = (np.c_[places, np.ones(len(places))] @ np.linalg.inv(camera).T)[:, :3]
        ahead = -local[:, 2]  # OpenGL: +y up, +z back
        lens = said | frame  # the cameras of this room differ
        u = lens["fl_x"] * local[:, 0] / ahead + lens["cx"]
        v = -lens["fl_y"] * local[:, 1] / ahead + lens["cy"]
        inside = (ahead > 0) & (u >= 0) & (u < said["w"]) & (v >= 0) & (v < said["h"])
        depth = np.array(Image.open(folder / frame["depth_file_path"])) * said["depth_unit_scale_factor"]
        shown = depth[v[inside].astype(int), u[inside].astype(int)]
        agreed += np.mean(np.abs(shown / ahead[inside] - 1.0) < 0.03)
    assert agreed / len(said["frames"]) > 0.8


def test_depth_is_in_steps_that_are_told_and_zero_where_it_is_not_known(
    world: World, frames: Frames, tmp_path: Path
):
    folder = tmp_path / "set"
    exported(world, folder, kind="nerfstudio")
    said = json.loads((folder / "transforms.json").read_text())
    assert said["depth_unit_scale_factor"] == 1e-3
    assert said["worldgen"] == {"units": "metres", "up": [0.0, 0.0, 1.0]}
    for i, frame in enumerate(said["frames"]):
        with Image.open(folder / frame["depth_file_path"]) as image:
            assert image.mode == "I;16"
            depth = torch.from_numpy(np.array(image).astype(np.float32))[..., None] * 1e-3
        known = frames.valid[i] & (frames.depth[i] < 65.535)
        assert torch.equal(depth > 0, known)
        torch.testing.assert_close(depth[known], frames.depth[i][known], atol=1e-3, rtol=0)
    assert not (folder / "masks").exists()


@pytest.mark.parametrize(
    ("scale", "unit"), [(2.0, 1e-3), (0.1, 1e-3), (6.5, 1e-3), (7.0, 1e-2), (0.05, 1e-5), (1e-6, 1e-9)]
)
def test_steps_of_depth_suit_the_world(scale: float, unit: float):
    assert depth_unit(scale) == pytest.approx(unit)
    assert 65_535 * depth_unit(scale) >= datasets.REACH * scale
    assert depth_unit(scale) <= 0.01 * scale


def test_cameras_that_are_alike_are_told_once(world: World, tmp_path: Path, frames: Frames):
    same = dataclasses.replace(frames.cameras, K=frames.cameras.K[:1].expand(3, 3, 3).clone())
    with World.create(tmp_path / "other", world.scene) as other:
        other.commit(
            dataclasses.replace(frames, cameras=same), given=True, generator="input", seed=0, settings={}
        )
        found = exported(other, tmp_path / "set", kind="nerfstudio")
    assert torch.equal(found.frames.cameras.K, same.K)
    said = json.loads((tmp_path / "set/transforms.json").read_text())
    assert said["fl_y"] == float(same.K[0, 1, 1])
    assert not any("fl_y" in frame for frame in said["frames"])


def test_what_was_edited_since_is_masked_and_has_no_depth(world: World, tmp_path: Path):
    crate = Box(low=(0.0, 0.4, 0.7), high=(1.4, 1.4, 1.9))
    world.remove(crate, settings={})
    found = exported(world, tmp_path / "set", kind="nerfstudio").frames
    masked = found.confidence == 0
    assert all(0.01 < float(share) < 0.5 for share in masked.float().mean(dim=(1, 2, 3)))
    middle = torch.tensor([[0.7, 0.9, 1.3]])
    uv, _ = project(middle, world.cameras())
    for i, (u, v) in enumerate(uv[:, 0].long().tolist()):
        if 0 <= u < 60 and 0 <= v < 44:
            assert masked[i, v, u]
    with Image.open(tmp_path / "set/depth/000000.png") as image:
        depth = torch.from_numpy(np.array(image).astype(np.int32))[..., None]
    assert not depth[masked[0]].any()
    assert depth[~masked[0]].any()


@pytest.mark.parametrize("kind", ["colmap", "colmap-text"])
def test_colmap_reads_the_model(world: World, tmp_path: Path, kind: str):
    exported(world, tmp_path / "set", kind=kind)
    endings = {file.suffix for file in (tmp_path / "set/sparse/0").iterdir()}
    assert endings == {".txt" if kind == "colmap-text" else ".bin"}
    said = library(tmp_path / "set/sparse/0", tmp_path / "again", kind="binary")
    cameras = world.cameras()
    for i in range(3):
        found = np.array(said["images"][f"{i:06d}.png"])
        np.testing.assert_allclose(found, cameras.w2c[i, :3].numpy(), atol=1e-6)
    K = cameras.K.double()
    expected = [
        ["PINHOLE", 60, 44, [float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2])]] for k in K
    ]
    assert sorted(said["cameras"]) == sorted(expected)
    assert len(said["points"]) == int((points_of(world).confidence > 0).sum())


def test_a_camera_that_is_a_little_off_keeps_its_place(tmp_path: Path, frames: Frames):
    """Files from others round their rotations; a quaternion cannot, and must not move the camera."""
    c2w = frames.cameras.c2w.clone()
    c2w[:, :3, :3] *= 1.0004
    c2w[:, :3, 3] += 100.0
    bent = dataclasses.replace(frames, cameras=dataclasses.replace(frames.cameras, c2w=c2w))
    with World.create(tmp_path / "w", SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))) as world:
        world.commit(bent, given=True, generator="input", seed=0, settings={})
        found = exported(world, tmp_path / "set", kind="colmap").frames.cameras
    torch.testing.assert_close(found.origins, c2w[:, :3, 3], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_that_is_taken_is_refused_and_stays_as_it_is(world: World, tmp_path: Path, kind: str):
    (tmp_path / "set").mkdir()
    (tmp_path / "file").write_text("mine")
    write_dataset(world, points_of(world), tmp_path / "set", kind=kind)
    before = contents(tmp_path)
    for taken in ("set", "file"):
        with pytest.raises(ValueError, match="already exists and is no empty folder"):
            write_dataset(world, points_of(world), tmp_path / taken, kind=kind)
    with pytest.raises(ValueError, match="there is no folder"):
        write_dataset(world, points_of(world), tmp_path / "none/set", kind=kind)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_fails_half_way_leaves_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    points = points_of(world)
    (world.path / "frames/000001.png").write_bytes(b"damaged")
    monkeypatch.setattr(datasets, "BATCH", 1)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="frame 1 is damaged"):
        write_dataset(world, points, tmp_path / "set", kind=kind)
    assert contents(tmp_path) == before


def test_lists_of_tum_say_where_every_frame_was_and_what_it_saw(tmp_path: Path, frames: Frames):
    cameras = dataclasses.replace(frames.cameras, K=frames.cameras.K[:1].expand(3, 3, 3).clone())
    world = World.create(tmp_path / "w", SceneInfo(units="metres", scale=1.0, up=(0.0, 0.0, 1.0)))
    world.commit(
        dataclasses.replace(frames, cameras=cameras), given=True, generator="input", seed=0, settings={}
    )
    folder, stored = tmp_path / "set", world.frames()
    assert write_dataset(world, points_of(world), folder, kind="tum") == len(stored)
    views = tum_views(folder, K=only_lens(world), size=(cameras.width, cameras.height))
    unit = 1.0 / steps_a_unit(world.scene.scale)
    assert unit == 1.0 / 5000.0
    for i, view in enumerate(views):
        np.testing.assert_allclose(view.c2w, cameras.c2w[i].double().numpy(), atol=1e-6, rtol=0)
        assert np.array_equal(np.asarray(Image.open(view.file)), (255 * stored.rgb[i]).round().byte().numpy())
        steps = torch.from_numpy(np.asarray(Image.open(view.depth)).astype(np.int64))
        reached = stored.valid[i, ..., 0] & (stored.depth[i, ..., 0] < 65_535 * unit)
        assert torch.equal(steps > 0, reached)
        torch.testing.assert_close(
            steps[reached] * unit,
            stored.depth[i, ..., 0][reached],
            atol=0.51 * unit,
            rtol=0,
            check_dtype=False,
        )
    assert len(views) == len(stored)


def test_frames_with_several_lenses_are_no_tum_folder(tmp_path: Path, frames: Frames):
    world = World.create(tmp_path / "w", SceneInfo(units="metres", scale=2.0, up=(0.0, 0.0, 1.0)))
    world.commit(frames, given=True, generator="input", seed=0, settings={})
    with pytest.raises(ValueError, match="have 3 lenses"):
        write_dataset(world, points_of(world), tmp_path / "set", kind="tum")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(("scale", "steps"), [(1.0, 5000.0), (2.0, 1000.0), (0.001, 1e6), (50.0, 100.0)])
def test_steps_of_depth_suit_the_scale(scale: float, steps: float):
    assert steps_a_unit(scale) == pytest.approx(steps)


def test_an_empty_world_has_no_dataset(tmp_path: Path):
    with (
        World.create(tmp_path / "w", SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))) as world,
        pytest.raises(ValueError, match="nothing to export; grow it first"),
    ):
        write_dataset(world, WorldCache().points, tmp_path / "set", kind="colmap")
    assert not (tmp_path / "set").exists()
