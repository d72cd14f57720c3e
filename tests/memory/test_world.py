"""The world folder: what goes in comes out, rounded once, and what could not come out is not let in."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sqlite3

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from memory.world import Chunk, SceneInfo, World, WorldError, quantised
from render.cameras import Cameras
from render.frames import Frames

SCENE = SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))
ORIGIN = {
    "generator": "tiny-v1",
    "seed": 7,
    "settings": {"steps": 4, "weights": "sha256:ab", "cfg": [1.5, None]},
}


def make_cameras(n: int, *, seed: int = 0, height: int = 6, width: int = 9) -> Cameras:
    """Asymmetric cameras: turned at random, fx != fy, principal point off the centre."""
    rng = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(n, 3, 3, generator=rng, dtype=torch.float64)).Q
    rotation = rotation * torch.linalg.det(rotation).sign()[:, None, None]
    c2w = torch.eye(4, dtype=torch.float64).repeat(n, 1, 1)
    c2w[:, :3, :3] = rotation
    c2w[:, :3, 3] = torch.randn(n, 3, generator=rng, dtype=torch.float64)
    K = torch.tensor([[7.3, 0.0, 4.1], [0.0, 8.9, 2.7], [0.0, 0.0, 1.0]]).repeat(n, 1, 1)
    return Cameras(
        c2w=c2w.float(), K=K + 0.01 * torch.rand(n, 1, 1, generator=rng) * (K > 1), width=width, height=height
    )


def make_frames(n: int, *, seed: int = 0, height: int = 6, width: int = 9) -> Frames:
    """Random pictures whose depths span 1000:1, a fifth of them unknown."""
    rng = torch.Generator().manual_seed(seed)
    depth = torch.exp(torch.rand(n, height, width, 1, generator=rng) * math.log(1000.0)) * 0.05
    valid = torch.rand(n, height, width, 1, generator=rng) > 0.2
    return Frames(
        rgb=torch.rand(n, height, width, 3, generator=rng),
        depth=torch.where(valid, depth, 0.0),
        valid=valid,
        confidence=torch.where(valid, 0.3, 0.0),
        cameras=make_cameras(n, seed=seed, height=height, width=width),
    )


def assert_same(a: Frames, b: Frames) -> None:
    """Equal bit for bit, and of the same types."""
    for name in ("rgb", "depth", "valid", "confidence"):
        assert_same_tensor(getattr(a, name), getattr(b, name))
    assert_same_tensor(a.cameras.c2w, b.cameras.c2w)
    assert_same_tensor(a.cameras.K, b.cameras.K)
    assert (a.cameras.width, a.cameras.height) == (b.cameras.width, b.cameras.height)


def assert_same_tensor(a: Tensor, b: Tensor) -> None:
    assert a.dtype == b.dtype
    assert torch.equal(a, b)


def commit(world: World, n: int, *, seed: int = 0, given: bool = False) -> tuple[Chunk, Frames]:
    return world.commit(make_frames(n, seed=seed), given=given, **ORIGIN)


@pytest.fixture
def world(tmp_path):
    with World.create(tmp_path / "deep" / "world", SCENE) as world:
        yield world


def test_what_commit_returns_is_what_is_read_back_bit_for_bit(world):
    _, first = commit(world, 1, seed=1, given=True)
    _, second = commit(world, 3, seed=2)
    with World.open(world.path) as reader:
        assert_same(reader.frames([0]), first)
        assert_same(reader.frames([1, 2, 3]), second)
        assert_same(reader.frames([3, 0]), Frames(**stacked(second[[2]], first)))
        assert_same_tensor(reader.cameras().c2w, torch.cat([first.cameras.c2w, second.cameras.c2w]))


def stacked(a: Frames, b: Frames) -> dict:
    names = ("rgb", "depth", "valid", "confidence")
    joined = {name: torch.cat([getattr(a, name), getattr(b, name)]) for name in names}
    c2w, K = torch.cat([a.cameras.c2w, b.cameras.c2w]), torch.cat([a.cameras.K, b.cameras.K])
    return joined | {"cameras": dataclasses.replace(a.cameras, c2w=c2w, K=K)}


def test_quantised_foretells_what_is_read_back(world):
    for seed, is_given in enumerate((True, False)):
        frames = make_frames(2, seed=seed)
        chunk, returned = world.commit(frames, given=is_given, **ORIGIN)
        assert_same(returned, quantised(frames, given=is_given))
        assert_same(world.frames(chunk.frame_ids), returned)


def test_committing_what_was_read_back_changes_nothing(world):
    _, once = commit(world, 2, seed=3)
    _, twice = world.commit(once, given=False, **ORIGIN)
    assert_same(once, twice)


def test_pictures_on_disk_are_what_the_format_promises(world):
    """Oracle: Pillow and the closed form of the code, near * (far / near) ** ((code - 1) / 65534)."""
    frames = make_frames(1, seed=4)
    commit(world, 1, seed=4)
    rgb = Image.open(world.path / "frames" / "000000.png")
    depth = Image.open(world.path / "frames" / "000000.depth.png")
    assert (rgb.mode, depth.mode) == ("RGB", "I;16")
    assert np.array_equal(np.asarray(rgb), np.rint(frames.rgb[0].numpy() * 255.0))
    world.close()
    ((near, far),) = sqlite3.connect(world.path / "world.db").execute("SELECT near, far FROM frames")
    codes = np.asarray(depth).astype(np.float64)
    expected = np.where(codes > 0, near * (far / near) ** ((codes - 1) / 65534), 0.0)
    np.testing.assert_allclose(frames.depth[0, ..., 0].numpy(), expected, rtol=1e-4)
    assert np.array_equal(codes > 0, frames.valid[0, ..., 0].numpy())


@given(
    depths=st.lists(st.floats(1.0, 1000.0, width=32), min_size=1, max_size=40),
    scale=st.floats(2.0**-10, 2.0**20, width=32),
)
@settings(deadline=None, max_examples=30)
def test_depth_keeps_four_digits_over_a_range_of_a_thousand(depths, scale):
    depth = (torch.tensor(depths) * scale)[None, None, :, None]
    frames = flat_frames(depth, depth > 0)
    back = quantised(frames)
    assert back.valid.all()
    assert ((back.depth / depth - 1.0).abs() < 1e-4).all()
    assert torch.equal(back.depth.amin(), depth.amin())
    assert torch.equal(back.depth.amax(), depth.amax())
    assert_same(quantised(back), back)


def flat_frames(depth: Tensor, valid: Tensor) -> Frames:
    n, height, width = depth.shape[:3]
    cameras = make_cameras(n, height=height, width=width)
    rgb = torch.full((n, height, width, 3), 0.25)
    return Frames(rgb=rgb, depth=depth, valid=valid, confidence=torch.zeros_like(depth), cameras=cameras)


@pytest.mark.parametrize("ends", [(2.0**-126, 3.4028234663852886e38), (1.0, 1.0000001), (1e-45, 1e-44)])
def test_the_ends_of_any_range_are_exact(ends):
    depth = torch.tensor(ends)[None, None, :, None]
    back = quantised(flat_frames(depth, depth > 0))
    assert torch.equal(back.depth, depth)


def test_depth_order_survives_rounding():
    depth = torch.linspace(0.3, 40.0, 500)[None, None, :, None]
    assert (quantised(flat_frames(depth, depth > 0)).depth.diff(dim=2) >= 0).all()


def test_constant_and_unknown_depth_survive(world):
    constant = torch.full((1, 4, 5, 1), 2.5)
    for depth, valid in ((constant, constant > 0), (torch.zeros_like(constant), constant < 0)):
        frames = flat_frames(depth, valid)
        chunk, _ = world.commit(frames, given=True, **ORIGIN)
        back = world.frames(chunk.frame_ids)
        assert torch.equal(back.depth, depth)
        assert torch.equal(back.valid, valid)


def test_confidence_is_one_where_given_half_where_imagined_and_none_where_unknown(world):
    _, measured = commit(world, 1, seed=1, given=True)
    _, imagined = commit(world, 1, seed=1)
    assert torch.equal(measured.confidence, measured.valid.float())
    assert torch.equal(imagined.confidence, 0.5 * imagined.valid.float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cameras_round_trip_bit_for_bit_in_either_precision(world, dtype):
    frames = make_frames(2, seed=5)
    cameras = Cameras(
        c2w=frames.cameras.c2w.to(dtype) / 1.0000003, K=frames.cameras.K.to(dtype) / 3, width=9, height=6
    )
    world.commit(dataclasses.replace(frames, cameras=cameras), given=False, **ORIGIN)
    path = world.plan(cameras, **ORIGIN)
    with World.open(world.path) as reader:
        planned = reader.pending()
        for back in (reader.cameras(), reader.frames().cameras, planned.cameras):
            assert_same_tensor(back.c2w, cameras.c2w)
            assert_same_tensor(back.K, cameras.K)
    assert planned.id == path


def test_frames_of_both_precisions_can_be_read_together(world):
    commit(world, 2, seed=1)
    frames = make_frames(1, seed=2)
    cameras = dataclasses.replace(frames.cameras, c2w=frames.cameras.c2w.double())
    world.commit(dataclasses.replace(frames, cameras=cameras), given=False, **ORIGIN)
    assert torch.equal(world.cameras([2, 0]).c2w[0], cameras.c2w[0])


def test_a_world_of_two_sizes_is_read_by_size(world):
    commit(world, 1)
    world.commit(make_frames(1, height=4, width=5), given=False, **ORIGIN)
    with pytest.raises(WorldError, match="share one size"):
        world.frames()
    assert world.frames([1]).cameras.width == 5


@pytest.mark.parametrize("ids", [[], [1], [-1], [2**70], [0, 5]])
def test_frames_that_do_not_exist_are_refused(world, ids):
    commit(world, 1)
    with pytest.raises(WorldError, match="no frame"):
        world.frames(ids)


UNUSABLE = {
    "nan pose": lambda f: with_pose(f, float("nan")),
    "not rigid": lambda f: with_pose(f, 3.0),
    "colour above one": lambda f: dataclasses.replace(f, rgb=f.rgb + 2.0),
    "nan depth": lambda f: dataclasses.replace(f, depth=f.depth * float("nan")),
    "no frames": lambda f: f[[]],
    "depth beyond float32": lambda f: dataclasses.replace(
        f, depth=torch.where(f.valid, f.depth.double() * 1e300, 0.0)
    ),
}


def with_pose(frames: Frames, value: float) -> Frames:
    c2w = frames.cameras.c2w.clone()
    c2w[-1, 0, 0] = value
    return dataclasses.replace(frames, cameras=dataclasses.replace(frames.cameras, c2w=c2w))


@pytest.mark.parametrize("name", UNUSABLE)
def test_frames_that_cannot_be_used_are_not_committed(world, name):
    with pytest.raises(WorldError) as caught:
        world.commit(UNUSABLE[name](make_frames(2)), given=False, **ORIGIN)
    assert "\n" not in str(caught.value)
    assert world.frame_ids() == []
    assert os.listdir(world.path / "frames") == []


def test_a_camera_that_only_passes_in_company_is_not_committed(world):
    """A principal point near the corner is allowed in a batch, but could not be read back alone."""
    frames = make_frames(2)
    K = frames.cameras.K.clone()
    K[1, :2, 2] = 0.5
    cameras = dataclasses.replace(frames.cameras, K=K)
    with pytest.raises(WorldError, match="normalised"):
        world.commit(dataclasses.replace(frames, cameras=cameras), given=False, **ORIGIN)


@pytest.mark.parametrize(
    "origin",
    [
        {"generator": ""},
        {"generator": "a\nb"},
        {"generator": "\ud800"},
        {"seed": 2**63},
        {"settings": {"a": float("nan")}},
        {"settings": {"a": {1, 2}}},
        {"created": "yesterday"},
        {"created": "2026-01-31T12:00:00+02:00"},
        {"path": 3},
        {"path": 2**70},
        {"path_start": 1},
    ],
)
def test_an_origin_that_cannot_be_kept_is_refused(world, origin):
    with pytest.raises(WorldError):
        world.commit(make_frames(1), given=False, **(ORIGIN | origin))
    assert (world.frame_ids(), world.verify()) == ([], [])


@pytest.mark.parametrize(
    "scene", [{"units": "feet"}, {"scale": 0.0}, {"scale": float("nan")}, {"up": (0.0, 2.0, 0.0)}]
)
def test_a_scene_without_sense_is_refused(scene):
    with pytest.raises(WorldError):
        dataclasses.replace(SCENE, **scene)


def test_settings_come_back_as_the_plain_json_they_are(world):
    odd = {"t": (1, 2), "ü": "\ud83d", "deep": {"x": [True, None, -0.0, 1e-320]}}
    chunk, _ = world.commit(make_frames(1), given=False, generator="ü", seed=0, settings=odd)
    assert chunk.settings == json.loads(json.dumps(odd))
    assert world.chunks() == [chunk]
