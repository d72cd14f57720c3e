"""Our cameras and viser's poses, against scipy's rotations and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from render.cameras import Cameras, project
from viewer.conventions import (
    ViserPose,
    between,
    camera_from_pose,
    cameras_ahead,
    poses_from_cameras,
    up_of,
)

WORLD_UP = torch.tensor([0.0, -1.0, 0.0])


def tilted(n: int = 4) -> Cameras:
    """Yawed, pitched and rolled cameras; fx differs from fy, the principal point is off centre."""
    turns = Rotation.from_euler(
        "YXZ", [[31 + 40 * i, -17 + 9 * i, 12 - 11 * i] for i in range(n)], degrees=True
    )
    c2w = torch.eye(4).repeat(n, 1, 1)
    c2w[:, :3, :3] = torch.from_numpy(turns.as_matrix())
    c2w[:, :3, 3] = torch.tensor([[0.3 * i, -1.0, 2.0 + i] for i in range(n)])
    K = torch.tensor([[80.0, 0, 50.0], [0, 95.0, 41.0], [0, 0, 1]]).repeat(n, 1, 1)
    return Cameras(c2w=c2w, K=K, width=96, height=64)


def test_quaternions_are_scipys_and_positions_are_kept():
    cameras = tilted()
    for pose, c2w in zip(poses_from_cameras(cameras), cameras.c2w.double().numpy(), strict=True):
        expected = Rotation.from_matrix(c2w[:3, :3]).as_quat(scalar_first=True)
        assert abs(pose.wxyz @ expected) == pytest.approx(1.0, abs=1e-6)  # q and -q are one rotation
        np.testing.assert_array_equal(pose.position, c2w[:3, 3])


def test_viser_looks_where_the_camera_looked():
    cameras = tilted()
    for i, pose in enumerate(poses_from_cameras(cameras)):
        uv, depth = project(torch.from_numpy(pose.look_at(2.5)).float()[None], cameras)
        torch.testing.assert_close(depth[i, 0, 0], torch.tensor(2.5))
        torch.testing.assert_close(uv[i, 0], torch.tensor([50.0, 41.0]), atol=1e-3, rtol=0)


def test_fov_is_vertical_and_in_radians():
    pose = poses_from_cameras(tilted())[0]
    assert pose.fov == pytest.approx(2 * math.atan(32 / 95.0))
    assert pose.aspect == pytest.approx((96 / 80.0) / (64 / 95.0))


def test_a_pose_and_a_camera_round_trip():
    turn = Rotation.from_euler("YXZ", [200, 20, -8], degrees=True)
    pose = ViserPose(
        wxyz=turn.as_quat(scalar_first=True), position=np.array([1.0, -2.0, 0.5]), fov=0.9, aspect=1.5
    )
    camera = camera_from_pose(pose, width=96, height=64)
    np.testing.assert_allclose(camera.c2w[0, :3, :3], turn.as_matrix(), atol=1e-6)
    back = poses_from_cameras(camera)[0]
    assert abs(back.wxyz @ pose.wxyz) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(back.position, pose.position, atol=1e-6)
    assert back.fov == pytest.approx(0.9, abs=1e-6)
    assert back.aspect == pytest.approx(96 / 64, abs=1e-6)


def test_the_top_and_bottom_of_the_window_are_the_edges_of_the_picture():
    pose = ViserPose(wxyz=np.array([1.0, 0, 0, 0]), position=np.zeros(3), fov=0.9, aspect=1.0)
    camera = camera_from_pose(pose, width=96, height=64)
    edges = torch.tensor([[0.0, -math.tan(0.45), 1.0], [0.0, math.tan(0.45), 1.0]])
    uv, _ = project(edges, camera)
    torch.testing.assert_close(uv[0], torch.tensor([[48.0, 0.0], [48.0, 64.0]]), atol=1e-4, rtol=0)


def test_growing_ahead_walks_along_the_view():
    here = tilted()[2:3]
    ahead = cameras_ahead(here, n=5, step=0.25)
    assert len(ahead) == 5
    uv, depth = project(ahead.origins, here)
    torch.testing.assert_close(depth[0, :, 0], 0.25 * torch.arange(1.0, 6.0))
    torch.testing.assert_close(uv[0], torch.tensor([50.0, 41.0]).expand(5, 2), atol=1e-3, rtol=0)
    torch.testing.assert_close(ahead.c2w[:, :3, :3], here.c2w[:, :3, :3].expand(5, 3, 3))


@pytest.mark.parametrize("index", range(4))
def test_up_gives_a_look_at_camera_the_roll_of_the_pose(index: int):
    pose = poses_from_cameras(tilted())[index]
    forward, up = pose.rotation[:, 2], up_of(pose, WORLD_UP)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    np.testing.assert_allclose(right, pose.rotation[:, 0], atol=1e-6)


def test_up_of_a_level_camera_is_the_worlds():
    turn = Rotation.from_euler("YX", [70, 25], degrees=True)
    pose = ViserPose(wxyz=turn.as_quat(scalar_first=True), position=np.zeros(3), fov=1.0, aspect=1.0)
    np.testing.assert_allclose(up_of(pose, 3.0 * WORLD_UP), [0, -1, 0], atol=1e-6)


def test_up_of_a_camera_that_looks_straight_down_is_its_own():
    turn = Rotation.from_euler("X", -90, degrees=True)
    pose = ViserPose(wxyz=turn.as_quat(scalar_first=True), position=np.zeros(3), fov=1.0, aspect=1.0)
    np.testing.assert_allclose(pose.rotation[:, 2], [0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(up_of(pose, WORLD_UP), -pose.rotation[:, 1], atol=1e-9)


def test_a_flight_turns_like_scipys_slerp():
    a, b = poses_from_cameras(tilted())[:2]
    ends = Rotation.from_matrix(np.stack([a.rotation, b.rotation]))
    for share in (0.0, 0.3, 1.0):
        pose = between(a, b, share=share)
        np.testing.assert_allclose(pose.rotation, Slerp([0, 1], ends)(share).as_matrix(), atol=1e-6)
        np.testing.assert_allclose(pose.position, a.position + share * (b.position - a.position))
