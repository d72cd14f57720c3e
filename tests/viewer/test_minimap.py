"""The map from above, on worlds whose plan is known."""

import numpy as np
import pytest

from tests.viewer.box_room import look
from viewer.conventions import poses_from_cameras
from viewer.minimap import GROUND, SIDE, TRACK, VISITOR, plan_of, with_visitor

UP = np.array([0.0, -1.0, 0.0])
TRACKED = poses_from_cameras(look(3))


def corners() -> tuple[np.ndarray, np.ndarray]:
    """A red patch ahead of the first camera, to its left, a blue one behind to its right, on the floor."""
    x, y, z = np.meshgrid(np.linspace(-0.2, 0.2, 40), [1.0], np.linspace(-0.2, 0.2, 40))
    patch = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    centers = np.concatenate([patch + np.array([-2.0, 0.0, 2.0]), patch + np.array([2.0, 0.0, -4.0])])
    rgbs = np.repeat(np.uint8([[255, 0, 0], [0, 0, 255]]), len(patch), axis=0)
    return centers, rgbs


def middle(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Mean row and column of the pixels of a colour."""
    found = np.argwhere((image == np.uint8(colour)).all(axis=-1))
    assert len(found), f"nothing on the map is {colour}"
    return found.mean(axis=0)


def test_ahead_is_up_and_right_is_right():
    centers, rgbs = corners()
    plan = plan_of(centers, rgbs, track=TRACKED, up=UP)
    red, blue = middle(plan.image, (255, 0, 0)), middle(plan.image, (0, 0, 255))
    assert red[0] < blue[0]
    assert red[1] < blue[1]
    assert plan.image.shape == (SIDE, SIDE, 3)
    assert (plan.image[0] == GROUND).all()


def test_ceilings_hide_nothing():
    centers, rgbs = corners()
    ceiling = centers - [0.0, 3.0, 0.0]
    plan = plan_of(
        np.concatenate([centers, ceiling]),
        np.concatenate([rgbs, np.full_like(rgbs, 255)]),
        track=TRACKED,
        up=UP,
    )
    assert not (plan.image == 255).all(axis=-1).any()
    middle(plan.image, (255, 0, 0))


def test_the_track_and_the_visitor_are_where_they_stand():
    centers, rgbs = corners()
    plan = plan_of(centers, rgbs, track=TRACKED, up=UP)
    column, row = plan.place(TRACKED[2].position[None])[0]
    assert (plan.image[int(row), int(column)] == TRACK).all()
    image = with_visitor(plan, TRACKED[2])
    assert (image[int(row), int(column)] == VISITOR).all()
    tip = middle(image, VISITOR) - [row, column]
    ahead = TRACKED[2].rotation[:, 2]
    assert tip[0] < 0  # it looks ahead, so the arrow points up
    assert np.sign(tip[1]) == np.sign(ahead[0])


def test_who_looks_straight_down_and_who_is_far_away_are_drawn_too():
    centers, rgbs = corners()
    down = poses_from_cameras(look(1))[0]
    turned = np.array([np.sqrt(0.5), -np.sqrt(0.5), 0.0, 0.0])
    down = type(down)(wxyz=turned, position=down.position, fov=down.fov, aspect=down.aspect)
    plan = plan_of(centers, rgbs, track=[down], up=UP)
    far = type(down)(wxyz=turned, position=np.array([900.0, 0.0, 0.0]), fov=1.0, aspect=1.0)
    middle(with_visitor(plan, far), VISITOR)


@pytest.mark.parametrize("count", [0, 1])
def test_a_world_of_next_to_nothing_has_a_map(count: int):
    plan = plan_of(np.zeros((count, 3)), np.zeros((count, 3), np.uint8), track=TRACKED[:1], up=UP)
    assert np.isfinite(plan.place(np.ones((1, 3)))).all()
