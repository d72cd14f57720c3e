"""The z-buffer: the nearest point wins, patches close surfaces, and the kernel is its twin bit for bit."""

import dataclasses
import math

import torch
from torch import Tensor

from render.cameras import Cameras, intrinsics_from_fov, rays_cam, unproject
from render.frames import Frames, moved
from render.geometry import normals, patch_axes
from render.points import NEAR, PointImage, render_points, render_points_twin
from tests.oracles.box_room import BoxRoom, room_cameras


def camera(*, forward: float = 0.0, aside: float = 0.0, width: int = 64, height: int = 48) -> Cameras:
    """One level camera that looks along +z."""
    c2w = torch.eye(4)[None].clone()
    c2w[0, :3, 3] = torch.tensor([aside, aside, forward])
    K = intrinsics_from_fov(math.radians(60.0), width=width, height=height)
    return Cameras(c2w=c2w, K=K, width=width, height=height)


def plane(z: float) -> tuple[Tensor, Tensor]:
    """Every pixel of ``camera()`` lifted to one depth, and the patches that the pixels cover."""
    seen_by = camera()
    positions = unproject(torch.full((1, 48, 64, 1), z), seen_by).reshape(-1, 3)
    return positions, squares(torch.full((len(positions),), z / float(seen_by.K[0, 0, 0])))


def squares(sides: Tensor) -> Tensor:
    """Half-axes of squares of some sides that face a level camera."""
    return 0.5 * sides[:, None, None] * torch.eye(3)[:2]


def cloud(count: int = 6000) -> tuple[Tensor, Tensor]:
    """Points all round the room's cameras, every tenth of them twice, with patches of all sizes."""
    generator = torch.Generator().manual_seed(4)
    positions = torch.rand(count, 3, generator=generator) * torch.tensor([4.0, 3.0, 5.0])
    positions -= torch.tensor([2.0, 1.5, 2.5])
    positions[1::10] = positions[::10]
    sizes = 0.3 * torch.rand(count, generator=generator) ** 3
    return positions, sizes[:, None, None] * torch.randn(count, 2, 3, generator=generator)


def patches(frames: Frames) -> Tensor:
    """What every pixel covers of its surface."""
    positions = unproject(frames.depth, frames.cameras)
    towards = normals(frames.depth, frames.cameras)
    return patch_axes(positions, towards, frames.depth, frames.cameras).reshape(-1, 2, 3)


def assert_same(a: PointImage, b: PointImage) -> None:
    assert torch.equal(a.depth, b.depth)
    assert torch.equal(a.winner, b.winner)


def test_the_source_camera_sees_its_own_picture_again(box_room: BoxRoom):
    frames = box_room.frames
    for i in range(len(frames)):
        positions = box_room.points[i].reshape(-1, 3)
        axes = patches(frames[i : i + 1])
        image = render_points(positions, frames.cameras[i : i + 1], axes=axes)
        shown = frames.rgb[i].reshape(-1, 3)[image.winner[0]]
        assert torch.equal(image.winner[0].flatten(), torch.arange(len(positions)))
        assert torch.equal(shown, frames.rgb[i])
        torch.testing.assert_close(image.depth[0], frames.depth[i], atol=1e-5, rtol=0)  # embree: float32


def test_a_far_plane_never_shows_through_a_near_one():
    (near, near_size), (far, far_size) = plane(2.0), plane(3.0)
    size = torch.cat([far_size, near_size])
    for forward in (0.0, 0.4, 1.0):
        image = render_points(torch.cat([far, near]), camera(forward=forward), axes=size)
        assert (image.winner >= len(far)).all()
        torch.testing.assert_close(image.depth, torch.full_like(image.depth, 2.0 - forward))


def test_a_plane_twice_as_close_stays_closed_by_patches_and_opens_without():
    positions, axes = plane(2.0)
    closer = camera(forward=1.0, aside=0.004)  # off the grid: a point on a pixel's border fills both sides
    closed = render_points(positions, closer, axes=axes)
    dotted = render_points(positions, closer, axes=torch.zeros_like(axes))
    assert (closed.winner < 0).float().mean() < 0.01
    assert abs((dotted.winner < 0).float().mean() - 0.75) < 0.03


def test_a_slanted_wall_stays_closed_from_the_other_side_of_its_normal():
    # Seen at 70 degrees from the normal, then head-on from as near: three times as wide as it was seen.
    slant = math.radians(70.0)
    towards = torch.tensor([math.sin(slant), 0.0, -math.cos(slant)])
    seen_by = camera()
    rays = rays_cam(seen_by)
    depth = (-2.0 * math.cos(slant) / (rays @ towards))[..., None]
    kept = (depth > 0) & (depth < 6.0)
    positions = unproject(depth, seen_by)
    axes = patch_axes(positions, towards.expand_as(positions), depth, seen_by)[kept[..., 0]]
    positions = positions[kept[..., 0]]
    turn = torch.eye(4)[None].clone()
    turn[0, :3, :3] = torch.tensor(
        [[math.cos(slant), 0.0, -math.sin(slant)], [0.0, 1.0, 0.0], [math.sin(slant), 0.0, math.cos(slant)]]
    )
    turn[0, :3, 3] = torch.tensor([0.0, 0.0, 2.0]) + 0.7 * towards
    facing = dataclasses.replace(camera(width=24, height=24), c2w=turn)
    closed = render_points(positions, facing, axes=axes)
    across = axes - (axes @ towards)[..., None] * towards  # what a square that faces the source would be
    narrow = across * (
        axes.norm(dim=-1, keepdim=True).amin(dim=1, keepdim=True) / axes.norm(dim=-1, keepdim=True)
    )
    open_ = render_points(positions, facing, axes=narrow)
    assert (closed.winner < 0).float().mean() < 0.01
    assert (open_.winner < 0).float().mean() > 0.2


