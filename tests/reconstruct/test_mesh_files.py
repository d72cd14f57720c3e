"""Mesh files: other programs find in them what was written, upright and in the right colours."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from reconstruct.mesh_files import check_mesh_file, write_mesh
from reconstruct.meshes import read_mesh
from reconstruct.surface import Surface, Texture

UP = (0.0, -1.0, 0.0)


def ball(**fields: object) -> Surface:
    """A lopsided ball, coloured by place."""
    mesh = trimesh.creation.icosphere(subdivisions=3)
    vertices = (mesh.vertices * (1.0, 2.0, 3.0) + (0.5, 4.0, -1.0)).astype(np.float32)
    rgb = (0.5 + 0.5 * mesh.vertices).astype(np.float32)
    surface = Surface(vertices=vertices, faces=mesh.faces.astype(np.int32), rgb=rgb)
    return replace(surface, **fields)


def textured() -> Surface:
    """A square with a picture of four colours, its first row of texels at uv 0."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, :32], image[:32, 32:] = (250, 30, 10), (20, 240, 30)
    image[32:, :32], image[32:, 32:] = (10, 20, 230), (128, 128, 128)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
    vertices = np.column_stack([corners, np.zeros(4, np.float32)])  # y down, like v
    faces = np.array([(0, 2, 1), (0, 3, 2)], np.int32)
    return Surface(vertices=vertices, faces=faces, rgb=None, texture=Texture(uv=corners, image=image))


