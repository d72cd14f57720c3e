"""Meshes: what is read stands where it should, is covered with points, and has its colours."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from jaxtyping import Bool
from PIL import Image
from scipy.spatial import cKDTree
from torch import Tensor

from memory.cache import Seen, WorldCache
from memory.points import Points
from memory.world import MAX_POINTS
from reconstruct.meshes import Mesh, read_mesh, stood
from reconstruct.sampling import COARSEST, points_of_mesh, spacing_of
from render.cameras import Cameras, intrinsics_from_fov
from render.points import render_points

UP = (0.0, -1.0, 0.0)
STEP = 0.05


def saved(mesh: trimesh.Trimesh, file: Path) -> Mesh:
    mesh.export(file)
    return read_mesh(file)


def looking(at: tuple[float, float, float], *, start: tuple[float, float, float], size: int = 96) -> Cameras:
    """A camera at ``start`` that looks at a point, level as far as it can be."""
    forward = np.subtract(at, start) / np.linalg.norm(np.subtract(at, start))
    right = np.cross((0.0, 1.0, 0.0), forward)
    right /= np.linalg.norm(right)
    c2w = torch.eye(4)
    c2w[:3, :3] = torch.from_numpy(np.stack([right, np.cross(forward, right), forward], axis=1))
    c2w[:3, 3] = torch.tensor(start)
    return Cameras(
        c2w=c2w[None], K=intrinsics_from_fov(0.9, width=size, height=size), width=size, height=size
    )


def drawn(points: Points, camera: Cameras) -> Seen:
    cache = WorldCache()
    cache.take(points)
    return cache.render(camera)


def covered(points: Points, camera: Cameras) -> Bool[Tensor, "1 h w"]:
    """Where any point is drawn, whichever way it faces."""
    return render_points(points.positions, camera, axes=points.axes).winner >= 0


def colourful_box() -> trimesh.Trimesh:
    """A box of 1 by 2 by 3 whose sides each have a colour."""
    box = trimesh.creation.box(extents=(1.0, 2.0, 3.0))
    rgb = np.abs(box.face_normals) * 200 + (box.face_normals > 0) * 50
    box.visual.face_colors = np.column_stack([rgb, np.full(len(rgb), 255)]).astype(np.uint8)
    return box


def textured_square(pixels: np.ndarray, **options: object) -> trimesh.Trimesh:
    """A square of 2 by 2 that faces +z, with a picture on it, upright."""
    vertices = [(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=Image.fromarray(pixels), metallicFactor=0.0, **options
    )
    visual = trimesh.visual.TextureVisuals(uv=[(0, 0), (1, 0), (1, 1), (0, 1)], material=material)
    return trimesh.Trimesh(vertices=vertices, faces=[(0, 1, 2), (0, 2, 3)], visual=visual, process=False)


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl"])
@pytest.mark.parametrize("up", [UP, (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.6, 0.0, -0.8)])
def test_the_bottom_centre_stands_where_it_is_put_and_y_is_up(tmp_path: Path, suffix: str, up: tuple):
    lamp = trimesh.creation.cone(radius=0.5, height=2.0)
    lamp.apply_transform(trimesh.transformations.rotation_matrix(-math.pi / 2, (1, 0, 0)))  # its tip is at +y
    lamp.apply_translation((7.0, 8.0, 9.0))
    mesh = stood(saved(lamp, tmp_path / f"lamp{suffix}"), at=(1.0, 2.0, 3.0), up=up, scale=0.5)
    heights = (mesh.corners.reshape(-1, 3) - (1.0, 2.0, 3.0)) @ np.array(up)
    assert heights.min() == pytest.approx(0.0, abs=1e-6)
    assert heights.max() == pytest.approx(1.0, abs=1e-6)
    tip = mesh.corners.reshape(-1, 3)[heights.argmax()]
    np.testing.assert_allclose(tip, np.array((1.0, 2.0, 3.0)) + up, atol=1e-6)


def test_yaw_turns_counter_clockwise_as_seen_from_above_and_nothing_is_mirrored(tmp_path: Path):
    mesh = saved(trimesh.creation.box(extents=(0.2, 1.0, 3.0)), tmp_path / "box.ply")
    turned = stood(mesh, at=(0.0, 0.0, 0.0), up=UP, yaw_deg=30.0)
    # +z of the mesh faces -z of the world, down on a map with +z up and +x right: from there towards +x.
    long = np.array([math.sin(math.radians(30.0)), 0.0, -math.cos(math.radians(30.0))])
    assert np.abs(turned.corners @ long).max() == pytest.approx(1.5)
    for up in (UP, (0.0, 0.0, 1.0)):
        placed = stood(mesh, at=(0.0, 0.0, 0.0), up=up, yaw_deg=77.0)
        volume = np.einsum(
            "fi,fi->f", placed.corners[:, 0], np.cross(placed.corners[:, 1], placed.corners[:, 2])
        )
        assert volume.sum() / 6 == pytest.approx(0.6)


@pytest.mark.parametrize(
    "shape",
    [
        trimesh.creation.box(extents=(1.0, 2.0, 3.0)),
        trimesh.creation.icosphere(subdivisions=2),
        trimesh.creation.icosphere(subdivisions=5, radius=0.7),
        trimesh.creation.torus(0.8, 0.2),
        trimesh.creation.cylinder(radius=0.01, height=2.0),
    ],
    ids=["box", "coarse sphere", "fine sphere", "torus", "needle"],
)
def test_points_lie_on_the_surface_cover_it_and_look_outwards(tmp_path: Path, shape: trimesh.Trimesh):
    mesh = saved(shape, tmp_path / "shape.ply")
    points = points_of_mesh(mesh, spacing=STEP)
    there, faces = trimesh.sample.sample_surface(shape, 100_000, seed=0)
    distance, nearest = cKDTree(there).query(points.positions.numpy())
    assert distance.max() < STEP, "a grid hangs over the longest side of its triangle by less than a step"
    assert cKDTree(points.positions.numpy()).query(there)[0].max() < 1.2 * STEP
    outwards = (points.normals.numpy() * shape.face_normals[faces[nearest]]).sum(axis=1)
    assert np.quantile(outwards, 0.02) > 0.5
    crossed = torch.linalg.cross(points.axes[:, 0], points.axes[:, 1])
    assert ((crossed * points.normals).sum(dim=1) > 0).all()
    assert (points.confidence == 1).all()


def test_a_surface_is_closed_at_the_distance_it_was_sampled_for_and_three_times_nearer(tmp_path: Path):
    box = saved(colourful_box(), tmp_path / "box.ply")
    for away in (6.0, 2.6):
        camera = looking((0.0, -1.0, 0.0), start=(0.7 * away, -1.0 - 0.5 * away, -0.6 * away))
        step = spacing_of(camera, scale=6.0)
        mesh = stood(box, at=(0.0, 0.0, 0.0), up=UP)
        seen = drawn(points_of_mesh(mesh, spacing=step), camera)
        truth = rays_that_hit(mesh, camera)
        inner = truth[1:-1, 1:-1] & truth[2:, 1:-1] & truth[:-2, 1:-1] & truth[1:-1, 2:] & truth[1:-1, :-2]
        known = seen.mask[0, 1:-1, 1:-1, 0].numpy()
        assert known[inner].mean() > 0.995
        assert not seen.mask[0, ..., 0].numpy()[~dilated(truth)].any()


def rays_that_hit(mesh: Mesh, camera: Cameras) -> np.ndarray:
    """Which pixels show a mesh, by casting rays with embree."""
    triangles = trimesh.Trimesh(**trimesh.triangles.to_kwargs(mesh.corners))
    i, j = np.meshgrid(np.arange(camera.height), np.arange(camera.width), indexing="ij")
    K, c2w = camera.K[0].double().numpy(), camera.c2w[0].double().numpy()
    rays = np.stack([(j + 0.5 - K[0, 2]) / K[0, 0], (i + 0.5 - K[1, 2]) / K[1, 1], np.ones(i.shape)], axis=-1)
    directions = rays.reshape(-1, 3) @ c2w[:3, :3].T
    hit = triangles.ray.intersects_any(np.broadcast_to(c2w[:3, 3], directions.shape), directions)
    return hit.reshape(i.shape)


def dilated(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 2)
    h, w = mask.shape
    return np.any([padded[i : i + h, j : j + w] for i in range(5) for j in range(5)], axis=0)


def test_faces_keep_their_colours(tmp_path: Path):
    points = points_of_mesh(saved(colourful_box(), tmp_path / "box.ply"), spacing=STEP)
    expected = (points.normals.abs() * 200 + (points.normals > 0.5) * 50) / 255
    assert (points.rgb - expected).abs().max() < 0.01


def test_corners_that_have_colours_are_mixed(tmp_path: Path):
    square = trimesh.Trimesh(
        vertices=[(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)],
        faces=[(0, 1, 2), (0, 2, 3)],
        vertex_colors=[(0, 0, 0, 255), (255, 0, 0, 255), (255, 255, 0, 255), (0, 255, 0, 255)],
        process=False,
    )
    points = points_of_mesh(saved(square, tmp_path / "square.ply"), spacing=STEP)
    assert (points.rgb[:, :2] - points.positions[:, :2]).abs().max() < 0.03


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_a_texture_is_the_right_way_up_and_round(tmp_path: Path, suffix: str):
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:16, :16], pixels[:16, 16:], pixels[16:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    square = textured_square(pixels)
    points = points_of_mesh(saved(square, tmp_path / f"square{suffix}"), spacing=STEP)
    x, y = points.positions[:, 0], points.positions[:, 1]
    for where, rgb in (
        ((x < 0) & (y > 0), (1.0, 0.0, 0.0)),
        ((x > 0) & (y > 0), (0.0, 1.0, 0.0)),
        ((x < 0) & (y < 0), (0.0, 0.0, 1.0)),
        ((x > 0) & (y < 0), (0.0, 0.0, 0.0)),
    ):
        inner = where & (x.abs() > 2 * STEP) & (y.abs() > 2 * STEP)
        assert inner.sum() > 100
        assert (points.rgb[inner] - torch.tensor(rgb)).abs().max() < 0.05


def test_where_a_texture_has_holes_there_is_nothing(tmp_path: Path):
    pixels = np.full((32, 32, 4), 255, dtype=np.uint8)
    pixels[:, :16, 3] = 0
    fence = saved(textured_square(pixels, alphaMode="MASK"), tmp_path / "fence.glb")
    assert points_of_mesh(fence, spacing=STEP).positions[:, 0].min() > -STEP
    opaque = saved(textured_square(pixels, alphaMode="OPAQUE"), tmp_path / "opaque.glb")
    assert points_of_mesh(opaque, spacing=STEP).positions[:, 0].min() < -1 + STEP
    pixels[..., 3] = 0
    with pytest.raises(ValueError, match="transparent"):
        points_of_mesh(saved(textured_square(pixels, alphaMode="MASK"), tmp_path / "air.glb"), spacing=STEP)


def test_a_sheet_is_seen_from_both_sides_and_a_closed_body_is_turned_outwards(tmp_path: Path):
    sheet = saved(textured_square(np.full((4, 4, 3), 90, dtype=np.uint8)), tmp_path / "sheet.glb")
    points = points_of_mesh(sheet, spacing=STEP)
    for side in (-1.0, 1.0):
        camera = looking((0.0, 0.0, 0.0), start=(0.4, 0.3, 3.0 * side))
        seen, shown = drawn(points, camera), covered(points, camera)
        assert shown.sum() > 1000
        assert (seen.mask[..., 0] == shown).float().mean() > 0.999
    box = trimesh.creation.box()
    inside_out = saved(trimesh.Trimesh(box.vertices, box.faces[:, ::-1], process=False), tmp_path / "b.ply")
    points = points_of_mesh(inside_out, spacing=STEP)
    assert ((points.normals * points.positions).sum(dim=1) > 0).all()


def test_a_mesh_of_many_small_faces_has_no_more_points_than_it_needs(tmp_path: Path):
    fine = trimesh.creation.icosphere(subdivisions=6)
    points = points_of_mesh(saved(fine, tmp_path / "fine.ply"), spacing=0.1)
    assert len(fine.faces) > 80_000
    assert len(points) < 4 * fine.area / 0.1**2
    camera = looking((0.0, 0.0, 0.0), start=(2.0, -1.0, -3.0), size=32)
    assert int((covered(points, camera) & ~drawn(points, camera).mask[..., 0]).sum()) < 8


def test_points_move_apart_where_there_would_be_too_many_and_then_are_refused(tmp_path: Path):
    box = saved(trimesh.creation.box(extents=(3.0, 3.0, 3.0)), tmp_path / "box.ply")
    points = points_of_mesh(box, spacing=0.01)
    assert 0.8 * MAX_POINTS < len(points) <= MAX_POINTS
    with pytest.raises(ValueError, match="give a smaller scale"):
        points_of_mesh(box, spacing=0.014 / COARSEST / 2)
    needle = trimesh.Trimesh([(0, 0, 0), (1e6, 1e-3, 0), (1e6, 0, 0)], [(0, 1, 2)], process=False)
    with pytest.raises(ValueError, match="give a smaller scale"):
        points_of_mesh(saved(needle, tmp_path / "needle.ply"), spacing=0.01)


def test_the_same_mesh_gives_the_same_points(tmp_path: Path):
    mesh = saved(colourful_box(), tmp_path / "box.glb")
    a, b = (points_of_mesh(mesh, spacing=STEP) for _ in range(2))
    assert torch.equal(a.positions, b.positions)
    assert torch.equal(a.rgb, b.rgb)


def test_parts_of_a_scene_stand_where_their_nodes_say(tmp_path: Path):
    scene = trimesh.Scene()
    scene.add_geometry(
        trimesh.creation.box(), transform=trimesh.transformations.translation_matrix((3, 0, 0))
    )
    scene.add_geometry(trimesh.creation.icosphere(), transform=np.diag([2.0, 2.0, 2.0, 1.0]))
    scene.export(tmp_path / "scene.glb")
    mesh = read_mesh(tmp_path / "scene.glb")
    assert len(mesh.parts) == 2
    corners = mesh.corners.reshape(-1, 3)
    np.testing.assert_allclose(corners.max(axis=0), (3.5, 2.0, 2.0), atol=1e-6)
    np.testing.assert_allclose(corners.min(axis=0), (-2.0, -2.0, -2.0), atol=1e-6)


def _nan(file: Path) -> None:
    box = trimesh.creation.box()
    trimesh.Trimesh(np.where(box.vertices > 0.4, np.nan, box.vertices), box.faces, process=False).export(file)


def _faces(file: Path, n: int) -> None:
    lines = ["v 0 0 0", "v 1 0 0", "v 0 1 0", *["f 1 2 3"] * n]
    file.write_text("\n".join(lines))


def _stl(file: Path, *, cut: int = 0, more: bytes = b"", count: int | None = None) -> None:
    """A box, with less, more or other bytes than it should have."""
    trimesh.creation.box().export(file)
    data = file.read_bytes()
    data = data if count is None else data[:80] + count.to_bytes(4, "little") + data[84:]
    file.write_bytes(data[: len(data) - cut] + more)


STL_FACE = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"


BAD = {
    "a missing file": ("gone.ply", lambda file: None, "there is no file"),
    "a folder": ("folder.ply", Path.mkdir, "there is no file"),
    "another kind": ("cat.png", lambda file: file.write_bytes(b"x"), "ends in .glb"),
    "an empty file": ("empty.glb", lambda file: file.write_bytes(b""), "not a mesh|no faces"),
    "garbage": ("garbage.glb", lambda file: file.write_bytes(bytes(range(256)) * 9), "not a mesh"),
    "text": ("text.ply", lambda file: file.write_text("hello"), "not a mesh"),
    "half a PLY": (
        "half.ply",
        lambda file: file.write_text("ply\nformat ascii 1.0\n"),
        "not a mesh|no faces",
    ),
    "JSON": ("json.gltf", lambda file: file.write_text(json.dumps({"asset": 1})), "not a mesh|no faces"),
    "points": ("points.ply", lambda file: trimesh.PointCloud(np.eye(3)).export(file), "no faces"),
    "an OBJ of corners": (
        "points.obj",
        lambda file: file.write_text("v 0 0 0\nv 1 0 0\n"),
        "no faces|not a mesh",
    ),
    "NaN corners": ("nan.ply", _nan, "NaN or infinite"),
    "a corner that is not there": (
        "gap.obj",
        lambda file: file.write_text("v 0 0 0\nf 1 2 9\n"),
        "not a mesh",
    ),
}


BAD |= {
    "an empty STL": ("empty.stl", lambda file: file.write_bytes(b""), "84 bytes or more, this one 0"),
    "an STL of nothing": ("none.stl", lambda file: file.write_bytes(bytes(84)), "holds no faces"),
    "half an STL": ("half.stl", lambda file: _stl(file, cut=301), "12 faces make 684 bytes, and it has 383"),
    "an STL that goes on": ("long.stl", lambda file: _stl(file, more=b"?"), "684 bytes, and it has 685"),
    "an STL that claims much": (
        "much.stl",
        lambda file: _stl(file, count=2**32 - 1),
        "4,294,967,295 faces make",
    ),
    "an STL of NaN": ("nan.stl", _nan, "NaN or infinite"),
    "text in an STL": ("text.stl", lambda file: file.write_text("hello" * 99), "faces make"),
    "a solid of nothing": ("air.stl", lambda file: file.write_text("solid a\nendsolid a"), "holds no faces"),
    "a solid without end": (
        "endless.stl",
        lambda file: file.write_text("solid a\n" + STL_FACE),
        "a solid does not end",
    ),
    "a face of two corners": (
        "two.stl",
        lambda file: file.write_text(
            "solid a\n" + STL_FACE + STL_FACE.replace("vertex 1 0 0\n", "") + "endsolid a\n"
        ),
        "of 2 faces 1 have three corners",
    ),
    "a word for a number": (
        "word.stl",
        lambda file: file.write_text("solid a\n" + STL_FACE.replace("1 0 0", "1 x 0") + "endsolid a\n"),
        "could not convert",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_a_mesh_is_refused_in_one_sentence(tmp_path: Path, name: str):
    file, make, expected = BAD[name]
    make(tmp_path / file)
    with pytest.raises(ValueError, match=expected) as caught:
        read_mesh(tmp_path / file)
    assert "\n" not in str(caught.value)
    assert file in str(caught.value)


@pytest.mark.parametrize("kind", ["stl", "stl_ascii"])
def test_an_stl_holds_the_same_body(tmp_path: Path, kind: str):
    box = trimesh.creation.box(extents=(1.0, 2.0, 3.0)).apply_translation((0.1, -7.0, 1e3))
    box.export(tmp_path / "box.stl", file_type=kind)
    read = read_mesh(tmp_path / "box.stl")
    assert len(read.parts) == 1
    np.testing.assert_allclose(read.corners, box.triangles, rtol=1e-6, atol=1e-6)


def test_an_stl_may_hold_several_solids_or_begin_like_text(tmp_path: Path):
    several = f"solid a\n{STL_FACE}endsolid a\n  solid\n{STL_FACE.upper()}{STL_FACE}ENDSOLID\n"
    (tmp_path / "several.stl").write_text(several)
    assert len(read_mesh(tmp_path / "several.stl").corners) == 3
    trimesh.creation.box().export(tmp_path / "box.stl")
    data = (tmp_path / "box.stl").read_bytes()
    (tmp_path / "box.stl").write_bytes(b"solid box".ljust(80) + data[80:])
    assert len(read_mesh(tmp_path / "box.stl").corners) == 12


def test_a_mesh_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("reconstruct.meshes.MAX_FACES", 50)
    _faces(tmp_path / "many.obj", 51)
    with pytest.raises(ValueError, match="51 faces, a mesh up to 50"):
        read_mesh(tmp_path / "many.obj")
    monkeypatch.setattr("reconstruct.meshes.MAX_FILE_BYTES", 50)
    with pytest.raises(ValueError, match="simplify it"):
        read_mesh(tmp_path / "many.obj")


def test_a_mesh_without_an_area_is_refused(tmp_path: Path):
    (tmp_path / "line.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    with pytest.raises(ValueError, match="no face with an area"):
        points_of_mesh(read_mesh(tmp_path / "line.obj"), spacing=STEP)


@pytest.mark.parametrize(
    "change", [{"scale": 0.0}, {"scale": -1.0}, {"scale": math.nan}, {"yaw_deg": math.inf}]
)
def test_a_mesh_cannot_stand_without_sense(tmp_path: Path, change: dict):
    mesh = saved(trimesh.creation.box(), tmp_path / "box.ply")
    with pytest.raises(ValueError, match="finite"):
        stood(mesh, at=(0.0, 0.0, 0.0), up=UP, **change)
