"""Meshes: things made elsewhere, read from a file and stood into a world.

Room: reconstruct; the viewer and the command line may import this. Meshes are +y up and face +z, as
glTF says; OBJ, PLY and STL files, which do not say, are taken to be the same. Files are not trusted: every
error is a ValueError of one sentence that names the file.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Float64, Int64
from PIL import Image
from trimesh.visual.color import ColorVisuals
from trimesh.visual.material import PBRMaterial

from reconstruct.stl import read_stl

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl")
MAX_FILE_BYTES = 256 << 20
MAX_FACES = 1_000_000

GREY = (0.6, 0.6, 0.6, 1.0)
"""Of a mesh that says nothing of its colour."""

DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    NotImplementedError,
    RecursionError,
    MemoryError,
    SyntaxError,
    ImportError,
    struct.error,
    zlib.error,
    json.JSONDecodeError,
    Image.DecompressionBombError,
)
"""What trimesh and Pillow raise on files that are not what they claim to be."""

Paint = Callable[[Int64[np.ndarray, " p"], Float64[np.ndarray, "p 3"]], Float64[np.ndarray, "p 4"]]
"""Colour and opacity in [0, 1] at places on faces: which face, and the weights of its corners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Faces that are coloured in one way."""

    corners: Float64[np.ndarray, "f 3 3"]
    paint: Paint


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """A thing of triangles, in one set of axes."""

    parts: tuple[Part, ...]

    @property
    def corners(self) -> Float64[np.ndarray, "f 3 3"]:
        """Of all faces, part after part."""
        return np.concatenate([part.corners for part in self.parts])


def read_mesh(path: Path | str) -> Mesh:
    """A mesh or a scene of meshes from a glTF, OBJ, PLY or STL file, with colours or textures if it has any.

    Raises:
        ValueError: if the file is missing, of another kind, damaged or too large, or holds no faces, or
            a corner that is not finite.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"there is no file {file}; name a glTF, OBJ, PLY or STL mesh")
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{file} should be a mesh that ends in {', '.join(SUFFIXES)}; convert it")
    if (size := file.stat().st_size) > MAX_FILE_BYTES:
        raise ValueError(f"{file} has {size >> 20} MiB, a mesh up to {MAX_FILE_BYTES >> 20}; simplify it")
    try:
        found = _found(file)
        count = sum(len(each.faces) for each in found)
        parts = tuple(_part(each) for each in found) if count <= MAX_FACES else ()
    except DAMAGED as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"{file} is not a mesh that can be read ({why}); export it again") from error
    if not found:
        raise ValueError(f"{file} holds no faces, so it is not a mesh; export it with its triangles")
    if count > MAX_FACES:
        raise ValueError(f"{file} has {count:,} faces, a mesh up to {MAX_FACES:,}; simplify it")
    mesh = Mesh(parts=parts)
    if not np.isfinite(mesh.corners).all():
        raise ValueError(f"{file} has corners that are NaN or infinite; repair it")
    return mesh


def _found(file: Path) -> list[trimesh.Trimesh]:
    """The meshes of a file that have faces, where the file puts them."""
    if file.suffix.lower() == ".stl":  # of files that are cut short trimesh makes what it can
        corners = read_stl(file)
        faces = np.arange(3 * len(corners)).reshape(-1, 3)
        return [trimesh.Trimesh(corners.reshape(-1, 3), faces, process=False)] if len(faces) else []
    scene = trimesh.load_scene(str(file), process=False)
    for each in scene.geometry.values():
        _keep_colours(each)
    return [each for each in scene.dump() if isinstance(each, trimesh.Trimesh) and len(each.faces)]


