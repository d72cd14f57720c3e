"""Make the models of places that ship with procedural worlds, light included.

    python scripts/pack_mesh_worlds.py house SMALL_HOUSE.glb
    python scripts/pack_mesh_worlds.py warehouse SMALL_WAREHOUSE.glb
    python scripts/pack_mesh_worlds.py flat KAYKIT_FURNITURE_FOLDER
    python scripts/pack_mesh_worlds.py town KAYKIT_CITY_FOLDER

Writes ``worldgen/worlds/meshes/NAME.mesh``; takes some minutes, most of them for light. The panes of windows
are taken out, so that the sky is seen and shines in.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import kaykit_scenes
import mesh_light
import mesh_soup
import numpy as np
import trimesh
from jaxtyping import Float, Int
from mesh_emitters import emitters_of
from mesh_places import FLAT, HOUSE, TOWN, WAREHOUSE, Place, starts
from PIL import Image
from scipy import ndimage
from scipy.sparse import csgraph
from scipy.spatial import cKDTree

from worldgen.worlds import mesh_files
from worldgen.worlds._geometry import build_tree
from worldgen.worlds._mesh import nearest_triangles, probe_triangles
from worldgen.worlds.houses import plain_world, without
from worldgen.worlds.mesh_files import Look, Model

TARGET = Path("worldgen/worlds/meshes")
TEXELS_PER_M = 130.0
TILE_PX = (16, 256)
MARGIN_PX = 8
ATLAS_WIDTH = 4 * (TILE_PX[1] + 2 * MARGIN_PX)
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
GLOWING = 0.6
"""Luminance from which the texture of a lamp is taken for its glass."""

PANE_M2 = 1.0
PALETTE_SPAN = 0.25
"""Triangles that show less than this of a picture, by each side, throw back the colour at their middle."""

BARE_MIN = 7
"""Difference of codes from which light without loose pieces is stored."""

OPEN_CEILING_M = 4.0
CLEAR_M = 0.31
FEET_M = 0.12
AREAS_MAX = 60


def srgb_luminance(picture: Image.Image) -> float:
    """Mean linear luminance of a picture."""
    linear = mesh_files.linear_from_srgb(np.asarray(picture.convert("RGB")) / 255.0)
    return float((linear @ LUMINANCE).mean())


def albedo_of(found: mesh_files.Surfaces, scan: mesh_soup.Scan) -> Float[np.ndarray, " t"]:
    """Share of light that every triangle throws back."""
    looks, middles = found.model.looks, found.uvs.mean(axis=1) % 1.0
    spans = (found.uvs.max(axis=1) - found.uvs.min(axis=1)).max(axis=1)
    out = np.empty(len(looks))
    for k, picture in enumerate(scan.pictures):
        rows = np.flatnonzero(looks == k)
        pixels = np.asarray(picture.convert("RGB"))
        x, y = (middles[rows] * [picture.width, picture.height]).astype(int).T
        at_middle = mesh_files.linear_from_srgb(pixels[y, x] / 255.0) @ LUMINANCE
        out[rows] = np.where(spans[rows] < PALETTE_SPAN, at_middle, srgb_luminance(picture))
    return np.minimum(out, 0.8)


def areas_of(soup: mesh_soup.Soup) -> Float[np.ndarray, " t"]:
    """Area of every triangle in square metres."""
    a, b, c = soup.points[:, 0], soup.points[:, 1], soup.points[:, 2]
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)


def with_lamps_apart(scan: mesh_soup.Scan, place: Place) -> tuple[mesh_soup.Scan, dict[int, int]]:
    """The glass of lamps as looks of their own, and which source each of those belongs to."""
    soup, pictures, glowing = scan.soup, list(scan.pictures), {}
    looks = soup.looks.copy()
    middles = soup.uvs.mean(axis=1) % 1.0
    for source, beginnings in enumerate([*place.lamps, *(hung.glass for hung in place.hung)]):
        for piece, name in enumerate(scan.pieces):
            if not starts(name, beginnings):
                continue
            for look in np.unique(soup.looks[soup.pieces == piece]):
                picture = np.asarray(pictures[look]) / 255.0
                height, width = picture.shape[:2]
                rows = np.flatnonzero((soup.looks == look) & (soup.pieces == piece))
                x, y = (middles[rows] * [width, height]).astype(int).T
                bright = rows[picture[y, x] @ LUMINANCE > GLOWING]
                glowing[len(pictures)] = source
                looks[bright] = len(pictures)
                pictures.append(pictures[look])
    soup = dataclasses.replace(soup, looks=looks)
    return mesh_soup.Scan(soup=soup, pieces=scan.pieces, pictures=pictures), glowing


def atlas_of(
    scan: mesh_soup.Scan, sides: Int[np.ndarray, " m"]
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """All pictures as squares in rows, the largest first, with margins that keep colours from each other."""
    tiles: list[tuple[int, int, int]] = [(0, 0, 0)] * len(sides)
    known: dict[tuple[bytes, int], tuple[int, int, int]] = {}
    x, y, high = 0, 0, 0
    for look in np.argsort(-sides, kind="stable"):
        side, key = int(sides[look]), (scan.pictures[look].tobytes(), int(sides[look]))
        if key not in known:
            cell = side + 2 * MARGIN_PX
            if x + cell > ATLAS_WIDTH:
                x, y, high = 0, y + high, 0
            known[key] = (x + MARGIN_PX, y + MARGIN_PX, side)
            x, high = x + cell, max(high, cell)
        tiles[look] = known[key]
    atlas = np.full((y + high, ATLAS_WIDTH, 3), 128, np.uint8)
    for look, (left, top, side) in enumerate(tiles):
        small = np.asarray(scan.pictures[look].resize((side, side), Image.Resampling.BOX))
        cell = np.pad(small, ((MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX), (0, 0)), mode="wrap")
        atlas[top - MARGIN_PX :, left - MARGIN_PX :][: len(cell), : len(cell)] = cell
    return atlas, tiles


def tile_sides(soup: mesh_soup.Soup, count: int) -> Int[np.ndarray, " m"]:
    """How many texels every picture needs to have the wanted number a metre."""
    a, b = soup.uvs[:, 1] - soup.uvs[:, 0], soup.uvs[:, 2] - soup.uvs[:, 0]
    in_tiles = 0.5 * np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    metres = np.bincount(soup.looks, areas_of(soup), count) + 1e-9
    tiles = np.bincount(soup.looks, in_tiles, count) + 1e-6
    wanted = TEXELS_PER_M * np.sqrt(metres / tiles)
    return np.clip(2 ** np.round(np.log2(wanted)), *TILE_PX).astype(int)


def stepped(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values as 16-bit steps from the least, by the last axis."""
    low, high = values.min(axis=0), values.max(axis=0)
    step = np.maximum(high - low, 1e-6) / 65535.0
    return low, step, np.round((values - low) / step).astype(np.uint16)


