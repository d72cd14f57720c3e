"""Closed: solids around what was seen, judged by trimesh, by rays and by worlds whose surfaces are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from reconstruct.closed import WALL, closed
from reconstruct.mesh_files import write_mesh
from reconstruct.meshed import COLLIDER_FACES, MeshSettings, meshed
from reconstruct.surface import Surface, surface_of
from reconstruct.tidy import without_islands
from reconstruct.tsdf import Field, Fusion, fuse
from render.cameras import rays_cam, unproject
from render.frames import Frames
from tests.oracles.solids import REACH, seen
from worldgen.worlds import random_scene, random_walk_cameras, render

VOXEL = 0.06


def fused(frames: Frames, voxel: float | None = VOXEL, limit: float | None = REACH) -> tuple[Field, Surface]:
    field = fuse([frames], Fusion(voxel=voxel, max_depth=limit))
    return field, without_islands(surface_of(field))


def solid_of(frames: Frames) -> Surface:
    field, surface = fused(frames)
    return closed(field, surface, [frames], memory_bytes=1 << 29)


def judged(surface: Surface) -> trimesh.Trimesh:
    """A closed body of two-sided edges, whichever program reads it."""
    mesh = trimesh.Trimesh(surface.vertices, surface.faces)
    assert len(mesh.vertices) == len(surface.vertices)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.nondegenerate_faces().all()
    assert mesh.volume > 0
    return mesh


def without(frames: Frames, gone: Callable[[torch.Tensor], torch.Tensor]) -> Frames:
    """Frames that do not know pixels which show certain points."""
    unknown = gone(unproject(frames.depth, frames.cameras))[..., None]
    return dataclasses.replace(frames, confidence=frames.confidence.masked_fill(unknown, 0.0))


def first_hits(mesh: trimesh.Trimesh, frames: Frames) -> np.ndarray:
    """z-depth of what every pixel meets first; 0 where nothing."""
    rays = rays_cam(frames.cameras) @ frames.cameras.c2w[:, None, :3, :3].mT
    ends = rays.double().reshape(-1, 3).numpy()
    starts = frames.cameras.origins.double().numpy().repeat(ends.shape[0] // len(frames), axis=0)
    places, which, _ = mesh.ray.intersects_location(starts, ends, multiple_hits=False)
    depth = np.zeros(len(ends))
    depth[which] = np.linalg.norm(places - starts[which], axis=1) / np.linalg.norm(ends[which], axis=1)
    return depth


@pytest.mark.parametrize("count", [1, 2, 20])
@pytest.mark.parametrize("what", ["sphere", "box", "panel"])
def test_what_few_or_many_frames_show_becomes_a_closed_body(what: str, count: int):
    frames = seen(what, count)
    mesh = judged(solid_of(frames))
    shown = frames.depth[..., 0].reshape(-1).double().numpy()
    off = np.abs(first_hits(mesh, frames) - shown)[shown < REACH]
    assert np.median(off) < 0.2 * VOXEL
    assert np.quantile(off, 0.9) < 1.0 * VOXEL


def test_its_front_is_the_open_mesh():
    frames = seen("box", 4)
    field, surface = fused(frames)
    solid = closed(field, surface, [frames], memory_bytes=1 << 29)
    kept = {tuple(place) for place in solid.vertices.tolist()}
    assert np.mean([tuple(place) in kept for place in surface.vertices.tolist()]) > 0.97
    assert solid.rgb is not None
    assert solid.rgb.min() >= 0
    assert solid.rgb.max() <= 1


def test_a_thing_seen_from_all_round_is_solid():
    mesh = judged(solid_of(seen("sphere")))
    assert mesh.body_count == 1
    assert mesh.volume == pytest.approx(4.0 / 3.0 * np.pi, rel=0.03)


def test_a_wall_that_one_frame_shows_is_as_thick_as_it_should_be():
    front = seen("panel", 3)
    surface = fused(front)[1]
    mesh = judged(solid_of(front))
    area = trimesh.Trimesh(surface.vertices, surface.faces).area
    assert mesh.volume == pytest.approx(WALL * VOXEL * area, rel=0.35)


def test_a_hole_that_nobody_saw_is_spanned_and_smooth():
    frames = without(seen("sphere"), lambda points: points[..., 2] > 0.8)
    mesh = judged(solid_of(frames))
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-0.35, 0.35, 15)], [3.0]), axis=-1).reshape(-1, 3)
    down = np.tile([0.0, 0.0, -1.0], (len(grid), 1))
    places, which, _ = mesh.ray.intersects_location(grid, down, multiple_hits=False)
    assert len(which) == len(grid)
    assert np.abs(places[:, 2] - 0.8).max() < 2.0 * VOXEL


def test_an_opening_that_frames_look_through_stays_open():
    frames = seen("panel", 30)
    points = unproject(frames.depth, frames.cameras)
    origin, along = frames.cameras.origins[:, None, None], points - frames.cameras.origins[:, None, None]
    at = origin + along * (-origin[..., 2:] / along[..., 2:])  # where rays meet the middle of the panel
    inside = (at[..., :2].abs() < 0.4).all(dim=-1, keepdim=True) & (frames.depth < REACH)
    beyond = torch.where(inside, torch.full_like(frames.depth, 5.5), frames.depth)
    mesh = judged(solid_of(dataclasses.replace(frames, depth=beyond)))
    starts = np.array([[x, y, 3.0] for x in (-0.1, 0.1) for y in (-0.1, 0.1)])
    assert not mesh.ray.intersects_any(starts, np.tile([0.0, 0.0, -1.0], (4, 1))).any()


@pytest.mark.parametrize("seed", [901, 903])
def test_a_closed_world_is_as_true_as_the_open_one(seed: int):
    scene = random_scene(seed)
    cameras = random_walk_cameras(scene, n=12, seed=seed, width=48, height=40)
    frames = render(scene, cameras, threads=1)
    field, surface = fused(frames, None, None)
    solid = closed(field, surface, [frames], memory_bytes=1 << 29)
    judged(solid)
    truth = frames.depth[..., 0].reshape(-1).double().numpy()
    near = frames.valid.reshape(-1).numpy() & (truth < 4.0 * field.depth)

    def found(of: Surface) -> tuple[float, float]:
        depth = first_hits(trimesh.Trimesh(of.vertices, of.faces, process=False), frames)
        off = np.abs(depth - truth)
        return float((off[near] < field.voxel).mean()), float(np.median(off[near & (depth > 0)]))

    (share, error), (share_open, error_open) = found(solid), found(surface)
    assert share > share_open - 0.01
    assert error < error_open + 0.02 * field.voxel


@pytest.mark.parametrize(
    "settings",
    [{}, {"collider": True}, {"faces": 3000}, {"faces": 30}, {"texture": 64, "faces": 500}],
    ids=str,
)
def test_it_is_closed_with_fewer_faces_and_in_every_file(
    settings: dict, tmp_path: Path, gltf_validator: Callable[[Path], dict]
):
    fusion = Fusion(voxel=VOXEL, max_depth=REACH)
    made = meshed([seen("box", 3)], MeshSettings(fusion=fusion, watertight=True, **settings)).surface
    assert len(made) <= settings.get("faces", COLLIDER_FACES) or settings in ({}, {"faces": 30})
    endings = (".glb",) if "texture" in settings else (".glb", ".obj", ".ply", ".stl")
    for ending in endings:
        file = tmp_path / f"solid{ending}"
        write_mesh(made, file, up=(0.0, -1.0, 0.0))
        (read,) = trimesh.load_scene(file).geometry.values()
        read.merge_vertices(merge_tex=True, merge_norm=True)
        assert len(read.faces) == len(made)
        assert read.is_watertight
        assert read.is_winding_consistent
        assert read.volume > 0
    issues = gltf_validator(tmp_path / "solid.glb")["issues"]
    assert (issues["numErrors"], issues["numWarnings"], issues["numHints"]) == (0, 0, 0), issues["messages"]


def test_what_does_not_fit_into_memory_is_refused():
    frames = seen("box", 2)
    field, surface = fused(frames)
    with pytest.raises(ValueError, match=r"closing a mesh .* takes more than 0 MiB; use larger voxels"):
        closed(field, surface, [frames], memory_bytes=1 << 16)


def test_the_same_frames_give_the_same_body():
    first, again = solid_of(seen("box", 2)), solid_of(seen("box", 2))
    assert np.array_equal(first.vertices, again.vertices)
    assert np.array_equal(first.faces, again.faces)