@pytest.fixture(params=[".glb", ".obj", ".ply"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"ball{request.param}"


def test_trimesh_finds_the_same_mesh(file: Path):
    surface = ball()
    write_mesh(surface, file, up=UP)
    (read,) = trimesh.load_scene(file, process=False).geometry.values()
    assert (read.faces == surface.faces).all()
    turned = surface.vertices if file.suffix == ".ply" else surface.vertices * (1, -1, -1)
    np.testing.assert_allclose(read.vertices, turned, rtol=1e-6, atol=1e-6)
    assert read.is_watertight
    assert read.volume == pytest.approx(8.0 * np.pi, rel=0.02)


def test_colours_are_read_back_as_displays_show_them(file: Path):
    surface = ball()
    assert surface.rgb is not None
    write_mesh(surface, file, up=UP)
    (part,) = read_mesh(file).parts
    faces = np.arange(len(surface), dtype=np.int64)
    corner = np.tile([1.0, 0.0, 0.0], (len(faces), 1))
    np.testing.assert_allclose(
        part.paint(faces, corner)[:, :3], surface.rgb[surface.faces[:, 0]], atol=1.01 / 255.0
    )


def test_stl_holds_the_same_body_upright(tmp_path: Path):
    surface = ball()
    write_mesh(surface, tmp_path / "ball.stl", up=UP)
    read = trimesh.load_mesh(tmp_path / "ball.stl", process=False)
    expected = (surface.vertices * np.float32((1, -1, -1)))[surface.faces]
    assert np.array_equal(read.triangles.astype(np.float32), expected)
    across = np.cross(expected[:, 1] - expected[:, 0], expected[:, 2] - expected[:, 0])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    np.testing.assert_allclose(read.face_normals, across, atol=1e-5)
    assert trimesh.load_mesh(tmp_path / "ball.stl").is_watertight
    assert np.array_equal(read_mesh(tmp_path / "ball.stl").corners, expected)


@pytest.mark.parametrize("up", [UP, (0.0, 0.0, 1.0), (0.6, 0.0, -0.8)])
def test_what_is_up_in_the_world_is_up_in_gltf(tmp_path: Path, up: tuple):
    write_mesh(ball(), tmp_path / "ball.glb", up=up)
    heights = read_mesh(tmp_path / "ball.glb").corners[..., 1].reshape(-1)
    expected = ball().vertices[ball().faces].reshape(-1, 3) @ np.array(up)
    np.testing.assert_allclose(heights, expected, atol=1e-5)


def test_a_texture_lies_as_it_should(tmp_path: Path):
    write_mesh(textured(), tmp_path / "square.glb", up=UP)
    (part,) = read_mesh(tmp_path / "square.glb").parts
    weights = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
    found = part.paint(np.zeros(3, np.int64), weights)[:, :3] * 255.0
    np.testing.assert_allclose(found, [(250, 30, 10), (20, 240, 30), (128, 128, 128)], atol=0.6)


def test_a_shape_without_colours_has_none(file: Path):
    write_mesh(ball(rgb=None), file, up=UP)
    data = file.read_bytes()
    assert not any(word in data for word in (b"COLOR_0", b"red"))
    if file.suffix == ".obj":
        assert len(data.splitlines()[0].split()) == 4
    (read,) = trimesh.load_scene(file, process=False).geometry.values()
    assert len(read.faces) == len(ball())


@pytest.mark.parametrize("surface", [ball(), ball(rgb=None), textured()], ids=["colours", "plain", "texture"])
def test_the_validator_of_khronos_finds_nothing_to_say(
    tmp_path: Path, surface: Surface, gltf_validator: Callable[[Path], dict]
):
    write_mesh(surface, tmp_path / "mesh.glb", up=UP)
    report = gltf_validator(tmp_path / "mesh.glb")
    told = {"numErrors": 0, "numWarnings": 0, "numHints": 0}
    assert {name: report["issues"][name] for name in told} == told, report["issues"]["messages"]
    assert report["info"]["totalTriangleCount"] == len(surface)
    assert report["info"]["totalVertexCount"] == len(surface.vertices)
    assert report["info"]["extensionsUsed"] == ["KHR_materials_unlit"]


def test_the_validator_bites(tmp_path: Path, gltf_validator: Callable[[Path], dict]):
    surface = ball()
    broken = replace(surface, faces=surface.faces + np.int32(len(surface.vertices) - 2))
    write_mesh(replace(surface, rgb=None), tmp_path / "mesh.glb", up=UP)
    data = (tmp_path / "mesh.glb").read_bytes()
    (tmp_path / "mesh.glb").write_bytes(data.replace(surface.faces.tobytes(), broken.faces.tobytes()))
    assert gltf_validator(tmp_path / "mesh.glb")["issues"]["numErrors"] > 0


def empty() -> Surface:
    return Surface(vertices=np.zeros((0, 3), np.float32), faces=np.zeros((0, 3), np.int32), rgb=None)


@pytest.mark.parametrize(
    ("surface", "name", "about"),
    [
        (ball(), "mesh.doc", r"\.glb, \.obj, \.ply, \.stl"),
        (empty(), "mesh.glb", "without faces"),
        (textured(), "mesh.obj", "only .glb"),
        (textured(), "mesh.ply", "only .glb"),
        (textured(), "mesh.stl", "only .glb"),
    ],
    ids=["ending", "empty", "texture in OBJ", "texture in PLY", "texture in STL"],
)
def test_what_cannot_be_written_is_refused_and_nothing_is_left(
    tmp_path: Path, surface: Surface, name: str, about: str
):
    with pytest.raises(ValueError, match=about):
        write_mesh(surface, tmp_path / name, up=UP)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told_beforehand(tmp_path: Path):
    with pytest.raises(ValueError, match="no folder"):
        check_mesh_file(tmp_path / "nowhere" / "mesh.glb")
    check_mesh_file(tmp_path / "MESH.GLB")


def test_the_texture_of_a_file_is_a_picture(tmp_path: Path):
    surface = textured()
    assert surface.texture is not None
    write_mesh(surface, tmp_path / "square.glb", up=UP)
    data = (tmp_path / "square.glb").read_bytes()
    size = int.from_bytes(data[12:16], "little")
    gltf = json.loads(data[20 : 20 + size])
    view = gltf["bufferViews"][gltf["images"][0]["bufferView"]]
    start = 28 + size + view["byteOffset"]
    (tmp_path / "texture.png").write_bytes(data[start : start + view["byteLength"]])
    with Image.open(tmp_path / "texture.png") as image:
        assert (np.asarray(image) == surface.texture.image).all()
