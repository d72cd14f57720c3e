"""A flat and a small town, put together from the pieces of two KayKit packs as glTF scenes.

``scripts/pack_mesh_worlds.py`` calls it. Lengths are metres in the axes of ``worldgen.worlds``: x to the
right, y down with the floor at 0, z ahead; directions are degrees from +z towards +x. Pieces look towards -z
before they are turned.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float
from mesh_soup import AXES
from PIL import Image
from trimesh.visual.material import PBRMaterial

from worldgen.worlds._texture import TILE_PX
from worldgen.worlds.textures import textures

UNTURNED = 180.0
FURNITURE_SCALE, CITY_SCALE = 0.65, 5.0
TILE_M = 2.0 * CITY_SCALE
ROAD_M, PAVEMENT_M = 0.07 * CITY_SCALE, 0.1 * CITY_SCALE
"""How far the two lie above the foot of a tile."""

CEILING_M, HALF_WALL_M = 2.6, 0.07
TEXTURE_M = 1.6
"""Side of one repeat of a photographed tile."""

DOOR, WINDOW = (0.0, 2.05), (0.9, 2.2)
"""Heights between which they are open."""

FLOORS, WALLS, CEILING = (0, 9, 12, 4), 70, 103
"""Tiles of the package's textures."""

Along = tuple[float, float, tuple[float, float]]
"""An opening of a wall: from, to, and heights."""

TOWN = (
    "bbbbbbb",
    "brrrrrb",
    "brbrbrb",
    "brrrrrb",
    "bbbbbbb",
)
TOWN_SIZE = (7, 5)
"""Tiles by x and z; the rows of ``TOWN`` go from +z to -z, b stands for buildings and r for road."""

ROADS = {"straight": (0, 180), "corner": (90, 180), "tsplit": (0, 90, 180), "junction": (0, 90, 180, 270)}
"""Pieces of road, and the sides to which they lead before they are turned."""

TOWN_SEED = 7
CARS = ("hatchback", "police", "sedan", "stationwagon", "taxi")


class Builder:
    """A scene in the making."""

    def __init__(self, folder: Path, *, scale: float) -> None:
        """Nothing yet; pieces come from ``folder`` and are ``scale`` metres a unit."""
        self.scene = trimesh.Scene()
        self._folder, self._scale, self._count = folder, scale, 0

    def put(
        self, piece: str, at: tuple[float, float, float], *, facing: float = UNTURNED, name: str = ""
    ) -> None:
        """A piece with its origin at a place; what is put under one name is one piece afterwards."""
        turn = math.radians(facing - UNTURNED)
        c, s = math.cos(turn), math.sin(turn)
        outer = np.eye(4)
        outer[:3, :3] = self._scale * AXES @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ AXES
        outer[:3, 3] = AXES @ np.array(at)
        name = name or f"{piece}.{self._count}"
        for mesh, inner in _piece(self._folder / f"{piece}.gltf"):
            self._add(mesh, outer @ inner, name)

    def slab(
        self, low: tuple[float, float, float], high: tuple[float, float, float], *, look: int, name: str
    ) -> None:
        """A box along the axes that shows a photographed tile on all sides."""
        box = trimesh.creation.box(bounds=np.array([low, high]))
        corners = box.triangles
        thin = np.abs(box.face_normals).argmax(axis=1)
        across = np.stack([np.where(thin == 0, 2, 0), np.where(thin == 1, 2, 1)], axis=1)
        uv = np.take_along_axis(corners, across[:, None].repeat(3, axis=1), axis=2) / TEXTURE_M
        mesh = trimesh.Trimesh(
            vertices=corners.reshape(-1, 3) @ AXES.T,
            faces=np.arange(3 * len(corners)).reshape(-1, 3),
            visual=trimesh.visual.TextureVisuals(
                uv=uv.reshape(-1, 2), material=PBRMaterial(baseColorTexture=_photograph(look))
            ),
            process=False,
        )
        self._add(mesh, np.eye(4), name)

    def _add(self, mesh: trimesh.Trimesh, transform: Float[np.ndarray, "4 4"], name: str) -> None:
        self.scene.add_geometry(mesh, node_name=f"{name}/{self._count}", transform=transform)
        self._count += 1


