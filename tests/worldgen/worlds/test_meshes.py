"""Triangles: exact against another ray caster, textures in perspective, light where it belongs."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
import trimesh
from trimesh.ray.ray_pyembree import RayMeshIntersector

from render.cameras import Cameras, intrinsics_from_fov
from worldgen.worlds._geometry import build_tree
from worldgen.worlds._mesh import MeshWorld, nearest_triangles, probe_triangles
from worldgen.worlds._mesh_raster import draw_mesh_rows, smooth_mesh_rows
from worldgen.worlds._mesh_shade import mesh_light
from worldgen.worlds.houses import plain_world, without
from worldgen.worlds.layout import STORED
from worldgen.worlds.mesh_files import Look, Model, Source, lattice_of, packed, surfaces, unfolded, unpacked
from worldgen.worlds.paths import Stance
from worldgen.worlds.renderer import camera_rows
from worldgen.worlds.textures import film_curve

SIDE = 64


def ramp() -> np.ndarray:
    """A tile that is red as far as it is to the right, and green as far as it is down."""
    at = np.round((np.arange(SIDE) + 0.5) / SIDE * 255.0).astype(np.uint8)
    return np.stack(np.broadcast_arrays(at[None, :], at[:, None], np.uint8(128)), axis=-1)


def model_of(points: np.ndarray, uvs: np.ndarray, *, parts: int = 1) -> Model:
    """Triangles (t 3 3) with texture coordinates (t 3 2), light from above, one material."""
    count = len(points)
    bounds = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    _, links, order = build_tree(bounds)
    flat, uv = points[order].reshape(-1, 3), uvs[order].reshape(-1, 2)
    low, uv_low = flat.min(axis=0), uv.min(axis=0)
    step = np.maximum(flat.max(axis=0) - low, 1e-6) / 65535.0
    uv_step = np.maximum(uv.max(axis=0) - uv_low, 1e-6) / 65535.0
    model = Model(
        low=low,
        step=step,
        places=np.round((flat - low) / step).astype(np.uint16),
        uv_low=uv_low,
        uv_step=uv_step,
        uvs=np.round((uv - uv_low) / uv_step).astype(np.uint16),
        facing=np.full(len(flat), 13, np.uint8),
        triangles=np.arange(3 * count, dtype=np.int32).reshape(-1, 3),
        looks=np.zeros(count, np.uint8),
        pieces=np.arange(count).astype(np.uint8),
        parts=np.full(count, parts, np.uint8),
        sizes=(links[:, 0] - np.arange(len(links))).astype(np.int32),
        light=np.zeros((1, 0), np.uint8),
        gains=np.ones(1),
        bare_points=np.zeros(0, np.int32),
        bare_light=np.zeros((1, 0), np.uint8),
        bare_owners=np.zeros(0, np.uint8),
        areas=np.array([[-1.0, -1.0, 1.0, 1.0]]),
        ceiling=2.5,
        is_open=False,
        sources=(Source(kind="lamp", at=(0.0, -2.0, 0.0)),),
        materials=(Look(tile=(0, 0, SIDE)),),
        loose=(0,),
        atlas=ramp(),
    )
    rows = int(unfolded(model).light_rows.max()) + 1
    return dataclasses.replace(model, light=np.full((1, rows), 255, np.uint8))


def slanted_wall() -> tuple[np.ndarray, np.ndarray]:
    """A wall in two triangles, seen at a slant: one end is four times as far away as the other."""
    a, b, c, d = np.array([[-1.0, -1.0, 1.0], [2.0, -1.2, 4.0], [2.0, 1.2, 4.0], [-1.0, 1.0, 1.0]])
    ua, ub, uc, ud = np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
    return np.array([[a, b, c], [a, c, d]]), np.array([[ua, ub, uc], [ua, uc, ud]])


def shuffled_triangles(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.uniform(-3.0, 3.0, (count, 1, 3)) + rng.normal(0.0, 0.5, (count, 3, 3))


def looking(*, yaw: float, pitch: float, at: tuple[float, float, float], fov: float = 1.4) -> Cameras:
    """A camera with unequal focal lengths and an off-centre principal point."""
    c2w = Stance(at=np.array(at), yaw=yaw, pitch=pitch, roll=0.1).c2w().astype(np.float32)
    K = intrinsics_from_fov(fov, width=48, height=36, n=1).clone()
    K[:, 1, 1] *= 1.1
    K[:, 0, 2] += 2.3
    return Cameras(c2w=torch.from_numpy(c2w)[None], K=K, width=48, height=36)


def drawn(
    world: MeshWorld, cameras: Cameras, *, smooth: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth, triangles and colour of one picture."""
    shape, row = (cameras.height, cameras.width), camera_rows(cameras)[0]
    depth, ids, rgb = (
        np.empty(shape, np.float32),
        np.empty(shape, np.int32),
        np.empty((*shape, 3), np.float32),
    )
    draw_mesh_rows(world, row, 0, cameras.height, depth, ids, rgb)
    if smooth:
        smooth_mesh_rows(world, row, 0, cameras.height, ids, rgb)
    return depth, ids, rgb


