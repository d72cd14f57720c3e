"""Curves through keyframes, against scipy, circles, and another way to write them down."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicHermiteSpline
from scipy.spatial.transform import Rotation, Slerp

from render.cameras import Cameras, checked
from render.keyframes import interpolated
from render.paths import orbit, turn
from render.splines import Shape, smooth, turns, way
from render.timing import Ease
from tests.oracles.box_room import room_cameras


def keys_at(*places: tuple[float, float, float]) -> Cameras:
    """Level cameras at places."""
    start = room_cameras(torch.float64)[1:2]
    c2w = torch.eye(4, dtype=torch.float64).repeat(len(places), 1, 1)
    c2w[:, :3, 3] = torch.tensor(places, dtype=torch.float64)
    return dataclasses.replace(start, c2w=c2w, K=start.K.repeat(len(places), 1, 1))


def pyramid(points: np.ndarray, at: float) -> np.ndarray:
    """A centripetal Catmull-Rom curve between the second and the third of four points (Barry and Goldman)."""
    t = np.concatenate([[0.0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=1)))])
    u = t[1] + at * (t[2] - t[1])
    level = list(points)
    for size, spans in ((1, [(0, 1), (1, 2), (2, 3)]), (2, [(0, 2), (1, 3)]), (3, [(1, 2)])):
        level = [
            ((t[b] - u) * level[i] + (u - t[a]) * level[i + 1]) / (t[b] - t[a])
            for i, (a, b) in enumerate(spans)
        ]
        assert size + len(level) == 4
    return level[0]


def apart(points: np.ndarray, curve: np.ndarray) -> float:
    """The largest distance of any point to a polygon's corners."""
    return float(np.linalg.norm(points[:, None] - curve[None], axis=-1).min(axis=1).max())


FOUR = ((0.0, 0.0, 0.0), (1.0, 0.2, 0.0), (1.1, 1.0, 0.4), (4.0, 1.5, -0.3))


def test_a_round_curve_is_the_centripetal_catmull_rom_curve():
    path = smooth(keys_at(*FOUR), 4001).origins.numpy()
    expected = np.stack([pyramid(np.array(FOUR), at) for at in np.linspace(0.0, 1.0, 41)])
    assert apart(expected, path) < 1e-3, "half the way between two of the cameras"


