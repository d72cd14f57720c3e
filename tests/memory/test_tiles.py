"""Tiles draw what drawing every point would draw, look at less, and stay within their budgets."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from memory._slabs import MIN_SLABS, ROW_BYTES, SLAB, Slabs
from memory.boxes import within
from memory.points import FIELDS, Points, concatenated, points_with_room
from memory.tiles import BLOCK_POINTS, TileStore
from render.cameras import Cameras, intrinsics_from_fov
from render.points import render_points
from tests.oracles.box_room import room_cameras


def city(count: int, *, seed: int = 0, source: int = 0) -> Points:
    """Patches of 16 x 16 points on walls and floors in a cube, in all sizes; every tenth point twice."""
    rng = torch.Generator().manual_seed(seed)
    walls = -(-count // 256)
    centre = 12.0 * (torch.rand(walls, 1, 3, generator=rng) - 0.5)
    sides = torch.randn(walls, 2, 3, generator=rng) * 0.08
    grid = torch.cartesian_prod(torch.arange(16.0), torch.arange(16.0)) - 7.5
    positions = (centre + torch.einsum("pk,wkc->wpc", grid, sides)).reshape(-1, 3)[:count].contiguous()
    positions[1::10] = positions[::10][: len(positions[1::10])]
    axes = (0.5 * sides)[:, None].expand(walls, 256, 2, 3).reshape(-1, 2, 3)[:count].contiguous()
    return Points(
        positions=positions,
        rgb=torch.rand(count, 3, generator=rng),
        normals=torch.nn.functional.normalize(torch.linalg.cross(axes[:, 1], axes[:, 0]), dim=-1),
        confidence=torch.full((count,), 0.5),
        axes=axes,
        source=torch.full((count,), source),
    )


def sheet(side: int, *, spacing: float, z: float, source: int = 0, confidence: float = 0.5) -> Points:
    """A wall across the z axis, centred on it, that faces the origin."""
    grid = (torch.cartesian_prod(torch.arange(side), torch.arange(side)).float() - (side - 1) / 2) * spacing
    n = side * side
    return Points(
        positions=torch.cat([grid, torch.full((n, 1), z)], dim=1),
        rgb=torch.full((n, 3), 0.5),
        normals=torch.tensor([0.0, 0.0, -1.0]).expand(n, 3),
        confidence=torch.full((n,), confidence),
        axes=(0.5 * spacing * torch.eye(3)[:2]).expand(n, 2, 3),
        source=torch.full((n,), source),
    )


def camera(size: int = 96) -> Cameras:
    """At the origin, along +z."""
    K = intrinsics_from_fov(math.radians(60.0), width=size, height=size)
    return Cameras(c2w=torch.eye(4)[None], K=K, width=size, height=size)


def stored(points: Points, *, steps: int = 1, **settings) -> TileStore:
    store = TileStore(**settings)
    for i in range(steps):
        store.append(points[len(points) * i // steps : len(points) * (i + 1) // steps])
    return store


def in_order_of_place(points: Points) -> Points:
    keys = [points.positions[:, k].numpy() for k in range(3)]
    return points[torch.from_numpy(np.lexsort([points.rgb[:, 0].numpy(), *keys, points.source.numpy()]))]


def assert_same_points(a: Points, b: Points) -> None:
    a, b = in_order_of_place(a), in_order_of_place(b)
    for name in FIELDS:
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def assert_draws_every_point(store: TileStore, cameras: Cameras) -> torch.Tensor:
    """The picture is that of drawing everything; returns it."""
    image, points = store.draw(cameras), store.points
    every = render_points(points.positions, cameras, axes=points.axes)
    assert torch.equal(image.depth, every.depth)
    shown, expected = image.winner >= 0, every.winner >= 0
    assert torch.equal(shown, expected)
    assert torch.equal(
        store.rows.positions[image.winner[shown]], points.positions[every.winner[expected]]
    )  # of points at one place, either may win
    return image.depth


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 40_000, 150_000])
@pytest.mark.parametrize("detail", [0.0, None])
def test_tiles_draw_what_drawing_every_point_draws(count: int, detail: float | None):
    store = stored(city(count), **({} if detail is None else {"detail": detail}))
    assert len(store) == count
    assert_same_points(store.points, city(count))
    if detail is None:
        image = store.draw(room_cameras())
        every = render_points(store.points.positions, room_cameras(), axes=store.points.axes)
        same = (image.depth == every.depth).float().mean()
        assert same > 0.9 if count else same == 1.0
    else:
        depth = assert_draws_every_point(store, room_cameras())
        assert count < 40_000 or depth.isfinite().float().mean() > 0.3


def test_a_store_that_grew_draws_what_one_made_at_once_draws():
    points = city(50_001)
    at_once, grown = (stored(points, steps=steps, detail=0.0) for steps in (1, 37))
    assert_same_points(at_once.points, grown.points)
    depths = [assert_draws_every_point(store, room_cameras()) for store in (at_once, grown)]
    assert torch.equal(*depths)


def test_the_same_steps_give_the_same_rows():
    a, b = (stored(city(30_000), steps=7) for _ in range(2))
    for name in FIELDS:
        assert torch.equal(getattr(a.points, name), getattr(b.points, name)), name
    assert torch.equal(a.draw(room_cameras()).winner, b.draw(room_cameras()).winner)


def test_what_cannot_be_seen_is_not_looked_at():
    behind = city(60_000)
    behind = dataclasses.replace(behind, positions=behind.positions + torch.tensor([0.0, 0.0, 20.0]))
    wall = sheet(128, spacing=0.04, z=2.0)
    store = stored(concatenated([behind, wall]), detail=0.0)
    assert store.draw(camera()).depth.max() == 2.0
    drawn = store.last_drawn
    assert drawn.points < len(wall) + 40 * BLOCK_POINTS
    assert drawn.tiles > 10
    turned = Cameras(
        c2w=torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))[None], K=camera().K, width=96, height=96
    )
    store.draw(turned)
    assert store.last_drawn.points == store.last_drawn.blocks == 0


@pytest.mark.parametrize("away", [1.0, 8.0, 20.0, 80.0])
def test_far_away_surfaces_are_closed_and_cost_what_they_cover(away: float):
    # One point a pixel at a distance of 1, four and more when it is further away.
    spacing = 1.0 / float(camera().K[0, 0, 0])
    wall = sheet(600, spacing=spacing, z=away)
    coarse, full = stored(wall), stored(wall, detail=0.0)
    a, b = coarse.draw(camera()), full.draw(camera())
    assert a.depth.isfinite().sum() == pytest.approx(int(b.depth.isfinite().sum()), rel=0.06)
    both = a.depth.isfinite() & b.depth.isfinite()
    assert torch.equal(a.depth[both], b.depth[both])
    pixels = int(b.depth.isfinite().sum())
    assert coarse.last_drawn.points <= max(90 * pixels, 1.05 * full.last_drawn.points / away)
    if away >= 20.0:
        assert 8 * coarse.last_drawn.points < full.last_drawn.points


def test_the_first_point_of_every_cube_comes_first():
    store = stored(sheet(64, spacing=1.0, z=7.3))
    blocks = store._blocks
    counts = blocks.counts[: blocks.count]
    assert counts.sum() == len(store)
    assert (counts[:, 4] == 1).all()
    assert (counts[:, 3] <= 7).all()  # cubes of 8 in one of 16
    shares = np.cumsum(counts[:, ::-1].sum(axis=0)) / len(store)
    assert shares[2] == pytest.approx(1 / 16, rel=0.3)
    assert shares[3] == pytest.approx(1 / 4, rel=0.2)


def test_points_beyond_the_budget_go_to_disk_and_come_back(tmp_path: Path):
    points = city(120_000)
    budget = 10 * SLAB * ROW_BYTES
    small, large = stored(points, steps=9, budget=budget, folder=tmp_path / "cache"), stored(points, steps=9)
    assert small._slabs.is_on_disk
    assert not large._slabs.is_on_disk
    assert small.stored_bytes == large.stored_bytes > 5 * budget
    for _ in range(3):
        a, b = small.draw(room_cameras()), large.draw(room_cameras())
        assert torch.equal(a.depth, b.depth)
        assert torch.equal(a.winner, b.winner)
        assert small.resident_bytes <= budget
    assert list((tmp_path / "cache").iterdir()) == []  # the files have no names
    for name in FIELDS:
        assert torch.equal(getattr(small.points, name), getattr(large.points, name)), name


def test_reading_everything_leaves_no_more_in_memory_than_the_budget(tmp_path: Path):
    budget = 10 * SLAB * ROW_BYTES
    store = stored(city(120_000), budget=budget, folder=tmp_path)
    assert len(store.points) == store.count_within((-99.0,) * 3, (99.0,) * 3) == 120_000
    slabs = store._slabs
    assert int(slabs._is_resident.sum()) * SLAB * ROW_BYTES <= budget
    assert (slabs.used[slabs._is_resident] == slabs.used.max()).all(), (
        "what was read last counts as looked at"
    )


def test_an_empty_run_after_a_full_slab_has_a_place():
    slabs = Slabs(budget=1 << 30, folder=None)
    for _ in range(MIN_SLABS):
        slabs.allocate(np.array([SLAB]), 1)
    starts = slabs.allocate(np.array([0, 0]), 1)
    assert (starts < len(slabs.rows)).all()
    assert slabs.stored_bytes == MIN_SLABS * SLAB * ROW_BYTES


def test_what_was_looked_at_last_stays_in_memory(tmp_path: Path):
    """Two walls back to back with the camera between them; only one is ever looked at."""
    ahead, behind = sheet(160, spacing=0.02, z=2.0), sheet(160, spacing=0.02, z=-2.0, source=1)
    budget = 30 * SLAB * ROW_BYTES
    store = stored(concatenated([behind, ahead]), budget=budget // 2, folder=tmp_path)
    for _ in range(3):
        store.draw(camera())
    image = store.draw(camera())
    seen = image.winner[image.winner >= 0].unique() // SLAB
    assert store._slabs._is_resident[seen.numpy()].all()
    assert store.resident_bytes <= budget // 2


def test_a_full_tile_lets_go_of_the_least_trusted_and_oldest():
    most = 20_000
    store = TileStore(tile_points=most)
    store.append(sheet(100, spacing=0.01, z=0.5, source=0, confidence=1.0))
    for i in range(1, 12):
        store.append(sheet(100, spacing=0.01, z=0.5 + 0.001 * i, source=i, confidence=0.3 + 0.02 * (i % 2)))
        assert int(store._live.max()) <= most
    points = store.points
    assert int((points.source == 0).sum()) == 10_000  # what was measured stays
    left = [int((points.source == i).sum()) for i in range(12)]
    assert left[11] > left[1]
    assert left[1] == 0
    assert sum(left) == len(store)
    assert_draws_every_point(store, camera())


def test_anchors_stay_even_if_they_alone_fill_a_tile():
    store = TileStore(tile_points=2_000)  # the wall lies in four tiles
    store.append(sheet(100, spacing=0.01, z=0.5, source=0, confidence=1.0))
    store.append(sheet(100, spacing=0.01, z=0.51, source=1, confidence=0.3))
    assert store.points.source.unique().tolist() == [0]
    assert len(store) == 10_000


def test_forgetting_frames_leaves_what_others_brought():
    parts = [city(9_000, seed=i, source=i) for i in range(6)]
    store = TileStore(detail=0.0)
    for part in parts:
        store.append(part)
    assert store.forget([1, 4, 17]) == 18_000
    assert store.forget([1, 4]) == 0
    kept = [parts[i] for i in (0, 2, 3, 5)]
    assert_same_points(store.points, concatenated(kept))
    assert_draws_every_point(store, room_cameras())
    assert len(store) == 36_000


def test_what_is_removed_from_a_box_is_gone_and_nothing_else_is():
    store = stored(concatenated([city(20_000, seed=i, source=i) for i in range(3)]), detail=0.0)
    before = store.points
    low, high = (-2.0, -3.0, -1.0), (4.0, 2.5, 1.5)
    is_inside = within(before.positions, low, high)
    assert 1000 < int(is_inside.sum()) < len(before) - 1000
    assert store.count_within(low, high) == store.remove(low, high) == int(is_inside.sum())
    assert_same_points(store.points, before[~is_inside])
    assert_draws_every_point(store, room_cameras())
    assert store.remove(low, high) == 0


def test_an_edit_does_not_make_what_it_leaves_the_newest():
    """What a box leaves of an old frame is as old as before when a tile is full."""
    store = TileStore(tile_points=6_000)  # the wall lies in four tiles
    for i in range(3):
        store.append(sheet(100, spacing=0.01, z=0.5 + 0.001 * i, source=100 * i, confidence=0.3))
    store.remove((-0.02, -0.02, 0.0), (0.02, 0.02, 1.0))
    store.append(sheet(100, spacing=0.01, z=0.51, source=201, confidence=0.3))
    left = [int((store.points.source == source).sum()) for source in (0, 100, 200, 201)]
    assert left[0] == 0
    assert left[3] == 10_000


def test_space_of_what_went_is_used_again():
    store = TileStore()
    for i in range(40):
        store.append(city(6_000, seed=i, source=i))
        store.forget([i - 4])
    assert len(store) == 24_000
    assert store.stored_bytes < 3 * 24_000 * ROW_BYTES
    assert_same_points(store.points, concatenated([city(6_000, seed=i, source=i) for i in range(36, 40)]))


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1e4, 1e9])
def test_any_size_of_world_and_any_place_in_it_will_do(scale: float):
    points = city(3_000)
    points = dataclasses.replace(
        points, positions=(points.positions + 3.0) * scale, axes=points.axes * min(scale, 1.0)
    )
    store = stored(points, steps=2)
    assert_same_points(store.points, points)
    assert store.tile_count > 0


def test_points_without_extent_and_an_empty_batch_are_taken_as_they_are():
    points = dataclasses.replace(sheet(20, spacing=0.1, z=2.0), axes=torch.zeros(400, 2, 3))
    store = stored(points)
    store.append(points_with_room(0))
    assert_same_points(store.points, points)
    assert (store.draw(camera()).winner >= 0).sum() > 300