def unlit(
    soup: mesh_soup.Soup, scan: mesh_soup.Scan, place: Place, glowing: dict[int, int]
) -> tuple[Model, Float[np.ndarray, "t 3 3"]]:
    """Everything but light and walks, and the normals of all corners."""
    bounds = np.concatenate([soup.points.min(axis=1), soup.points.max(axis=1)], axis=1)
    _, links, order = build_tree(bounds)
    soup = soup[order]
    low, step, places = stepped(soup.points.reshape(-1, 3))
    uv_low, uv_step, uvs = stepped(soup.uvs.reshape(-1, 2))
    facing = (np.round(soup.normals.reshape(-1, 3) * 1.2).clip(-1, 1) + 1).astype(np.int64) @ [9, 3, 1]
    longest = np.linalg.norm(soup.points[:, [1, 2, 0]] - soup.points, axis=2).max(axis=1)
    is_shell = np.array([starts(name, place.shell) for name in scan.pieces])[soup.pieces]
    spacing = np.where(is_shell, *place.spacing_m)
    parts = np.clip(np.round(longest / spacing), 1, 200).astype(np.uint8)
    keys = np.concatenate([places, uvs, facing[:, None]], axis=1)
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    by_use = np.argsort(first, kind="stable")
    rank = np.empty(len(first), np.int64)
    rank[by_use] = np.arange(len(first))
    chosen = first[by_use]
    atlas, tiles = atlas_of(scan, tile_sides(soup, len(scan.pictures)))
    owner = {int(look): scan.pieces[int(piece)] for look, piece in zip(soup.looks, soup.pieces, strict=True)}
    tints = [
        next((tint for word, tint in place.tints.items() if starts(owner.get(k, ""), (word,))), 0.25)
        for k in range(len(tiles))
    ]
    families = range(len(tiles)) if place.has_palette else [-1] * len(tiles)
    empty = np.zeros((0, 0), np.uint8)
    return Model(
        low=low,
        step=step,
        places=places[chosen],
        uv_low=uv_low,
        uv_step=uv_step,
        uvs=uvs[chosen],
        facing=facing[chosen].astype(np.uint8),
        triangles=rank[group.ravel()].reshape(-1, 3).astype(np.int32),
        looks=soup.looks.astype(np.uint8),
        pieces=soup.pieces.astype(np.uint8),
        parts=parts,
        sizes=(links[:, 0] - np.arange(len(links))).astype(np.int32),
        light=empty,
        gains=np.zeros(0),
        bare_points=np.zeros(0, np.int32),
        bare_light=empty,
        bare_owners=np.zeros(0, np.uint8),
        areas=np.zeros((0, 4)),
        ceiling=0.0,
        sources=(),
        materials=tuple(
            Look(
                tile=tile, lamp=glowing.get(k, -1), tint=0.0 if k in glowing else tints[k], family=families[k]
            )
            for k, tile in enumerate(tiles)
        ),
        loose=tuple(k for k, name in enumerate(scan.pieces) if starts(name, place.loose)),
        is_open=place.is_open,
        atlas=atlas,
    ), soup.normals


