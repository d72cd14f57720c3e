"""Inspections of paths whose length, speed and obstacles are known."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from render.cameras import Cameras
from render.inspections import inspected
from render.moves import parsed_move
from render.walls import Walls
from tests.oracles.box_room import room_cameras
from tests.render.test_walls import SIDE, wall


def along(text: str, *, n: int = 101) -> Cameras:
    """A move from the origin, looking along z."""
    start = room_cameras(torch.float64)[:1]
    return parsed_move(text).cameras(dataclasses.replace(start, c2w=torch.eye(4).double()[None]), n=n)


@pytest.fixture
def walls() -> Walls:
    walls = Walls(side=SIDE)
    walls.add(wall())
    return walls


def test_length_speed_and_turning_are_those_of_the_path():
    circle = inspected(along("loop:radius=2", n=721), fps=30)
    assert circle.pictures == 721
    assert circle.seconds == pytest.approx(721 / 30)
    assert circle.length == pytest.approx(4.0 * math.pi, rel=1e-4)
    assert circle.top_speed == pytest.approx(4.0 * math.pi / 24.0, rel=1e-3)
    assert circle.top_turn == pytest.approx(math.radians(15.0), rel=1e-3)
    assert circle.meetings == ()


def test_the_fastest_step_and_the_sharpest_turn_are_named():
    path = along("walk:length=1", n=11)
    c2w = path.c2w.clone()
    c2w[7:, 2, 3] += 1.0
    c2w[3:, :3, :3] = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]).double()
    inspection = inspected(dataclasses.replace(path, c2w=c2w), fps=10)
    assert (inspection.top_speed_at, inspection.top_turn_at) == (6, 2)
    assert inspection.top_speed == pytest.approx(11.0)
    assert inspection.top_turn == pytest.approx(5.0 * math.pi)


def test_a_path_through_a_wall_is_told_with_picture_and_place(walls: Walls):
    inspection = inspected(along("walk:length=4", n=101), fps=24, walls=walls)
    (meeting,) = inspection.meetings
    assert meeting.is_through
    assert inspection.passes_through
    assert meeting.place == pytest.approx((0.0, 0.0, 2.0), abs=0.6 * SIDE), "not where it comes near"
    assert meeting.first <= 48
    assert meeting.last >= 50
    assert (meeting.first, meeting.last) == (pytest.approx(50, abs=6), pytest.approx(50, abs=6))


def test_large_steps_do_not_leap_over_a_wall(walls: Walls):
    inspection = inspected(along("walk:length=900", n=2), fps=24, walls=walls)
    assert [(m.first, m.last, m.is_through) for m in inspection.meetings] == [(0, 1, True)]
    assert inspection.meetings[0].place == pytest.approx((0.0, 0.0, 2.0), abs=SIDE)


def test_a_path_by_a_wall_comes_near_and_not_through(walls: Walls):
    inspection = inspected(along("dolly:ahead=1.93", n=51), fps=24, walls=walls)
    assert [meeting.is_through for meeting in inspection.meetings] == [False]
    assert not inspection.passes_through
    assert inspection.meetings[0].last == 50
    assert inspected(along("walk:length=1"), fps=24, walls=walls).meetings == ()


def test_every_wall_is_told_once_however_long_the_path(walls: Walls):
    for z in (40.0, -3.0, 700.0):
        walls.add(wall(z))
    path = along("walk:length=1000", n=60_000)
    inspection = inspected(path, fps=60, walls=walls)
    assert [round(m.place[2]) for m in inspection.meetings] == [2, 40, 700]
    exact = [np.searchsorted(path.origins[:, 2].numpy(), z) for z in (2.0, 40.0, 700.0)]
    assert all(m.first <= at <= m.last for m, at in zip(inspection.meetings, exact, strict=True))


def test_one_picture_is_a_path_and_none_is_not():
    inspection = inspected(along("hold", n=1), fps=24)
    assert (inspection.pictures, inspection.length, inspection.top_speed, inspection.top_turn) == (
        1,
        0.0,
        0.0,
        0.0,
    )
    with pytest.raises(ValueError, match="0 cameras at 24"):
        inspected(along("hold", n=1)[:0], fps=24)
