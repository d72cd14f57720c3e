"""Tidy: what is left out of a surface, and how it is made of fewer faces.

Room: reconstruct; the command line and the viewer may import this.
"""

from __future__ import annotations

import fast_simplification
import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from reconstruct.surface import Surface

FEWEST = 4
"""Of a tetrahedron."""

LEAST_FACES = 50
LEAST_SHARE = 0.001
"""A piece with fewer faces, or a smaller share of all, is an island of noise and not a thing."""


def without_islands(surface: Surface, *, share: float = LEAST_SHARE) -> Surface:
    """Leave out pieces that hang together with nothing and are small; the largest one always stays."""
    if not len(surface):
        return surface
    piece = pieces_of(surface)
    counts = np.bincount(piece)
    least = min(max(LEAST_FACES, share * len(surface)), counts.max())
    return only(surface, counts[piece] >= least)


def pieces_of(surface: Surface) -> Int[np.ndarray, " f"]:
    """For each face the number of the piece that it hangs together with."""
    a, b = surface.faces[:, :2].T, surface.faces[:, 1:].T
    rows, columns = np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])
    size = len(surface.vertices)
    links = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(size, size))
    _, labels = connected_components(links, directed=False)
    return labels[surface.faces[:, 0]]


def decimated(surface: Surface, most: int) -> Surface:
    """The surface with at most about so many faces: edges that bend little go first (quadric error metric).

    More are left where so few cannot hold all pieces and their borders. Colours are those of the nearest
    vertices there were.

    Raises:
        ValueError: if ``most`` is less than ``FEWEST``.
    """
    fewer = simplified(surface, most)
    return fewer if fewer is surface else only(fewer, _has_area(fewer.vertices, fewer.faces))


def simplified(surface: Surface, most: int) -> Surface:
    """As :func:`decimated`, with the faces that came to have no area: a closed surface has gaps without."""
    check_faces(most)
    if len(surface) <= most:
        return surface
    vertices, faces = surface.vertices.astype(np.float64), surface.faces
    before = len(faces) + 1
    while most < len(faces) < before:  # the library gives up early where there are many pieces and borders
        before = len(faces)
        vertices, faces, *_ = fast_simplification.simplify(
            vertices, faces.astype(np.int32), target_count=most
        )
    vertices, faces = vertices.astype(np.float32), faces.astype(np.int32)
    rgb = surface.rgb
    if rgb is not None:
        _, nearest = KDTree(surface.vertices).query(vertices)
        rgb = rgb[nearest]
    return Surface(vertices=vertices, faces=faces, rgb=rgb)


def check_faces(most: int) -> None:
    """Refuse numbers of faces that no body can have."""
    if most < FEWEST:
        raise ValueError(f"a mesh is left with {FEWEST} faces or more, got {most}")


def _has_area(vertices: np.ndarray, faces: Int[np.ndarray, "f 3"]) -> Bool[np.ndarray, " f"]:
    corners = vertices.astype(np.float64)[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return (across != 0).any(axis=1)


def only(surface: Surface, kept: Bool[np.ndarray, " f"]) -> Surface:
    """Some of the faces, and the vertices that they use, in their order."""
    faces = surface.faces[kept]
    used = np.zeros(len(surface.vertices), bool)
    used[faces] = True
    number = np.cumsum(used) - 1
    rgb = None if surface.rgb is None else surface.rgb[used]
    return Surface(vertices=surface.vertices[used], faces=number[faces].astype(np.int32), rgb=rgb)
