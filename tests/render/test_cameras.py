"""Cameras against ray casts, gsplat's projection and closed forms."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from render.cameras import (
    Cameras,
    checked,
    concatenated,
    intrinsics_from_fov,
    pixel_centres,
    project,
    rays_cam,
    resized,
    rows_of,
    unproject,
)
from render.gaussians import Gaussians
from tests.oracles import gsplat_reference
from tests.oracles.box_room import BoxRoom


def test_unproject_matches_ray_casting(box_room: BoxRoom):
    points = unproject(box_room.frames.depth, box_room.cameras)
    torch.testing.assert_close(points, box_room.points, atol=1e-5, rtol=0)  # float32 at 5 units


def test_project_takes_ray_cast_points_to_pixel_centres(box_room: BoxRoom):
    for i in range(len(box_room.cameras)):
        uv, depth = project(box_room.points[i].reshape(-1, 3), box_room.cameras)
        expected = pixel_centres(box_room.cameras)[..., :2].reshape(-1, 2)
        torch.testing.assert_close(uv[i], expected, atol=1e-4, rtol=0)  # float32 at 60 pixels
        torch.testing.assert_close(depth[i], box_room.frames.depth[i].reshape(-1, 1), atol=1e-5, rtol=0)


def test_project_matches_gsplat(box_room: BoxRoom):
    points = box_room.points[0].reshape(-1, 3)[::29]
    g = len(points)
    gaussians = Gaussians(
        means=points,
        quats=torch.tensor([1.0, 0, 0, 0]).repeat(g, 1),
        log_scales=torch.zeros(g, 3),
        logit_opacities=torch.zeros(g),
        sh=torch.zeros(g, 1, 3),
    )
    expected_uv, expected_depth, _ = gsplat_reference.projected(gaussians, box_room.cameras)
    uv, depth = project(points, box_room.cameras)
    torch.testing.assert_close(depth[..., 0], expected_depth, atol=1e-5, rtol=0)
    torch.testing.assert_close(uv, expected_uv, atol=1e-3, rtol=1e-5)  # far outside a picture: 1e3 pixels


def test_points_behind_a_camera_have_no_positive_depth(box_room: BoxRoom):
    cameras = box_room.cameras
    behind = cameras.origins - 0.7 * cameras.forwards
    _, depth = project(behind, cameras)
    torch.testing.assert_close(depth[..., 0].diagonal(), torch.full((3,), -0.7), atol=1e-5, rtol=0)


def test_w2c_is_the_inverse_of_c2w(box_room: BoxRoom):
    torch.testing.assert_close(
        box_room.cameras.w2c, torch.linalg.inv(box_room.cameras.c2w), atol=1e-6, rtol=0
    )


def test_moving_the_cameras_moves_what_they_unproject(box_room: BoxRoom):
    cameras, depth = box_room.cameras, box_room.frames.depth
    b_from_a = torch.eye(4)
    b_from_a[:3, :3] = torch.from_numpy(Rotation.from_rotvec((0.3, -1.1, 0.4)).as_matrix())
    b_from_a[:3, 3] = torch.tensor([2.0, -1.0, 0.5])
    there = unproject(depth, dataclasses.replace(cameras, c2w=b_from_a @ cameras.c2w))
    here = unproject(depth, cameras) @ b_from_a[:3, :3].mT + b_from_a[:3, 3]
    torch.testing.assert_close(there, here, atol=1e-5, rtol=0)


def test_rays_through_opposite_edges_span_the_field_of_view():
    fov = math.radians(70.0)
    K = intrinsics_from_fov(fov, width=96, height=40, n=2)
    left, right = (-K[:, 0, 2] / K[:, 0, 0]).atan(), ((96 - K[:, 0, 2]) / K[:, 0, 0]).atan()
    torch.testing.assert_close(right - left, torch.full((2,), fov))
    assert torch.equal(K[:, 0, 0], K[:, 1, 1])


@pytest.mark.parametrize("fov", [0.0, -1.0, math.pi, 4.0])
def test_impossible_fields_of_view_are_refused(fov: float):
    with pytest.raises(ValueError, match="field of view"):
        intrinsics_from_fov(fov, width=8, height=8)


def test_a_pixel_of_half_resolution_looks_between_the_four_it_replaces(box_room: BoxRoom):
    cameras = box_room.cameras
    half = resized(cameras, width=30, height=22)
    fine = rays_cam(cameras).unflatten(1, (22, 2)).unflatten(3, (30, 2)).mean(dim=(2, 4))
    torch.testing.assert_close(rays_cam(half), fine, atol=1e-6, rtol=0)


def test_rows_of_a_picture_have_the_rays_of_the_whole(box_room: BoxRoom):
    cameras = box_room.cameras
    torch.testing.assert_close(
        rays_cam(rows_of(cameras, 7, height=12)), rays_cam(cameras)[:, 7:19], atol=1e-6, rtol=0
    )


def test_parts_of_a_batch_join_again(box_room: BoxRoom):
    joined = concatenated([box_room.cameras[:1], box_room.cameras[[1, 2]]])
    assert torch.equal(joined.c2w, box_room.cameras.c2w)
    assert torch.equal(joined.K, box_room.cameras.K)
    assert len(joined) == 3


def test_cameras_of_two_sizes_do_not_join(box_room: BoxRoom):
    with pytest.raises(ValueError, match="one image size"):
        concatenated([box_room.cameras, resized(box_room.cameras, width=30, height=22)])


@given(st.tuples(*[st.floats(-4.0, 4.0)] * 3))
def test_every_rotation_is_accepted(rotation_vector: tuple[float, float, float]):
    c2w = torch.eye(4)[None]
    c2w[0, :3, :3] = torch.from_numpy(Rotation.from_rotvec(rotation_vector).as_matrix())
    cameras = Cameras(c2w=c2w, K=intrinsics_from_fov(1.0, width=20, height=10), width=20, height=10)
    assert checked(cameras) is cameras


def _with(box_room: BoxRoom, name: str, index: tuple, value: float) -> Cameras:
    changed = getattr(box_room.cameras, name).clone()
    changed[index] = value
    return dataclasses.replace(box_room.cameras, **{name: changed})


@pytest.mark.parametrize(
    ("name", "index", "value", "complaint"),
    [
        ("c2w", (1, 0, 3), math.nan, "NaN or infinite"),
        ("K", (0, 0, 0), math.inf, "NaN or infinite"),
        ("c2w", (2, 1, 1), 0.5, "rigid"),
        ("c2w", (0, 3, 0), 0.1, "rigid"),
        ("K", (1, 1, 1), -47.0, "positive"),
        ("K", (0, 0, 1), 0.2, "skew"),
    ],
)
def test_unusable_cameras_are_refused(
    box_room: BoxRoom, name: str, index: tuple, value: float, complaint: str
):
    with pytest.raises(ValueError, match=complaint):
        checked(_with(box_room, name, index, value))


def test_mirrored_cameras_are_refused(box_room: BoxRoom):
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="rigid"):
        checked(dataclasses.replace(box_room.cameras, c2w=box_room.cameras.c2w @ mirror))


def test_normalised_intrinsics_are_refused(box_room: BoxRoom):
    K = box_room.cameras.K / torch.tensor([60.0, 44.0, 1.0])[:, None]
    with pytest.raises(ValueError, match="normalised"):
        checked(dataclasses.replace(box_room.cameras, K=K))
