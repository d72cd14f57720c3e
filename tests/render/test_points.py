"""The z-buffer: the nearest point wins, squares close surfaces, and the kernel is its twin bit for bit."""

import dataclasses
import math

import torch
from torch import Tensor

from render.cameras import Cameras, intrinsics_from_fov, unproject
from render.frames import moved
from render.points import NEAR, PointImage, render_points, render_points_twin
from tests.oracles.box_room import BoxRoom, room_cameras


def camera(*, forward: float = 0.0, aside: float = 0.0, width: int = 64, height: int = 48) -> Cameras:
    """One level camera that looks along +z."""
    c2w = torch.eye(4)[None].clone()
    c2w[0, :3, 3] = torch.tensor([aside, aside, forward])
    K = intrinsics_from_fov(math.radians(60.0), width=width, height=height)
    return Cameras(c2w=c2w, K=K, width=width, height=height)


def plane(z: float) -> tuple[Tensor, Tensor]:
    """Every pixel of ``camera()`` lifted to one depth, and the footprints of the pixels."""
    seen_by = camera()
    positions = unproject(torch.full((1, 48, 64, 1), z), seen_by).reshape(-1, 3)
    return positions, torch.full((len(positions),), z / float(seen_by.K[0, 0, 0]))


def cloud(count: int = 6000) -> tuple[Tensor, Tensor]:
    """Points all round the room's cameras, every tenth of them twice, in every size."""
    generator = torch.Generator().manual_seed(4)
    positions = torch.rand(count, 3, generator=generator) * torch.tensor([4.0, 3.0, 5.0])
    positions -= torch.tensor([2.0, 1.5, 2.5])
    positions[1::10] = positions[::10]
    return positions, 0.3 * torch.rand(count, generator=generator) ** 3


def assert_same(a: PointImage, b: PointImage) -> None:
    assert torch.equal(a.depth, b.depth)
    assert torch.equal(a.winner, b.winner)


def test_the_source_camera_sees_its_own_picture_again(box_room: BoxRoom):
    frames = box_room.frames
    for i in range(len(frames)):
        positions = box_room.points[i].reshape(-1, 3)
        footprint = frames.depth[i].flatten() / frames.cameras.K[i, 0, 0]
        image = render_points(positions, frames.cameras[i : i + 1], footprint=footprint)
        shown = frames.rgb[i].reshape(-1, 3)[image.winner[0]]
        assert torch.equal(image.winner[0].flatten(), torch.arange(len(positions)))
        assert torch.equal(shown, frames.rgb[i])
        torch.testing.assert_close(image.depth[0], frames.depth[i], atol=1e-5, rtol=0)  # embree: float32


def test_a_far_plane_never_shows_through_a_near_one():
    (near, near_size), (far, far_size) = plane(2.0), plane(3.0)
    size = torch.cat([far_size, near_size])
    for forward in (0.0, 0.4, 1.0):
        image = render_points(torch.cat([far, near]), camera(forward=forward), footprint=size)
        assert (image.winner >= len(far)).all()
        torch.testing.assert_close(image.depth, torch.full_like(image.depth, 2.0 - forward))


def test_a_plane_twice_as_close_stays_closed_by_footprints_and_opens_without():
    positions, footprint = plane(2.0)
    closer = camera(forward=1.0, aside=0.004)  # off the grid: a point on a pixel's border fills both sides
    closed = render_points(positions, closer, footprint=footprint)
    dotted = render_points(positions, closer, footprint=torch.zeros_like(footprint))
    assert (closed.winner < 0).float().mean() < 0.01
    assert abs((dotted.winner < 0).float().mean() - 0.75) < 0.03


def test_points_behind_a_camera_or_in_its_plane_never_appear():
    positions, footprint = plane(2.0)
    positions = torch.cat(
        [positions * torch.tensor([1.0, 1.0, -1.0]), torch.tensor([[0.0, 0.0, 0.5 * NEAR]])]
    )
    image = render_points(positions, camera(), footprint=torch.cat([footprint, torch.ones(1)]))
    assert (image.winner == -1).all()
    assert image.depth.isinf().all()


def test_a_picture_drawn_three_times_is_one_picture():
    positions, footprint = cloud()
    first, second, third = (render_points(positions, room_cameras(), footprint=footprint) for _ in range(3))
    assert_same(first, second)
    assert_same(first, third)


def test_the_kernel_draws_what_the_twin_draws():
    positions, footprint = cloud()
    image = render_points(positions, room_cameras(), footprint=footprint)
    assert_same(image, render_points_twin(positions, room_cameras(), footprint=footprint))
    assert 0.3 < (image.winner >= 0).float().mean() < 1.0


