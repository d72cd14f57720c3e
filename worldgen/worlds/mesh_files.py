"""Models of real places: textured triangles and how light spreads among them, as files of this package.

Room: worldgen.worlds; ``houses`` reads them, ``scripts/pack_mesh_worlds.py`` writes them. Light is kept apart
by where it comes from: what every lamp, every side of the sky and some suns would bring to every point of a
lattice on the surfaces if it were alone, bounces included. A scene mixes them as it likes.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import lzma
from dataclasses import dataclass
from importlib import resources

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8, UInt16
from PIL import Image

from worldgen.worlds._mesh import grow_tree
from worldgen.worlds.textures import linear_from_srgb, mip_levels

DIFFERENCED = {"places": 0, "uvs": 0, "triangles": 0, "light": 1, "bare_light": 1, "bare_points": 0}
"""Arrays stored as differences along an axis: neighbours in the file are neighbours in space."""

SAME_LIGHT_M = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something that gives light."""

    kind: str
    """``lamp``, ``sky`` (seen through the windows of one side) or ``sun``."""
    at: tuple[float, float, float]
    """Of a lamp, its place; of the others, the direction towards it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A material: a square of the atlas, and what a scene may do to it."""

    tile: tuple[int, int, int]
    """Column, row and side in the atlas, in pixels; the side is a power of two."""
    lamp: int = -1
    """The source whose light it gives off, or -1."""
    tint: float = 0.0
    """By how much a scene may change its colour, in [0, 1]."""
    family: int = -1
    """Looks with the same tile change colour together only within one family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A place as it is stored; axes and units of ``scene``."""

    low: Float64[np.ndarray, " 3"]
    step: Float64[np.ndarray, " 3"]
    places: UInt16[np.ndarray, "v 3"]
    """Corners: ``low + step * places``."""
    uv_low: Float64[np.ndarray, " 2"]
    uv_step: Float64[np.ndarray, " 2"]
    uvs: UInt16[np.ndarray, "v 2"]
    """Texture coordinates in tiles, v downwards: ``uv_low + uv_step * uvs``."""
    facing: UInt8[np.ndarray, " v"]
    """Roughly where every corner looks: three digits to the base 3, one an axis."""
    triangles: Int32[np.ndarray, "t 3"]
    """In the order of the tree."""
    looks: UInt8[np.ndarray, " t"]
    pieces: UInt8[np.ndarray, " t"]
    parts: UInt8[np.ndarray, " t"]
    """Into how many parts the lattice of light cuts every side."""
    sizes: Int32[np.ndarray, " k"]
    """How many nodes every subtree has, itself included; leaves hold one triangle each."""
    light: UInt8[np.ndarray, "s p"]
    """Root of the share of every source's light at every lattice point, in ``gains``."""
    gains: Float64[np.ndarray, " s"]
    bare_points: Int32[np.ndarray, " q"]
    """Lattice points that look different when all loose pieces are gone..."""
    bare_light: UInt8[np.ndarray, "s q"]
    """...their light then..."""
    bare_owners: UInt8[np.ndarray, " q"]
    """...and the loose piece that is the nearest to them."""
    areas: Float64[np.ndarray, "a 4"]
    """Where people can walk: x0 z0 x1 z1."""
    ceiling: float
    sources: tuple[Source, ...]
    materials: tuple[Look, ...]
    loose: tuple[int, ...]
    """Pieces that a scene may leave out."""
    is_open: bool
    """Whether it stands under the sky."""
    atlas: UInt8[np.ndarray, "h w 3"]