def pixel_rays(cameras: Cameras) -> np.ndarray:
    """World rays through pixel centres with z-depth 1 (h w 3), by plain numpy."""
    K, c2w = cameras.K[0].double().numpy(), cameras.c2w[0].double().numpy()
    x, y = np.meshgrid(np.arange(cameras.width) + 0.5, np.arange(cameras.height) + 0.5)
    rays = np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones_like(x)], axis=-1)
    return rays @ c2w[:3, :3].T


@pytest.mark.parametrize("name", STORED)
def test_depth_of_stored_places_is_that_of_another_ray_caster(name: str):
    found = surfaces(name)
    world = plain_world(found)
    mesh = trimesh.Trimesh(
        found.corners.reshape(-1, 3), np.arange(3 * len(found.corners)).reshape(-1, 3), process=False
    )
    caster = RayMeshIntersector(mesh)
    rng = np.random.default_rng(0)
    differing = total = 0
    for area in found.model.areas[:4]:
        at = tuple(float(v) for v in (area[:2] + rng.uniform(0.3, 0.7, 2) * (area[2:] - area[:2])))
        cameras = looking(yaw=rng.uniform(-3, 3), pitch=rng.uniform(-0.4, 0.4), at=(at[0], -1.4, at[1]))
        depth, ids, _ = drawn(world, cameras)
        rays = pixel_rays(cameras).reshape(-1, 3)
        origins = np.broadcast_to(cameras.c2w[0, :3, 3].double().numpy(), rays.shape)
        faces = caster.intersects_first(origins, rays)
        a, b, c = (found.corners.astype(np.float64)[faces, k] for k in range(3))
        normals = np.cross(b - a, c - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = ((a - origins) * normals).sum(axis=1) / (rays * normals).sum(axis=1)
        same_void = (faces < 0) == (ids.ravel() < 0)
        close = np.where(faces < 0, same_void, np.abs(depth.ravel() - expected) < 1e-4)
        differing, total = differing + int((~close).sum()), total + close.size
    # embree works in single precision: it decides otherwise about a few rays along silhouettes
    assert differing <= 0.001 * total


def test_pictures_and_rays_agree_on_random_triangles():
    points = shuffled_triangles(np.random.default_rng(1), 300)
    world = plain_world(unfolded(model_of(points, np.zeros((300, 3, 2)))))
    for yaw in (0.3, 2.0, -1.7):
        cameras = looking(yaw=yaw, pitch=0.2, at=(0.4, -0.3, 0.1))
        depth, ids, _ = drawn(world, cameras)
        rays = pixel_rays(cameras).reshape(-1, 3)
        length = np.linalg.norm(rays, axis=1)
        origins = np.broadcast_to(cameras.c2w[0, :3, 3].double().numpy(), rays.shape).copy()
        distance, met = probe_triangles(world, origins, rays / length[:, None])
        np.testing.assert_allclose(depth.ravel(), distance / length, rtol=1e-5)
        np.testing.assert_array_equal(ids.ravel(), met)
        assert len(np.unique(met)) > 10


def test_rays_and_distances_are_those_of_trying_every_triangle():
    rng = np.random.default_rng(2)
    points = shuffled_triangles(rng, 200)
    found = unfolded(model_of(points, np.zeros((200, 3, 2))))
    world = plain_world(found)
    everything = without(world, world.looks[:, 1] < 40)
    assert len(everything.corners) == 160
    for one in (world, everything):
        places = rng.uniform(-4.0, 4.0, (60, 3))
        corners = one.corners.astype(np.float64)
        slow = [
            np.linalg.norm(
                trimesh.triangles.closest_point(corners, np.tile(p, (len(corners), 1))) - p, axis=1
            ).min()
            for p in places
        ]
        np.testing.assert_allclose(
            nearest_triangles(one.corners, one.nodes, one.links, places), slow, atol=1e-9
        )
        rays = rng.normal(size=(60, 3))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        distance, ids = probe_triangles(one, places, rays)
        for p, d, t, i in zip(places, rays, distance, ids, strict=True):
            a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
            with np.errstate(all="ignore"):
                solved = np.linalg.solve(
                    np.stack([a - c, b - c, np.broadcast_to(-d, a.shape)], axis=2), (p - c)[..., None]
                )[..., 0]
            inside = (solved[:, :2] >= 0).all(axis=1) & (solved[:, :2].sum(axis=1) <= 1) & (solved[:, 2] > 0)
            if inside.any():
                assert t == pytest.approx(solved[inside, 2].min(), abs=1e-7)
            else:
                assert i == -1


def test_textures_are_in_perspective():
    """Against the plane's own equation, pixel by pixel: on a ramp, filters change nothing."""
    points, uvs = slanted_wall()
    world = plain_world(unfolded(model_of(points, uvs)))
    ramp_world = world._replace(texels=np.round(linear_ramp() * 65535.0).astype(np.uint16))
    cameras = looking(yaw=0.5, pitch=0.0, at=(0.0, 0.0, 0.0))
    _, ids, rgb = drawn(ramp_world, cameras)
    rays = pixel_rays(cameras)
    checked = 0
    for y, x in np.argwhere(ids >= 0):
        t = ids[y, x]
        corners, uv = world.corners[t].astype(np.float64), world.uvs[t].astype(np.float64)
        b = np.linalg.solve(corners.T, rays[y, x])  # the ray is a mix of the corners; scale cancels
        expected = (b / b.sum()) @ uv
        np.testing.assert_allclose(rgb[y, x, :2], film_curve(expected), atol=4e-3)
        checked += 1
    assert checked > 400


def linear_ramp() -> np.ndarray:
    """Texels of the ramp in linear light with its halvings, which are ramps too."""
    levels, side = [], SIDE
    while side >= 1:
        at = (np.arange(side) + 0.5) / side
        levels.append(np.stack(np.broadcast_arrays(at[None, :], at[:, None], 0.5), axis=-1).reshape(-1, 3))
        side //= 2
    return np.concatenate(levels)


def test_far_textures_are_filtered():
    """A fine chequerboard far away is grey, from the front and at a slant; near by it is not."""
    points, uvs = slanted_wall()
    world = plain_world(unfolded(model_of(points, 60.0 * uvs)))
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    board = np.where((x + y) % 2, 65535, 0).astype(np.uint16)[..., None].repeat(3, axis=2)
    board = np.concatenate(
        [board.reshape(-1, 3), np.full((len(linear_ramp()) - SIDE * SIDE, 3), 32767, np.uint16)]
    )
    _, ids, rgb = drawn(world._replace(texels=board), looking(yaw=0.5, pitch=0.0, at=(0.0, 0.0, 0.0)))
    assert rgb[ids >= 0].std() < 0.01
    near = plain_world(unfolded(model_of(points, 0.3 * uvs)))
    _, ids, rgb = drawn(near._replace(texels=board), looking(yaw=0.5, pitch=0.0, at=(0.0, 0.0, 0.0)))
    assert rgb[ids >= 0].std() > 0.05


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_light_is_linear_between_its_points(parts: int):
    points, uvs = slanted_wall()
    found = unfolded(model_of(points, uvs, parts=parts))
    light = np.zeros((int(found.light_rows.max()) + 1, 3), np.float32)
    for t in range(2):
        rows = found.light_rows[found.lattices[t, 1] :][: (parts + 1) * (parts + 2) // 2]
        light[rows] = 0.5 + 0.1 * (lattice_of(parts) @ found.corners[t])
    white = np.full((len(linear_ramp()), 3), 65535, np.uint16)
    world = plain_world(found)._replace(light=light, texels=white)
    rays = pixel_rays(looking(yaw=0.5, pitch=0.0, at=(0.0, 0.0, 0.0))).reshape(-1, 3)
    rays = np.ascontiguousarray((rays / np.linalg.norm(rays, axis=1, keepdims=True)).T)
    distance, ids = probe_triangles(world, np.zeros((rays.shape[1], 3)), np.ascontiguousarray(rays.T))
    seen = np.empty((rays.shape[1], 3))
    mesh_light(world, (0.0, 0.0, 0.0), rays, distance, ids, 0.01, seen)
    on_wall = ids >= 0
    assert on_wall.sum() > 400
    np.testing.assert_allclose(seen[on_wall], 0.5 + 0.1 * (distance * rays).T[on_wall], atol=1e-4)


def test_lattices_that_meet_share_their_light():
    points, uvs = slanted_wall()
    found = unfolded(model_of(points, uvs, parts=4))
    assert len(found.light_rows) == 2 * 15
    assert found.light_rows.max() + 1 == 25  # five points of the diagonal are on both


def test_edges_are_smoothed_and_the_rest_is_not():
    points, uvs = slanted_wall()
    world = plain_world(unfolded(model_of(points, np.zeros_like(uvs))))
    cameras = looking(yaw=0.5, pitch=0.0, at=(0.0, 0.0, 0.0), fov=2.0)
    _, ids, plain = drawn(world, cameras)
    _, _, smooth = drawn(world, cameras, smooth=True)
    changed = (plain != smooth).any(axis=-1)
    seen = ids >= 0
    border = np.zeros_like(seen)
    for axis in (0, 1):
        differ = np.diff(seen.astype(int), axis=axis) != 0
        border |= np.pad(differ, [(1, 0) if k == axis else (0, 0) for k in (0, 1)])
        border |= np.pad(differ, [(0, 1) if k == axis else (0, 0) for k in (0, 1)])
    assert changed.sum() > 20
    assert not (changed & ~border).any()


def test_files_keep_models_exactly():
    points = shuffled_triangles(np.random.default_rng(3), 50)
    model = model_of(points, np.random.default_rng(4).uniform(-2.0, 3.0, (50, 3, 2)), parts=3)
    found = unpacked(packed(model, quality=100))
    for field in dataclasses.fields(Model):
        before, after = getattr(model, field.name), getattr(found, field.name)
        if field.name == "atlas":
            assert np.abs(before.astype(int) - after.astype(int)).mean() < 4.0
        elif isinstance(before, np.ndarray):
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after)
        else:
            assert before == after


@pytest.mark.parametrize(("name", "open_share"), [("warehouse", 0.0), ("flat", 0.05)])
def test_a_closed_place_has_no_gaps(name: str, open_share: float):
    """No ray from anywhere finds its way out between triangles, only through windows where there are any."""
    world, rng = plain_world(surfaces(name)), np.random.default_rng(5)
    areas = surfaces(name).model.areas
    rows = areas[rng.integers(len(areas), size=20_000)]
    ground = rows[:, :2] + rng.random((len(rows), 2)) * (rows[:, 2:] - rows[:, :2])
    origins = np.stack([ground[:, 0], np.full(len(rows), -1.5), ground[:, 1]], axis=1)
    rays = rng.normal(size=(len(rows), 3))
    _, ids = probe_triangles(world, origins, rays / np.linalg.norm(rays, axis=1, keepdims=True))
    assert (ids < 0).mean() <= open_share


def test_shipped_light_is_sound():
    for name in STORED:
        found = surfaces(name)
        model = found.model
        assert model.light.shape == (len(model.sources), int(found.light_rows.max()) + 1)
        assert np.isfinite(found.light).all()
        assert found.light.min() >= 0.0
        # what no light reaches is outside, or inside of things
        assert found.light.max(axis=1) == pytest.approx(model.gains, rel=1e-6)
        assert (found.light.sum(axis=0) > 0.0).mean() > 0.7
        for source, gain in zip(model.sources, model.gains, strict=True):
            if source.kind != "lamp":
                assert (
                    gain < 1.6
                )  # units of albedo: what a sky of 1, or a sun of 1, can bring, and its bounces
                assert math.hypot(*source.at) == pytest.approx(1.0, abs=1e-6)