@pytest.mark.parametrize(
    "shape",
    [
        Shape(tension=0.4, continuity=0.3, bias=-0.6),
        Shape(continuity=-0.7, bias=0.2),
        Shape(tension=-0.5, bias=0.5),
    ],
)
def test_over_even_gaps_the_shape_is_that_of_kochanek_and_bartels(shape: Shape):
    places = np.array([(0.0, 0, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (2, 1, 1)])
    path = smooth(keys_at(*map(tuple, places.tolist())), 6001, shape=shape).origins.numpy()
    t, c, b = shape.tension, shape.continuity, shape.bias
    came, goes = places[1:4] - places[0:3], places[2:5] - places[1:4]
    arriving = 0.5 * (1 - t) * ((1 - c) * (1 + b) * came + (1 + c) * (1 - b) * goes)
    leaving = 0.5 * (1 - t) * ((1 + c) * (1 + b) * came + (1 - c) * (1 - b) * goes)
    for gap in (0, 1):
        ends = places[1 + gap : 3 + gap]
        curve = CubicHermiteSpline([0.0, 1.0], ends, [leaving[gap], arriving[gap + 1]])
        assert apart(curve(np.linspace(0.0, 1.0, 101)), path) < 1e-3, "half a step"


def test_other_curves_differ_from_it_as_their_names_say():
    keys = keys_at(*FOUR)
    straight = np.concatenate(
        [np.linspace(a, b, 2001) for a, b in itertools.pairwise(np.array(FOUR))]
    )  # from each keyframe to the next
    for shape in (Shape(tension=1.0), Shape(continuity=-1.0)):
        assert apart(smooth(keys, 201, shape=shape).origins.numpy(), straight) < 1.3e-3
    assert apart(smooth(keys, 201).origins.numpy(), straight) > 0.05
    bend = keys_at((0, 0, 0), (1, 0, 0), (1, 0, 1))
    late, usual, early = (
        float(smooth(bend, 500, shape=Shape(bias=bias)).origins[:, 0].max()) for bias in (0.8, 0.0, -0.8)
    )
    assert late > usual + 0.02 > early + 0.04, "beyond the corner before it turns"


@pytest.mark.parametrize("n", [2, 7, 60])
def test_ends_are_kept_bit_for_bit_and_keyframes_are_passed(n: int):
    keys = room_cameras()
    path = smooth(keys, n)
    assert len(checked(path)) == n
    assert path.c2w.dtype == keys.c2w.dtype
    for at in (0, -1):
        assert torch.equal(path.c2w[at], keys.c2w[at])
        assert torch.equal(path.K[at], keys.K[at])
    fine = smooth(keys, 5000)
    nearest = (fine.origins - keys.origins[1]).norm(dim=1).argmin()
    torch.testing.assert_close(fine.c2w[nearest], keys.c2w[1], atol=2e-3, rtol=0)


def test_the_speed_is_even_within_a_percent():
    keys = keys_at((0, 0, 0), (1, 0, 0), (1.2, 0.1, 2.0), (-1, 0.5, 2.5), (-1.2, 0.4, 0.1))
    for closed in (False, True):
        steps = smooth(keys, 3000, closed=closed).origins.diff(dim=0).norm(dim=1)
        assert float(steps.max() / steps.min()) < 1.01
    uneven = interpolated(keys, 3001).origins.diff(dim=0).norm(dim=1)
    assert float(uneven.max() / uneven.min()) > 2.0, "which equal time between keyframes does not give"


def test_a_circle_keeps_its_radius_and_closes():
    start = room_cameras(torch.float64)[1:2]
    keys = orbit(start, n=16, scale=2.0)
    centre = start.origins + 2.0 * start.forwards
    path = smooth(keys, 400, closed=True)
    level = path.origins - centre
    level = level - level[:, 1:2] * torch.tensor([0.0, 1.0, 0.0])
    radii = level.norm(dim=1)
    assert float(radii.max() / radii.min()) < 1.002, (
        "a cubic misses a circle by so much at 22.5 degrees a gap"
    )
    once_more = torch.cat([path.origins, path.origins[:1]]).diff(dim=0).norm(dim=1)
    assert float(once_more.max() / once_more.min()) < 1.01
    facing = torch.nn.functional.normalize(centre - path.origins, dim=1)
    assert float((facing * path.forwards).sum(dim=1).min()) > math.cos(math.radians(0.2))


def test_an_even_turn_stays_even_as_scipy_turns_it():
    keys = turn(room_cameras(torch.float64)[1:2], n=5, degrees=400.0)
    path = smooth(keys, 33)
    slerp = Slerp(range(5), Rotation.from_matrix(keys.c2w[:, :3, :3].numpy()))
    expected = torch.from_numpy(slerp(np.linspace(0.0, 4.0, 33)).as_matrix())
    torch.testing.assert_close(path.c2w[:, :3, :3], expected, atol=1e-6, rtol=0)


def test_turning_has_no_jerks_in_keyframes():
    rng = np.random.default_rng(3)
    keys = keys_at(*[(float(i), 0.0, 0.0) for i in range(5)])
    keys.c2w[:, :3, :3] = torch.from_numpy(Rotation.from_rotvec(rng.normal(size=(5, 3))).as_matrix())
    rates = turns(smooth(keys, 8001).c2w[:, :3, :3].numpy())
    jerks = np.abs(np.diff(rates))
    assert jerks.max() < 0.02 * rates.max()
    assert np.abs(np.diff(turns(interpolated(keys, 8001).c2w[:, :3, :3].numpy()))).max() > 0.05 * rates.max()


def crosses_itself(points: np.ndarray) -> bool:
    """Whether two parts of a polygon in the plane z = 0 cross each other."""
    a, b = points[:-1, None, :2], points[1:, None, :2]
    c, d = points[None, :-1, :2], points[None, 1:, :2]

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        return (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1]) - (q[..., 1] - p[..., 1]) * (
            r[..., 0] - p[..., 0]
        )

    crossed = (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)
    return bool(crossed.any())