@functools.cache
def _piece(path: Path) -> list[tuple[trimesh.Trimesh, Float[np.ndarray, "4 4"]]]:
    """The meshes of a piece and where they belong in it."""
    scene = trimesh.load_scene(path)
    placed = (scene.graph[node] for node in sorted(scene.graph.nodes_geometry))
    return [(scene.geometry[name], np.array(transform)) for transform, name in placed]


@functools.cache
def _photograph(look: int) -> Image.Image:
    """A tile of the package's textures as a picture."""
    a_tile = (4 * TILE_PX * TILE_PX - 1) // 3
    linear = textures().texels[look * a_tile :][: TILE_PX * TILE_PX] / 65535.0
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.round(curved * 255.0).astype(np.uint8).reshape(TILE_PX, TILE_PX, 3))


def flat(folder: Path) -> trimesh.Scene:
    """Four furnished rooms of ten by eight metres, with doors between them and windows in three walls."""
    built = Builder(folder, scale=FURNITURE_SCALE)
    _shell(built)
    _living_room(built)
    _dining_room(built)
    _bedroom(built)
    _study(built)
    return built.scene


def _shell(built: Builder) -> None:
    """Floors, walls with their openings, ceilings; x from 0 to 10, z from 0 to 8."""
    t = HALF_WALL_M
    rooms = ((0.0, 0.0, 5.5, 4.2), (5.5, 0.0, 10.0, 4.2), (0.0, 4.2, 5.5, 8.0), (5.5, 4.2, 10.0, 8.0))
    for look, (x0, z0, x1, z1) in zip(FLOORS, rooms, strict=True):
        built.slab((x0, 0.0, z0), (x1, 0.1, z1), look=look, name="Floor")
        built.slab((x0, -CEILING_M - 0.1, z0), (x1, -CEILING_M, z1), look=CEILING, name="Ceiling")
    walls: list[tuple[str, float, float, float, list[Along]]] = [
        ("x", -t, -2 * t, 10.0 + 2 * t, [(1.6, 3.4, WINDOW), (7.0, 8.8, WINDOW)]),
        ("x", 8.0 + t, -2 * t, 10.0 + 2 * t, [(3.6, 5.2, WINDOW), (7.6, 9.4, WINDOW)]),
        ("z", -t, 0.0, 8.0, [(5.0, 6.6, WINDOW)]),
        ("z", 10.0 + t, 0.0, 8.0, []),
        ("x", 4.2, 0.0, 10.0, [(2.4, 3.4, DOOR), (7.3, 8.3, DOOR)]),
        ("z", 5.5, 0.0, 8.0, [(1.2, 2.2, DOOR), (5.6, 6.6, DOOR)]),
    ]
    for number, (axis, place, start, end, openings) in enumerate(walls):
        for a, b, bottom, top in _pieces_of_wall(start, end, openings):
            low, high = (a, -top, place - t), (b, -bottom, place + t)
            if axis == "z":
                low, high = (place - t, -top, a), (place + t, -bottom, b)
            built.slab(low, high, look=WALLS, name=f"Wall.{number}")
        for a, b, (bottom, top) in openings:
            if (bottom, top) == WINDOW:
                low, high = (a, -top, place - 0.01), (b, -bottom, place + 0.01)
                if axis == "z":
                    low, high = (place - 0.01, -top, a), (place + 0.01, -bottom, b)
                built.slab(low, high, look=WALLS, name=f"RoomWindow.{number}.{a:g}")


def _pieces_of_wall(
    start: float, end: float, openings: list[Along]
) -> list[tuple[float, float, float, float]]:
    """From, to, bottom and top of the rectangles around openings."""
    found, at = [], start
    for a, b, (bottom, top) in openings:
        found += [(at, a, 0.0, CEILING_M), (a, b, top, CEILING_M)]
        if bottom > 0.0:
            found.append((a, b, 0.0, bottom))
        at = b
    return [*found, (at, end, 0.0, CEILING_M)]


