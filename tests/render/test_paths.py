"""Presets against geometry."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from render._poses import MAX_CAMERAS
from render.cameras import Cameras, checked, project
from render.paths import (
    LAP_FRAMES,
    PRESETS,
    STRIDE,
    arc,
    dolly,
    loop,
    orbit,
    path_named,
    spiral,
    there_and_back,
    turn,
    walk,
)
from tests.oracles.box_room import room_cameras

UP = torch.tensor([0.2, -1.0, 0.1])
NAMES = ["dolly", "loop", "orbit", "spiral", "there-and-back", "turn", "walk"]


def _start() -> Cameras:
    return room_cameras()[1:2]


def _along(path: Cameras, axis: torch.Tensor) -> torch.Tensor:
    """How far each camera has moved along a unit axis."""
    return (path.origins - path.origins[:1]) @ axis


def test_the_registry_knows_the_names_of_the_command_line():
    assert sorted(PRESETS) == NAMES


@given(
    st.sampled_from(NAMES),
    st.tuples(*[st.floats(-3.0, 3.0)] * 3),
    st.tuples(*[st.floats(-50.0, 50.0)] * 3),
    st.integers(1, 60),
    st.floats(0.01, 100.0),
)
def test_every_preset_is_rigid_and_begins_with_the_start_bit_for_bit(
    name: str, rotation_vector: tuple, origin: tuple, n: int, scale: float
):
    c2w = torch.eye(4)[None]
    c2w[0, :3, :3] = torch.from_numpy(Rotation.from_rotvec(rotation_vector).as_matrix())
    c2w[0, :3, 3] = torch.tensor(origin)
    start = dataclasses.replace(_start(), c2w=c2w)
    path = path_named(name, start, n=n, up=UP, scale=scale)
    assert len(checked(path)) == n
    assert torch.equal(path.c2w[:1], start.c2w)
    assert torch.equal(path.K, start.K.expand(n, 3, 3))
    assert (path.width, path.height) == (start.width, start.height)


@pytest.mark.parametrize("name", NAMES)
def test_a_start_in_double_precision_is_kept_bit_for_bit_too(name: str):
    path = path_named(name, room_cameras(torch.float64)[:1], n=5, up=UP, scale=0.37)
    assert path.c2w.dtype == torch.float64
    assert torch.equal(path.c2w[:1], room_cameras(torch.float64).c2w[:1])


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"'dance'; there are dolly, loop, orbit, spiral, there-and-back, turn, walk"
    ):
        path_named("dance", _start(), n=3)


def test_orbit_keeps_its_pivot_at_the_principal_point_and_at_its_distance():
    start, scale = _start(), 2.3
    pivot = start.origins + scale * start.forwards
    path = orbit(start, n=40, up=UP, scale=scale)
    uv, depth = project(pivot, path)
    torch.testing.assert_close(uv[:, 0], path.K[:, :2, 2], atol=1e-4, rtol=0)
    torch.testing.assert_close(depth[:, 0, 0], torch.full((40,), scale), atol=1e-5, rtol=0)


def test_orbit_stays_level_and_goes_anticlockwise_seen_from_above():
    start, up = _start(), UP / UP.norm()
    path = orbit(start, n=12, up=UP, scale=2.0)
    torch.testing.assert_close(_along(path, up), torch.zeros(12), atol=1e-5, rtol=0)
    spokes = path.origins - (start.origins + 2.0 * start.forwards)
    assert (torch.linalg.cross(spokes[:-1], spokes[1:]) @ up > 0).all()


def test_orbit_closes_after_a_full_turn():
    path, twice = orbit(_start(), n=12), orbit(_start(), n=24, degrees=720.0)
    torch.testing.assert_close(twice.c2w[:12], path.c2w, atol=1e-6, rtol=0)
    torch.testing.assert_close(twice.c2w[12:], path.c2w, atol=1e-6, rtol=0)


def test_turn_is_yaw_on_the_spot():
    start, up = _start(), UP / UP.norm()
    path = turn(start, n=9, up=UP, degrees=90.0)
    assert torch.equal(path.origins, start.origins.expand(9, 3))
    turned = Rotation.from_matrix((path.c2w[:, :3, :3] @ start.c2w[:, :3, :3].mT).numpy())
    expected = torch.arange(9.0)[:, None] * math.radians(10.0) * up
    torch.testing.assert_close(torch.from_numpy(turned.as_rotvec()).float(), expected, atol=1e-6, rtol=0)


def test_turn_goes_to_the_left():
    start = dataclasses.replace(_start(), c2w=torch.eye(4)[None])
    assert turn(start, n=4).forwards[1].tolist() == pytest.approx([-1.0, 0.0, 0.0], abs=1e-6)


def test_walk_advances_on_the_level_in_steps_of_the_scene():
    start, up = _start(), UP / UP.norm()
    ahead = torch.nn.functional.normalize(start.forwards[0] - (start.forwards[0] @ up) * up, dim=0)
    small, large = walk(start, n=30, up=UP), walk(start, n=30, up=UP, scale=4.0)
    torch.testing.assert_close(_along(small, up), torch.zeros(30), atol=1e-5, rtol=0)
    torch.testing.assert_close(_along(small, ahead), 0.05 * torch.arange(30.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(_along(large, ahead), 4.0 * _along(small, ahead), atol=1e-5, rtol=0)
    sideways = _along(small, torch.linalg.cross(ahead, up))
    assert sideways.amin() < -0.01
    assert sideways.amax() > 0.01
    assert sideways.abs().amax() < 0.03


@pytest.mark.parametrize("pitch", [-0.5 * math.pi, 0.5 * math.pi, 0.499 * math.pi])
def test_walk_knows_its_way_when_looking_straight_up_or_down(pitch: float):
    c2w = torch.eye(4)[None]
    c2w[0, :3, :3] = torch.from_numpy(Rotation.from_rotvec((pitch, 0.0, 0.0)).as_matrix())
    path = walk(dataclasses.replace(_start(), c2w=c2w), n=3)
    assert (path.origins[-1] - path.origins[0]).tolist()[2] == pytest.approx(0.1, abs=1e-5)


def test_a_longer_stride_goes_farther_in_as_many_frames():
    short, long = walk(_start(), n=25), there_and_back(_start(), n=49, stride=0.1)
    ends = torch.stack([short.origins[24] - short.origins[0], long.origins[24] - long.origins[0]])
    torch.testing.assert_close(ends[1], 2.0 * ends[0], atol=1e-5, rtol=0)  # frame 24: the sway is over


def test_an_arc_without_length_is_a_turn_and_without_degrees_a_straight_walk():
    start = _start()
    spot = arc(start, n=5, degrees=80.0)
    torch.testing.assert_close(spot.c2w, turn(start, n=5, degrees=100.0).c2w, atol=1e-6, rtol=0)
    straight = arc(start, n=5, length=0.4, scale=2.0)
    steps = straight.origins.diff(dim=0)
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), atol=1e-6, rtol=0)
    assert float((straight.origins[-1] - straight.origins[0]).norm()) == pytest.approx(0.8, rel=1e-5)
    assert torch.equal(straight.c2w[:, :3, :3], start.c2w[:, :3, :3].expand(5, 3, 3))


def test_an_arc_lies_on_a_circle_that_it_looks_along():
    bend = arc(_start(), n=65, degrees=90.0, length=1.0)
    radius = 1.0 / (math.pi / 2)
    chord = float((bend.origins[-1] - bend.origins[0]).norm())
    assert chord == pytest.approx(math.sqrt(2.0) * radius, rel=1e-3)
    level = torch.nn.functional.normalize(bend.forwards * torch.tensor([1.0, 0.0, 1.0]), dim=-1)
    assert float(level[0] @ level[-1]) == pytest.approx(0.0, abs=1e-5)
    middles = torch.nn.functional.normalize(level[1:] + level[:-1], dim=-1)
    steps = bend.origins.diff(dim=0)
    torch.testing.assert_close((middles * steps).sum(dim=-1), steps.norm(dim=-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_there_and_back_returns_through_the_very_same_poses(n: int):
    path = there_and_back(_start(), n=n, up=UP, scale=1.7)
    assert torch.equal(path.c2w, path.c2w.flip(0))
    assert torch.equal(path.c2w[-1:], _start().c2w)
    assert n < 3 or not torch.equal(path.c2w[n // 2], path.c2w[0])


def test_a_loop_walks_to_the_left_and_comes_round_through_the_very_same_poses():
    start, up = _start(), UP / UP.norm()
    path = loop(start, n=250, up=UP, scale=1.7)
    assert torch.equal(path.c2w[LAP_FRAMES:], path.c2w[: 250 - LAP_FRAMES])
    torch.testing.assert_close(_along(path, up), torch.zeros(250), atol=1e-5, rtol=0)
    steps = path.origins[1:] - path.origins[:-1]
    torch.testing.assert_close(steps.norm(dim=1), torch.full((249,), 1.7 * STRIDE), rtol=1e-3, atol=0)
    ahead = path.forwards - (path.forwards @ up)[:, None] * up
    along = torch.cosine_similarity(ahead[:-1], steps, dim=1)
    assert along.min() > math.cos(math.radians(360.0 / LAP_FRAMES))
    assert (torch.linalg.cross(steps[:-1], steps[1:]) @ up > 0).all()
    with pytest.raises(ValueError, match="at least one frame, got 0"):
        loop(start, n=3, lap=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"n": 0}, "1 to 100000 cameras, got 0"),
        ({"n": MAX_CAMERAS + 1}, "got 100001"),
        ({"scale": 0.0}, "positive length"),
        ({"scale": math.nan}, "positive length"),
        ({"up": torch.zeros(3)}, "up must be a direction"),
    ],
)
def test_senseless_paths_are_refused(name: str, change: dict, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        path_named(name, _start(), **{"n": 3, **change})


@pytest.mark.parametrize("name", NAMES)
def test_a_path_starts_from_one_camera(name: str):
    with pytest.raises(ValueError, match="exactly one camera, got 3"):
        path_named(name, room_cameras(), n=3)


def test_a_dolly_glides_along_the_axes_of_the_camera():
    start = _start()
    path = dolly(start, n=9, up=UP, scale=2.0, ahead=1.0, right=-0.5, rise=0.25)
    moved = (path.origins[-1] - path.origins[0]) @ start.c2w[0, :3, :3]
    torch.testing.assert_close(moved, torch.tensor([-1.0, -0.5, 2.0]), atol=1e-5, rtol=0)
    assert torch.equal(path.c2w[:, :3, :3], start.c2w[:, :3, :3].expand(9, 3, 3))
    steps = path.origins.diff(dim=0)
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), atol=1e-6, rtol=0)


def test_a_spiral_keeps_its_pivot_in_the_middle_while_it_climbs_and_comes_closer():
    start, up, scale = _start(), UP / UP.norm(), 2.0
    pivot = start.origins[0] + scale * start.forwards[0]
    path = spiral(start, n=25, up=UP, scale=scale, degrees=270.0, rise=0.6, closer=0.5)
    uv, _ = project(pivot[None], path)
    torch.testing.assert_close(uv[:, 0], path.K[:, :2, 2], atol=1e-3, rtol=0)
    torch.testing.assert_close(
        _along(path, up), torch.linspace(0.0, 0.6 * scale, 25), atol=1e-5, rtol=0, msg="height"
    )
    spokes = path.origins - pivot
    level = spokes - (spokes @ up)[:, None] * up
    radii = level.norm(dim=1)
    torch.testing.assert_close(radii, radii[0] * torch.linspace(1.0, 0.5, 25), atol=1e-5, rtol=0)
    angle = torch.cosine_similarity(level[:1], level[-1:])
    assert float(angle) == pytest.approx(math.cos(math.radians(270.0)), abs=1e-5)


def test_a_spiral_straight_up_climbs_and_turns():
    c2w = torch.eye(4)[None]
    c2w[0, :3, :3] = torch.from_numpy(Rotation.from_euler("x", 90, degrees=True).as_matrix())
    path = checked(spiral(dataclasses.replace(_start(), c2w=c2w), n=9, rise=3.0, scale=2.0))
    torch.testing.assert_close(path.forwards, c2w[:, :3, 2].expand(9, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(path.origins[-1], torch.tensor([0.0, -6.0, 0.0]), atol=1e-5, rtol=0)
    assert not torch.allclose(path.c2w[4], path.c2w[0], atol=0.5)
    with pytest.raises(ValueError, match="less than all of the way"):
        spiral(_start(), n=3, closer=1.0)


def test_a_walk_without_sway_is_straight():
    path = walk(_start(), n=20, sway=0.0)
    assert torch.equal(path.c2w[:, :3, :3], _start().c2w[:, :3, :3].expand(20, 3, 3))
    steps = path.origins.diff(dim=0)
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), atol=1e-6, rtol=0)
