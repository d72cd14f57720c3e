"""Edits while a world grows (A2.5): placed at one step, seen five steps later from another side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import trimesh

from memory.bank import FIELDS as UNITS
from memory.boxes import Box
from memory.points import FIELDS
from memory.restore import restored, restored_cache
from memory.world import SceneInfo, World, WorldError
from reconstruct.init import gaussians_from_points
from reconstruct.meshes import read_mesh, stood
from reconstruct.sampling import points_of_mesh, spacing_of
from render.cameras import Cameras, intrinsics_from_fov
from render.frames import Frames
from render.paths import path_named
from render.splats import render_splats
from tests.oracles.box_room import raycast, room_mesh
from worldgen.conditions import Known, SceneUnits
from worldgen.rollout import Grown, Growth, start

SIZE = 48
INFO = SceneInfo(units="scene", scale=1.5, up=(0.0, -1.0, 0.0))
RED = torch.tensor([0.9, 0.1, 0.1])
AT = (0.2, 0.6, 0.9)


class Keeper:
    """A ``Generator`` that keeps what is known and sees the rest: a room, in which nothing was placed."""

    name = "keeper"
    size = SIZE

    def __call__(self, known: Known, recall: Frames | None, *, units: SceneUnits, seed: int) -> Frames:
        """Fill what is not known with the room."""
        room = raycast(room_mesh(), known.cameras).frames
        return dataclasses.replace(
            room,
            rgb=torch.where(known.has_rgb, known.rgb, room.rgb).clamp(0.0, 1.0),
            depth=torch.where(known.has_depth, known.depth, room.depth),
        )


def camera() -> Cameras:
    K = intrinsics_from_fov(1.3, width=SIZE, height=SIZE)
    c2w = torch.eye(4)[None]
    c2w[0, :3, 3] = torch.tensor([0.0, 0.0, -1.2])
    return Cameras(c2w=c2w, K=K, width=SIZE, height=SIZE)


@pytest.fixture
def growth(tmp_path: Path) -> Iterator[Growth]:
    """A world of one view of a room, with a path of 10 cameras around its middle ahead."""
    cameras = path_named("orbit", camera(), n=33, scale=1.5)[::3]
    start(tmp_path / "w", INFO, camera(), cameras=cameras, generator=Keeper(), seed=1, name="orbit")
    with World.open(tmp_path / "w", writable=True) as world:
        yield Growth(world, Keeper())


@pytest.fixture
def crate(tmp_path: Path) -> trimesh.Trimesh:
    """A red crate."""
    box = trimesh.creation.box(extents=(0.5, 0.6, 0.4))
    box.visual.face_colors = [230, 26, 26, 255]
    box.export(tmp_path / "crate.ply")
    return box


def place(growth: Growth, file: Path) -> None:
    mesh = stood(read_mesh(file), at=AT, up=INFO.up, yaw_deg=25.0)
    spacing = spacing_of(camera(), scale=INFO.scale)
    growth.place(points_of_mesh(mesh, spacing=spacing), settings={"mesh": file.name})


def reds(rgb: torch.Tensor) -> int:
    """How many pixels are red."""
    return int(((rgb - RED).abs().amax(dim=-1) < 0.1).sum())


def step(path: Iterator, n: int) -> list:
    return [next(path) for _ in range(n)]


def test_what_is_placed_at_a_step_is_seen_from_another_side_and_gone_when_undone(
    growth: Growth, tmp_path: Path, crate: trimesh.Trimesh
):
    world, path = growth.world, growth.follow()
    before = step(path, 3)
    assert reds(before[-1].frames.rgb) == 0
    place(growth, tmp_path / "crate.ply")
    after = step(path, 5)
    last = after[-1].frames
    turned = before[-1].frames.cameras.c2w[0, :3, :3].T @ last.cameras.c2w[0, :3, :3]
    assert float(turned.trace()) < 1 + 2 * 0.8, "it is another side"
    for grown in after:
        assert reds(grown.frames.rgb) > 60
    seen = growth.cache.render(last.cameras)
    assert (seen.source == -1).sum() > 60
    splats = render_splats(gaussians_from_points(growth.cache.points), last.cameras)
    assert reds(splats.rgb) > 50
    where = (last.rgb[0] - RED).abs().amax(dim=-1) < 0.1
    truth = raycast(room_mesh(), last.cameras).frames.depth[0, ..., 0]
    assert (last.depth[0, ..., 0] < truth)[where].all(), "it stands before the wall and hides it"
    world.tree.undo(6)
    assert reds(restored_cache(world).render(last.cameras).rgb) == 0
    again = Growth(world, Keeper())
    resumed = step(again.follow(), 5)
    assert torch.equal(resumed[-1].frames.cameras.c2w, last.cameras.c2w)
    assert reds(resumed[-1].frames.rgb) == 0


def test_redo_brings_back_what_was_placed(growth: Growth, tmp_path: Path, crate: trimesh.Trimesh):
    path = growth.follow()
    step(path, 1)
    place(growth, tmp_path / "crate.ply")
    step(path, 2)
    shown = growth.cache.render(camera())
    assert reds(shown.rgb) > 60
    growth.world.tree.undo(3)
    assert reds(restored_cache(growth.world).render(camera()).rgb) == 0
    growth.world.tree.redo()
    assert torch.equal(restored_cache(growth.world).render(camera()).rgb, shown.rgb)


def test_what_was_removed_does_not_come_back_though_frames_that_show_it_are_remembered(
    growth: Growth, tmp_path: Path, crate: trimesh.Trimesh
):
    place(growth, tmp_path / "crate.ply")
    path = growth.follow()
    shown = step(path, 3)
    assert reds(shown[-1].frames.rgb) > 60
    around = Box(low=(-0.4, -0.2, 0.4), high=(0.8, 0.65, 1.4))
    chunk, removed = growth.remove(around, settings={})
    assert removed > 500
    assert chunk.edit is not None
    assert reds(growth.cache.render(camera()).rgb) < 8, "a rim just outside the box may stay"
    hole = growth.cache.render(camera()).mask
    later = step(path, 5)
    assert reds(later[-1].frames.rgb) < 8
    with World.open(growth.world.path) as reader:
        cache = restored_cache(reader)
        assert reds(cache.render(camera()).rgb) < 8
        assert cache.render(camera()).mask.sum() > hole.sum(), "what was behind it has been seen since"


def test_an_edited_growth_is_what_a_reopened_world_restores(
    growth: Growth, tmp_path: Path, crate: trimesh.Trimesh
):
    path = growth.follow()
    step(path, 2)
    place(growth, tmp_path / "crate.ply")
    step(path, 2)
    growth.remove(Box(low=(-0.4, -0.2, 0.4), high=(0.2, 0.65, 1.4)), settings={})
    step(path, 2)
    (tmp_path / "crate.ply").unlink()
    cache, bank = restored(growth.world)
    for name in FIELDS:
        assert torch.equal(getattr(cache.points, name), getattr(growth.cache.points, name))
    for name in UNITS:
        assert (getattr(bank.units, name) == getattr(growth.bank.units, name)).all()
    assert bank.changes == growth.bank.changes
    alone = [outlines(grown) for grown in step(path, 3)]
    growth.world.tree.undo(3)
    assert [outlines(grown) for grown in step(Growth(growth.world, Keeper()).follow(), 3)] == alone


def outlines(grown: Grown) -> list[tuple]:
    """What was recalled, whatever its number is."""
    return [(view.overlap, view.gain, view.age, view.confidence) for view in grown.recalled]


def test_a_box_in_which_nothing_is_known_is_not_removed(growth: Growth):
    head, count = growth.world.head, len(growth.cache)
    with pytest.raises(WorldError, match="nothing is known inside the box"):
        growth.remove(Box(low=(50.0, 50.0, 50.0), high=(51.0, 51.0, 51.0)), settings={})
    assert (growth.world.head, len(growth.cache)) == (head, count)