def _living_room(built: Builder) -> None:
    put = built.put
    put("rug_rectangle_A", (1.9, 0.0, 2.1), facing=90.0)
    put("couch_pillows", (0.6, 0.0, 2.1), facing=90.0)
    put("table_low", (1.9, 0.0, 2.1), facing=90.0)
    put("armchair", (3.4, 0.0, 1.0), facing=300.0)
    put("armchair_pillows", (3.5, 0.0, 2.9), facing=240.0)
    put("cabinet_medium_decorated", (5.08, 0.0, 3.3), facing=270.0)
    put("lamp_standing", (0.45, 0.0, 3.7), name="lamp_living")
    put("cactus_medium_A", (0.4, 0.0, 0.4))
    put("book_set", (1.9, -0.49, 2.3), facing=20.0)
    put("pictureframe_large_B", (0.0, -1.65, 2.1), facing=90.0)
    put("shelf_B_large_decorated", (1.2, -1.4, 4.13), facing=180.0)
    put("pictureframe_medium", (5.43, -1.7, 0.6), facing=270.0)
    put("pictureframe_small_B", (4.4, -1.6, 4.13), facing=180.0)


def _dining_room(built: Builder) -> None:
    put = built.put
    put("rug_oval_A", (7.8, 0.0, 2.1))
    put("table_medium_long", (7.8, 0.0, 2.1))
    for x, z, facing in ((7.3, 1.2, 0.0), (8.3, 1.2, 0.0), (7.3, 3.0, 180.0), (8.3, 3.0, 180.0)):
        put("chair_A_wood", (x, 0.0, z), facing=facing, name="chair_A_wood")
    put("chair_C", (6.5, 0.0, 2.1), facing=90.0)
    put("cabinet_medium", (9.2, 0.0, 0.35), facing=0.0)
    put("lamp_table", (9.2, -0.65, 0.35))
    put("cactus_small_B", (7.8, -0.65, 2.1))
    put("cabinet_small_decorated", (5.95, 0.0, 3.7), facing=90.0)
    put("pictureframe_large_A", (10.0, -1.6, 1.5), facing=270.0)
    put("pictureframe_small_C", (10.0, -1.6, 2.6), facing=270.0)
    put("shelf_A_big", (9.3, -1.5, 4.13), facing=180.0)
    put("pictureframe_standing_B", (9.2, -1.57, 3.97), facing=180.0)
    put("cactus_medium_B", (9.6, 0.0, 3.8))


def _bedroom(built: Builder) -> None:
    put = built.put
    put("rug_rectangle_stripes_A", (2.0, 0.0, 5.8))
    put("bed_double_A", (2.0, 0.0, 6.98), facing=180.0)
    for x in (0.6, 3.4):
        put("cabinet_small", (x, 0.0, 7.65), facing=180.0, name="cabinet_small")
        put("lamp_table", (x, -0.65, 7.65), name="lamp_bed")
    put("cabinet_medium_decorated", (4.3, 0.0, 4.62), facing=0.0)
    put("armchair_pillows", (4.8, 0.0, 7.3), facing=225.0)
    put("chair_stool", (0.5, 0.0, 4.8))
    put("pictureframe_large_A", (2.0, -1.75, 8.0), facing=180.0)
    put("pictureframe_small_A", (1.2, -1.6, 4.27), facing=0.0)
    put("cactus_small_A", (0.5, -0.325, 4.8))


def _study(built: Builder) -> None:
    put = built.put
    put("rug_oval_B", (7.7, 0.0, 6.1))
    put("table_medium", (9.3, 0.0, 6.0), facing=270.0)
    put("chair_B", (8.45, 0.0, 6.0), facing=90.0)
    put("lamp_table", (9.6, -0.65, 5.6))
    put("book_set", (9.5, -0.81, 6.3), facing=270.0)
    put("couch", (6.9, 0.0, 7.45), facing=180.0)
    put("lamp_standing", (9.6, 0.0, 7.6), name="lamp_study")
    put("table_small", (5.95, 0.0, 4.7))
    put("pictureframe_standing_A", (5.95, -0.65, 4.7), facing=60.0)
    put("bed_single_B", (9.4, 0.0, 4.85), facing=270.0)
    put("pictureframe_large_B", (10.0, -1.7, 6.2), facing=270.0)
    put("shelf_B_small_decorated", (6.2, -1.5, 8.0), facing=180.0)
    put("cactus_medium_A", (5.9, 0.0, 7.0))


def town(folder: Path) -> trimesh.Scene:
    """A ring of streets with a street across, houses on both sides, cars and lamps; roads at y = 0."""
    built, rng = Builder(folder, scale=CITY_SCALE), np.random.Generator(np.random.PCG64(TOWN_SEED))
    order = rng.permutation(np.tile(list("ABCDEFGH"), 5))
    for number, (i, k) in enumerate(sorted(tiles())):
        x, z = tile_centre(i, k)
        if tiles()[i, k] == "b":
            facing = _street_side(i, k)
            built.put(f"building_{order[number % len(order)]}", (x, ROAD_M, z), facing=facing)
        else:
            kind, turn = _road(i, k)
            built.put(f"road_{kind}", (x, ROAD_M, z), facing=UNTURNED + turn, name="Road")
    _street_things(built, rng)
    return built.scene


