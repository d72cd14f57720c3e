"""Splats from elsewhere, looked at: rings that see them whole, and shots with the depth of what is solid."""

from __future__ import annotations

import math

import pytest
import torch

from reconstruct.shots import ring_around, shot, square_views
from render.cameras import Cameras, intrinsics_from_fov, project
from render.gaussians import Gaussians, sh_from_rgb

COUNT = 12


def ball(*, radius: float, centre: tuple[float, float, float], opacity: float = 0.99) -> Gaussians:
    """Round splats all over a sphere, and one that floats far away."""
    g = torch.Generator().manual_seed(0)
    means = torch.nn.functional.normalize(torch.randn(4000, 3, generator=g), dim=1) * radius
    means[0] = torch.tensor([400.0, 0.0, 0.0])
    return Gaussians(
        means=means + torch.tensor(centre),
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(4000, 4).clone(),
        log_scales=torch.full((4000, 3), 0.05 * radius).log(),
        logit_opacities=torch.full((4000,), opacity).logit(),
        sh=sh_from_rgb(torch.tensor([0.8, 0.3, 0.2]).expand(4000, 3)),
    )


@pytest.mark.parametrize("up", [(0.0, -1.0, 0.0), (0.0, 0.0, 2.0), (0.3, 0.5, -0.6)])
def test_a_ring_sees_all_but_what_floats_and_stands_upright(up: tuple[float, float, float]):
    gaussians, centre = ball(radius=2.0, centre=(5.0, -3.0, 1.0)), torch.tensor([5.0, -3.0, 1.0])
    axis = torch.nn.functional.normalize(torch.tensor(up), dim=0)
    ring = ring_around(gaussians, n=COUNT, size=64, up=torch.tensor(up))
    pixels, depth = project(gaussians.means[1:], ring)
    assert ((depth > 0) & (pixels >= 0) & (pixels < 64)).all(dim=-1).float().mean() > 0.97
    heights = (ring.origins - centre) @ axis
    torch.testing.assert_close(heights, heights.mean().expand(COUNT), atol=1e-3, rtol=0)
    assert heights.mean() > 0.5
    assert ((ring.c2w[:, :3, 0] @ axis).abs() < 1e-5).all()
    assert (ring.c2w[:, :3, 1] @ axis < 0).all()
    gaps = (ring.origins - ring.origins.roll(1, dims=0)).norm(dim=1)
    torch.testing.assert_close(gaps, gaps.mean().expand(COUNT), atol=1e-3, rtol=0)


def test_splats_in_one_place_have_no_ring():
    gaussians = ball(radius=1.0, centre=(0.0, 0.0, 0.0))
    gaussians.means.copy_(torch.tensor([3.0, 3.0, 3.0]))
    with pytest.raises(ValueError, match="one place"):
        ring_around(gaussians, n=3, size=32)


def test_a_shot_has_the_depth_of_what_is_solid_and_none_beside_it():
    radius, size = 2.0, 96
    gaussians = ball(radius=radius, centre=(0.0, 0.0, 8.0))
    K = intrinsics_from_fov(math.radians(60.0), width=size, height=size)
    camera = Cameras(c2w=torch.eye(4)[None], K=K, width=size, height=size)
    frame = shot(gaussians, camera)
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    rays = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ torch.linalg.inv(K[0]).mT
    a, b = (rays**2).sum(dim=-1), 8.0
    inside = b**2 - a * (64.0 - radius**2)
    exact = (b - inside.clamp_min(0.0).sqrt()) / a
    middle = inside > 0.3 * inside.max()
    assert frame.valid[0, ..., 0][middle].float().mean() > 0.99
    both = middle & frame.valid[0, ..., 0]
    assert (frame.depth[0, ..., 0][both] / exact[both] - 1.0).abs().median() < 0.02
    assert not frame.valid[0, :8].any()
    torch.testing.assert_close(frame.rgb[0, 2, 2], torch.full((3,), 0.5))
    assert torch.equal(frame.confidence, frame.valid.float())
    assert not shot(ball(radius=2.0, centre=(0.0, 0.0, 8.0), opacity=0.004), camera).valid.any()


def test_square_views_see_the_middle_of_what_given_cameras_see():
    K = intrinsics_from_fov(math.radians(90.0), width=200, height=100, n=9)
    cameras = Cameras(c2w=torch.eye(4).repeat(9, 1, 1), K=K, width=200, height=100)
    cameras.c2w[:, 0, 3] = torch.arange(9.0)
    views = square_views(cameras, most=3, size=50)
    assert views.origins[:, 0].tolist() == [0.0, 4.0, 8.0]
    assert (views.width, views.height) == (50, 50)
    edge = torch.tensor([[0.499, 0.0, 1.0]])  # 100 of 200 pixels across are half of the tangent of 45 degrees
    assert float(project(edge, views)[0][0, 0, 0]) == pytest.approx(50.0, abs=0.1)
