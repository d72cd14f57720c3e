"""GLB: the container as others read it, nodes that place splats, and documents that lie."""

from __future__ import annotations

import copy
import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from reconstruct.formats.axes import half_turned, moved
from reconstruct.formats.glb import NAME, read_glb, write_glb
from render.gaussians import Gaussians, concatenated
from tests.reconstruct.splat_files import FIELDS, assert_identical, assert_sound, tame, told
from tests.reconstruct.test_axes import similarity

Document = dict[str, Any]


def opened(file: Path) -> tuple[Document, bytes]:
    """The JSON and the binary half of a .glb file, read by the book."""
    data = file.read_bytes()
    magic, version, length, size, kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
    assert size % 4 == 0
    binary, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert (binary, kind) == (len(data) - 28 - size, b"BIN\0")
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def packed(document: Document | bytes, binary: bytes) -> bytes:
    """A .glb file of both halves."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = (
        struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


@pytest.fixture
def splats(make_gaussians: Callable[..., Gaussians]) -> Gaussians:
    return tame(make_gaussians(40, degree=1))


@pytest.fixture
def file(tmp_path: Path, splats: Gaussians) -> Path:
    """A file of 40 splats."""
    write_glb(splats, tmp_path / "a.glb")
    return tmp_path / "a.glb"


def test_the_document_says_what_the_extension_asks_for(file: Path):
    document, binary = opened(file)
    assert document["extensionsUsed"] == [NAME]
    primitive = document["meshes"][0]["primitives"][0]
    assert primitive["mode"] == 0
    assert primitive["extensions"][NAME] == {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    assert len(binary) == document["buffers"][0]["byteLength"]
    for name, kind in (("ROTATION", "VEC4"), ("SCALE", "VEC3"), ("OPACITY", "SCALAR")):
        accessor = document["accessors"][primitive["attributes"][f"{NAME}:{name}"]]
        assert (accessor["type"], accessor["componentType"], accessor["count"]) == (kind, 5126, 40)
    for order in range(3):
        assert f"{NAME}:SH_DEGREE_1_COEF_{order}" in primitive["attributes"]
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0


def test_the_numbers_are_activated_and_turned(file: Path, splats: Gaussians):
    document, binary = opened(file)
    attributes = document["meshes"][0]["primitives"][0]["attributes"]

    def column(name: str, width: int) -> np.ndarray:
        view = document["bufferViews"][attributes[name]]
        return np.frombuffer(binary, "<f4", 40 * width, view["byteOffset"]).reshape(40, width)

    up = np.array([1.0, -1.0, -1.0])
    np.testing.assert_array_equal(column("POSITION", 3), splats.means.numpy() * up)
    np.testing.assert_array_equal(column(f"{NAME}:ROTATION", 4)[:, 3], splats.quats[:, 0])
    np.testing.assert_array_equal(column(f"{NAME}:ROTATION", 4)[:, :3], splats.quats[:, 1:].numpy() * up)
    np.testing.assert_allclose(column(f"{NAME}:SCALE", 3), splats.scales, rtol=1e-6)
    np.testing.assert_allclose(column(f"{NAME}:OPACITY", 1)[:, 0], splats.opacities, rtol=1e-6)
    accessor = document["accessors"][attributes["POSITION"]]
    np.testing.assert_array_equal(accessor["min"], column("POSITION", 3).min(axis=0))
    np.testing.assert_array_equal(accessor["max"], column("POSITION", 3).max(axis=0))


def test_trimesh_reads_coloured_points(file: Path, splats: Gaussians):
    scene = trimesh.load(file)
    (cloud,) = scene.geometry.values()
    assert isinstance(cloud, trimesh.PointCloud)
    np.testing.assert_allclose(cloud.vertices, half_turned(splats).means, rtol=1e-6)
    linear = np.asarray(cloud.colors)[:, :3] / 255.0
    display = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(display, splats.base_rgb, atol=0.03)


def placed(file: Path, nodes: list[Document], roots: list[int]) -> Gaussians:
    """What is read once the nodes of a file are others."""
    document, binary = opened(file)
    document["nodes"], document["scenes"] = nodes, [{"nodes": roots}]
    file.write_bytes(packed(document, binary))
    return half_turned(read_glb(file))


def test_nodes_place_splats(file: Path, splats: Gaussians):
    once = moved(half_turned(splats), similarity())
    matrix = similarity().T.reshape(-1).tolist()
    moves: list[Document] = [
        {"translation": [1.0, 2.0, 3.0]},
        {"rotation": [0.0, 0.0, 2**-0.5, 2**-0.5], "scale": [2.0, 2.0, 2.0]},
    ]
    by_hand = np.array([[0.0, -2, 0, 1], [2, 0, 0, 2], [0, 0, 2, 3], [0, 0, 0, 1]])
    by_matrix = placed(file, [{"matrix": matrix, "mesh": 0}], [0])
    by_parts = placed(file, [moves[0] | {"children": [1]}, moves[1] | {"mesh": 0}], [0])
    for read, expected in ((by_matrix, once), (by_parts, moved(half_turned(splats), by_hand))):
        for name in FIELDS:
            torch.testing.assert_close(getattr(read, name), getattr(expected, name), atol=1e-5, rtol=1e-5)


def test_several_meshes_are_one_world(file: Path, splats: Gaussians, tmp_path: Path):
    nodes = [{"mesh": 0}, {"mesh": 0, "translation": [5.0, 0.0, 0.0]}, {"mesh": 0}, {"camera": 0}]
    read = placed(file, nodes, [0, 1, 3])  # the third node is in no scene
    apart = np.eye(4)
    apart[0, 3] = 5.0
    whole = half_turned(splats)
    torch.testing.assert_close(read.means, concatenated([whole, moved(whole, apart)]).means)
    # Beside a mesh of a higher degree, harmonics that are missing are zero.
    document, binary = opened(file)
    low = copy.deepcopy(document["meshes"][0])
    for order in range(3):
        del low["primitives"][0]["attributes"][f"{NAME}:SH_DEGREE_1_COEF_{order}"]
    document["meshes"].append(low)
    document["nodes"][0] = {"mesh": 1}
    file.write_bytes(packed(document, binary))
    read = half_turned(read_glb(file))
    assert read.sh.shape == (80, 4, 3)
    assert [int((part.sh[:, 1:] != 0).sum()) > 0 for part in (read[:40], read[40:])] == [False, True]


def test_interleaved_rows_and_small_integers_are_read(file: Path, splats: Gaussians):
    document, binary = opened(file)
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    turned = half_turned(splats)
    rows = np.zeros(40, np.dtype([("p", "<f4", 3), ("q", "<i2", 4), ("o", "u1"), ("pad", "u1", 3)]))
    rows["p"], rows["q"] = turned.means, (turned.quats[:, [1, 2, 3, 0]] * 32767).round()
    rows["o"] = (turned.opacities * 255).round()
    document["bufferViews"].append(
        {"buffer": 0, "byteOffset": len(binary), "byteLength": rows.nbytes, "byteStride": 24}
    )
    view = len(document["bufferViews"]) - 1
    for name, offset, component in (
        ("POSITION", 0, 5126),
        (f"{NAME}:ROTATION", 12, 5122),
        (f"{NAME}:OPACITY", 20, 5121),
    ):
        document["accessors"][attributes[name]] |= {
            "bufferView": view,
            "byteOffset": offset,
            "componentType": component,
            "normalized": component != 5126,
        }
    document["buffers"][0]["byteLength"] += rows.nbytes
    file.write_bytes(packed(document, binary + rows.tobytes()))
    read = read_glb(file)
    assert_sound(read)
    torch.testing.assert_close(read.means, splats.means)
    torch.testing.assert_close(read.quats, splats.quats, atol=1e-4, rtol=0)
    torch.testing.assert_close(read.opacities, splats.opacities, atol=0.003, rtol=0)


def set_in(document: Document, path: tuple[str | int, ...], value: object) -> Document:
    """A copy with one thing changed."""
    changed = copy.deepcopy(document)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


PRIMITIVE = ("meshes", 0, "primitives", 0)
HOSTILE: dict[str, tuple[tuple[str | int, ...], object, str]] = {
    "count of 2^31": (("accessors", 0, "count"), 1 << 31, "have 40 to 2147483648 rows"),
    "no rows": (("accessors", 0, "count"), 0, "no rows"),
    "negative count": (("accessors", 0, "count"), -1, "whole number"),
    "a count that is true": (("accessors", 0, "count"), True, "whole number"),
    "a view beyond the file": (("bufferViews", 0, "byteOffset"), 10_000, "beyond its end"),
    "an array beyond its view": (("accessors", 0, "byteOffset"), 4, "beyond its end"),
    "a view of another file": (("buffers", 0, "uri"), "/etc/passwd", "lie elsewhere"),
    "another buffer": (("bufferViews", 0, "buffer"), 1, "no such thing"),
    "rows on top of each other": (("bufferViews", 0, "byteStride"), 0, "rows 0 bytes apart"),
    "rows far apart": (("bufferViews", 0, "byteStride"), 4096, "rows 4096 bytes apart"),
    "no view": (("accessors", 0, "bufferView"), -1, "no such thing"),
    "sparse": (("accessors", 0, "sparse"), {}, "sparse"),
    "other numbers": (("accessors", 0, "componentType"), 5125, "floats, bytes or shorts"),
    "no numbers": (("accessors", 0, "componentType"), [5126], "floats, bytes or shorts"),
    "other rows": (("accessors", 0, "type"), "VEC4", "should be VEC3"),
    "compressed": ((*PRIMITIVE, "extensions", NAME, "extensions"), {"SPZ": {}}, "another extension"),
    "another extension": (("extensionsRequired",), ["EXT_meshopt_compression"], "EXT_meshopt_compression"),
    "an extension without a name": (("extensionsRequired",), [[]], "glTF extension"),
    "no splats": ((*PRIMITIVE, "extensions"), {}, "shows no splats"),
    "no scene": (("scene",), 1, "no such thing"),
    "no nodes": (("scenes", 0, "nodes"), [], "shows no splats"),
    "nodes that are no list": (("scenes", 0, "nodes"), 7, "should be a list"),
    "no such node": (("scenes", 0, "nodes"), [9], "no such thing"),
    "no such mesh": (("nodes", 0, "mesh"), "0", "no such thing"),
    "its own child": (("nodes", 0, "children"), [0], "no tree"),
    "met twice": (("scenes", 0, "nodes"), [0, 0], "no tree"),
    "stretched": (("nodes", 0, "scale"), [1, 2, 1], "stretches"),
    "mirrored": (("nodes", 0, "scale"), [1, -1, 1], "mirrors"),
    "nowhere": (("nodes", 0, "scale"), [0, 0, 0], "nowhere"),
    "three numbers": (("nodes", 0, "matrix"), [1, 2, 3], "16 finite numbers"),
    "infinite": (("nodes", 0, "translation"), [float("inf"), 0, 0], "3 finite numbers"),
    "far away": (("nodes", 0, "scale"), [1e12, 1e12, 1e12], "far away"),
    "turned by nothing": (("nodes", 0, "rotation"), [0, 0, 0, 0], "length zero"),
    "no attributes": ((*PRIMITIVE, "attributes"), [], "which is not read"),
    "no positions": ((*PRIMITIVE, "attributes"), {}, "lack POSITION"),
    "too many": (
        ("meshes", 0, "primitives"),
        [{"attributes": {}, "extensions": {NAME: {}}}] * 3,
        "lack POSITION",
    ),
    "a list of nothing": (("accessors", 0), None, "should be an object"),
    "no lists": (("accessors",), 3, "no such thing"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_documents_are_refused(file: Path, case: str):
    path, value, message = HOSTILE[case]
    document, binary = opened(file)
    file.write_bytes(packed(set_in(document, path, value), binary))
    with pytest.raises(ValueError, match=message) as refusal:
        read_glb(file)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:4] + b"\1" + data[5:], "glTF 2"),
        (lambda data: data[:-1], "cut short"),
        (lambda data: data[:15], "cut short"),
        (lambda data: data[:16] + b"BIN\0" + data[20:], "begins with"),
        (lambda data: data[:12] + b"\xff\xff\xff\x7f" + data[16:], "begins with"),
        (lambda data: data[:20] + b"[" + data[21:], "JSON"),
        (lambda data: packed(b"[" * 100_000, data), "JSON"),
        (lambda data: packed([1, 2], data), "should be an object"),  # pyright: ignore
        (lambda data: packed({}, b""), "shows no splats"),
    ],
)
def test_damaged_containers_are_refused(file: Path, damage: Callable[[bytes], bytes], message: str):
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=message):
        read_glb(file)


def test_counts_beyond_reason_take_no_memory(file: Path):
    document, binary = opened(file)
    for accessor in document["accessors"]:
        accessor["count"] = 1 << 31
    file.write_bytes(packed(document, binary))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="2,147,483,648 splats"):
            read_glb(file)
        # Many nodes that show one mesh are as bad as one mesh of many splats.
        document, binary = opened(file)
        for accessor in document["accessors"]:
            accessor["count"] = 40
        document["nodes"] = [{"mesh": 0}] * 20_000
        document["scenes"] = [{"nodes": list(range(20_000))}]
        file.write_bytes(packed(document, binary))
        with pytest.raises(ValueError, match="more than 1,000 sets"):
            read_glb(file)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


HOSTILE_VALUES = (None, True, -1, 0, 3, 1 << 40, 1e300, float("nan"), "x", [], [0], {}, {"a": 0})


def test_any_value_anywhere_is_read_or_refused(file: Path):
    document, binary = opened(file)
    document["nodes"][0] |= {"translation": [1, 2, 3], "rotation": [0, 0, 0, 1], "children": []}

    def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
        inner = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        return [path] * bool(path) + [place for key, part in inner for place in places(part, (*path, key))]

    refused = read = 0
    for i, place in enumerate(places(document)):
        for value in HOSTILE_VALUES[i % 3 :: 3]:
            file.write_bytes(packed(set_in(document, place, value), binary))
            try:
                assert_sound(told(read_glb, file)[0])
                read += 1
            except ValueError:
                refused += 1
    assert refused > 100
    assert read > 100


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("POSITION", np.nan, "infinite in 7"),
        (f"{NAME}:SCALE", np.inf, "infinite in 7"),
        (f"{NAME}:SCALE", -1.0, "infinite in 7"),
        (f"{NAME}:OPACITY", np.nan, "infinite in 7"),
        (f"{NAME}:ROTATION", 0.0, "length zero in 7"),
        (f"{NAME}:SH_DEGREE_1_COEF_2", np.nan, "infinite in 7"),
    ],
)
def test_senseless_splats_are_left_out_and_told(file: Path, name: str, value: float, reason: str):
    whole, (document, binary) = read_glb(file), opened(file)
    view = document["bufferViews"][document["meshes"][0]["primitives"][0]["attributes"][name]]
    start, row = view["byteOffset"], view["byteLength"] // 40
    for rows in (7, 40):
        broken = np.full(rows * row // 4, value, "<f4").tobytes()
        file.write_bytes(packed(document, binary[:start] + broken + binary[start + len(broken) :]))
        if rows == 7:
            read, messages = told(read_glb, file)
            assert_identical(read, whole[7:])
            assert [reason in message for message in messages] == [True]
        else:
            with pytest.raises(ValueError, match="none of its 40 splats"):
                read_glb(file)


def test_other_colours_are_told(file: Path):
    document, binary = opened(file)
    place = (*PRIMITIVE, "extensions", NAME, "colorSpace")
    file.write_bytes(packed(set_in(document, place, "lin_rec709_display"), binary))
    assert ["colours are not those" in message for message in told(read_glb, file)[1]] == [True]
