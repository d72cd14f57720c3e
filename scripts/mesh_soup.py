"""Triangles of a glTF scene on their way into a model: placed, thinned, cut and told apart by material.

``scripts/pack_mesh_worlds.py`` calls it. Axes are those of ``worldgen.worlds``: glTF's turned by half a
turn about x, so that y points down.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Bool, Float, Int
from PIL import Image

AXES = np.diag([1.0, -1.0, -1.0])
DENSE_TRIANGLES = 900
"""A piece with more is thinned..."""

CELLS_M = (0.004, 0.006, 0.009, 0.013)
"""...by merging what lies in one cell, of the first of these sizes that brings it below, or the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Soup:
    """Triangles that share nothing."""

    points: Float[np.ndarray, "t 3 3"]
    uvs: Float[np.ndarray, "t 3 2"]
    """v downwards."""
    normals: Float[np.ndarray, "t 3 3"]
    looks: Int[np.ndarray, " t"]
    pieces: Int[np.ndarray, " t"]

    def __getitem__(self, chosen: Bool[np.ndarray, " t"] | Int[np.ndarray, " n"]) -> Soup:
        """Some of the triangles."""
        fields = {field.name: getattr(self, field.name)[chosen] for field in dataclasses.fields(Soup)}
        return Soup(**fields)


def joined(soups: list[Soup]) -> Soup:
    """All of them as one."""
    names = [field.name for field in dataclasses.fields(Soup)]
    return Soup(**{name: np.concatenate([getattr(soup, name) for soup in soups]) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A glTF scene as read."""

    soup: Soup
    pieces: list[str]
    pictures: list[Image.Image]
    """One for every look."""


def read(scene: trimesh.Scene) -> Scan:
    """All pieces of a glTF scene but those whose textures have holes."""
    pieces: list[str] = []
    looks: dict[tuple[bytes, int], int] = {}
    pictures: list[Image.Image] = []
    soups: list[Soup] = []
    for node in sorted(scene.graph.nodes_geometry):
        transform, name = scene.graph[node]
        mesh, piece = scene.geometry[name], str(node).split("/")[0].removeprefix("aws_robomaker_warehouse_")
        if mesh.visual.material.alphaMode == "MASK":
            continue
        if piece not in pieces:
            pieces.append(piece)
        picture = _picture(mesh.visual.material)
        key = (picture.tobytes(), pieces.index(piece))
        if key not in looks:
            looks[key] = len(pictures)
            pictures.append(picture)
        turn = AXES @ transform[:3, :3]
        points = mesh.vertices @ turn.T + AXES @ transform[:3, 3]
        normals = mesh.vertex_normals @ turn.T
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        uvs = mesh.visual.uv if mesh.visual.uv is not None else np.zeros((len(points), 2))
        uvs = np.stack([uvs[:, 0], 1.0 - uvs[:, 1]], axis=1)
        count = len(mesh.faces)
        soup = Soup(
            points=points[mesh.faces],
            uvs=uvs[mesh.faces],
            normals=normals[mesh.faces],
            looks=np.full(count, looks[key]),
            pieces=np.full(count, pieces.index(piece)),
        )
        soups.append(thinned(soup))
    return Scan(soup=joined(soups), pieces=pieces, pictures=pictures)


def _picture(material: trimesh.visual.material.PBRMaterial) -> Image.Image:
    """Colour texture of a material, or its plain colour."""
    if material.baseColorTexture is not None:
        return material.baseColorTexture.convert("RGB")
    return Image.new("RGB", (16, 16), tuple(int(channel) for channel in material.baseColorFactor[:3]))


def thinned(soup: Soup) -> Soup:
    """Dense pieces with what lies in one small cell merged, and no triangle without area."""
    best = _without_slivers(soup)
    for cell in CELLS_M:
        if len(best.looks) <= DENSE_TRIANGLES:
            return best
        best = _merged(soup, cell)
    return best


def _merged(soup: Soup, cell: float) -> Soup:
    """Corners in one cell moved to their mean; textures and normals are merged only where they agree."""
    flat = soup.points.reshape(-1, 3)
    keys = np.floor(flat / cell).astype(np.int64)
    points = _means(keys, flat)
    uvs = _means(
        np.concatenate([keys, np.round(soup.uvs.reshape(-1, 2) * 24)], axis=1), soup.uvs.reshape(-1, 2)
    )
    facing = np.round(soup.normals.reshape(-1, 3) * 1.2)
    normals = _means(np.concatenate([keys, facing], axis=1), soup.normals.reshape(-1, 3))
    return _without_slivers(
        dataclasses.replace(
            soup,
            points=points.reshape(-1, 3, 3),
            uvs=uvs.reshape(-1, 3, 2),
            normals=normals.reshape(-1, 3, 3),
        )
    )


def _means(keys: Float[np.ndarray, "v k"] | Int[np.ndarray, "v k"], values: Float[np.ndarray, "v d"]):
    """Every value replaced by the mean of those with the same key."""
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.ravel()
    sums = np.zeros((group.max() + 1, values.shape[1]))
    np.add.at(sums, group, values)
    return (sums / np.bincount(group)[:, None])[group]


def _without_slivers(soup: Soup) -> Soup:
    """Triangles that have an area, each once whichever way it is wound."""
    a, b, c = soup.points[:, 0], soup.points[:, 1], soup.points[:, 2]
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    keys = np.sort(np.round(soup.points * 2e4).astype(np.int64) @ np.array([1, 1 << 20, 1 << 40]), axis=1)
    _, first = np.unique(keys, axis=0, return_index=True)
    chosen = np.zeros(len(area), bool)
    chosen[first] = True
    return soup[chosen & (area > 1e-8)]


def cut(soup: Soup, *, longest_m: float) -> Soup:
    """The same surface with no longer edges; neighbours cut an edge at the same point."""
    done: list[Soup] = []
    while len(soup.looks):
        ends = soup.points[:, [1, 2, 0]]
        lengths = np.round(np.linalg.norm(ends - soup.points, axis=2), 6)
        longest = lengths.argmax(axis=1)
        ready = lengths.max(axis=1) <= longest_m
        done.append(soup[ready])
        rest, turn = soup[~ready], longest[~ready]
        order = (turn[:, None] + np.arange(3)) % 3
        rows = np.arange(len(turn))[:, None]
        fields = {name: getattr(rest, name)[rows, order] for name in ("points", "uvs", "normals")}
        halves = []
        for k in (0, 1):  # the first edge is the longest: its middle takes the place of one end
            parts = {name: values.copy() for name, values in fields.items()}
            for name, values in fields.items():
                parts[name][:, 1 - k] = 0.5 * (values[:, 0] + values[:, 1])
            halves.append(dataclasses.replace(rest, **parts))
        soup = joined(halves)
    return joined(done)


def golden_spiral(count: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n 2"]]:
    """``count`` even shares of (0, 1) in order, and a unit vector for each that turns by the golden angle."""
    share = (np.arange(count) + 0.5) / count
    turn = np.arange(count) * (math.pi * (3.0 - math.sqrt(5.0)))
    return share, np.stack([np.cos(turn), np.sin(turn)], axis=1)