def test_points_behind_a_camera_or_in_its_plane_never_appear():
    positions, axes = plane(2.0)
    positions = torch.cat(
        [positions * torch.tensor([1.0, 1.0, -1.0]), torch.tensor([[0.0, 0.0, 0.5 * NEAR]])]
    )
    image = render_points(positions, camera(), axes=torch.cat([axes, squares(torch.ones(1))]))
    assert (image.winner == -1).all()
    assert image.depth.isinf().all()


def test_a_picture_drawn_three_times_is_one_picture():
    positions, axes = cloud()
    first, second, third = (render_points(positions, room_cameras(), axes=axes) for _ in range(3))
    assert_same(first, second)
    assert_same(first, third)


def test_the_kernel_draws_what_the_twin_draws():
    positions, axes = cloud()
    image = render_points(positions, room_cameras(), axes=axes)
    assert_same(image, render_points_twin(positions, room_cameras(), axes=axes))
    assert 0.3 < (image.winner >= 0).float().mean() < 1.0


def test_the_kernel_draws_what_the_twin_draws_of_every_pixel_of_a_room(box_room: BoxRoom):
    positions = box_room.points.reshape(-1, 3)
    axes = patches(box_room.frames)
    image = render_points(positions, box_room.cameras, axes=axes)
    assert_same(image, render_points_twin(positions, box_room.cameras, axes=axes))


def test_of_two_points_at_one_depth_the_first_wins():
    positions, axes = plane(2.0)
    for draw in (render_points, render_points_twin):
        image = draw(positions.repeat(2, 1), camera(), axes=axes.repeat(2, 1, 1))
        assert torch.equal(image.winner.flatten(), torch.arange(len(positions)))


def test_reordered_points_draw_the_same_picture():
    positions, axes = cloud()
    order = torch.randperm(len(positions), generator=torch.Generator().manual_seed(0))
    image = render_points(positions, room_cameras(), axes=axes)
    again = render_points(positions[order], room_cameras(), axes=axes[order])
    shown = image.winner >= 0
    assert torch.equal(image.depth, again.depth)
    assert torch.equal(positions[image.winner[shown]], positions[order][again.winner[shown]])


def test_no_points_draw_an_empty_picture():
    for draw in (render_points, render_points_twin):
        image = draw(torch.zeros(0, 3), room_cameras(), axes=torch.zeros(0, 2, 3))
        assert image.depth.shape == (3, 44, 60, 1)
        assert image.depth.isinf().all()
        assert (image.winner == -1).all()


def test_a_point_beside_the_image_shows_only_the_part_of_its_square_that_is_inside():
    seen_by = camera()
    uv = torch.tensor([[-0.8, 10.5], [64.2, 20.5], [30.5, -1.2], [40.5, 48.2], [-5.0, 30.5], [70.0, 5.5]])
    K = seen_by.K[0]
    positions = torch.cat([(uv - K[:2, 2]) / K[0, 0], torch.ones(len(uv), 1)], dim=1)
    image = render_points(positions, seen_by, axes=squares(torch.ones(len(uv))))
    # Squares are 8 px wide, clipped from 55: nine pixel centres are in reach of a centre at .5.
    expected = torch.full((48, 64), -1)
    expected[6:15, :3], expected[16:25, 60:], expected[:3, 26:35], expected[44:, 36:45] = 0, 1, 2, 3
    assert torch.equal(image.winner[0], expected)


def test_squares_have_the_projected_size_up_to_eight_pixels():
    for side_px, side in ((0.1, 1), (1.0, 1), (2.5, 3), (3.9, 3), (4.1, 5), (7.7, 7), (50.0, 9)):
        seen_by = camera(width=65, height=49)
        size = squares(torch.tensor([side_px * 2.0 / float(seen_by.K[0, 0, 0])]))
        image = render_points(torch.tensor([[0.0, 0.0, 2.0]]), seen_by, axes=size)
        assert int((image.winner >= 0).sum()) == side**2


def test_one_rigid_motion_of_everything_changes_nothing(box_room: BoxRoom):
    b_from_a = torch.eye(4)
    b_from_a[:3, :3], b_from_a[:3, 3] = box_room.cameras.c2w[1, :3, :3], torch.tensor([0.7, -1.9, 2.4])
    positions, axes = cloud()
    there, turned = positions @ b_from_a[:3, :3].T + b_from_a[:3, 3], axes @ b_from_a[:3, :3].T
    cameras = moved(box_room.frames, b_from_a).cameras
    here = render_points(positions, box_room.cameras, axes=axes)
    image = render_points(there, cameras, axes=turned)
    same = here.winner == image.winner
    assert same.float().mean() > 0.999  # rounding moves a square across a pixel centre
    torch.testing.assert_close(here.depth[same], image.depth[same], atol=1e-4, rtol=0)


def test_a_batch_of_cameras_sees_what_each_camera_sees():
    positions, axes = cloud()
    cameras = room_cameras()
    batch = render_points(positions, cameras, axes=axes)
    for i in range(len(cameras)):
        alone = render_points(positions, cameras[i : i + 1], axes=axes)
        assert_same(alone, dataclasses.replace(batch, depth=batch.depth[[i]], winner=batch.winner[[i]]))