@functools.cache
def tiles() -> dict[tuple[int, int], str]:
    """What stands on every tile of the town."""
    columns, rows = TOWN_SIZE
    return {(i, rows - 1 - row): TOWN[row][i] for row in range(rows) for i in range(columns)}


def tile_centre(i: int, k: int) -> tuple[float, float]:
    """Its x and z."""
    columns, rows = TOWN_SIZE
    return TILE_M * (i - 0.5 * (columns - 1)), TILE_M * (k - 0.5 * (rows - 1))


def _next(i: int, k: int, side: int) -> tuple[int, int]:
    step = {0: (0, 1), 90: (1, 0), 180: (0, -1), 270: (-1, 0)}[side % 360]
    return i + step[0], k + step[1]


def _is_road(tile: tuple[int, int]) -> bool:
    return tiles().get(tile, "b") == "r"


def _road(i: int, k: int) -> tuple[str, int]:
    """The piece of road that leads to all roads beside a tile, and by how much it is turned."""
    wanted = {side for side in (0, 90, 180, 270) if _is_road(_next(i, k, side))}
    for kind, sides in ROADS.items():
        for turn in (0, 90, 180, 270):
            if {(side + turn) % 360 for side in sides} == wanted:
                return kind, turn
    raise ValueError(f"no piece of road leads from a tile to {sorted(wanted)} alone")


def _street_side(i: int, k: int) -> float:
    """The first side of a tile with houses on which there is a road; corners look anywhere."""
    return float(next((side for side in (180, 0, 90, 270) if _is_road(_next(i, k, side))), 0))


def lamp_posts() -> list[tuple[float, float, float]]:
    """X and z of the foot of every street lamp, and the direction of the road from there."""
    found = []
    for (i, k), letter in sorted(tiles().items()):
        if letter == "r" and (i + k) % 2 == 0:
            x, z = tile_centre(i, k)
            sides = [side for side in (0, 90, 180, 270) if not _is_road(_next(i, k, side))]
            for side in sides[:1]:
                out = math.radians(side)
                found.append((x + 4.5 * math.sin(out), z + 4.5 * math.cos(out), float(side + 180)))
    return found


def lamp_heads() -> tuple[tuple[float, float, float], ...]:
    """Points just below the heads of street lamps."""
    return tuple(
        (x + math.sin(math.radians(towards)), -4.5, z + math.cos(math.radians(towards)))
        for x, z, towards in lamp_posts()
    )


def _street_things(built: Builder, rng: np.random.Generator) -> None:
    """Lamps, parked cars, and what stands about on pavements."""
    height = ROAD_M - PAVEMENT_M
    for x, z, towards in lamp_posts():
        # the arm of a lamp reaches to its left
        built.put("streetlight", (x, height, z), facing=towards - 90.0, name="Streetlight")
    for (i, k), letter in sorted(tiles().items()):
        if letter != "r" or _road(i, k)[0] != "straight":
            continue
        x, z = tile_centre(i, k)
        along = 0.0 if _is_road(_next(i, k, 0)) else 90.0
        a = math.radians(along)
        for side in (-1.0, 1.0):
            ahead, aside = rng.uniform(-3.0, 3.0), side * 2.6
            at = (
                x + ahead * math.sin(a) + aside * math.cos(a),
                z + ahead * math.cos(a) - aside * math.sin(a),
            )
            if rng.random() < 0.6:
                car = f"car_{CARS[rng.integers(len(CARS))]}"
                built.put(car, (at[0], -0.3, at[1]), facing=along + (180.0 if side > 0 else 0.0))
            thing = ("bench", "bush", "firehydrant", "box_A", "bush", "bench")[rng.integers(6)]
            ahead, aside = rng.uniform(-4.0, 4.0), side * 4.55
            at = (
                x + ahead * math.sin(a) + aside * math.cos(a),
                z + ahead * math.cos(a) - aside * math.sin(a),
            )
            facing = along - 90.0 * side
            built.put(thing, (at[0], height, at[1]), facing=facing)
