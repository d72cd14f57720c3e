"""Fusion: solids of known size come back closed, true and facing outwards; frames count as they should."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from reconstruct._cell_table import cell_table
from reconstruct.surface import Surface, surface_of, vertex_normals
from reconstruct.tsdf import BLOCK_BYTES, Field, Fusion, fuse
from render.frames import Frames
from tests.oracles.box_room import BoxRoom, paint
from tests.oracles.solids import HALF, REACH, changed, seen

VOXEL = 0.06
SETTINGS = Fusion(voxel=VOXEL, max_depth=REACH)


def meshed(frames: Frames, settings: Fusion = SETTINGS) -> tuple[Field, Surface, trimesh.Trimesh]:
    field = fuse([frames], settings)
    surface = surface_of(field)
    return field, surface, trimesh.Trimesh(surface.vertices, surface.faces, process=False)


def signed(points: np.ndarray, half: np.ndarray = HALF) -> np.ndarray:
    """Distance from a box, negative inside."""
    over = np.abs(points) - half
    return np.linalg.norm(np.maximum(over, 0.0), axis=1) + np.minimum(over.max(axis=1), 0.0)


def test_a_sphere_comes_back_closed_round_and_facing_outwards():
    field, surface, mesh = meshed(seen("sphere"))
    error = np.abs(np.linalg.norm(surface.vertices, axis=1) - 1.0)
    assert error.mean() < 0.1 * VOXEL
    assert error.max() < 0.5 * VOXEL
    assert mesh.is_watertight
    assert mesh.body_count == 1
    assert mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(
        4.0 / 3.0 * math.pi, rel=0.03
    )  # a tenth of a voxel is 1.8%, faces are flat
    assert (vertex_normals(surface) * surface.vertices).sum(axis=1).min() > 0.95
    assert (field.weights >= 0.0).all()


def test_a_box_comes_back_closed_and_with_its_edges():
    _, surface, mesh = meshed(seen("box"))
    assert np.abs(signed(surface.vertices)).max() < 0.5 * VOXEL
    assert mesh.is_watertight
    assert mesh.body_count == 1
    assert mesh.volume == pytest.approx(8.0 * HALF.prod(), rel=0.02)
    np.testing.assert_allclose(mesh.bounds, [-HALF, HALF], atol=0.5 * VOXEL)


def test_vertices_have_the_colours_of_their_places():
    _, surface, _ = meshed(seen("sphere"))
    assert surface.rgb is not None
    assert np.abs(surface.rgb - paint(surface.vertices)).mean() < 0.02


def test_no_vertex_is_there_twice_and_every_one_is_used():
    _, surface, _ = meshed(seen("box"))
    assert len(np.unique(surface.vertices, axis=0)) == len(surface.vertices)
    assert (np.unique(surface.faces) == np.arange(len(surface.vertices))).all()


@pytest.mark.parametrize("settings", [SETTINGS, Fusion()], ids=["fine", "from the frames"])
def test_the_number_of_threads_changes_nothing(settings: Fusion):
    fields = [fuse([seen("box")], settings, threads=threads) for threads in (1, 2, 3)]
    for other in fields[1:]:
        for name in ("blocks", "distances", "weights", "colours"):
            assert np.array_equal(getattr(fields[0], name), getattr(other, name))
        one, two = surface_of(fields[0]), surface_of(other)
        assert np.array_equal(one.vertices, two.vertices)
        assert np.array_equal(one.faces, two.faces)


def test_batches_are_fused_as_if_they_were_one():
    frames = seen("box")
    one, two = fuse([frames], SETTINGS), fuse([frames[:7], frames[7:]], SETTINGS)
    for name in ("blocks", "distances", "weights", "colours"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_one_bad_frame_of_twenty_moves_the_surface_by_less_than_a_voxel():
    frames = seen("sphere")
    bad = dataclasses.replace(changed(frames, 3, depth=1.03))  # 6 cm of 2 m, as an imagined depth may be off
    _, surface, _ = meshed(bad)
    assert np.abs(np.linalg.norm(surface.vertices, axis=1) - 1.0).max() < VOXEL


def test_a_panel_that_is_thicker_than_what_lies_behind_a_surface_keeps_two_sides():
    _, surface, mesh = meshed(seen("panel"))
    assert mesh.is_watertight
    assert np.abs(signed(surface.vertices, np.array([1.0, 1.0, 0.25]))).max() < 0.5 * VOXEL


def test_frames_count_by_their_confidence():
    frames = seen("sphere", 1)
    wrong = dataclasses.replace(frames, depth=frames.depth + VOXEL)

    def radius(share: float) -> float:
        trusts = torch.cat([frames.confidence, share * frames.confidence])
        parts = {name: torch.cat([getattr(frames, name)] * 2) for name in ("rgb", "valid")}
        cameras = dataclasses.replace(
            frames.cameras, c2w=frames.cameras.c2w.repeat(2, 1, 1), K=frames.cameras.K.repeat(2, 1, 1)
        )
        both = Frames(
            depth=torch.cat([frames.depth, wrong.depth]), confidence=trusts, cameras=cameras, **parts
        )
        _, surface, _ = meshed(both)
        facing = surface.vertices @ frames.cameras.origins[0].numpy() / 3.0 > 0.9
        return float(np.linalg.norm(surface.vertices[facing], axis=1).mean())

    assert radius(0.0) == pytest.approx(1.0, abs=0.05 * VOXEL)
    assert radius(0.25) == pytest.approx(1.0 - 0.2 * VOXEL, abs=0.08 * VOXEL)
    assert radius(1.0) == pytest.approx(1.0 - 0.5 * VOXEL, abs=0.08 * VOXEL)


@pytest.mark.parametrize(("trust", "stays"), [(1.0, False), (0.5, True)], ids=["measured", "imagined"])
def test_what_trusted_frames_look_through_is_carved_away(trust: float, stays: bool):  # noqa: FBT001
    frames = seen("sphere")
    frames = dataclasses.replace(frames, confidence=trust * frames.confidence)
    depth = frames.depth.clone()
    depth[0, 30:42, 30:42] = 1.0  # a thing that floats a metre from one camera, where the others see nothing
    _, surface, _ = meshed(dataclasses.replace(frames, depth=depth))
    floats = np.linalg.norm(surface.vertices, axis=1) > 1.5
    assert floats.any() == stays


def test_voxels_come_from_pixels_and_grow_until_they_fit():
    frames = seen("sphere")
    typical = float(np.median([float(d[d < REACH].median()) for d in frames.depth]))
    free = fuse([frames], Fusion())
    far = float(np.median([float(d.median()) for d in frames.depth]))
    assert free.voxel == pytest.approx(1.5 * far / 77.0, rel=1e-4)
    assert free.depth == pytest.approx(far)
    assert typical < far
    few = len(free) // 4
    tight = fuse([frames], Fusion(memory_bytes=few * BLOCK_BYTES))
    assert len(tight) <= few
    assert free.voxel < tight.voxel < 4.0 * free.voxel
    held = sum(getattr(tight, name).nbytes for name in ("distances", "weights", "colours"))
    assert held <= few * BLOCK_BYTES


def test_the_same_room_is_found_from_inside(box_room: BoxRoom):
    _, surface, _ = meshed(box_room.frames, Fusion())
    there, _ = trimesh.sample.sample_surface(box_room.mesh, 200_000, seed=0)
    distance, _ = cKDTree(there).query(surface.vertices)
    assert np.quantile(distance, 0.95) < 0.05
    toward = box_room.frames.cameras.origins.mean(dim=0).numpy() - surface.vertices
    assert ((vertex_normals(surface) * toward).sum(axis=1) > 0).mean() > 0.9


def nothing_known(frames: Frames) -> Frames:
    nowhere = torch.zeros_like(frames.valid)
    return dataclasses.replace(frames, valid=nowhere, depth=torch.zeros_like(frames.depth))


@pytest.mark.parametrize(
    ("change", "settings", "about"),
    [
        (lambda frames: frames[:0], {}, "there are no frames"),
        (nothing_known, {}, "no frame knows how far"),
        (lambda frames: changed(frames[[0]], 0, confidence=0.0), {}, "no frame knows how far"),
        (lambda frames: frames, {"max_depth": 0.5}, "nearer than 0.5"),
        (lambda frames: frames, {"voxel": 0.01, "memory_bytes": 20 * BLOCK_BYTES}, "use larger ones"),
        (lambda frames: frames, {"voxel": 1e-9}, "use larger voxels"),
    ],
    ids=["no frames", "nothing known", "nothing trusted", "all too far", "too fine", "much too fine"],
)
def test_what_cannot_be_fused_is_refused_in_a_sentence(change, settings: dict, about: str):
    with pytest.raises(ValueError, match=about):
        fuse([change(seen("sphere", 2))], Fusion(**settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"voxel": 0.0},
        {"voxel": math.nan},
        {"max_depth": math.inf},
        {"memory_bytes": 1},
        {"memory_bytes": 1 << 50},
    ],
    ids=str,
)
def test_settings_that_mean_nothing_are_refused(settings: dict):
    with pytest.raises(ValueError, match="got"):
        Fusion(**settings)


def test_one_frame_makes_one_open_sheet_that_faces_it():
    frames = seen("sphere", 1)
    _, surface, mesh = meshed(frames)
    assert not mesh.is_watertight
    towards = frames.cameras.origins[0].numpy() - surface.vertices
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    plain = (surface.vertices * towards).sum(
        axis=1
    ) > 0.4  # further round, the edge of what is seen is a step
    assert plain.sum() > 500
    assert ((vertex_normals(surface) * towards).sum(axis=1) > 0)[plain].mean() > 0.99


def test_a_field_without_a_crossing_has_an_empty_surface():
    frames = seen("sphere", 1)
    field = fuse([frames], SETTINGS)
    surface = surface_of(dataclasses.replace(field, distances=np.ones_like(field.distances)))
    assert len(surface) == len(surface.vertices) == 0


def test_every_kind_of_cell_is_cut_into_closed_lines_that_its_neighbours_share():
    table, counts = cell_table()
    assert counts[0] == counts[255] == 0
    assert counts[1] == counts[254] == 1
    for case in range(256):
        triangles = table[case, : counts[case]].astype(int)
        crossed = {
            (axis, corner)
            for axis in range(3)
            for corner in range(8)
            if not corner >> axis & 1 and (case >> corner & 1) != (case >> (corner | 1 << axis) & 1)
        }
        assert len(np.unique(triangles)) == len(crossed)
        lines = [(t[i], t[(i + 1) % 3]) for t in triangles for i in range(3)]
        assert len(set(lines)) == len(lines)
        rim = [line for line in lines if line[::-1] not in set(lines)]
        assert sorted(a for a, _ in rim) == sorted(b for _, b in rim)
