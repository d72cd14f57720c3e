"""glTF containers: the JSON and the binary half of a .glb file, and the arrays that lie in it.

Room: reconstruct; only the formats beside it import this. Files come from strangers: every index, offset
and count is checked before it is used, and arrays are read from the file one by one, so that memory follows
what is used.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float, Float64

from render.json_files import is_number

MAGIC = b"glTF"
HEADER = struct.Struct("<4sII")
"""Magic, version, bytes of the file."""

CHUNK = struct.Struct("<I4s")
"""Bytes of the chunk without this, and what it holds."""

JSON_LIMIT = 16 << 20
"""Bytes of JSON that are read; one of splats has a few kilobytes."""

LARGEST = (1 << 32) - 1
"""Bytes of a .glb file, whose length is written in 32 bits."""

FLOAT, BYTE = 5126, 5121
COMPONENTS = {5120: "i1", BYTE: "u1", 5122: "<i2", 5123: "<u2", FLOAT: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
WIDEST_STRIDE = 252
ARRAY_BUFFER = 34962
UNDERSTOOD = {"KHR_gaussian_splatting", "KHR_mesh_quantization"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gltf:
    """An open .glb file."""

    document: dict[str, Any]
    file: BinaryIO

    start: int
    """Where the binary half begins in the file."""

    size: int
    """Bytes of the binary half."""

    trailing: int
    """Bytes after what the file says is its end."""

    def item(self, kind: str, index: object) -> dict[str, Any]:
        """One entry of a list of the document, such as ``nodes``.

        Raises:
            ValueError: if there is no such entry.
        """
        entries = self.document.get(kind, [])
        if type(index) is not int or not isinstance(entries, list) or not 0 <= index < len(entries):
            raise ValueError(f"it refers to {index!r:.40} of its {kind}, and there is no such thing")
        if not isinstance(entries[index], dict):
            raise ValueError(f"entry {index} of its {kind} should be an object")
        return entries[index]

    def count(self, accessor: object) -> int:
        """Rows of an array, at least one.

        Raises:
            ValueError: if there are none.
        """
        count = whole(self.item("accessors", accessor), "count")
        if count == 0:
            raise ValueError(f"array {accessor} has no rows")
        return count

    def array(self, accessor: object, kind: str) -> Float[np.ndarray, "g c"]:
        """The numbers of an array, normalised where the file says so.

        Args:
            accessor: its number.
            kind: SCALAR, VEC3 or VEC4, as it should be.

        Raises:
            ValueError: if it is something else, compressed, or lies outside of the file.
        """
        said = self.item("accessors", accessor)
        component = said.get("componentType")
        if said.get("type") != kind or type(component) is not int or component not in COMPONENTS:
            raise ValueError(f"array {accessor} should be {kind} of floats, bytes or shorts")
        if "sparse" in said or "bufferView" not in said:
            raise ValueError(f"array {accessor} is sparse, and only arrays that are written out are read")
        element = np.dtype((COMPONENTS[component], (WIDTHS[kind],)))
        values = self._rows(said, element)
        if said.get("normalized") is not True or element.base.kind == "f":
            return values.astype(np.float32)
        return np.maximum(values / np.float32(np.iinfo(element.base).max), -1.0).astype(np.float32)

    def _rows(self, accessor: dict[str, Any], element: np.dtype) -> np.ndarray:
        view = self.item("bufferViews", accessor["bufferView"])
        buffer = self.item("buffers", view.get("buffer"))
        if view["buffer"] != 0 or "uri" in buffer:
            raise ValueError("its arrays should lie in the .glb file itself, and some lie elsewhere")
        count, stride = whole(accessor, "count"), whole(view, "byteStride", element.itemsize)
        offset, length = whole(accessor, "byteOffset", 0), whole(view, "byteLength")
        first = whole(view, "byteOffset", 0)
        needed = offset + stride * (count - 1) + element.itemsize
        if not element.itemsize <= stride <= WIDEST_STRIDE:
            raise ValueError(f"rows {stride} bytes apart cannot be {element.itemsize} bytes long")
        if needed > length or first + length > self.size:
            raise ValueError("the file is cut short, or one of its arrays reaches beyond its end")
        self.file.seek(self.start + first + offset)
        record = np.dtype({"names": ["v"], "formats": [element], "itemsize": stride})
        raw = self.file.read(needed - offset)
        return np.frombuffer(raw.ljust(count * stride, b"\0"), record, count)["v"]


def whole(said: dict[str, Any], name: str, default: int | None = None) -> int:
    """A count or an offset.

    Raises:
        ValueError: if it is no whole number, or negative.
    """
    value = said.get(name, default)
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise ValueError(f'"{name}" should be a whole number of 32 bits, got {value!r:.40}')
    return value


def numbers(said: dict[str, Any], name: str, default: tuple[float, ...]) -> Float64[np.ndarray, " n"]:
    """As many finite numbers as there are by default.

    Raises:
        ValueError: if there are more or fewer, or others.
    """
    values = said.get(name, default)
    if not isinstance(values, list | tuple) or len(values) != len(default) or not all(map(is_number, values)):
        raise ValueError(f'"{name}" of a node should be {len(default)} finite numbers')
    return np.array(values, np.float64)


def listed(said: dict[str, Any], name: str) -> list[Any]:
    """A list, empty where there is none.

    Raises:
        ValueError: if it is something else.
    """
    values = said.get(name, [])
    if not isinstance(values, list):
        raise ValueError(f'"{name}" should be a list, got {values!r:.40}')
    return values


def read_gltf(file: BinaryIO) -> Gltf:
    """Both halves of a .glb file; arrays are read later.

    Raises:
        ValueError: if this is no .glb file, it is cut short, or it needs extensions that are not understood.
    """
    found = os.fstat(file.fileno()).st_size
    magic, version, length = _unpack(file, HEADER)
    if magic != MAGIC or version != 2:
        raise ValueError("this is no .glb file of glTF 2")
    if length > found:
        raise ValueError(f"the file is cut short: it should have {length} bytes, but has {found}")
    size, kind = _unpack(file, CHUNK)
    if kind != b"JSON" or size > min(JSON_LIMIT, length):
        raise ValueError(f"a .glb file begins with at most {JSON_LIMIT >> 20} MiB of JSON, and this does not")
    document = _document(file.read(size))
    size, kind = _unpack(file, CHUNK) if file.tell() < length else (0, b"BIN\0")
    if kind != b"BIN\0" or file.tell() + size > length:
        raise ValueError("the binary half of this .glb file is damaged or cut short")
    return Gltf(document=document, file=file, start=file.tell(), size=size, trailing=found - length)


def _unpack(file: BinaryIO, layout: struct.Struct) -> tuple[Any, ...]:
    data = file.read(layout.size)
    if len(data) < layout.size:
        raise ValueError("this is no .glb file, or it is cut short")
    return layout.unpack(data)


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("the JSON of this .glb file is damaged") from None
    if not isinstance(document, dict):
        raise ValueError("the JSON of this .glb file should be an object")
    if odd := [name for name in listed(document, "extensionsRequired") if str(name) not in UNDERSTOOD]:
        raise ValueError(f"it needs the glTF extension {odd[0]!r:.60}, which is not read; convert it first")
    return document


def glb_bytes(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> list[bytes | memoryview]:
    """A .glb file in pieces.

    Args:
        document: all but buffers and accessors.
        arrays: float32, or bytes that stand for [0, 1]; rows of 1, 3 or 4 numbers, a multiple of four bytes
            long. Accessor i is the i-th of them.

    Raises:
        ValueError: if the file would have more than 4 GiB.
    """
    views, accessors, start = [], [], 0
    for i, values in enumerate(arrays.values()):
        views.append({"buffer": 0, "byteOffset": start, "byteLength": values.nbytes, "target": ARRAY_BUFFER})
        accessors.append(_accessor(i, values))
        start += values.nbytes
    bounds = arrays["POSITION"]
    accessors[list(arrays).index("POSITION")] |= {
        "min": bounds.min(axis=0).astype(float).tolist(),
        "max": bounds.max(axis=0).astype(float).tolist(),
    }
    whole = document | {"buffers": [{"byteLength": start}], "bufferViews": views, "accessors": accessors}
    text = json.dumps(whole, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    length = HEADER.size + 2 * CHUNK.size + len(text) + start
    if length > LARGEST:
        raise ValueError(f"a .glb file holds at most 4 GiB, and these splats take {length / 2**30:.1f} GiB")
    head = HEADER.pack(MAGIC, 2, length) + CHUNK.pack(len(text), b"JSON") + text + CHUNK.pack(start, b"BIN\0")
    return [head, *(np.ascontiguousarray(values).data for values in arrays.values())]


def _accessor(view: int, values: np.ndarray) -> dict[str, Any]:
    kind = {width: name for name, width in WIDTHS.items()}[values.shape[1]]
    is_byte = values.dtype == np.uint8
    said = {
        "bufferView": view,
        "componentType": BYTE if is_byte else FLOAT,
        "type": kind,
        "count": len(values),
    }
    return said | {"normalized": True} if is_byte else said
