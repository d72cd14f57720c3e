"""Maps from above that are asked where things are; the viewer's tests ask the rest."""

import numpy as np
import pytest

from render.plans import TRACK, line, plan_of, stroke

UP = np.array([0.0, -1.0, 0.0])


def poses(*places: tuple[float, float, float]) -> np.ndarray:
    c2w = np.tile(np.eye(4), (len(places), 1, 1))
    c2w[:, :3, 3] = places
    return c2w


def test_every_camera_is_on_the_map_however_few_they_are_among_the_points():
    rng = np.random.default_rng(0)
    centers = rng.uniform(-1.0, 1.0, size=(5000, 3))
    c2w = poses((0.0, 0.0, 0.0), (30.0, 0.0, -7.0))
    plan = plan_of(centers, np.zeros((5000, 3), np.uint8), c2w=c2w, up=3.0 * UP, side=90)
    for column, row in plan.place(c2w[:, :3, 3]):
        assert (plan.image[int(row), int(column)] == TRACK).all()


def test_the_width_of_a_map_is_in_world_units():
    c2w = poses((0.0, 0.0, 0.0), (4.0, 0.0, 0.0))
    plan = plan_of(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), c2w=c2w, up=UP, side=100)
    (left, _), (right, _) = plan.place(c2w[:, :3, 3])
    assert plan.width == pytest.approx(100.0 * 4.0 / (right - left))


def test_lines_that_leave_a_picture_do_not_come_back_on_its_other_side():
    image = np.zeros((10, 20, 3), np.uint8)
    line(image, np.array([18.0, 5.0]), np.array([25.0, 5.0]), (255, 0, 0))
    assert np.argwhere(image[..., 0]).tolist() == [[5, 18], [5, 19]]


def test_a_stroke_is_three_pixels_wide_and_stays_inside():
    image = np.zeros((9, 9, 3), dtype=np.uint8)
    stroke(image, np.array([[4.5, 2.5], [4.5, 30.0]]), TRACK)
    drawn = (image == TRACK).all(axis=-1)
    assert drawn[1:, 3:6].all()
    assert drawn.sum() == 8 * 3
    stroke(image, np.array([[0.5, 0.5]]), TRACK)
    assert (image[:2, :2] == TRACK).all(), "one place is a dot"
