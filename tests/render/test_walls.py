"""What holds visitors back, against distances to all points, one by one."""

import numpy as np
import pytest

from render.walls import Walls

SIDE = 0.1


def wall(z: float = 2.0) -> np.ndarray:
    """A wall across the way ahead, 4 wide and high, as points."""
    x, y = np.meshgrid(np.arange(-2.0, 2.0, 0.04), np.arange(-2.0, 2.0, 0.04))
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=1).astype(np.float32)


@pytest.fixture
def walls() -> Walls:
    walls = Walls(side=SIDE)
    walls.add(wall())
    return walls


def test_near_is_what_distances_say(walls: Walls):
    places = np.random.default_rng(0).uniform((-3, -3, 1.5), (3, 3, 2.5), (2000, 3))
    apart = np.abs(places[:, None] - wall()[None]).max(axis=2).min(axis=1)
    near = walls.are_near(places)
    assert near[apart <= SIDE].all(), "nobody comes closer than a side"
    assert not near[apart > 2 * SIDE].any(), "and everybody may come as close as two"


@pytest.mark.parametrize("goal", [(0.3, -0.2, 9.0), (1.0, 0.5, 2.05), (-0.7, 0.1, 500.0)])
def test_a_walk_ends_before_a_wall_and_not_long_before(walls: Walls, goal: tuple[float, ...]):
    held = walls.held(np.zeros(3), np.array(goal))
    assert 2.0 - 3.5 * SIDE < held[2] < 2.0 - SIDE


def test_a_walk_that_meets_nothing_comes_to_its_end(walls: Walls):
    for goal in ((0.5, 0.5, 1.5), (-8.0, 0.0, 0.0), (30.0, 0.0, 4.0)):
        np.testing.assert_array_equal(walls.held(np.zeros(3), np.array(goal)), goal)


def test_what_is_left_of_a_step_goes_along_the_wall(walls: Walls):
    held = walls.held(np.array([0.0, 0.0, 1.5]), np.array([0.6, -0.3, 2.4]))
    np.testing.assert_allclose(held[:2], (0.6, -0.3), atol=1e-9)
    assert held[2] < 2.0 - SIDE


def test_whoever_stands_too_close_may_leave_but_not_pass(walls: Walls):
    close = np.array([0.0, 0.0, 1.92])
    assert walls.are_near(close[None]).all()
    np.testing.assert_array_equal(walls.held(close, np.zeros(3)), np.zeros(3))
    assert walls.held(close, np.array([0.0, 0.0, 3.0]))[2] < 2.0


def test_whoever_is_inside_of_a_wall_comes_out_of_it(walls: Walls):
    for goal in (np.array([0.0, 0.0, 3.0]), np.zeros(3)):
        np.testing.assert_array_equal(walls.held(np.array([0.0, 0.0, 2.01]), goal), goal)


def test_what_is_replaced_holds_nobody_and_far_places_are_told_apart():
    walls = Walls(side=SIDE)
    walls.add(wall())
    walls.replace(wall(-5e4))
    np.testing.assert_array_equal(walls.held(np.zeros(3), np.array([0.0, 0.0, 9.0])), (0.0, 0.0, 9.0))
    assert walls.are_near(np.array([[0.0, 0.0, -5e4], [0.0, 0.0, 5e4], [0.0, 0.0, -4e4]])).tolist() == [
        True,
        False,
        False,
    ]


def test_a_way_says_where_it_comes_near(walls: Walls):
    way = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 3.0], [0.0, 3.0, 3.0]])
    ((begin, end),) = walls.crossed(way)
    assert (begin, end) == (pytest.approx(1.45, abs=0.06), pytest.approx(1.55, abs=0.06))
    assert walls.crossed(way[:2]) == walls.crossed(way[:0]) == []
    assert walls.crossed(np.array([[0.0, 0.0, 2.0]])) == [(0.0, 0.0)]
    there_and_back = walls.crossed(way[[0, 2, 0]])
    assert len(there_and_back) == 2
    assert sum(there_and_back[0]) + sum(there_and_back[1]) == pytest.approx(4.0, abs=0.05)


def test_what_leads_through_is_told_from_what_comes_near(walls: Walls):
    beside, through = (
        np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.93]]),
        np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]),
    )
    assert len(walls.crossed(beside)) == len(walls.crossed(through)) == 1
    assert walls.pierced(beside) == []
    ((begin, end),) = walls.pierced(through)
    assert 2.0 - SIDE <= 3.0 * begin <= 3.0 * end <= 2.0 + SIDE
    assert walls.pierced(np.array([[0.0, 0.0, -900.0], [0.0, 0.0, 900.0]]), most=3) == [], "three places"
