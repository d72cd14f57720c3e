"""Depth maps: normals against closed forms and ray casts, and exactly the band at a step is dropped."""

import math

import pytest
import torch
from torch import Tensor

from render.cameras import Cameras, rays_cam, unproject
from render.geometry import continues_in_front, incidence, normals, off_edges, patch_axes, speckles
from tests.oracles.box_room import BoxRoom, room_cameras


def plane_depth(cameras: Cameras, normal: Tensor, distance: float) -> Tensor:
    """Z-depth of the plane ``normal @ x = distance`` of camera space, by its closed form."""
    return distance / (rays_cam(cameras) @ normal)[..., None]


def world_from_cam(cameras: Cameras, direction: Tensor) -> Tensor:
    return cameras.c2w[:, :3, :3] @ direction


def interior(image: Tensor) -> Tensor:
    return image[:, 1:-1, 1:-1]


def test_a_plane_has_one_normal_and_it_points_to_the_camera():
    cameras = room_cameras()
    towards_wall = torch.nn.functional.normalize(torch.tensor([0.3, -0.4, 1.0]), dim=0)
    found = normals(plane_depth(cameras, towards_wall, 2.0), cameras)
    expected = world_from_cam(cameras, -towards_wall)[:, None, None].expand_as(found)
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)  # differences of float32 points


def test_normals_of_a_ball_point_away_from_its_centre():
    cameras = room_cameras()
    rays, centre, radius = rays_cam(cameras), torch.tensor([0.1, -0.05, 3.0]), 1.0
    a, b, c = (rays**2).sum(-1), rays @ centre, centre @ centre - radius**2
    inside = b**2 - a * c
    depth = torch.where(inside > 0, (b - inside.clamp_min(0).sqrt()) / a, 0.0)[..., None]
    found = normals(depth, cameras)
    expected = (rays * depth - centre) / radius
    expected = expected @ cameras.c2w[:, None, :3, :3].mT
    is_flat_enough = (inside > 0.5)[..., None].expand_as(found)
    assert is_flat_enough.sum() > 600
    torch.testing.assert_close(found[is_flat_enough], expected[is_flat_enough], atol=0.02, rtol=0)


def test_normals_match_the_faces_that_rays_hit(box_room: BoxRoom):
    found = normals(box_room.frames.depth, box_room.cameras, valid=box_room.frames.valid)
    truth, depth = box_room.normals, box_room.frames.depth
    shifts = ((0, 1), (0, -1), (1, 0), (-1, 0))
    on_face = torch.ones(depth.shape[:3], dtype=torch.bool)
    for shift in shifts:
        on_face &= (torch.roll(truth, shift, (1, 2)) * truth).sum(-1) > 0.9999
    cosine = (interior(found) * interior(truth)).sum(-1)
    assert interior(on_face).float().mean() > 0.8
    assert (cosine[interior(on_face)] > 0.9999).all()


@pytest.mark.parametrize("far_side", [(slice(None), slice(30, None)), (slice(20, None), slice(None))])
@pytest.mark.parametrize("far", [0.5, 2.0])
def test_normals_at_a_step_use_their_own_side_only(far_side: tuple[slice, slice], far: float):
    cameras = room_cameras()[:1]
    depth = torch.ones(1, 44, 60, 1)
    depth[0][far_side] = far
    found = normals(depth, cameras)
    expected = world_from_cam(cameras, torch.tensor([0.0, 0.0, -1.0]))[:, None, None].expand_as(found)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_pixel_without_neighbours_has_no_normal():
    depth = torch.zeros(3, 44, 60, 1)
    depth[:, 20, 20] = 1.0
    assert (normals(depth, room_cameras()) == 0).all()


def test_an_unknown_picture_has_no_normals_and_no_trusted_depth():
    unknown = torch.zeros(3, 44, 60, 1, dtype=torch.bool)
    depth = torch.full((3, 44, 60, 1), torch.nan)
    assert (normals(depth, room_cameras(), valid=unknown) == 0).all()
    assert not off_edges(depth, unknown).any()


@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("is_row", [False, True])
def test_exactly_the_band_at_each_side_of_a_step_is_dropped(radius: int, is_row: bool):  # noqa: FBT001
    depth = torch.ones(2, 30, 31, 1)
    depth[:, :, 12:] = 1.2
    kept = torch.ones(2, 30, 31, 1, dtype=torch.bool)
    kept[:, :, 12 - radius : 12 + radius] = False
    if is_row:
        depth, kept = depth.transpose(1, 2), kept.transpose(1, 2)
    assert torch.equal(off_edges(depth, torch.ones_like(kept), radius=radius), kept)