def test_between_keyframes_a_round_curve_has_neither_loops_nor_cusps():
    rng = np.random.default_rng(0)
    loops = {"even": 0, "centripetal": 0}
    for _ in range(150):
        places = np.zeros((4, 3))
        places[:, :2] = rng.uniform(-1.0, 1.0, (4, 2))
        places[2] = places[1] + 0.2 * (places[2] - places[1])  # a short gap between longer ones
        keys = keys_at(*map(tuple, places))
        curve = smooth(keys, 600).origins.numpy()
        first, last = (np.linalg.norm(curve - places[i], axis=1).argmin() for i in (1, 2))
        gap = curve[first : last + 1]
        loops["centripetal"] += crosses_itself(gap)
        steps = np.diff(gap, axis=0)[2:-2]
        cosines = (steps[1:] * steps[:-1]).sum(axis=1) / np.linalg.norm(steps[:-1], axis=1) ** 2
        assert (cosines > 0.0).all(), "in a cusp the curve turns back on the spot"
        loops["even"] += crosses_itself(interpolated(keys, 601).origins.numpy()[200:401])
    assert loops["centripetal"] == 0
    assert loops["even"] > 5, "which equal time between keyframes has"


def test_where_keyframes_share_a_place_the_camera_stands_and_turns():
    keys = keys_at((0, 0, 0), (1, 0, 0), (1, 0, 0), (1, 0, 1))
    keys.c2w[2:, :3, :3] = torch.from_numpy(Rotation.from_euler("y", 1.5).as_matrix())
    path = smooth(keys, 301, turn_length=1.0)
    c2w = path.c2w.numpy()
    standing = np.linalg.norm(np.diff(c2w[:, :3, 3], axis=0), axis=1) < 1e-9
    assert 120 < standing.sum() < 135, "1.5 of 3.5"
    assert (turns(c2w[:, :3, :3])[~standing] > 1e-9).sum() <= 2, "it turns no more, but for the steps beside"
    even = way(c2w[:, :3, 3], c2w[:, :3, :3], turn_length=1.0)
    assert even.max() / np.sort(even)[3] < 1.02, "but for steps across a corner"
    at_once = smooth(keys, 301)
    assert turns(at_once.c2w[:, :3, :3].numpy()).max() == pytest.approx(1.5, abs=1e-6)


def test_easing_begins_and_ends_at_rest_and_is_even_between():
    path = smooth(keys_at(*FOUR), 1001, ease=Ease(start=0.2, end=0.3))
    steps = path.origins.diff(dim=0).norm(dim=1)
    assert float(steps[0] / steps.max()) < 1e-3
    assert float(steps[-1] / steps.max()) < 1e-3
    even = steps[205:695]
    assert float(even.max() / even.min()) < 1.01
    length = float(smooth(keys_at(*FOUR), 1001).origins.diff(dim=0).norm(dim=1).sum())
    assert float(even.mean()) == pytest.approx(length / (1000 * (1 - 0.25)), rel=1e-3), (
        "speed is way over time"
    )


def test_one_keyframe_and_standing_still_are_paths():
    keys = room_cameras()
    assert torch.equal(smooth(keys[:1], 5).c2w, keys.c2w[:1].repeat(5, 1, 1))
    still = smooth(keys_at((1, 2, 3), (1, 2, 3)), 4)
    assert still.origins.tolist() == [[1, 2, 3]] * 4


def test_intrinsics_change_from_keyframe_to_keyframe():
    keys = keys_at((0, 0, 0), (0, 0, 1), (0, 0, 2))
    keys.K[:, 0, 0] = torch.tensor([40.0, 50.0, 80.0])
    torch.testing.assert_close(
        smooth(keys, 5).K[:, 0, 0], torch.tensor([40.0, 45, 50, 65, 80]).double(), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("name", ["tension", "continuity", "bias"])
def test_shapes_beyond_their_range_are_refused(name: str):
    for value in (1.5, math.nan):
        with pytest.raises(ValueError, match=f"{name} lies between -1 and 1"):
            Shape(**{name: value})


def test_senseless_curves_are_refused():
    with pytest.raises(ValueError, match="at least one camera"):
        smooth(room_cameras()[:0], 3)
    with pytest.raises(ValueError, match="1 to 100000 cameras, got 0"):
        smooth(room_cameras(), 0)
