"""Keyframes against scipy and straight lines."""

import dataclasses

import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from render.cameras import checked
from render.keyframes import BLOCK, interpolated, timed
from render.paths import orbit
from tests.oracles.box_room import room_cameras


def test_interpolation_passes_through_every_keyframe_bit_for_bit():
    keys = room_cameras()
    path = interpolated(keys, 21)
    assert torch.equal(path.c2w[[0, 10, 20]], keys.c2w)
    assert torch.equal(path.K[[0, 10, 20]], keys.K)
    assert len(checked(path)) == 21


def test_interpolated_rotations_match_scipy():
    keys = orbit(room_cameras()[1:2], n=5, degrees=500.0)
    path = interpolated(keys, 33)
    slerp = Slerp(range(5), Rotation.from_matrix(keys.c2w[:, :3, :3].numpy()))
    expected = torch.from_numpy(slerp(torch.linspace(0.0, 4.0, 33).numpy()).as_matrix()).float()
    torch.testing.assert_close(path.c2w[:, :3, :3], expected, atol=1e-6, rtol=0)


def test_interpolated_positions_keep_a_straight_line_straight_and_its_speed_even():
    start = room_cameras()[1:2]
    keys = dataclasses.replace(start, c2w=start.c2w.repeat(4, 1, 1), K=start.K.repeat(4, 1, 1))
    keys.c2w[:, :3, 3] = torch.arange(4.0)[:, None] * torch.tensor([1.0, -2.0, 0.5])
    path = interpolated(keys, 16)
    expected = torch.linspace(0.0, 3.0, 16)[:, None] * torch.tensor([1.0, -2.0, 0.5])
    torch.testing.assert_close(path.origins, expected, atol=1e-6, rtol=0)


def test_interpolated_positions_have_no_corners():
    path = interpolated(room_cameras(), 2001)
    steps = path.origins.double().diff(dim=0)
    # Both sides of the middle keyframe: steps of 1e-3 differ by curvature alone, which is of order 1e-6.
    torch.testing.assert_close(steps[999], steps[1000], atol=1e-5, rtol=0)
    assert steps[999].norm() > 3e-4


@pytest.mark.parametrize(("keys", "n"), [(1, 1), (1, 5), (3, 1), (3, 2), (2, 7)])
def test_interpolation_of_few_cameras_keeps_its_ends(keys: int, n: int):
    cameras = room_cameras()[:keys]
    path = interpolated(cameras, n)
    assert torch.equal(path.c2w[0], cameras.c2w[0])
    assert torch.equal(path.c2w[-1], cameras.c2w[-1 if n > 1 else 0])
    assert len(path) == n


def test_a_path_of_several_blocks_is_bit_for_bit_the_cameras_of_a_short_one():
    keys = room_cameras()
    short = interpolated(keys, BLOCK // 2)
    long = interpolated(keys, 5 * (len(short) - 1) + 1)
    assert len(long) > 2 * BLOCK
    assert torch.equal(long.c2w[::5], short.c2w)
    assert torch.equal(long.K[::5], short.K)


def test_there_is_nothing_between_no_cameras():
    with pytest.raises(ValueError, match="at least one camera"):
        interpolated(room_cameras()[:0], 5)


def test_equal_legs_are_what_is_interpolated():
    keys = room_cameras()
    path, expected = timed(keys, [10] * (len(keys) - 1)), interpolated(keys, 10 * (len(keys) - 1) + 1)
    torch.testing.assert_close(path.c2w, expected.c2w, atol=1e-6, rtol=0)
    torch.testing.assert_close(path.K, expected.K)


def test_every_leg_goes_the_same_way_at_its_own_pace():
    keys = room_cameras()[:3]
    path, slow = timed(keys, [3, 12]), interpolated(keys, 25)
    torch.testing.assert_close(path.origins[:4], slow.origins[:13:4], atol=1e-6, rtol=0)
    torch.testing.assert_close(path.c2w[3:], slow.c2w[12:], atol=1e-6, rtol=0)
    for number, key in ((0, 0), (3, 1), (15, 2)):
        assert torch.equal(path.c2w[number], keys.c2w[key])
    assert torch.equal(timed(keys[:1], []).c2w, keys.c2w[:1])


@pytest.mark.parametrize("steps", [[], [3], [3, 0], [1, 2, 3]])
def test_legs_that_do_not_fit_the_keyframes_are_refused(steps: list[int]):
    with pytest.raises(ValueError, match="a step or more between each two"):
        timed(room_cameras()[:3], steps)
