"""Central squares: what is cropped is what a camera with the cropped intrinsics sees."""

import torch

from render.cameras import Cameras, unproject
from render.squares import central_cameras, central_depth, central_square
from tests.oracles.box_room import BoxRoom, raycast, room_cameras, room_mesh


def test_a_cropped_picture_is_what_its_camera_sees(box_room: BoxRoom):
    """Width and height differ by an even number, and by an odd one."""
    for width in (60, 61):
        cameras = Cameras(c2w=room_cameras().c2w, K=room_cameras().K, width=width, height=44)
        whole = raycast(room_mesh(), cameras).frames
        seen = raycast(room_mesh(), central_cameras(cameras, 44)).frames
        for i in range(len(cameras)):
            depth, valid = central_depth(whole.depth[i : i + 1], whole.valid[i : i + 1], 44)
            torch.testing.assert_close(depth, seen.depth[i : i + 1], atol=1e-5, rtol=0)
            assert torch.equal(valid, seen.valid[i : i + 1])
            rgb = central_square(whole.rgb[i : i + 1], 44)
            torch.testing.assert_close(rgb, seen.rgb[i : i + 1], atol=1e-5, rtol=0)


def test_a_smaller_camera_sees_the_same_corners():
    cameras = room_cameras()
    small, large = (central_cameras(cameras, size) for size in (11, 44))
    corners = [unproject(torch.ones(3, size, size, 1), c) for size, c in ((11, small), (44, large))]
    # the middle of a pixel is where the four by four pixels meet that it covers
    middle = corners[1].unflatten(1, (11, 4)).unflatten(3, (11, 4)).mean(dim=(2, 4))
    torch.testing.assert_close(corners[0], middle, atol=1e-5, rtol=0)
    assert (small.width, small.height) == (11, 11)


def test_depth_is_never_averaged_and_holes_are_filled_only_from_within_a_pixel():
    depth = torch.full((1, 8, 8, 1), 2.0)
    depth[:, :, 4:] = 6.0
    valid = torch.ones_like(depth, dtype=torch.bool)
    valid[:, :4, :4] = False
    valid[:, 3, 3] = True
    valid[:, 4:, 4:] = False
    z, known = central_depth(depth, valid, 2)
    assert set(z[known].tolist()) <= {2.0, 6.0}
    assert known[0, ..., 0].tolist() == [[True, True], [True, False]]