def lit(
    model: Model, corner_normals: np.ndarray, scan: mesh_soup.Scan, panes: mesh_soup.Soup, place: Place
) -> Model:
    """The model with light, with and without its loose pieces."""
    found = mesh_files.unfolded(model)
    points, normals = mesh_light.lattice_points(found, corner_normals)
    sources, emitters = zip(*emitters_of(scan, panes, place), strict=True)
    albedo = albedo_of(found, scan)
    world, gone = plain_world(found), np.isin(model.pieces, model.loose)
    with_all, bared = (world, albedo), (without(world, gone), albedo[~gone])
    rules = {"cramped_m": place.cramped_m, "well_wound": place.well_wound}
    full, bare = (
        mesh_light.baked(shown, points, normals, emitters, dark, **rules) for shown, dark in (with_all, bared)
    )
    gains = np.quantile(np.maximum(full, bare), 0.9995, axis=0) + 1e-6

    def code(light: np.ndarray) -> np.ndarray:
        return np.round(np.sqrt(np.clip(light / gains, 0.0, 1.0)) * 255.0).astype(np.uint8)

    codes, others = code(full), code(bare)
    on_kept = np.zeros(len(points), bool)
    starts_, parts = found.lattices[~gone, 1].astype(int), model.parts[~gone].astype(int)
    for start, n in zip(starts_, parts, strict=True):
        on_kept[found.light_rows[start : start + (n + 1) * (n + 2) // 2]] = True
    differs = on_kept & (np.abs(codes.astype(int) - others.astype(int)).max(axis=1) >= BARE_MIN)
    chosen = np.flatnonzero(differs)
    _, near = cKDTree(found.corners[gone].reshape(-1, 3)).query(points[chosen])
    owners = np.repeat(model.pieces[gone], 3)[near]
    return dataclasses.replace(
        model,
        light=np.ascontiguousarray(codes.T),
        gains=gains,
        bare_points=chosen.astype(np.int32),
        bare_light=np.ascontiguousarray(others[chosen].T),
        bare_owners=owners,
        sources=sources,
    )


def walked(model: Model, place: Place) -> Model:
    """The model with rectangles of floor on which a person fits, all connected, and its ceiling."""
    found = mesh_files.unfolded(model)
    tree = (found.corners, found.nodes, found.links)
    low, high = found.corners.reshape(-1, 3).min(axis=0), found.corners.reshape(-1, 3).max(axis=0)
    xs, zs = np.arange(low[0], high[0], place.cell_m), np.arange(low[2], high[2], place.cell_m)
    x, z = (index.ravel() for index in np.meshgrid(xs, zs, indexing="ij"))
    free = np.ones(len(x), bool)
    for height, room in ((0.22, FEET_M), (0.5, CLEAR_M), (0.9, CLEAR_M), (1.3, CLEAR_M), (1.6, CLEAR_M)):
        rows = np.flatnonzero(free)
        points = np.stack([x[rows], np.full(len(rows), -height), z[rows]], axis=1).astype(np.float64)
        free[rows] = nearest_triangles(*tree, points) > room
    world = plain_world(found)
    rows = np.flatnonzero(free)
    origins = np.stack([x[rows], np.full(len(rows), -1.0), z[rows]], axis=1).astype(np.float64)
    down, _ = probe_triangles(world, origins, np.tile([1e-9, 1.0, 1e-9], (len(rows), 1)))
    up, _ = probe_triangles(world, origins, np.tile([1e-9, -1.0, 1e-9], (len(rows), 1)))
    free[rows] = (np.abs(down - 1.0) < place.step_m) & (place.is_open | (up < 30.0))
    grid = free.reshape(len(xs), len(zs))
    labels, _ = ndimage.label(grid)
    grid = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    ceiling = OPEN_CEILING_M if place.is_open else float(np.quantile(up, 0.02)) + 1.0
    return dataclasses.replace(model, areas=rectangles(grid, xs, zs, place.cell_m), ceiling=ceiling)


def rectangles(grid: np.ndarray, xs: np.ndarray, zs: np.ndarray, cell_m: float) -> Float[np.ndarray, "a 4"]:
    """Rectangles within the free cells, grown from the roomiest cells not covered yet."""
    room = ndimage.distance_transform_cdt(np.pad(grid, 1), metric="chessboard")[1:-1, 1:-1]
    covered, out = np.zeros_like(grid), []
    while len(out) < AREAS_MAX and covered.sum() < 0.985 * grid.sum():
        i, k = np.unravel_index(np.argmax(np.where(covered, 0, room)), grid.shape)
        box = [i, k, i, k]
        growing = True
        while growing:
            growing = False
            for side, step in ((0, -1), (1, -1), (2, 1), (3, 1)):
                other = box.copy()
                other[side] += step
                within = (
                    other[0] >= 0 and other[1] >= 0 and other[2] < grid.shape[0] and other[3] < grid.shape[1]
                )
                if within and grid[other[0] : other[2] + 1, other[1] : other[3] + 1].all():
                    box, growing = other, True
        covered[box[0] : box[2] + 1, box[1] : box[3] + 1] = True
        out.append([xs[box[0]], zs[box[1]], xs[box[2]], zs[box[3]]])
    return connected(np.array(out, float) + 0.5 * cell_m * np.array([-1.0, -1.0, 1.0, 1.0]))


def connected(areas: Float[np.ndarray, "a 4"]) -> Float[np.ndarray, "b 4"]:
    """The rectangles that can be reached from the first."""
    touching = (areas[:, None, :2] < areas[None, :, 2:] + 1e-6).all(axis=2)
    _, labels = csgraph.connected_components(touching & touching.T)
    return areas[labels == labels[0]]


def made(scene: trimesh.Scene, place: Place) -> Model:
    """The model of a glTF scene."""
    scan, glowing = with_lamps_apart(mesh_soup.read(scene), place)
    names = np.array(scan.pieces)[scan.soup.pieces]
    is_pane = np.char.startswith(names, "RoomWindow") & (areas_of(scan.soup) > PANE_M2)
    is_seen = ~is_pane & (scan.soup.points[..., 1].min(axis=1) < place.deepest_m)
    soup = mesh_soup.cut(scan.soup[is_seen], longest_m=place.longest_edge_m)
    model, normals = unlit(soup, scan, place, glowing)
    return walked(lit(model, normals, scan, scan.soup[is_pane], place), place)


SCENES = {
    "house": (trimesh.load_scene, HOUSE),
    "warehouse": (trimesh.load_scene, WAREHOUSE),
    "flat": (kaykit_scenes.flat, FLAT),
    "town": (kaykit_scenes.town, TOWN),
}


def main() -> None:
    """Write one."""
    if len(sys.argv) != 3 or sys.argv[1] not in SCENES:
        raise SystemExit(__doc__)
    load, place = SCENES[sys.argv[1]]
    model = made(load(Path(sys.argv[2])), place)
    TARGET.mkdir(exist_ok=True)
    (TARGET / f"{place.name}.mesh").write_bytes(mesh_files.packed(model))


if __name__ == "__main__":
    main()