def packed(model: Model, *, quality: int = 78) -> bytes:
    """The file of a model; the atlas is stored as WebP of that quality, everything else exactly."""
    arrays = {
        field.name: getattr(model, field.name)
        for field in dataclasses.fields(Model)
        if isinstance(getattr(model, field.name), np.ndarray)
    }
    picture = io.BytesIO()
    Image.fromarray(arrays.pop("atlas")).save(picture, "WEBP", quality=quality, method=6)
    for name, axis in DIFFERENCED.items():
        arrays[name] = np.diff(arrays[name], axis=axis, prepend=arrays[name].dtype.type(0))
    others = {
        "ceiling": model.ceiling,
        "sources": [dataclasses.asdict(source) for source in model.sources],
        "materials": [dataclasses.asdict(look) for look in model.materials],
        "loose": list(model.loose),
        "is_open": model.is_open,
    }
    plain = io.BytesIO()
    np.savez(plain, others=np.frombuffer(json.dumps(others).encode(), np.uint8), **arrays)
    body = lzma.compress(plain.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    return len(body).to_bytes(8, "little") + body + picture.getvalue()


def unpacked(data: bytes) -> Model:
    """The model in a file."""
    end = 8 + int.from_bytes(data[:8], "little")
    with np.load(io.BytesIO(lzma.decompress(data[8:end])), allow_pickle=False) as stored:
        arrays = dict(stored)
    others = json.loads(arrays.pop("others").tobytes())
    for name, axis in DIFFERENCED.items():
        arrays[name] = np.cumsum(arrays[name], axis=axis, dtype=arrays[name].dtype)
    atlas = np.asarray(Image.open(io.BytesIO(data[end:])).convert("RGB"))
    return Model(
        **arrays,
        atlas=atlas,
        ceiling=others["ceiling"],
        sources=tuple(Source(kind=one["kind"], at=tuple(one["at"])) for one in others["sources"]),
        materials=tuple(
            Look(tile=tuple(one["tile"]), **{k: one[k] for k in ("lamp", "tint", "family") if k in one})
            for one in others["materials"]
        ),
        loose=tuple(others["loose"]),
        is_open=others.get("is_open", False),  # older files are all of places with a roof
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Surfaces:
    """A model as kernels read it; see ``_mesh.MeshWorld``."""

    model: Model
    corners: Float32[np.ndarray, "t 3 3"]
    uvs: Float32[np.ndarray, "t 3 2"]
    normals: Float32[np.ndarray, "t 3"]
    lattices: Int32[np.ndarray, "t 2"]
    light_rows: Int32[np.ndarray, " l"]
    nodes: Float32[np.ndarray, "k 6"]
    links: Int32[np.ndarray, "k 3"]
    tiles: Float64[np.ndarray, "m 2"]
    """First texel and side of every material's tile."""
    texels: UInt16[np.ndarray, "x 3"]
    light: Float32[np.ndarray, "s p"]
    bare_light: Float32[np.ndarray, "s q"]


@functools.cache
def surfaces(name: str) -> Surfaces:
    """A model of this package by name, ready for use; read once a process."""
    return unfolded(unpacked((resources.files("worldgen.worlds") / "meshes" / f"{name}.mesh").read_bytes()))


def unfolded(model: Model) -> Surfaces:
    """The arrays of a model."""
    points = (model.low + model.step * model.places).astype(np.float32)
    corners = points[model.triangles]
    edges = corners.astype(np.float64)
    normals = np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    nodes, links = _tree(model.sizes, corners)
    tiles, texels = _tiles(model)
    lattices, light_rows = _lattices(model, corners)
    decode = (np.arange(256) / 255.0) ** 2
    return Surfaces(
        model=model,
        corners=corners,
        uvs=(model.uv_low + model.uv_step * model.uvs).astype(np.float32)[model.triangles],
        normals=normals.astype(np.float32),
        lattices=lattices,
        light_rows=light_rows,
        nodes=nodes,
        links=links,
        tiles=tiles,
        texels=texels,
        light=(decode[model.light] * model.gains[:, None]).astype(np.float32),
        bare_light=(decode[model.bare_light] * model.gains[:, None]).astype(np.float32),
    )


def lattice_of(parts: int) -> Float64[np.ndarray, "l 3"]:
    """Barycentric coordinates of the lattice of a triangle whose sides are cut into ``parts``.

    Row by row from corner 0: first along the side to corner 1, then towards corner 2.
    """
    b, a = (index.ravel() for index in np.meshgrid(*[np.arange(parts + 1)] * 2, indexing="ij"))
    a, b = a[a + b <= parts] / parts, b[a + b <= parts] / parts
    return np.stack([1.0 - a - b, a, b], axis=1)


def _lattices(
    model: Model, corners: Float32[np.ndarray, "t 3 3"]
) -> tuple[Int32[np.ndarray, "t 2"], Int32[np.ndarray, " l"]]:
    """Parts and first entry of every triangle's lattice, and the row of light of every entry.

    Entries that are ``SAME_LIGHT_M`` apart or so and look the same way share a row.
    """
    parts = model.parts.astype(np.int64)
    counts = (parts + 1) * (parts + 2) // 2
    starts = np.cumsum(counts) - counts
    keys = np.empty(int(counts.sum()), np.int64)
    facing = model.facing[model.triangles].astype(np.int64)
    for n in np.unique(parts):
        chosen, weights = np.flatnonzero(parts == n), lattice_of(int(n))
        cells = np.round(np.einsum("lc,tcx->tlx", weights, corners[chosen]) / SAME_LIGHT_M).astype(np.int64)
        cells += 1 << 15
        looks = facing[chosen][:, weights.argmax(axis=1)]
        found = ((cells[..., 0] << 16 | cells[..., 1]) << 16 | cells[..., 2]) * 27 + looks
        keys[starts[chosen][:, None] + np.arange(len(weights))] = found
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    return np.stack([parts, starts], axis=1).astype(np.int32), rank[group.ravel()]


def _tree(
    sizes: Int32[np.ndarray, " n"], corners: Float32[np.ndarray, "t 3 3"]
) -> tuple[Float32[np.ndarray, "k 6"], Int32[np.ndarray, "k 3"]]:
    """Bounds and links of the tree whose subtrees have ``sizes``, with small subtrees made leaves."""
    bounds = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    nodes, links = np.empty((len(sizes), 6), np.float32), np.empty((len(sizes), 3), np.int32)
    count = grow_tree(sizes, bounds, nodes, links)
    return nodes[:count].copy(), links[:count].copy()


def _tiles(model: Model) -> tuple[Float64[np.ndarray, "m 2"], UInt16[np.ndarray, "x 3"]]:
    """Every tile of the atlas in linear light with its mip levels, and where each material's begins."""
    curve = linear_from_srgb(np.arange(256) / 255.0)
    starts: dict[tuple[int, int, int], int] = {}
    texels: list[UInt16[np.ndarray, "x 3"]] = []
    count = 0
    for look in model.materials:
        if look.tile not in starts:
            x, y, side = look.tile
            levels = mip_levels(curve[model.atlas[y : y + side, x : x + side]][None])[0]
            starts[look.tile] = count
            texels.append(np.round(levels * 65535.0).astype(np.uint16))
            count += len(levels)
    rows = [[float(starts[look.tile]), float(look.tile[2])] for look in model.materials]
    return np.array(rows), np.concatenate(texels)
