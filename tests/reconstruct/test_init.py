"""First splats against closed forms: a slanted plane, a wavy surface, and the pictures they came from."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from memory.points import Points
from reconstruct.init import gaussians_from_frames, gaussians_from_points, quats_from_normals
from render.cameras import Cameras, rays_cam, resized, unproject
from render.frames import Frames, moved
from render.gaussians import Gaussians
from render.geometry import patch_axes
from render.splats import render_splats

NORMAL = torch.nn.functional.normalize(torch.tensor([0.35, -0.2, -0.8]), dim=0)
"""Of the slanted plane, in camera axes; it leans 27 degrees away from the middle of the picture."""


def make_cameras() -> Cameras:
    """One camera with nothing symmetric about it."""
    c2w = torch.eye(4)
    c2w[:3, :3] = torch.from_numpy(Rotation.from_euler("yxz", [0.7, -0.3, 0.1]).as_matrix())
    c2w[:3, 3] = torch.tensor([0.4, -1.3, 2.2])
    K = torch.tensor([[90.0, 0.0, 50.0], [0.0, 84.0, 33.0], [0.0, 0.0, 1.0]])
    return Cameras(c2w=c2w[None], K=K[None], width=96, height=72)


def plane_depth(cameras: Cameras) -> Float[Tensor, "n h w 1"]:
    """Ray meets plane, two units ahead."""
    return -2.0 / (rays_cam(cameras) @ NORMAL)[..., None] * -NORMAL[2]


def wavy_depth(cameras: Cameras) -> Float[Tensor, "n h w 1"]:
    """A rolling surface seen as a height field over the picture."""
    x, y = rays_cam(cameras)[..., :1], rays_cam(cameras)[..., 1:2]
    return 2.0 + 0.25 * torch.sin(4.0 * x) + 0.2 * torch.cos(5.0 * y + 1.0)


def make_frames(depth: Float[Tensor, "n h w 1"], cameras: Cameras) -> Frames:
    """A smooth texture on a surface, 15 to 30 pixels a wave."""
    at = unproject(depth, cameras)
    waves = [torch.sin(9.0 * at @ torch.tensor(axis)) for axis in ([1.0, 0, 0], [0, 1.0, 0.2], [0.6, 0, 0.8])]
    return Frames(
        rgb=0.5 + 0.4 * torch.stack(waves, dim=-1),
        depth=depth,
        valid=torch.ones_like(depth, dtype=torch.bool),
        confidence=torch.ones_like(depth),
        cameras=cameras,
    )


def plane_points(frames: Frames) -> Points:
    """What a world cache would hold of the slanted plane, with the exact normal."""
    at = unproject(frames.depth, frames.cameras).reshape(-1, 3)
    normals = (frames.cameras.c2w[0, :3, :3] @ NORMAL).expand(*frames.depth.shape[:3], 3)
    return Points(
        positions=at,
        rgb=frames.rgb.reshape(-1, 3),
        normals=normals.reshape(-1, 3),
        confidence=frames.confidence.reshape(-1),
        axes=patch_axes(
            unproject(frames.depth, frames.cameras), normals, frames.depth, frames.cameras
        ).reshape(-1, 2, 3),
        source=torch.zeros(len(at), dtype=torch.int64),
    )


def axes(gaussians: Gaussians) -> Float[Tensor, "g 3 3"]:
    """Columns are the axes of each splat, by way of scipy."""
    return torch.from_numpy(
        Rotation.from_quat(gaussians.quats.numpy(), scalar_first=True).as_matrix()
    ).float()


def covariances(gaussians: Gaussians) -> Float[Tensor, "g 3 3"]:
    scaled = axes(gaussians) * gaussians.scales[:, None]
    return scaled @ scaled.mT


def degrees_between(a: Tensor, b: Tensor) -> Tensor:
    return torch.rad2deg(torch.atan2(torch.linalg.cross(a, b.expand_as(a)).norm(dim=-1), (a * b).sum(dim=-1)))


def picture_quality(gaussians: Gaussians, frames: Frames) -> tuple[float, float]:
    """PSNR against the source picture in decibels, and mean alpha."""
    image = render_splats(gaussians, frames.cameras, threads=1)
    error = float((image.rgb - frames.rgb).square().mean())
    return -10.0 * math.log10(error), float(image.alpha.mean())


@pytest.mark.parametrize("depth", [plane_depth, wavy_depth])
def test_the_source_camera_sees_its_picture_again(depth):
    frames = make_frames(depth(make_cameras()), make_cameras())
    psnr, alpha = picture_quality(gaussians_from_frames(frames), frames)
    assert psnr > 25.0
    assert alpha > 0.95


def test_points_show_the_picture_they_came_from():
    frames = make_frames(plane_depth(make_cameras()), make_cameras())
    psnr, alpha = picture_quality(gaussians_from_points(plane_points(frames)), frames)
    assert psnr > 25.0
    assert alpha > 0.95


def test_splats_lie_in_the_plane_and_cover_what_their_pixels_cover():
    frames = make_frames(plane_depth(make_cameras()), make_cameras())
    points, gaussians = plane_points(frames), gaussians_from_frames(frames)
    splat_axes = axes(gaussians)
    assert degrees_between(splat_axes[..., 2], points.normals).max() < 5.0
    in_plane = 1.44 * points.axes.mT @ points.axes  # a standard deviation of 0.6 pixels, two half-axes each
    thin = (0.1 * gaussians.scales[:, 1]).square()[:, None, None]
    expected = in_plane + thin * points.normals[:, :, None] * points.normals[:, None]
    torch.testing.assert_close(covariances(gaussians), expected, rtol=0, atol=0.02 * float(expected.amax()))
    assert (gaussians.scales[:, 0] > 1.2 * gaussians.scales[:, 1]).float().mean() > 0.3


def test_points_become_splats_of_their_colour_and_trust():
    frames = make_frames(plane_depth(make_cameras()), make_cameras())
    points = plane_points(frames)[:400]
    points = dataclasses.replace(points, confidence=torch.linspace(0.01, 1.0, 400))
    gaussians = gaussians_from_points(points)
    assert degrees_between(axes(gaussians)[..., 2], points.normals).max() < 0.1
    torch.testing.assert_close(gaussians.opacities, 0.8 + 0.1 * points.confidence)
    torch.testing.assert_close(gaussians.base_rgb, points.rgb)
    torch.testing.assert_close(gaussians.means, points.positions, rtol=0, atol=0)


@pytest.mark.parametrize("trust", [0.1, 1.0])
def test_a_wall_hides_what_is_behind_it_however_little_it_is_trusted(trust: float):
    frames = make_frames(plane_depth(make_cameras()), make_cameras())
    points = plane_points(frames)
    gaussians = gaussians_from_points(
        dataclasses.replace(points, confidence=torch.full((len(points),), trust))
    )
    cameras = frames.cameras
    large = resized(cameras, width=3 * cameras.width, height=3 * cameras.height)
    alpha = render_splats(gaussians, large).alpha
    inside = alpha[:, large.height // 4 : -large.height // 4, large.width // 4 : -large.width // 4]
    assert inside.mean() > 0.93


def test_the_third_axis_is_the_normal_even_beside_the_singular_one():
    generator = torch.Generator().manual_seed(0)
    normals = torch.randn(1000, 3, generator=generator)
    sideways = torch.logspace(0, -30, 200)[:, None] * torch.nn.functional.normalize(normals[:200, :2], dim=1)
    below = torch.cat([sideways, -torch.ones(200, 1)], dim=1)
    normals = torch.nn.functional.normalize(torch.cat([normals, below, torch.eye(3), -torch.eye(3)]), dim=1)
    quats = quats_from_normals(normals)
    torch.testing.assert_close(quats.norm(dim=1), torch.ones(len(quats)))
    turned = torch.from_numpy(
        Rotation.from_quat(quats.numpy(), scalar_first=True).as_matrix()[..., 2]
    ).float()
    torch.testing.assert_close(turned, normals, rtol=0, atol=1e-6)


def test_neighbouring_normals_get_neighbouring_turns():
    angle = torch.linspace(0.0, 3.0, 2000)[:, None]  # from +z almost to -z, across the equator
    for around in torch.linspace(0.0, 6.0, 13):
        normals = torch.cat([angle.sin() * around.cos(), angle.sin() * around.sin(), angle.cos()], dim=1)
        assert quats_from_normals(normals).diff(dim=0).norm(dim=1).max() < 1e-3  # half of the 1.5 mrad step


def test_one_rigid_motion_of_the_world_moves_the_splats():
    frames = make_frames(wavy_depth(make_cameras()), make_cameras())
    b_from_a = torch.eye(4)
    b_from_a[:3, :3] = torch.from_numpy(Rotation.from_euler("xyz", [2.0, -1.0, 0.5]).as_matrix())
    b_from_a[:3, 3] = torch.tensor([1.0, -2.0, 0.5])
    before, after = gaussians_from_frames(frames), gaussians_from_frames(moved(frames, b_from_a))
    rotation = b_from_a[:3, :3]
    torch.testing.assert_close(after.means, before.means @ rotation.T + b_from_a[:3, 3], rtol=0, atol=1e-5)
    expected = rotation @ covariances(before) @ rotation.T
    torch.testing.assert_close(
        covariances(after), expected, rtol=0, atol=1e-6 * float(expected.amax() / 1e-3)
    )


def test_only_valid_pixels_become_splats():
    frames = make_frames(wavy_depth(make_cameras()), make_cameras())
    valid = torch.zeros_like(frames.valid)
    valid[0, 10:20, 30:45] = True
    holed = dataclasses.replace(frames, valid=valid, depth=torch.where(valid, frames.depth, 0.0))
    gaussians = gaussians_from_frames(holed)
    assert len(gaussians) == 150
    assert torch.isfinite(covariances(gaussians)).all()
    assert len(gaussians_from_frames(dataclasses.replace(holed, valid=torch.zeros_like(valid)))) == 0


def test_a_pixel_that_floats_between_surfaces_is_left_out():
    depth = wavy_depth(make_cameras())
    depth[0, 30, 40] = 5.0
    frames = make_frames(depth, make_cameras())
    gaussians = gaussians_from_frames(frames)
    assert len(gaussians) == depth.numel() - 1
    assert not (gaussians.means == unproject(depth, frames.cameras)[0, 30, 40]).all(dim=1).any()


def test_a_square_patch_becomes_a_round_splat_and_a_rim_none():
    frames = make_frames(plane_depth(make_cameras()), make_cameras())
    points = plane_points(frames)[:3]
    axes = torch.tensor([[[0.2, 0.0, 0.0], [0.0, 0.2, 0.0]]]).expand(3, 2, 3)
    normals = torch.tensor([[0.0, 0.0, -1.0]]).expand(3, 3)
    points = dataclasses.replace(points, axes=axes, normals=normals, confidence=torch.tensor([1.0, 0.0, 0.5]))
    gaussians = gaussians_from_points(points)
    torch.testing.assert_close(gaussians.scales, torch.tensor([[0.24, 0.24, 0.024]]).expand(2, 3))
    assert torch.equal(gaussians.means, points.positions[[0, 2]])


def test_points_stretch_like_frames():
    frames = make_frames(plane_depth(make_cameras()), make_cameras())
    gaussians = gaussians_from_points(plane_points(frames))
    expected = covariances(gaussians_from_frames(frames))
    torch.testing.assert_close(covariances(gaussians), expected, rtol=0, atol=0.02 * float(expected.amax()))


def test_no_points_give_no_splats():
    frames = make_frames(plane_depth(make_cameras()), make_cameras())
    gaussians = gaussians_from_points(plane_points(frames)[:0])
    assert len(gaussians) == 0
    assert gaussians.sh.shape == (0, 1, 3)