@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_plane_slanted_by_75_degrees_is_kept(radius: int, axis: int):
    cameras = room_cameras()[:1]
    normal = torch.tensor([0.0, 0.0, math.cos(math.radians(75.0))])
    normal[axis] = math.sin(math.radians(75.0))
    nearness = (rays_cam(cameras) @ normal)[..., None]
    hit = nearness > 0.15
    depth = torch.where(hit, 1.0 / nearness.clamp_min(0.15), 0.0)
    before, middle, after = (depth.movedim(2 - axis, 0)[i : i - 4 or None] for i in (0, 2, 4))
    steps = ((after - before).abs() / middle)[(before > 0) & (after > 0)]
    assert steps.median() > 0.05  # the rule that this replaces would drop most of it
    assert torch.equal(off_edges(depth, hit, radius=radius), hit)


def test_unknown_neighbours_do_not_make_an_edge():
    valid = torch.ones(1, 20, 20, 1, dtype=torch.bool)
    valid[0, 7:9, 5:13] = False
    depth = torch.where(valid, 1.5, 0.0)
    assert torch.equal(off_edges(depth, valid), valid)


def test_incidence_is_the_cosine_of_the_angle_to_the_camera():
    cameras = room_cameras()
    points = unproject(torch.full((3, 44, 60, 1), 2.0), cameras)
    facing = world_from_cam(cameras, torch.tensor([0.0, 0.0, -1.0]))[:, None, None].expand_as(points)
    expected = 1.0 / rays_cam(cameras).norm(dim=-1, keepdim=True)
    torch.testing.assert_close(incidence(facing, points, cameras), expected, atol=1e-5, rtol=0)
    assert (incidence(torch.zeros_like(points), points, cameras) == 0).all()


def test_patches_tile_the_surface_that_pixels_cover():
    # From the middle of one side, a half-axis leads to where the ray of that side meets the surface.
    cameras = room_cameras()
    towards_wall = torch.nn.functional.normalize(torch.tensor([0.3, -0.4, 1.0]), dim=0)
    depth = plane_depth(cameras, towards_wall, 2.0)
    normal = world_from_cam(cameras, -towards_wall)[:, None, None].expand(*depth.shape[:3], 3)
    points = unproject(depth, cameras)
    axes = patch_axes(points, normal, depth, cameras)
    assert ((axes * normal[..., None, :]).sum(dim=-1).abs() < 1e-6).all()
    for k, (dv, du) in enumerate(((0, 1), (1, 0))):
        ahead = points[:, dv:, du:] - points[:, : points.shape[1] - dv, : points.shape[2] - du]
        both = axes[:, dv:, du:, k] + axes[:, : axes.shape[1] - dv, : axes.shape[2] - du, k]
        assert float((both - ahead).norm(dim=-1).amax() / ahead.norm(dim=-1).amin()) < 0.05


def test_a_patch_without_a_normal_faces_its_camera_and_no_patch_is_endless():
    cameras = room_cameras()
    depth = torch.full((3, cameras.height, cameras.width, 1), 2.0)
    points = unproject(depth, cameras)
    rays = torch.nn.functional.normalize(points - cameras.origins[:, None, None], dim=-1)
    axes = patch_axes(points, torch.zeros_like(points), depth, cameras)
    assert ((axes * rays[..., None, :]).sum(dim=-1).abs() < 1e-6).all()
    across = torch.nn.functional.normalize(torch.linalg.cross(rays, rays.roll(1, dims=-1)), dim=-1)
    pixel = 1.0 / float(cameras.K[0, :2, :2].diagonal().min())
    assert patch_axes(points, across, depth, cameras).norm(dim=-1).max() < pixel / 0.1


def test_the_rim_of_what_is_in_front_continues_and_nothing_else_does():
    depth = torch.full((1, 9, 12, 1), 2.0)
    depth[:, :, 6:] = 3.0
    depth[:, 4, 6] = 2.5  # floats between the two
    valid = torch.ones_like(depth, dtype=torch.bool)
    smooth = off_edges(depth, valid, radius=1)
    rim = continues_in_front(depth, smooth, radius=1) & ~smooth
    assert rim[0, :, 5, 0].all()
    assert not rim[0, :, 6:].any()
    flat = torch.full_like(depth, 2.0)
    assert not continues_in_front(flat, valid, radius=1).any()


def test_speckles_are_single_pixels_and_neither_slants_nor_steps():
    depth = torch.linspace(1.0, 2.0, 20)[None, None, :, None].expand(1, 20, 20, 1).clone()
    depth[:, 10:] *= 3.0
    valid = torch.ones_like(depth, dtype=torch.bool)
    assert not speckles(depth, valid).any()
    depth[0, 4, 4], depth[0, 15, 7] = 9.0, 0.3
    found = speckles(depth, valid)
    assert found[..., 0].nonzero().tolist() == [[0, 4, 4], [0, 15, 7]]
    valid[0, 4, 4] = False
    assert found.sum() - speckles(depth, valid).sum() == 1