def test_the_kernel_draws_what_the_twin_draws_of_every_pixel_of_a_room(box_room: BoxRoom):
    positions = box_room.points.reshape(-1, 3)
    footprint = (box_room.frames.depth / box_room.cameras.K[:, 0, 0].view(-1, 1, 1, 1)).flatten()
    image = render_points(positions, box_room.cameras, footprint=footprint)
    assert_same(image, render_points_twin(positions, box_room.cameras, footprint=footprint))


def test_of_two_points_at_one_depth_the_first_wins():
    positions, footprint = plane(2.0)
    for draw in (render_points, render_points_twin):
        image = draw(positions.repeat(2, 1), camera(), footprint=footprint.repeat(2))
        assert torch.equal(image.winner.flatten(), torch.arange(len(positions)))


def test_reordered_points_draw_the_same_picture():
    positions, footprint = cloud()
    order = torch.randperm(len(positions), generator=torch.Generator().manual_seed(0))
    image = render_points(positions, room_cameras(), footprint=footprint)
    again = render_points(positions[order], room_cameras(), footprint=footprint[order])
    shown = image.winner >= 0
    assert torch.equal(image.depth, again.depth)
    assert torch.equal(positions[image.winner[shown]], positions[order][again.winner[shown]])


def test_no_points_draw_an_empty_picture():
    for draw in (render_points, render_points_twin):
        image = draw(torch.zeros(0, 3), room_cameras(), footprint=torch.zeros(0))
        assert image.depth.shape == (3, 44, 60, 1)
        assert image.depth.isinf().all()
        assert (image.winner == -1).all()


def test_a_point_beside_the_image_shows_only_the_part_of_its_square_that_is_inside():
    seen_by = camera()
    uv = torch.tensor([[-0.8, 10.5], [64.9, 20.5], [30.5, -1.2], [40.5, 48.2], [-3.0, 30.5], [70.0, 5.5]])
    K = seen_by.K[0]
    positions = torch.cat([(uv - K[:2, 2]) / K[0, 0], torch.ones(len(uv), 1)], dim=1)
    image = render_points(positions, seen_by, footprint=torch.ones(len(uv)))
    expected = torch.full((48, 64), -1)
    expected[9:13, :1], expected[19:23, 63:], expected[:1, 29:33], expected[47:, 39:43] = 0, 1, 2, 3
    # Squares are 4 px wide, clipped from 55; a centre at .5 puts 5 pixel centres in reach.
    expected[8, :1], expected[18, 63:], expected[:1, 28], expected[46:48, 38:43] = 0, 1, 2, 3
    assert torch.equal(image.winner[0], expected)


def test_squares_have_the_projected_size_within_half_and_two_pixels():
    for footprint_px, side in ((0.1, 1), (1.0, 1), (2.5, 3), (3.9, 3), (4.1, 5), (50.0, 5)):
        seen_by = camera(width=65, height=49)
        size = torch.tensor([footprint_px * 2.0 / float(seen_by.K[0, 0, 0])])
        image = render_points(torch.tensor([[0.0, 0.0, 2.0]]), seen_by, footprint=size)
        assert int((image.winner >= 0).sum()) == side**2


def test_one_rigid_motion_of_everything_changes_nothing(box_room: BoxRoom):
    b_from_a = torch.eye(4)
    b_from_a[:3, :3], b_from_a[:3, 3] = box_room.cameras.c2w[1, :3, :3], torch.tensor([0.7, -1.9, 2.4])
    positions, footprint = cloud()
    there = positions @ b_from_a[:3, :3].T + b_from_a[:3, 3]
    cameras = moved(box_room.frames, b_from_a).cameras
    here = render_points(positions, box_room.cameras, footprint=footprint)
    image = render_points(there, cameras, footprint=footprint)
    same = here.winner == image.winner
    assert same.float().mean() > 0.999  # rounding moves a square across a pixel centre
    torch.testing.assert_close(here.depth[same], image.depth[same], atol=1e-4, rtol=0)


def test_a_batch_of_cameras_sees_what_each_camera_sees():
    positions, footprint = cloud()
    cameras = room_cameras()
    batch = render_points(positions, cameras, footprint=footprint)
    for i in range(len(cameras)):
        alone = render_points(positions, cameras[i : i + 1], footprint=footprint)
        assert_same(alone, dataclasses.replace(batch, depth=batch.depth[[i]], winner=batch.winner[[i]]))
