"""Tidy: islands go, things stay, and fewer faces keep the shape."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from reconstruct.surface import Surface
from reconstruct.tidy import decimated, without_islands


def surface_from(*meshes: trimesh.Trimesh) -> Surface:
    """Meshes as one surface, coloured by place."""
    mesh = trimesh.util.concatenate(meshes)
    rgb = (0.5 + 0.1 * mesh.vertices).clip(0.0, 1.0).astype(np.float32)
    return Surface(vertices=mesh.vertices.astype(np.float32), faces=mesh.faces.astype(np.int32), rgb=rgb)


def ball(subdivisions: int, x: float, radius: float = 1.0) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return mesh.apply_translation((x, 0.0, 0.0))


def test_small_islands_go_and_things_stay():
    kept = surface_from(ball(4, 0.0), ball(2, 3.0, 0.5))
    surface = without_islands(surface_from(ball(4, 0.0), ball(0, -3.0, 0.1), ball(2, 3.0, 0.5)))
    assert np.array_equal(surface.vertices, kept.vertices)
    assert np.array_equal(surface.faces, kept.faces)
    assert surface.rgb is not None
    assert np.array_equal(surface.rgb, kept.rgb)


def test_a_share_of_all_faces_may_be_asked_for():
    surface = surface_from(ball(4, 0.0), ball(2, 3.0))  # 5,120 faces and 320
    assert len(without_islands(surface, share=0.05)) == 5440
    assert len(without_islands(surface, share=0.06)) == 5120


def test_the_largest_piece_stays_however_small_it_is():
    surface = without_islands(surface_from(ball(0, 0.0), ball(0, 3.0)))
    assert len(surface) == 40


def test_nothing_is_left_of_nothing():
    nothing = Surface(vertices=np.zeros((0, 3), np.float32), faces=np.zeros((0, 3), np.int32), rgb=None)
    assert len(without_islands(nothing)) == 0


@pytest.mark.parametrize("most", [2000, 300])
def test_fewer_faces_keep_the_shape_its_closedness_and_its_colours(most: int):
    full = surface_from(ball(5, 0.0))
    surface = decimated(full, most)
    assert len(surface) <= most
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4.0 / 3.0 * np.pi, rel=8.0 / most)
    assert (mesh.face_normals * mesh.triangles_center).sum(axis=1).min() > 0
    assert surface.rgb is not None
    np.testing.assert_allclose(surface.rgb, 0.5 + 0.1 * surface.vertices, atol=0.02)
    again = decimated(full, most)
    assert np.array_equal(surface.vertices, again.vertices)
    assert np.array_equal(surface.faces, again.faces)


def test_rough_sheets_with_borders_become_as_few_faces_as_asked_for():
    side, count = 150, 10
    flat = np.stack(np.meshgrid(np.arange(side), np.arange(side), [0.0]), axis=-1).reshape(-1, 3)
    flat[:, 2] = 0.5 * np.random.default_rng(0).random(len(flat))
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1, 1)
    halves = [corner + np.array(offsets) for offsets in ([0, 1, side], [1, side + 1, side])]
    sheet, aside = np.concatenate(halves), np.array([300.0, 0.0, 0.0])
    full = Surface(
        vertices=np.concatenate([flat + i * aside for i in range(count)], dtype=np.float32),
        faces=np.concatenate([sheet + len(flat) * i for i in range(count)], dtype=np.int32),
        rgb=None,
    )
    assert count * 2 <= len(decimated(full, 100)) <= 100


def test_a_surface_with_few_faces_is_left_as_it_is():
    surface = surface_from(ball(1, 0.0))
    assert decimated(surface, 80) is surface


def test_less_than_a_tetrahedron_is_refused():
    with pytest.raises(ValueError, match="4 faces or more, got 3"):
        decimated(surface_from(ball(1, 0.0)), 3)
