"""Depth, distances and the tree, against trimesh with embree and against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from render.cameras import Cameras, intrinsics_from_fov, rays_cam, unproject
from worldgen.worlds import Scene, clearance, random_scene, random_walk_cameras, render
from worldgen.worlds._geometry import BOX, closest_hit, interval, nearest_surfaces
from worldgen.worlds.layout import random_sky
from worldgen.worlds.scene import Material, box, packed

SEEDS = (2, 4)  # a courtyard with curved things, a furnished room with windows


def box_scene(rng: np.random.Generator, *, count: int) -> Scene:
    """Turned boxes that float around the origin, none of which contains it."""
    shapes = []
    for _ in range(count):
        direction = rng.normal(size=3)
        centre = tuple((direction / np.linalg.norm(direction) * rng.uniform(2.5, 6.0)).tolist())
        half = tuple(rng.uniform(0.1, 0.9, 3).tolist())
        shapes.append(box(centre, half, Material(tile=0), yaw=float(rng.uniform(-3, 3))))
    sky, grey = random_sky(rng), ((0.3, 0.3, 0.3), (0.2, 0.2, 0.2))
    world = packed(shapes, [], sky=sky, ambient=grey, reach=1.0)
    areas = np.array([[-1.0, -1.0, 1.0, 1.0]])
    return Scene(seed=0, world=world, walk_areas=areas, walk_levels=np.zeros(1), ceiling=4.0, is_open=True)


def box_meshes(scene: Scene) -> trimesh.Trimesh:
    """The same boxes, built by somebody else."""
    meshes = []
    for row in scene.world.shapes:
        pose = trimesh.transformations.rotation_matrix(np.arctan2(row[7], row[6]), [0, 1, 0])
        pose[:3, 3] = row[:3]
        meshes.append(trimesh.creation.box(extents=2 * row[3:6], transform=pose))
    return trimesh.util.concatenate(meshes)


def tilted_cameras() -> Cameras:
    """Three cameras with unequal focal lengths, an off-centre principal point, yaw, pitch and roll."""
    c2w = torch.eye(4).repeat(3, 1, 1)
    for k, angles in enumerate(((0.3, -0.4, 0.2), (-1.2, 0.9, 0.1), (2.0, 2.4, -0.3))):
        turn = trimesh.transformations.euler_matrix(*angles)
        c2w[k, :3, :3] = torch.from_numpy(turn[:3, :3])
        c2w[k, :3, 3] = torch.tensor([0.1 * k, -0.2, 0.15 * k])
    K = intrinsics_from_fov(1.4, width=44, height=36, n=3)
    K[:, 1, 1] *= 1.15
    K[:, 0, 2] += 3.7
    K[:, 1, 2] -= 2.2
    return Cameras(c2w=c2w, K=K, width=44, height=36)


def test_depth_matches_ray_casting():
    scene, cameras = box_scene(np.random.default_rng(5), count=40), tilted_cameras()
    depth = render(scene, cameras, smooth=False).depth[..., 0].numpy()
    rays = rays_cam(cameras)
    directions = (rays @ cameras.c2w[:, None, :3, :3].mT).numpy().reshape(-1, 3)
    origins = np.repeat(cameras.origins.numpy(), depth[0].size, axis=0)
    caster = trimesh.ray.ray_pyembree.RayMeshIntersector(box_meshes(scene), scale_to_box=False)
    points, index, _ = caster.intersects_location(origins, directions, multiple_hits=False)
    expected = np.full(len(origins), np.inf)
    forwards = np.repeat(cameras.forwards.numpy(), depth[0].size, axis=0)
    expected[index] = ((points - origins[index]) * forwards[index]).sum(axis=1)
    hit, seen = np.isfinite(expected), depth.ravel() < 30.0
    # embree works in single precision and may miss a silhouette by a pixel
    assert (hit != seen).mean() < 2e-3
    both = hit & seen
    assert 0.1 < both.mean() < 0.9
    error = np.abs(expected[both] - depth.ravel()[both])
    assert np.quantile(error, 0.995) < 1e-4
    assert np.median(error) < 2e-6


@pytest.mark.parametrize("seed", SEEDS)
def test_depth_ends_on_the_nearest_surface_by_signed_distance(seed):
    scene = random_scene(seed)
    cameras = random_walk_cameras(scene, n=3, seed=1, width=40, height=30)
    frames = render(scene, cameras)
    points = unproject(frames.depth.double(), _double(cameras))
    on_dome = points.norm(dim=-1) > 59.0
    surface = clearance(scene, points[~on_dome])
    # depth is stored in single precision
    torch.testing.assert_close(surface, torch.zeros_like(surface), atol=2e-5, rtol=0)
    origins = cameras.origins.double()[:, None, None]
    for share in np.linspace(0.03, 0.97, 20):
        between = origins + share * (points - origins)
        assert (clearance(scene, between.reshape(-1, 3)) > -1e-5).all()


def _double(cameras: Cameras) -> Cameras:
    K, c2w = cameras.K.double(), cameras.c2w.double()
    return Cameras(c2w=c2w, K=K, width=cameras.width, height=cameras.height)


def test_sky_is_a_sphere_of_sixty_metres():
    scene, cameras = box_scene(np.random.default_rng(0), count=2), tilted_cameras()
    points = unproject(render(scene, cameras).depth, cameras)
    radius = points.norm(dim=-1)
    sky = radius > 30
    assert sky.float().mean() > 0.5
    torch.testing.assert_close(radius[sky], torch.full_like(radius[sky], 60.0), atol=1e-3, rtol=0)


def test_tree_finds_what_trying_every_shape_finds():
    scene, rng = random_scene(4), np.random.default_rng(3)
    w = scene.world
    for _ in range(300):
        origin = rng.uniform([-2, -2, -2], [2, -0.2, 2])
        ray = rng.normal(size=3)
        t, found = closest_hit(w.shapes, w.nodes, w.links, *origin, *ray, 100.0)
        spans = np.array([interval(w.shapes, i, *origin, *ray) for i in range(len(w.shapes))])
        near = np.where((spans[:, 0] <= spans[:, 1]) & (spans[:, 0] > 1e-9), spans[:, 0], 100.0)
        # fused multiplications may differ in the last bit where the compiler inlined
        assert t == pytest.approx(near.min(), rel=1e-12)
        assert found == -1 or near[found] == pytest.approx(t, rel=1e-12)


def test_clearance_matches_trimesh_for_boxes():
    scene, rng = box_scene(np.random.default_rng(8), count=1), np.random.default_rng(1)
    assert scene.world.shapes[0, 8] == BOX
    points = scene.world.shapes[0, :3] + rng.uniform(-1.5, 1.5, (60, 3))
    mesh = box_meshes(scene)
    _, expected, _ = trimesh.proximity.closest_point_naive(mesh, points)
    signed = np.where(mesh.contains(points), -expected, expected)
    assert (signed < 0).any()
    np.testing.assert_allclose(nearest_surfaces(scene.world.shapes, points), signed, atol=1e-6)
