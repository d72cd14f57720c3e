"""Meshes as a user exports them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trimesh

from tests.e2e.verbs import run

WORDS = {
    "w.glb": (),
    "w.obj": ("--faces", 500),
    "w.ply": ("--format", "mesh"),
    "t.glb": ("--texture", 256, "--faces", 400),
    "c.glb": ("--collider",),
    "v.glb": ("--voxel", 0.2, "--max-depth", 3.0),
    "w.stl": (),
    "s.glb": ("--watertight",),
    "s.stl": ("--watertight", "--collider"),
    "s.ply": ("--watertight", "--faces", 900, "--format", "mesh"),
}


@pytest.fixture(scope="module")
def world(walked: Callable[[int], Path]) -> Path:
    return walked(3)


@pytest.mark.parametrize("name", WORDS)
def test_export_says_how_many_faces_others_find(
    name: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    before = sorted(world.rglob("*"))
    assert run("export", world, tmp_path / name, *WORDS[name]) == 0
    told = capsys.readouterr().out.strip()
    (mesh,) = trimesh.load_scene(tmp_path / name, process=False).geometry.values()
    assert told.startswith(f"{tmp_path / name}: {len(mesh.faces):,} faces")
    assert len(mesh.faces) > 20
    assert ("no colours" in told) == (name.endswith(".stl") or "--collider" in WORDS[name])
    assert ("watertight" in told) == ("--watertight" in WORDS[name])
    if "--watertight" in WORDS[name]:
        mesh.merge_vertices(merge_norm=True)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.volume > 0
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert sorted(world.rglob("*")) == before
    first = (tmp_path / name).read_bytes()
    assert run("export", world, tmp_path / name, *WORDS[name]) == 0
    assert (tmp_path / name).read_bytes() == first


def test_a_world_of_one_frame_becomes_a_body(
    walked: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run("export", walked(1), tmp_path / "one.stl", "--watertight") == 0
    assert "watertight" in capsys.readouterr().out
    mesh = trimesh.load_mesh(tmp_path / "one.stl")
    assert mesh.is_watertight
    assert mesh.volume > 0


@pytest.mark.parametrize(
    ("name", "more", "about"),
    [
        ("w.glb", ("--voxel", "nan"), "a voxel is a finite number"),
        ("w.glb", ("--voxel", 1e-5), "use larger"),
        ("w.glb", ("--voxel", 1e5), "no surface"),
        ("w.glb", ("--max-depth", 1e-3), "allow for more depth"),
        ("w.glb", ("--faces", 3), "4 faces or more"),
        ("w.glb", ("--texture", 5), "texels a side"),
        ("w.glb", ("--texture", 256, "--collider"), "no colours"),
        ("w.glb", ("--memory-mib", 0), "a field takes 18 KiB to 256 GiB"),
        ("w.glb", ("--max-splats", 10), "--faces limits"),
        ("w.obj", ("--texture", 256), "only .glb"),
        ("w.ply", ("--texture", 256), "are for meshes"),
        ("w.ply", ("--collider",), "--format mesh"),
        ("w.spz", ("--watertight",), "--format mesh"),
        ("w.glb", ("--watertight", "--voxel", 1e5), "no surface"),
        ("w.glb", ("--watertight", "--memory-mib", 1, "--voxel", 0.05), "use larger"),
        ("w.doc", ("--format", "mesh"), ".glb, .obj, .ply"),
        ("nowhere/w.glb", (), "no folder"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_a_sentence_and_nothing_is_written(
    name: str, more: tuple, about: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run("export", world, tmp_path / name, *more) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("worldgen: ")
    assert about in error
    assert "\n" not in error
    assert list(tmp_path.iterdir()) == []