def stood(
    mesh: Mesh,
    *,
    at: tuple[float, float, float],
    up: tuple[float, float, float],
    yaw_deg: float = 0.0,
    scale: float = 1.0,
) -> Mesh:
    """A mesh standing in a world.

    Args:
        mesh: +y up, facing +z.
        at: where the centre of the bottom of its bounding box comes to stand, world units.
        up: unit vector of the world; +y turns to it. Unturned, the mesh faces -z of the world, which is
            towards the first camera as far as ``up`` allows.
        yaw_deg: turns it about ``up``, counter-clockwise as seen from above.
        scale: world units in a unit of the mesh.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"the scale of a mesh is a finite number above 0, got {scale:g}")
    if not (math.isfinite(yaw_deg) and all(math.isfinite(x) for x in at)):
        raise ValueError(
            f"a mesh stands at finite coordinates and turns by a finite angle, got {at}, {yaw_deg}"
        )
    corners = mesh.corners.reshape(-1, 3)
    low, high = corners.min(axis=0), corners.max(axis=0)
    foot = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    world_from_mesh = scale * axes_standing(np.array(up, dtype=np.float64), math.radians(yaw_deg))
    parts = tuple(
        replace(part, corners=(part.corners - foot) @ world_from_mesh.T + np.array(at)) for part in mesh.parts
    )
    return Mesh(parts=parts)


def axes_standing(up: Float64[np.ndarray, " 3"], yaw: float) -> Float64[np.ndarray, "3 3"]:
    """What x, y and z of a mesh that stands in a world become there, as columns; ``yaw`` in radians."""
    up = up / np.linalg.norm(up)
    front = np.array([0.0, 0.0, -1.0]) if abs(up[2]) < 0.99 else np.array([0.0, 1.0, 0.0])
    front = front - up * (front @ up)
    front /= np.linalg.norm(front)
    right = np.cross(up, front)
    cos, sin = math.cos(yaw), math.sin(yaw)
    return np.stack([cos * right - sin * front, up, sin * right + cos * front], axis=1)


def _keep_colours(mesh: Any) -> None:
    """Make plain colours of those at the corners of a glTF material without a texture.

    They are linear, and trimesh forgets them when it copies a mesh.
    """
    visual = getattr(mesh, "visual", None)
    material = getattr(visual, "material", None)
    if visual is None or not isinstance(material, PBRMaterial) or material.baseColorTexture is not None:
        return
    if "color" in visual.vertex_attributes:
        colours = np.asarray(visual.vertex_attributes["color"])[:, :3]
        whole = np.iinfo(colours.dtype).max if np.issubdtype(colours.dtype, np.integer) else 1.0
        factor = 1.0 if material.baseColorFactor is None else _unit_colour(material.baseColorFactor)[:3]
        rgb = np.rint(255.0 * _display(colours / whole * factor).clip(0.0, 1.0)).astype(np.uint8)
        mesh.visual = ColorVisuals(mesh, vertex_colors=rgb)


def _part(mesh: trimesh.Trimesh) -> Part:
    faces = np.asarray(mesh.faces, dtype=np.int64)
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    return Part(corners=vertices[faces], paint=_paint(mesh, faces))


def _paint(mesh: trimesh.Trimesh, faces: Int64[np.ndarray, "f 3"]) -> Paint:
    """How a mesh says that it is coloured, or grey."""
    visual: Any = mesh.visual
    if visual.kind == "face":
        return _by_face(_opaque(np.asarray(visual.face_colors) / 255.0))
    if visual.kind == "vertex":
        return _by_corner(_opaque(np.asarray(visual.vertex_colors) / 255.0)[faces])
    if visual.kind != "texture":
        return _by_face(np.broadcast_to(np.array(GREY), (len(faces), 4)))
    material = visual.material
    is_pbr = isinstance(material, PBRMaterial)
    image = material.baseColorTexture if is_pbr else getattr(material, "image", None)
    factor = material.baseColorFactor if is_pbr else None
    cutoff = _cutoff(material) if is_pbr else None
    if image is None or visual.uv is None:
        flat = factor if is_pbr else getattr(material, "diffuse", None)
        rgba = _unit_colour(GREY if flat is None else flat)
        rgba[:3] = _display(rgba[:3]) if is_pbr and flat is not None else rgba[:3]
        rgba[3] = 1.0 if cutoff is None else float(rgba[3] >= cutoff)
        return _by_face(np.broadcast_to(rgba, (len(faces), 4)))
    pixels = np.asarray(image.convert("RGBA"), dtype=np.float64) / 255.0
    if factor is not None:
        factor = _unit_colour(factor)
        pixels[..., :3] = _display(_linear(pixels[..., :3]) * factor[:3])  # glTF 2.0, 3.9.2
        pixels[..., 3] *= factor[3]
    pixels[..., 3] = 1.0 if cutoff is None else pixels[..., 3] >= cutoff
    return _by_texture(np.asarray(visual.uv, dtype=np.float64)[faces], pixels)


def _cutoff(material: Any) -> float | None:
    """The opacity below which there is a hole; ``None`` if the material is opaque whatever it says."""
    if material.alphaMode not in ("MASK", "BLEND"):
        return None
    return 0.5 if material.alphaCutoff is None else float(material.alphaCutoff)


def _unit_colour(colour: Any) -> Float64[np.ndarray, " 4"]:
    values = np.asarray(colour)
    values = values / 255.0 if np.issubdtype(values.dtype, np.integer) else values.astype(np.float64)
    return np.array([*values[:3], *(values[3:4] if len(values) > 3 else [1.0])], dtype=np.float64)


def _opaque(rgba: Float64[np.ndarray, "n 4"]) -> Float64[np.ndarray, "n 4"]:
    return np.concatenate([rgba[:, :3], np.ones((len(rgba), 1))], axis=1)


def _linear(rgb: np.ndarray) -> np.ndarray:
    """Light from what is stored for a display (sRGB)."""
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _display(rgb: np.ndarray) -> np.ndarray:
    """What is stored for a display (sRGB) from light."""
    return np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * np.clip(rgb, 0.0, None) ** (1 / 2.4) - 0.055)


def _by_face(rgba: Float[np.ndarray, "f 4"]) -> Paint:
    def paint(
        faces: Int64[np.ndarray, " p"], weights: Float64[np.ndarray, "p 3"]
    ) -> Float64[np.ndarray, "p 4"]:
        return rgba[faces].astype(np.float64)

    return paint


def _by_corner(rgba: Float[np.ndarray, "f 3 4"]) -> Paint:
    def paint(
        faces: Int64[np.ndarray, " p"], weights: Float64[np.ndarray, "p 3"]
    ) -> Float64[np.ndarray, "p 4"]:
        return (rgba[faces] * weights[:, :, None]).sum(axis=1)

    return paint


def _by_texture(uv: Float64[np.ndarray, "f 3 2"], pixels: Float64[np.ndarray, "h w 4"]) -> Paint:
    """Nearest texel, repeated beyond the edges; v runs up."""
    height, width = pixels.shape[:2]

    def paint(
        faces: Int64[np.ndarray, " p"], weights: Float64[np.ndarray, "p 3"]
    ) -> Float64[np.ndarray, "p 4"]:
        u, v = (uv[faces] * weights[:, :, None]).sum(axis=1).T
        if not (np.isfinite(u).all() and np.isfinite(v).all()):
            u, v = np.nan_to_num(u, posinf=0.0, neginf=0.0), np.nan_to_num(v, posinf=0.0, neginf=0.0)
        columns = np.floor((u % 1.0) * width).astype(np.int64).clip(0, width - 1)
        rows = np.floor(((1.0 - v) % 1.0) * height).astype(np.int64).clip(0, height - 1)
        return pixels[rows, columns]

    return paint
