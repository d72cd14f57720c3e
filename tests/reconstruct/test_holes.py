"""Holes: rims are found, films span them, and openings are told from holes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from reconstruct.holes import film, films, rims, seen_through
from reconstruct.surface import Surface
from tests.oracles.solids import all_round, seen


def surface_from(mesh: trimesh.Trimesh) -> Surface:
    rgb = (0.5 + 0.2 * mesh.vertices).clip(0.0, 1.0).astype(np.float32)
    return Surface(vertices=mesh.vertices.astype(np.float32), faces=mesh.faces.astype(np.int32), rgb=rgb)


def bowl() -> Surface:
    """The half of a ball below z = 0, its faces outwards."""
    mesh = trimesh.creation.icosphere(subdivisions=4)
    mesh.update_faces((mesh.triangles_center[:, 2]) < 0.0)
    mesh.remove_unreferenced_vertices()
    return surface_from(mesh)


def test_closed_surfaces_have_no_rims_and_open_ones_as_many_as_holes():
    assert rims(surface_from(trimesh.creation.box())) == []
    pipe = trimesh.creation.cylinder(radius=1.0, height=2.0, sections=16)
    pipe.update_faces(np.abs(pipe.face_normals[:, 2]) < 0.5)
    found = rims(surface_from(pipe))
    assert [len(rim) for rim in found] == [16, 16]
    for rim in found:
        assert len(np.unique(pipe.vertices[rim][:, 2])) == 1


def test_holes_that_touch_at_a_vertex_are_walked_round_once():
    faces = np.array([(0, 1, 2), (0, 3, 4)], np.int32)
    vertices = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    found = rims(Surface(vertices=vertices, faces=faces, rgb=None))
    steps = [step for rim in found for step in zip(rim, np.roll(rim, -1), strict=True)]
    assert sorted(steps) == [(0, 2), (0, 4), (1, 0), (2, 1), (3, 0), (4, 3)]


def test_the_film_of_a_bowl_is_a_disc_that_looks_out_of_it():
    surface, spacing = bowl(), 0.05
    (rim,) = rims(surface)
    span = film(surface, rim, spacing=spacing)
    edge = np.abs(surface.vertices[rim][:, 2]).max()
    assert np.abs(span.points[:, 2]).max() <= edge
    inner = np.linalg.norm(span.points, axis=1) < 0.9
    assert (span.normals[inner][:, 2] > 0.9).all()
    np.testing.assert_allclose(span.rgb[inner], 0.5 + 0.2 * span.points[inner], atol=0.02)
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-0.6, 0.6, 25)], [0.0]), axis=-1).reshape(-1, 3)
    gaps = np.linalg.norm(span.points[None] - grid[:, None], axis=2).min(axis=1)
    assert gaps.max() < spacing + edge


def test_a_frame_looks_through_what_lies_before_what_it_shows():
    frames = seen("sphere", 2)
    towards = frames.cameras.origins.double().numpy()
    points = np.concatenate([0.6 * towards, 0.2 * towards, -0.9 * towards, [[0.0, 0.0, 0.0]]])
    found = seen_through(points, [frames], voxel=0.05)
    assert found.tolist() == [True, True, False, False, False, False, False]


@pytest.mark.parametrize("is_known", [True, False])
def test_a_film_that_frames_look_through_is_none(is_known: bool):  # noqa: FBT001
    surface, frames = bowl(), seen("sphere", 3)
    depth = torch.full_like(frames.depth, 9.0)  # an empty hall, in which somebody drew a bowl
    cameras = all_round(3)
    confidence = torch.full_like(depth, float(is_known))
    empty = type(frames)(rgb=frames.rgb, depth=depth, cameras=cameras, valid=depth > 0, confidence=confidence)
    assert len(films(surface, [empty], voxel=0.1)) == (0 if is_known else 1)
