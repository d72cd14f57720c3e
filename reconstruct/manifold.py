"""Manifold: a closed surface stays one with fewer faces.

Room: reconstruct; the command line and the viewer may import this. Merging vertices of a closed surface
leaves as many faces on one side of every edge as on the other, whatever else becomes of it: faces may cover
each other, and more than two may share an edge. Both can be undone without a guess at what the shape was.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Int, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from reconstruct.surface import Surface
from reconstruct.tidy import check_faces, only, simplified

FLATTEST = 1e-4
"""Height of a face over its longest edge, as a share of it: flatter ones are merged away."""

APART = 0.02
"""Share of the way to the middle of its faces that a vertex moves where sheets are taken apart."""

TURNS = 8
"""A fan that meets an edge twice comes apart when faces are paired the other way, mostly at once."""

HELD = 0.8
"""Share of its volume that a body keeps: the sides of a wall that is too coarse pass through each other."""

MORE = 1.5
"""So many times more faces are left while that or its sheets cannot be had."""


def closed_decimated(surface: Surface, most: int) -> Surface:
    """A closed surface with at most about so many faces, as ``decimated`` makes them, still closed.

    Every edge belongs to two faces that agree which way it is turned, no face is without area, and the volume
    is kept. Where so few faces cannot do that, more are left.

    Raises:
        ValueError: if ``most`` is less than ``FEWEST``.
    """
    check_faces(most)
    whole = volume(surface)
    while len(surface) > most:
        fewer = mended(simplified(surface, most))
        if is_closed(fewer) and HELD <= volume(fewer) / whole <= 1.0 / HELD:
            return fewer
        most = int(MORE * most) + 1
    return surface


def volume(surface: Surface) -> float:
    """Of the body that a closed surface bounds, cubic world units; negative if its faces look inwards."""
    a, b, c = (surface.vertices[surface.faces[:, k]].astype(np.float64) for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6.0)


def is_closed(surface: Surface) -> bool:
    """Whether every edge belongs to two faces, one on each side, and no two vertices are at one place."""
    if len(np.unique(surface.vertices, axis=0)) < len(surface.vertices):
        return False
    edges = _directed(surface.faces)
    keys, counts = np.unique(edges[:, 0] * len(surface.vertices) + edges[:, 1], return_counts=True)
    back = np.sort(edges[:, 1] * len(surface.vertices) + edges[:, 0])
    return bool((counts == 1).all() and np.array_equal(keys, back))


def mended(surface: Surface) -> Surface:
    """A surface that was closed before vertices were merged, without folds and with its sheets apart."""
    surface = _without_folds(surface)
    while (flat := _flattest(surface)).any():
        surface = _without_folds(_merged(surface, flat))
    surface = _apart(surface, shift=0)
    for turn in range(TURNS):
        if is_closed(surface):
            break
        surface = _apart(surface, shift=1 - turn % 2)
    return surface


def _directed(faces: Int[np.ndarray, "f 3"]) -> Int64[np.ndarray, "e 2"]:
    """The three edges of every face, one face after another, each as the face goes round."""
    return np.stack([faces, faces[:, [1, 2, 0]]], axis=2).reshape(-1, 2).astype(np.int64)


def _without_folds(surface: Surface) -> Surface:
    """Without faces of which two corners are one, and pairs of faces that cover each other back to back."""
    a, b, c = surface.faces.T
    surface = only(surface, (a != b) & (b != c) & (c != a))
    faces = surface.faces
    low = faces.argmin(axis=1)[:, None]
    turned = np.take_along_axis(faces, (low + np.arange(3)) % 3, axis=1)  # the least corner first
    is_even = turned[:, 1] < turned[:, 2]
    _, same = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True)
    same = same.reshape(-1)
    pairs = np.minimum(
        *(np.bincount(same[side], minlength=same.max(initial=0) + 1) for side in (is_even, ~is_even))
    )
    gone = np.zeros(len(faces), bool)
    for side in (is_even, ~is_even):
        rows = np.flatnonzero(side)
        rows = rows[np.argsort(same[rows], kind="stable")]
        starts = np.searchsorted(same[rows], same[rows])
        gone[rows] = np.arange(len(rows)) - starts < pairs[same[rows]]
    return only(surface, ~gone)


def _flattest(surface: Surface) -> Bool[np.ndarray, " f"]:
    """Faces with nearly no area."""
    corners = surface.vertices.astype(np.float64)[surface.faces]
    sides = np.roll(corners, -1, axis=1) - corners
    longest = (sides**2).sum(axis=2).max(axis=1, initial=0.0)
    return np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1) <= FLATTEST * longest


def _merged(surface: Surface, flat: Bool[np.ndarray, " f"]) -> Surface:
    """With the shortest edge of each of some faces made one vertex."""
    corners = surface.faces[flat]
    places = surface.vertices.astype(np.float64)[corners]
    shortest = ((np.roll(places, -1, axis=1) - places) ** 2).sum(axis=2).argmin(axis=1)
    rows = np.arange(len(corners))
    begins, ends = corners[rows, shortest], corners[rows, (shortest + 1) % 3]
    size = len(surface.vertices)
    links = coo_array((np.ones(len(rows), np.int8), (begins, ends)), shape=(size, size))
    _, label = connected_components(links, directed=False)
    _, first = np.unique(label, return_index=True)
    return dataclasses.replace(surface, faces=first[label][surface.faces].astype(np.int32))


def _apart(surface: Surface, *, shift: int) -> Surface:
    """With a vertex of its own for every fan of faces around one.

    Faces on two sides of an edge are paired, and corners that the pairs join become one vertex. Of several
    faces on each side the n-th of one are paired with the (n + ``shift``)-th of the other.
    """
    edges, count = _directed(surface.faces), len(surface.vertices)
    corner = np.arange(len(edges))
    after = corner - corner % 3 + (corner + 1) % 3
    keys = edges[:, 0] * count + edges[:, 1]
    there, back = (
        np.argsort(keys, kind="stable"),
        np.argsort(edges[:, 1] * count + edges[:, 0], kind="stable"),
    )
    _, starts, numbers = np.unique(keys[there], return_index=True, return_counts=True)
    place = corner - np.repeat(starts, numbers)
    back = back[np.repeat(starts, numbers) + (place + shift) % np.repeat(numbers, numbers)]
    begins, ends = np.concatenate([there, after[there]]), np.concatenate([after[back], back])
    links = coo_array((np.ones(len(begins), np.int8), (begins, ends)), shape=(len(edges),) * 2)
    _, label = connected_components(links, directed=False)
    _, first = np.unique(label, return_index=True)
    old = edges[first, 0]
    middles = surface.vertices.astype(np.float64)[surface.faces].mean(axis=1)[corner // 3]
    sums = np.stack([np.bincount(label, middles[:, k]) for k in range(3)], axis=1)
    vertices = surface.vertices[old]
    several = np.bincount(old, minlength=count)[old] > 1
    towards = sums / np.bincount(label)[:, None] - vertices
    vertices[several] += (APART * towards[several]).astype(np.float32)
    rgb = None if surface.rgb is None else surface.rgb[old]
    return dataclasses.replace(
        surface, vertices=vertices, faces=label.reshape(-1, 3).astype(np.int32), rgb=rgb
    )
