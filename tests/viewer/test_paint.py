"""What colours say, on clouds whose every splat is known."""

import dataclasses

import numpy as np
import pytest
import torch

from memory.pictures import coloured_normals, turbo
from reconstruct.init import gaussians_from_points
from tests.viewer.box_room import cast, look, points_of
from viewer.asks import Scene
from viewer.clouds import Cloud, cloud_from_gaussians
from viewer.paint import DOUBT, TRUST, painted
from viewer.stage import cloud_of, clouds_of


def room() -> Cloud:
    return cloud_of(points_of(cast(look(1, width=32, height=24))))


def said(cloud: Cloud, paint) -> np.ndarray:
    return painted(cloud, paint, place=np.zeros(3), scale=2.0).astype(int)


def test_normals_are_coloured_as_films_colour_them():
    cloud = room()
    in_film = coloured_normals(torch.from_numpy(cloud.normals)[None, None])[0, 0]
    np.testing.assert_allclose(said(cloud, "Normals"), 255 * in_film.numpy(), atol=0.51)
    assert not coloured_normals(torch.zeros(1, 1, 1, 3)).any()


def test_true_colours_are_those_of_the_cloud():
    cloud = room()
    np.testing.assert_array_equal(said(cloud, "Colours"), cloud.rgbs)


def test_near_is_red_far_is_blue_and_half_way_at_the_scale_is_green():
    cloud = room()
    ahead = np.geomspace(0.2, 20.0, len(cloud), dtype=np.float32)
    row = dataclasses.replace(cloud, centers=ahead[:, None] * np.float32([0, 0, 1]))
    colours = said(row, "Nearness")
    red, green, blue = colours[np.abs(ahead[:, None] - [0.2, 2.0, 20.0]).argmin(axis=0)]
    assert (red.argmax(), green.argmax(), blue.argmax()) == (0, 1, 2)
    np.testing.assert_allclose(green, 255 * turbo(torch.tensor([0.5])), atol=2)


@pytest.mark.parametrize(("confidence", "colour"), [(0.0, DOUBT), (1.0, TRUST)])
def test_confidence_goes_from_doubt_to_trust(confidence: float, colour: tuple[int, int, int]):
    cloud = room()
    cloud = dataclasses.replace(cloud, confidence=np.full_like(cloud.confidence, confidence))
    assert (said(cloud, "Confidence") == colour).all()


def test_normals_are_those_of_the_surface_up_to_their_side():
    points = points_of(cast(look(1, width=32, height=24)))
    cloud = cloud_of(points)
    cosine = (cloud.normals * points.normals.numpy()).sum(axis=1)
    np.testing.assert_allclose(np.abs(cosine), 1.0, atol=1e-4)
    np.testing.assert_allclose(said(cloud, "Normals") / 127.5 - 1.0, cloud.normals, atol=0.01)


def test_measured_is_blue_and_imagined_is_orange():
    cloud = room()
    mixed = dataclasses.replace(cloud, confidence=np.linspace(0.5, 1.0, len(cloud), dtype=np.float32))
    colours = said(mixed, "What is imagined")
    assert (colours[:-1, 0] > colours[:-1, 2]).all()
    assert colours[-1, 2] > colours[-1, 0]


def test_fitted_splats_take_the_confidence_of_the_point_beside_them():
    frames = cast(look(1, width=32, height=24))
    points = points_of(frames)
    points = dataclasses.replace(points, confidence=torch.linspace(0.1, 1.0, len(points)))
    splats = gaussians_from_points(points)
    (cloud,) = clouds_of(Scene(frames=frames, points=points, splats=splats))
    np.testing.assert_allclose(cloud.confidence, points.confidence, atol=1e-6)
    np.testing.assert_array_equal(cloud_from_gaussians(splats).confidence, 1.0)
