"""Scenes: shapes, materials, lights and sky, and the packed arrays that kernels read.

Room: worldgen.worlds. Axes are OpenCV's: +y points DOWN, so the floor is at y = 0 and eyes are near
y = -1.6. Lengths are metres. A ``Scene`` is a value except for its light cache, which pictures fill.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldgen.worlds._geometry import BOX, CYLINDER, SPHERE, build_tree, shape_bounds
from worldgen.worlds._light import UNKNOWN, World
from worldgen.worlds._mesh import MeshWorld
from worldgen.worlds._texture import FIT, REPEAT
from worldgen.worlds.queries import nearest
from worldgen.worlds.textures import textures

Vector = tuple[float, float, float]

LIGHT_SPACING_M = 0.15
LIGHT_POINTS_MAX = 72
"""Lattice points along one side of a face, at most; large grounds get a coarser lattice."""

FACE_AXES = ((2, 1), (2, 1), (0, 2), (0, 2), (0, 1), (0, 1))
"""Which half extents span the u and v of each face of a box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """How a face looks: a tile, its size, a tint."""

    tile: int
    tint: Vector = (1.0, 1.0, 1.0)
    """Multiplies the tile's linear colour."""
    tiles_per_m: float = 0.8
    offset: tuple[float, float] = (0.0, 0.0)
    """In tiles."""
    fits: bool = False
    """Stretch one tile over the face instead of repeating it."""
    turned: bool = False
    """Turn the tile by a quarter."""
    glow: Vector = (0.0, 0.0, 0.0)
    """Light given off; not zero makes a lamp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A box turned about the vertical, an upright cylinder, or a sphere."""

    kind: int
    centre: Vector
    half: Vector
    """Half extents; a cylinder's radius is the first, its half height the second."""
    yaw: float = 0.0
    materials: tuple[Material, ...]
    """One for all faces, or six: -x +x -y (top) +y (bottom) -z +z. A curved side is the first face."""
    world_aligned: bool = False
    """Textures continue from shape to shape by world position (walls in several pieces)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """A lamp that spreads all round, a lamp with a face, or the sun."""

    kind: int
    at: Vector
    """Position; for the sun, the unit direction towards it."""
    colour: Vector
    half_u: Vector = (0.0, 0.0, 0.0)
    half_v: Vector = (0.0, 0.0, 0.0)
    """Half axes of the lamp; softness of its shadows."""
    normal: Vector = (0.0, 1.0, 0.0)
    """Where a lamp with a face looks; of a lamp that spreads all round, its radius comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sky:
    """The dome around the origin that ends every ray."""

    to_sun: Vector
    zenith: Vector
    horizon: Vector
    ground: Vector
    sun: Vector
    cloud_cover: float
    cloud_seed: int
    cloud_scale: float
    radius: float = 60.0
    panorama: int = -1
    """First texel of the panorama that the dome shows in place of a drawn sky, or -1."""
    turn: float = 0.0
    """By how much the panorama is turned about the vertical, radians; its middle looks along +z at 0."""
    gain: float = 0.0
    """Multiplies the panorama's light."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A world to take pictures of."""

    seed: int
    world: World | MeshWorld
    """Packed arrays. The light of shapes fills up as pictures are taken, with values that never change."""

    walk_areas: Float[np.ndarray, "a 4"]
    """Where people can be: x0 z0 x1 z1, in metres. Furniture is not cut out; ask ``clearance``."""

    walk_levels: Float[np.ndarray, " a"]
    """World y of the ground in every walk area: 0 at the floor, negative above it."""

    ceiling: float
    """Height of the lowest ceiling over the ground of the walk areas, in metres (large outdoors)."""

    is_open: bool
    """Whether the sky is overhead."""

    @property
    def bounds(self) -> Float[np.ndarray, "2 3"]:
        """Least and greatest corner of the walkable space."""
        low, high = self.walk_areas[:, :2].min(axis=0), self.walk_areas[:, 2:].max(axis=0)
        top, ground = self.walk_levels.min() - self.ceiling, self.walk_levels.max()
        return np.array([[low[0], top, low[1]], [high[0], ground, high[1]]])

    def ground_under(self, x: float, z: float) -> float | None:
        """World y of the ground that people walk on at (x, z), or None where they cannot be."""
        areas = self.walk_areas
        inside = (areas[:, 0] < x) & (x < areas[:, 2]) & (areas[:, 1] < z) & (z < areas[:, 3])
        return float(self.walk_levels[np.argmax(inside)]) if inside.any() else None


def clearance(scene: Scene, points_world: Float[Tensor, "p 3"]) -> Float[Tensor, "p 1"]:
    """Distance from each point to the nearest surface in metres; negative inside shapes."""
    points = np.ascontiguousarray(points_world.numpy(), dtype=np.float64)
    return torch.from_numpy(nearest(scene.world, points)).to(points_world.dtype)[:, None]


def box(centre: Vector, half: Vector, *materials: Material, yaw: float = 0.0) -> Shape:
    """A box; ``yaw`` in radians about the vertical."""
    return Shape(kind=BOX, centre=centre, half=half, yaw=yaw, materials=materials)


