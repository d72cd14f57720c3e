"""The memory bank: small units in order, and what is removed has never been there."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from memory.bank import BLOCK, FIELDS, GLANCE, THUMBNAIL, UNIT_BYTES, MemoryBank, Units
from memory.restore import restored, restored_bank
from memory.world import SceneInfo, World
from render.cameras import Cameras, intrinsics_from_fov, project, unproject
from render.frames import Frames, concatenated
from tests.oracles.box_room import BoxRoom


def assert_same(a: MemoryBank, b: MemoryBank) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(a.units, name), getattr(b.units, name), err_msg=name)
    np.testing.assert_array_equal(a.blocks, b.blocks)


def copied(units: Units) -> Units:
    return units[np.arange(len(units))]


def many(room: BoxRoom, n: int) -> Frames:
    """``n`` views in the room, each a little apart."""
    frames = concatenated([room.frames] * -(-n // len(room.frames)))[:n]
    c2w = frames.cameras.c2w.clone()
    c2w[:, 0, 3] += 0.01 * torch.arange(n)
    return dataclasses.replace(frames, cameras=dataclasses.replace(frames.cameras, c2w=c2w))


def wall(depth: torch.Tensor, *, confidence: float = 1.0) -> Frames:
    """A picture of one depth map, unknown where it is 0."""
    height, width = depth.shape
    camera = Cameras(
        c2w=torch.eye(4)[None],
        K=intrinsics_from_fov(1.0, width=width, height=height),
        width=width,
        height=height,
    )
    known = (depth > 0)[None, ..., None]
    return Frames(
        rgb=torch.zeros(1, height, width, 3),
        depth=depth[None, ..., None],
        valid=known,
        confidence=confidence * known,
        cameras=camera,
    )


def test_views_appended_together_or_one_by_one_are_the_same_bank(box_room: BoxRoom):
    frames, ids = many(box_room, 2 * BLOCK + 3), list(range(5, 2 * BLOCK + 8))
    together, singly = MemoryBank(), MemoryBank()
    together.append(frames, ids=ids)
    for i, number in enumerate(ids):
        singly.append(frames[[i]], ids=[number])
    assert_same(together, singly)
    assert together.units.times.tolist() == list(range(len(ids)))


def test_units_handed_out_never_change_whatever_is_done_to_the_bank(box_room: BoxRoom):
    frames, bank = many(box_room, 40), MemoryBank()
    bank.append(frames[:20], ids=list(range(20)))
    early = bank.units
    copy = copied(early)
    for i in range(20, 40):
        bank.append(frames[[i]], ids=[i])
    bank.remove([3, 7])
    bank.append(frames[:5], ids=list(range(50, 55)))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(early, name), getattr(copy, name))


@pytest.mark.parametrize("gone", [[0], [1], [2 * BLOCK], [0, 1, 70, 71], list(range(2 * BLOCK + 1))])
def test_what_is_removed_has_never_been_there(box_room: BoxRoom, gone: list[int]):
    count = 2 * BLOCK + 1
    frames, times = many(box_room, count), [3 * i for i in range(count)]
    kept = [i for i in range(count) if i not in gone]
    bank, without = MemoryBank(), MemoryBank()
    bank.append(frames, ids=list(range(count)), times=times)
    bank.remove(gone)
    if kept:
        without.append(frames[kept], ids=kept, times=[times[i] for i in kept])
    assert_same(bank, without)
    for each in (bank, without):
        each.append(frames[:3], ids=[500, 501, 502])
    assert_same(bank, without)


def test_an_undone_end_grows_on_as_if_it_had_not_been(box_room: BoxRoom):
    frames = many(box_room, 9)
    bank, other = MemoryBank(), MemoryBank()
    bank.append(frames[:6], ids=list(range(6)))
    bank.remove([4, 5])
    bank.append(frames[6:], ids=[6, 7, 8])
    other.append(frames[:4], ids=list(range(4)))
    other.append(frames[6:], ids=[6, 7, 8])
    assert_same(bank, other)


def test_a_unit_is_a_few_hundred_bytes_whatever_the_size_of_the_picture():
    for side in (1, 7, 64, 300):
        bank = MemoryBank()
        bank.append(wall(torch.full((side, 2 * side), 2.0)), ids=[0])
        assert sum(getattr(bank.units, name).nbytes for name in FIELDS) == UNIT_BYTES < 700
        assert (bank.units.depth > 0).all()


def test_the_thumbnail_is_the_median_of_what_is_known_in_each_cell():
    rng = torch.Generator().manual_seed(0)
    depth = 1.0 + 3.0 * torch.rand(48, 64, generator=rng)
    depth[torch.rand(48, 64, generator=rng) < 0.3] = 0.0
    bank = MemoryBank()
    bank.append(wall(depth), ids=[0])
    near, far = bank.units.span[0]
    known = depth[depth > 0].numpy()
    assert near == pytest.approx(0.1)
    assert far == pytest.approx(1.5 * np.quantile(known, 0.95), rel=1e-6)
    cells = depth.numpy().reshape(THUMBNAIL, 3, THUMBNAIL, 4).swapaxes(1, 2).reshape(THUMBNAIL, THUMBNAIL, 12)
    medians = [[np.sort(c[c > 0])[(c > 0).sum() // 2] for c in row] for row in cells]
    found = bank.units.depth[0] / 65535 * far
    trusted = (cells > 0).mean(axis=2) >= 0.1
    np.testing.assert_allclose(found[trusted], np.array(medians)[trusted], atol=far / 65535)
    assert (found[~trusted] == 0).all()


def test_the_glance_is_the_deepest_but_one_of_the_thumbnail(box_room: BoxRoom):
    bank = MemoryBank()
    bank.append(box_room.frames, ids=list(range(len(box_room.frames))))
    units = bank.units
    for depth, glance in zip(units.depth, units.glance, strict=True):
        for i, j in np.ndindex(GLANCE, GLANCE):
            assert glance[i, j] == np.sort(depth[4 * i : 4 * i + 4, 4 * j : 4 * j + 4], axis=None)[-2]


def test_what_is_not_known_or_not_trusted_is_not_in_the_thumbnail():
    depth = torch.full((32, 32), 2.0)
    depth[:, 16:] = 0.0
    bank = MemoryBank()
    bank.append(wall(depth), ids=[0])
    bank.append(wall(depth, confidence=0.05), ids=[1])
    bank.append(wall(torch.zeros(32, 32)), ids=[2])
    assert (bank.units.depth[0] > 0).sum() == THUMBNAIL**2 / 2
    assert (bank.units.depth[0, :, 8:] == 0).all()
    assert (bank.units.depth[1:] == 0).all()
    np.testing.assert_allclose(bank.units.confidence, [0.5, 0.025, 0.0], atol=1e-6)


def test_near_and_far_scale_with_the_world(box_room: BoxRoom):
    small, large = MemoryBank(), MemoryBank(scale=8.0)
    c2w = box_room.cameras.c2w.clone()
    c2w[:, :3, 3] *= 8.0
    cameras = dataclasses.replace(box_room.cameras, c2w=c2w)
    grown = dataclasses.replace(box_room.frames, depth=8.0 * box_room.frames.depth, cameras=cameras)
    small.append(box_room.frames, ids=[0, 1, 2])
    large.append(grown, ids=[0, 1, 2])
    np.testing.assert_allclose(large.units.span, 8.0 * small.units.span, rtol=1e-6)
    np.testing.assert_array_equal(large.units.depth, small.units.depth)
    np.testing.assert_allclose(large.units.spheres, 8.0 * small.units.spheres, rtol=1e-5, atol=1e-5)


def test_spheres_hold_what_a_view_shows_and_blocks_hold_their_spheres(box_room: BoxRoom):
    frames, bank = many(box_room, BLOCK + 9), MemoryBank()
    bank.append(frames, ids=list(range(len(frames))))
    depth = torch.from_numpy(bank.units.span[:, 1].copy()).view(-1, 1, 1, 1).expand(-1, 44, 60, 1)
    for reach in (depth, torch.full_like(depth, 0.1)):
        points = unproject(reach, frames.cameras).flatten(1, 2).numpy()
        spheres = bank.units.spheres[:, None]
        assert (np.linalg.norm(points - spheres[..., :3], axis=-1) < spheres[..., 3] + 1e-5).all()
    for b, block in enumerate(bank.blocks):
        inside = bank.units.spheres[b * BLOCK : (b + 1) * BLOCK]
        assert (np.linalg.norm(inside[:, :3] - block[:3], axis=1) + inside[:, 3] < block[3] + 1e-4).all()
    assert len(bank.blocks) == 2


def test_lens_and_pose_project_as_the_camera_does(box_room: BoxRoom):
    bank = MemoryBank()
    bank.append(box_room.frames, ids=[0, 1, 2])
    point = box_room.points[0, 11, 23]
    uv, z = project(point[None], box_room.cameras)
    for i in range(3):
        x = bank.units.w2c[i] @ np.array([*point.tolist(), 1.0])
        fx, fy, cx, cy = bank.units.lens[i]
        assert x[2] == pytest.approx(float(z[i, 0, 0]), rel=1e-5)
        assert 60 * (fx * x[0] / x[2] + cx) == pytest.approx(float(uv[i, 0, 0]), rel=1e-4)
        assert 44 * (fy * x[1] / x[2] + cy) == pytest.approx(float(uv[i, 0, 1]), rel=1e-4)


def test_views_must_come_in_order_and_be_there_to_be_removed(box_room: BoxRoom):
    bank = MemoryBank()
    bank.append(box_room.frames[:2], ids=[3, 4], times=[5, 5])
    for ids, times in (([4], None), ([2], None), ([5], [4])):
        with pytest.raises(ValueError, match="do not come after what the bank holds"):
            bank.append(box_room.frames[:1], ids=ids, times=times)
    with pytest.raises(ValueError, match="got 1 ids, 2 times, 2 frames"):
        bank.append(box_room.frames[:2], ids=[5])
    with pytest.raises(ValueError, match=r"does not hold the frames \[0, 9\]"):
        bank.remove([3, 9, 0])
    assert bank.units.ids.tolist() == [3, 4]


def test_a_world_read_again_gives_the_bank_that_growth_had(tmp_path: Path, box_room: BoxRoom):
    info = SceneInfo(units="scene", scale=2.5, up=(0.0, -1.0, 0.0))
    frames, bank = many(box_room, 5), MemoryBank(scale=2.5)
    with World.create(tmp_path / "w", info) as world:
        for part, given in ((frames[:1], True), (frames[1:3], False), (frames[3:], False)):
            chunk, stored = world.commit(part, given=given, generator="rays", seed=0, settings={})
            bank.append(stored, ids=list(chunk.frame_ids))
        assert_same(restored_bank(world), bank)
        assert_same(restored(world)[1], bank)
    assert math.isclose(bank.units.span[0, 0], 0.25, rel_tol=1e-6)


def test_an_empty_world_restores_an_empty_bank(tmp_path: Path):
    with World.create(tmp_path / "w", SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))) as world:
        assert len(restored_bank(world)) == 0
