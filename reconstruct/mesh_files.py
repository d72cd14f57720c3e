"""Mesh files: coloured triangles as glTF, OBJ, PLY and STL, which other programs open.

Room: reconstruct; the command line and the viewer may import this. glTF is +y up, so the world stands
upright in glTF, OBJ and STL, in the axes that ``reconstruct.meshes`` reads; PLY keeps the axes of the world,
as splats in PLY do. STL has no colours. glTF says that colours hold the light already
(``KHR_materials_unlit``).
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from reconstruct.formats.atomic import check_parent, replacing
from reconstruct.meshes import axes_standing
from reconstruct.surface import Surface, vertex_normals

Direction = tuple[float, float, float]

FLOAT, UINT16, UINT32 = 5126, 5123, 5125
"""Kinds of numbers in glTF."""

VERTICES, INDICES = 34962, 34963
"""What a buffer view is for."""

MOST_BYTES = (1 << 32) - (1 << 20)
"""GLB counts its bytes in 32 bits."""

SMALLEST_LINEAR = 0.0031308
"""Light up to which sRGB is a straight line."""


def write_mesh(surface: Surface, path: Path, *, up: Direction) -> None:
    """Write a surface in the format that the file name asks for, whole or not at all.

    Args:
        surface: in the axes of the world, with at least one face.
        path: ends in .glb, .obj, .ply or .stl.
        up: unit vector of the world.

    Raises:
        ValueError: if the ending is unknown, or the surface has no faces or a texture that the format
            cannot hold.
        OSError: if the disk refuses.
    """
    encode = MESH_WRITERS[mesh_ending(path)]
    if not len(surface):
        raise ValueError(f"a mesh without faces is not written to {path.name}; see more of the world first")
    if surface.texture is not None and encode is not _glb:
        raise ValueError(f"only .glb holds a mesh together with its texture, and {path.name} is none")
    if encode is not _ply:
        turn = axes_standing(np.array(up, np.float64), 0.0)
        surface = replace(surface, vertices=(surface.vertices @ turn).astype(np.float32))
    data = encode(surface)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def check_mesh_file(path: Path) -> None:
    """Refuse what ``write_mesh`` would refuse of a name, before the work is done.

    Raises:
        ValueError: if the ending is unknown, or there is no folder for the file.
    """
    mesh_ending(path)
    check_parent(path)


def mesh_ending(path: Path) -> str:
    """The ending of the name of a mesh file.

    Raises:
        ValueError: if it is none of those that are written.
    """
    ending = path.suffix.lower()
    if ending not in MESH_WRITERS:
        raise ValueError(
            f"meshes are written as {', '.join(MESH_WRITERS)}; {path.name!r} ends in none of these"
        )
    return ending


def _ply(surface: Surface) -> bytes:
    colours = () if surface.rgb is None else ("red", "green", "blue")
    vertices = np.empty(len(surface.vertices), [("at", "<f4", 3), ("rgb", "u1", len(colours))])
    vertices["at"] = surface.vertices
    if surface.rgb is not None:
        vertices["rgb"] = np.rint(surface.rgb * 255.0).astype(np.uint8)
    faces = np.empty(len(surface), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, surface.faces
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property float {name}" for name in "xyz"),
        *(f"property uchar {name}" for name in colours),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    return "\n".join(lines).encode() + vertices.tobytes() + faces.tobytes()


def _obj(surface: Surface) -> bytes:
    """Colours follow places, as most programs that read OBJ understand."""
    line = "v {:.7g} {:.7g} {:.7g}" + ("" if surface.rgb is None else " {:.4f} {:.4f} {:.4f}")
    columns = [surface.vertices] if surface.rgb is None else [surface.vertices, surface.rgb]
    lines = [line.format(*row) for row in np.concatenate(columns, axis=1).tolist()]
    lines += ["f {} {} {}".format(*face) for face in (surface.faces + 1).tolist()]
    return ("\n".join(lines) + "\n").encode()


def _stl(surface: Surface) -> bytes:
    """Binary; every face has its own corners, which are equal bit for bit where faces meet."""
    corners = surface.vertices[surface.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(across, axis=1, keepdims=True)
    faces = np.zeros(len(surface), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("none", "<u2")])
    faces["normal"], faces["corners"] = across / np.maximum(length, 1e-30), corners
    return b"worldgen".ljust(80) + struct.pack("<I", len(faces)) + faces.tobytes()


def _glb(surface: Surface) -> bytes:
    """One mesh, one material; a texture lies in the file."""
    parts: list[bytes] = []
    gltf: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "worldgen"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "world"}],
        "bufferViews": [],
        "accessors": [],
    }
    vertices = surface.vertices.astype("<f4")
    bounds = {"min": vertices.min(axis=0).tolist(), "max": vertices.max(axis=0).tolist()}
    attributes = {
        "POSITION": _column(gltf, parts, vertices, FLOAT, **bounds),
        "NORMAL": _column(gltf, parts, vertex_normals(surface).astype("<f4"), FLOAT),
    }
    material: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    if surface.texture is None and surface.rgb is not None:
        light = np.concatenate([_linear(surface.rgb), np.ones((len(vertices), 1))], axis=1)
        colours = np.rint(light * 65535.0).astype("<u2")
        attributes["COLOR_0"] = _column(gltf, parts, colours, UINT16, normalized=True)
    if surface.texture is not None:
        attributes["TEXCOORD_0"] = _column(gltf, parts, surface.texture.uv.astype("<f4"), FLOAT)
        view = _view(gltf, parts, _png(surface.texture.image))
        gltf["images"] = [{"bufferView": view, "mimeType": "image/png"}]
        gltf["textures"] = [{"source": 0}]
        material["baseColorTexture"] = {"index": 0}
    indices = _column(gltf, parts, surface.faces.astype("<u4").reshape(-1, 1), UINT32)
    gltf["materials"] = [{"pbrMetallicRoughness": material, "extensions": {"KHR_materials_unlit": {}}}]
    gltf["meshes"] = [{"primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}]
    return _packed(gltf, b"".join(parts))


def _column(gltf: dict[str, Any], parts: list[bytes], values: np.ndarray, component: int, **more: Any) -> int:
    """Append rows of numbers to a glTF; the number of their accessor."""
    target = INDICES if component == UINT32 else VERTICES
    view = _view(gltf, parts, values.tobytes(), target=target)
    kind = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}[values.shape[1]]
    accessor = {"bufferView": view, "componentType": component, "count": len(values), "type": kind}
    gltf["accessors"].append(accessor | more)
    return len(gltf["accessors"]) - 1


def _view(gltf: dict[str, Any], parts: list[bytes], data: bytes, **more: Any) -> int:
    """Append bytes to a glTF; the number of their view."""
    start = sum(map(len, parts))
    parts.append(data + bytes(-len(data) % 4))
    gltf["bufferViews"].append({"buffer": 0, "byteOffset": start, "byteLength": len(data)} | more)
    return len(gltf["bufferViews"]) - 1


def _packed(gltf: dict[str, Any], binary: bytes) -> bytes:
    """The two chunks of a GLB file."""
    text = json.dumps(gltf | {"buffers": [{"byteLength": len(binary)}]}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(binary)
    if size > MOST_BYTES:
        raise ValueError(
            f"a .glb file holds up to 4 GiB, and this mesh takes {size >> 20:,} MiB; use fewer faces"
        )
    head = struct.pack("<4sII", b"glTF", 2, size)
    chunks = ((b"JSON", text), (b"BIN\0", binary))
    return head + b"".join(struct.pack("<I4s", len(data), kind) + data for kind, data in chunks)


def _png(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def _linear(rgb: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
    """Light from what displays show: vertex colours of glTF are linear."""
    values = rgb.astype(np.float64)
    return np.where(values <= 12.92 * SMALLEST_LINEAR, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


MESH_WRITERS: dict[str, Callable[[Surface], bytes]] = {
    ".glb": _glb,
    ".obj": _obj,
    ".ply": _ply,
    ".stl": _stl,
}
"""File-name ending to the function that encodes it."""

PLAIN_ENDINGS = (".stl",)
"""Of files that hold no colours."""