def slab(low: Vector, high: Vector, *materials: Material) -> Shape:
    """A box between two corners, whose texture goes by world position."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    centre = (0.5 * (x0 + x1), 0.5 * (y0 + y1), 0.5 * (z0 + z1))
    half = (0.5 * abs(x1 - x0), 0.5 * abs(y1 - y0), 0.5 * abs(z1 - z0))
    return Shape(kind=BOX, centre=centre, half=half, materials=materials, world_aligned=True)


def cylinder(centre: Vector, radius: float, half_height: float, *materials: Material) -> Shape:
    """An upright cylinder."""
    return Shape(kind=CYLINDER, centre=centre, half=(radius, half_height, radius), materials=materials)


def sphere(centre: Vector, radius: float, *materials: Material) -> Shape:
    """A ball."""
    return Shape(kind=SPHERE, centre=centre, half=(radius, radius, radius), materials=materials)


def packed(
    shapes: list[Shape],
    lights: list[Light],
    *,
    sky: Sky,
    ambient: tuple[Vector, Vector],
    reach: float,
    light_spacing: float = LIGHT_SPACING_M,
) -> World:
    """The arrays of a scene.

    Args:
        shapes: everything that can be seen.
        lights: lamps and sun.
        sky: the dome.
        ambient: light from above and from below that reaches open places.
        reach: how far surfaces keep ambient light from each other, in metres.
        light_spacing: metres between the points at which light is computed; shadows are as sharp as that.
    """
    rows = np.array([_shape_row(shape) for shape in shapes])
    nodes, links, order = build_tree(shape_bounds(rows))
    shapes, rows = [shapes[i] for i in order], rows[order]
    face_rows, materials = _material_tables(shapes)
    lattices, count = _lattices(rows, light_spacing)
    return World(
        shapes=rows,
        nodes=nodes,
        links=links,
        faces=np.concatenate([face_rows[..., None], lattices], axis=2),
        materials=materials,
        texels=textures().texels,
        lights=np.array([_light_row(light) for light in lights]).reshape(-1, 16),
        ambient=np.array([*ambient[0], *ambient[1], reach]),
        sky=sky_row(sky),
        exposure=1.0,
        light=np.full((count, 3), UNKNOWN, np.float32),
    )


def _shape_row(shape: Shape) -> list[float]:
    cos, sin = math.cos(shape.yaw), math.sin(shape.yaw)
    return [*shape.centre, *shape.half, cos, sin, float(shape.kind)]


def _light_row(light: Light) -> list[float]:
    return [float(light.kind), *light.at, *light.half_u, *light.half_v, *light.normal, *light.colour]


def sky_row(sky: Sky) -> Float[np.ndarray, " 25"]:
    """A sky as the kernels read it."""
    colours = [*sky.zenith, *sky.horizon, *sky.ground, *sky.sun]
    clouds = [sky.cloud_cover, float(sky.cloud_seed), sky.cloud_scale]
    panorama = [float(sky.panorama), sky.turn, sky.gain]
    return np.array([0.0, 0.0, 0.0, sky.radius, *sky.to_sun, *colours, *clouds, *panorama])


def _material_tables(shapes: list[Shape]) -> tuple[np.ndarray, np.ndarray]:
    """Row of the material of every face, and the table of distinct materials."""
    rows: dict[tuple, int] = {}
    faces = np.zeros((len(shapes), 6), np.int32)
    for i, shape in enumerate(shapes):
        if len(shape.materials) == 1 and not shape.world_aligned:
            faces[i] = rows.setdefault((shape.materials[0], (0.0, 0.0)), len(rows))
            continue
        for face in range(6):
            material = shape.materials[face if len(shape.materials) > 1 else 0]
            shift = (0.0, 0.0)
            if shape.world_aligned and not material.fits:
                axes = FACE_AXES[face]
                shift = (shape.centre[axes[0]], shape.centre[axes[1]])
            faces[i, face] = rows.setdefault((material, shift), len(rows))
    table = np.zeros((len(rows), 12))
    for (look, shift), row in rows.items():
        offset = [look.offset[k] + shift[k] * look.tiles_per_m for k in range(2)]
        kind = (look.tile, FIT if look.fits else REPEAT, look.turned)
        table[row] = [*kind, look.tiles_per_m, *offset, *look.tint, *look.glow]
    return faces, table


def _lattices(rows: Float[np.ndarray, "p 9"], spacing: float) -> tuple[np.ndarray, int]:
    """Where each face keeps its light: first row and size, and the number of rows in all."""
    half = np.stack([rows[:, [3 + u, 3 + v]] for u, v in FACE_AXES], axis=1)
    curved = rows[:, 8] != BOX
    half[curved, 0, 0] = np.pi * rows[curved, 3]
    half[curved, 0, 1] = np.where(rows[curved, 8] == SPHERE, 0.5 * np.pi * rows[curved, 3], rows[curved, 4])
    size = np.ceil(2 * half / spacing).astype(np.int64) + 1
    least = np.full_like(size, 2)
    least[curved, 0, 0] = 13
    least[rows[:, 8] == SPHERE, 0, 1] = 7
    size = np.clip(size, least, LIGHT_POINTS_MAX)
    counts = size.prod(axis=2)
    starts = np.cumsum(counts.ravel()) - counts.ravel()
    lattices = np.concatenate([starts.reshape(-1, 6, 1), size], axis=2).astype(np.int32)
    return lattices, int(counts.sum())
