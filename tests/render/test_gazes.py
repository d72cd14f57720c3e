"""Where cameras look, against the pictures they would take."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from render.cameras import checked, intrinsics_from_fov, project
from render.gazes import fov_of, looking_at, turn_between, turned_from, zoomed
from render.splines import turns
from tests.oracles.box_room import room_cameras

UP = torch.tensor([0.2, -1.0, 0.1])
TARGET = torch.tensor([0.4, -0.3, 2.0])


def test_what_is_looked_at_is_in_the_middle_and_the_picture_is_upright():
    cameras = room_cameras()
    looking = checked(looking_at(cameras, TARGET, up=UP))
    uv, depth = project(TARGET[None], looking)
    torch.testing.assert_close(uv[:, 0], cameras.K[:, :2, 2], atol=1e-4, rtol=0)
    assert (depth > 0).all()
    assert torch.equal(looking.origins, cameras.origins)
    right, down = looking.c2w[:, :3, 0], looking.c2w[:, :3, 1]
    torch.testing.assert_close(right @ UP, torch.zeros(3), atol=1e-6, rtol=0)
    assert (down @ UP < 0).all()


def test_cameras_above_below_and_in_the_target_stay_rigid():
    cameras = room_cameras()
    c2w = cameras.c2w.clone()
    c2w[:, :3, 3] = TARGET + torch.stack([3.0 * UP, -2.0 * UP, 0.0 * UP])
    looking = checked(looking_at(dataclasses.replace(cameras, c2w=c2w), TARGET, up=UP))
    assert torch.equal(looking.c2w[2], c2w[2])
    ahead = torch.nn.functional.normalize(TARGET - c2w[:2, :3, 3], dim=1)
    torch.testing.assert_close(looking.forwards[:2], ahead, atol=1e-6, rtol=0)


def test_a_new_gaze_begins_with_the_old_one_and_has_no_jerk():
    cameras = room_cameras(torch.float64)[[0] * 200]
    aimed = looking_at(cameras, TARGET.double(), up=UP)
    start = room_cameras(torch.float64)[2:3]
    path = turned_from(aimed, start, frames=100)
    torch.testing.assert_close(path.c2w[0, :3, :3], start.c2w[0, :3, :3], atol=1e-9, rtol=0)
    torch.testing.assert_close(path.c2w[100:], aimed.c2w[100:], atol=1e-9, rtol=0)
    rates = turns(path.c2w[:, :3, :3].numpy())
    whole = turn_between(start, aimed)
    assert rates.sum() == pytest.approx(whole, abs=1e-6), "the shortest way"
    assert rates.max() == pytest.approx(1.5 * whole / 100, rel=0.01), "a smoothstep at its steepest"
    assert np.abs(np.diff(rates)).max() < 0.07 * rates.max()


def test_the_turn_between_two_cameras_is_scipys():
    a, b = room_cameras(torch.float64)[:1], room_cameras(torch.float64)[2:]
    between = Rotation.from_matrix((b.c2w[0, :3, :3] @ a.c2w[0, :3, :3].T).numpy())
    assert turn_between(a, b) == pytest.approx(between.magnitude(), abs=1e-9)


def test_a_zoom_ends_at_its_field_of_view_by_even_factors():
    K = intrinsics_from_fov(math.radians(80.0), width=64, height=48, n=5)
    cameras = dataclasses.replace(room_cameras()[[0] * 5], K=K, width=64, height=48)
    assert fov_of(cameras) == pytest.approx(math.radians(80.0), abs=1e-6)
    zoom = zoomed(cameras, math.radians(20.0), np.linspace(0.0, 1.0, 5))
    assert fov_of(zoom[-1:]) == pytest.approx(math.radians(20.0), abs=1e-6)
    ratios = zoom.K[1:, 0, 0] / zoom.K[:-1, 0, 0]
    torch.testing.assert_close(ratios, ratios[:1].expand(4), rtol=1e-5, atol=0)
    torch.testing.assert_close(zoom.K[:, 1, 1], zoom.K[:, 0, 0])
    assert torch.equal(zoom.K[:, :, 2], K[:, :, 2])
    with pytest.raises(ValueError, match="between 0 and 180"):
        zoomed(cameras, math.pi, np.linspace(0.0, 1.0, 5))
