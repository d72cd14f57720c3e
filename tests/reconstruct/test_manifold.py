"""Manifold: closed surfaces stay closed, which trimesh judges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.ndimage import gaussian_filter

from reconstruct.manifold import closed_decimated, is_closed, mended, volume
from reconstruct.surface import Surface, surface_of
from reconstruct.tsdf import Field


def surface_from(*meshes: trimesh.Trimesh) -> Surface:
    mesh = trimesh.util.concatenate(meshes)
    rgb = (0.5 + 0.1 * mesh.vertices).clip(0.0, 1.0).astype(np.float32)
    return Surface(vertices=mesh.vertices.astype(np.float32), faces=mesh.faces.astype(np.int32), rgb=rgb)


def judged(surface: Surface) -> trimesh.Trimesh:
    """What another program reads: vertices at one place are one."""
    mesh = trimesh.Trimesh(surface.vertices, surface.faces)
    assert len(mesh.vertices) == len(surface.vertices)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.nondegenerate_faces().all()
    assert is_closed(surface)
    return mesh


def merged(surface: Surface, *pairs: tuple[int, int]) -> Surface:
    faces = surface.faces.copy()
    for kept, gone in pairs:
        faces[faces == gone] = kept
    return replace(surface, faces=faces)


def two_blocks(*signs: int) -> Surface:
    """Two tetrahedra in two of the eight corners around the origin."""
    corners = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], float)
    faces = np.array([(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)])
    turned = faces if np.prod(signs) > 0 else faces[:, ::-1]
    return surface_from(trimesh.Trimesh(corners, faces), trimesh.Trimesh(corners * signs, turned))


def test_what_is_closed_is_told_from_what_is_not():
    ball = surface_from(trimesh.creation.icosphere(2))
    assert is_closed(ball)
    assert volume(ball) == pytest.approx(trimesh.creation.icosphere(2).volume, rel=1e-5)
    assert volume(replace(ball, faces=ball.faces[:, ::-1])) == pytest.approx(-volume(ball))
    assert not is_closed(replace(ball, faces=ball.faces[1:]))
    turned = ball.faces.copy()
    turned[0] = turned[0][::-1]
    assert not is_closed(replace(ball, faces=turned))
    assert not is_closed(replace(ball, vertices=np.zeros_like(ball.vertices)))


@pytest.mark.parametrize(
    ("signs", "pairs"),
    [((-1, -1, -1), [(0, 4)]), ((1, -1, -1), [(0, 4), (1, 5)])],
    ids=["share a corner", "share an edge"],
)
def test_blocks_that_share_a_corner_or_an_edge_come_apart(signs: tuple, pairs: list):
    surface = mended(merged(two_blocks(*signs), *pairs))
    assert judged(surface).body_count == 2
    assert volume(surface) == pytest.approx(1 / 3, rel=0.05)
    assert surface.rgb is not None
    assert len(surface.rgb) == len(surface.vertices)


def test_faces_that_cover_each_other_go():
    blocks = merged(two_blocks(1, 1, -1), (0, 4), (1, 5), (2, 6))
    pair = np.array([(3, 1, 7), (3, 7, 1)], np.int32)
    folded = replace(blocks, faces=np.concatenate([blocks.faces, pair]))
    surface = mended(folded)
    assert len(surface) == 6
    assert judged(surface).volume == pytest.approx(1 / 3)


def test_faces_without_area_are_merged_away():
    ball = surface_from(trimesh.creation.icosphere(3))
    vertices = ball.vertices.copy()
    a, b, c = ball.faces[7]
    vertices[b] = 0.5 * (vertices[a] + vertices[c])
    surface = mended(replace(ball, vertices=vertices))
    assert len(surface) < len(ball)
    judged(surface)


def sponge(blocks: int = 4) -> Surface:
    """Where noise on a lattice is below 0, a body of many handles and thin walls."""
    noise = np.random.default_rng(1).normal(size=(8 * blocks,) * 3)
    noise = gaussian_filter(noise, 1.0) / 0.1
    inner = np.zeros(noise.shape, bool)
    inner[1:-1, 1:-1, 1:-1] = True
    z_y_x = np.where(inner, noise, 1.0).reshape(3 * (blocks, 8)).transpose(0, 2, 4, 1, 3, 5)
    rows = z_y_x.reshape(blocks**3, 512).astype(np.float32)
    places = np.indices((blocks,) * 3).reshape(3, -1)[::-1].T.astype(np.int32)
    ones = np.ones((*rows.shape, 4), np.float32)
    return surface_of(
        Field(voxel=0.1, depth=1.0, blocks=places, distances=rows, weights=ones[..., 0], colours=ones)
    )


@pytest.mark.parametrize("most", [6000, 2000, 40])
def test_a_sponge_stays_closed_with_fewer_faces(most: int):
    full = sponge()
    assert is_closed(full)
    surface = closed_decimated(full, most)
    mesh = judged(surface)
    assert len(surface) < len(full)
    assert mesh.volume == pytest.approx(volume(full), rel=0.25)
    again = closed_decimated(full, most)
    assert np.array_equal(surface.vertices, again.vertices)
    assert np.array_equal(surface.faces, again.faces)


def test_few_faces_are_left_as_they_are_and_too_few_are_refused():
    ball = surface_from(trimesh.creation.icosphere(1))
    assert closed_decimated(ball, 80) is ball
    with pytest.raises(ValueError, match="4 faces or more"):
        closed_decimated(ball, 3)
