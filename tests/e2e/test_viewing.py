"""What the viewer can do with a world on disk, by the real desk over the real model, without a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from memory.boxes import Box
from memory.restore import restored_cache
from memory.world import World
from render.paths import turn
from tests.e2e.verbs import run
from tests.worldgen.test_replay import forged
from viewer import Abilities, Editor, ExploreFn, GrowFn
from worldgen.cli.view import _only_looked_at, is_this_machine
from worldgen.cli.viewing import Desk
from worldgen.generator import RGBDGenerator

EVERYTHING = Box(low=(-1e5, -1e5, -1e5), high=(1e5, 1e5, 1e5))


@pytest.fixture
def world(walked: Callable[[int], Path], tmp_path: Path) -> Iterator[World]:
    """A world of four frames of its own."""
    shutil.copytree(walked(4), tmp_path / "world")
    with World.open(tmp_path / "world", writable=True) as world:
        yield world


@pytest.fixture
def desk(world: World, small_weights: Path) -> Desk:
    return Desk(world, RGBDGenerator(str(small_weights), steps=1))


def hands(desk: Desk) -> tuple[GrowFn, ExploreFn, Editor, Abilities]:
    abilities = desk.abilities()
    assert abilities.grow is not None
    assert abilities.explore is not None
    assert abilities.edit is not None
    return abilities.grow, abilities.explore, abilities.edit, abilities


def test_growing_commits_and_says_what_was_known_and_remembered(world: World, desk: Desk):
    grow, _, _, _ = hands(desk)
    cameras = turn(world.cameras(world.frame_ids()[-1:]), n=3)[1:]
    grown = list(grow(cameras, seed=5))
    assert [len(chunk.frames) for chunk in grown] == [1, 1]
    assert len(world.frame_ids()) == 6
    torch.testing.assert_close(grown[1].frames.rgb, world.frames()[-1:].rgb)
    for number, chunk in enumerate(grown, start=4):
        assert chunk.known is not None
        assert chunk.known.shape == chunk.frames.valid.shape
        assert chunk.remembered
        assert all(0 <= why.number < number for why in chunk.remembered)
        assert all(why.age == number - why.number for why in chunk.remembered)


def test_growing_far_looks_ahead_first_and_says_so(world: World, desk: Desk):
    cameras = turn(world.cameras(world.frame_ids()[-1:]), n=13)[1:]
    grown = list(hands(desk)[0](cameras, seed=5))
    ahead = [chunk.is_ahead for chunk in grown].count(True)
    assert ahead > 0
    assert [chunk.is_ahead for chunk in grown] == [True] * ahead + [False] * 12


@pytest.mark.parametrize("way", ["explore", "wander"])
def test_finding_ways_begins_where_it_is_told_and_the_scene_follows(world: World, desk: Desk, way: str):
    go = getattr(hands(desk)[3], way)
    start = world.cameras(world.frame_ids()[:1])
    steps = go(start, frames=2, seed=0)
    grown = [next(steps)]
    pending = world.pending()
    assert pending is not None
    assert pending.settings["path"] == way
    grown += steps
    assert len(grown) == 2
    stride = (grown[0].frames.cameras.origins - start.origins).norm()
    assert float(stride) < 0.2 * world.scene.scale
    scene = desk.scene()
    assert len(scene.frames) == 6
    torch.testing.assert_close(scene.points.positions, restored_cache(world).points.positions)


def test_after_undo_the_scene_is_that_of_the_head_and_growth_goes_on_from_there(world: World, desk: Desk):
    grow, _, _, abilities = hands(desk)
    before = desk.scene()
    cameras = turn(world.cameras(world.frame_ids()[-1:]), n=3)[1:]
    first = list(grow(cameras, seed=5))
    assert abilities.history is not None
    abilities.history.tree.undo(2)
    scene = abilities.history.scene()
    torch.testing.assert_close(scene.points.positions, before.points.positions)
    assert len(scene.frames) == len(before.frames) == 4
    assert abilities.setting is not None
    assert len(abilities.setting().ids) == 4
    assert torch.equal(abilities.setting().start.c2w, world.cameras().c2w[:1])
    again = list(grow(cameras, seed=5))
    assert all(0 <= why.number < 6 for chunk in again for why in chunk.remembered)
    assert len(world.frame_ids()) == len(first) + 4


def test_edits_change_the_scene_and_undo_takes_them_back(world: World, desk: Desk, tmp_path: Path):
    _, _, edit, abilities = hands(desk)
    assert abilities.splats is not None
    before = desk.scene()
    box = tmp_path / "box.ply"
    trimesh.creation.box((0.4, 0.4, 0.4)).export(box)
    assert edit.place(box, at=(0.0, 0.0, 2.0), yaw_deg=30.0, scale=1.0).startswith("Placed ")
    placed = desk.scene()
    assert (placed.points.source < 0).sum() == len(placed.points) - len(before.points) > 0
    assert len(abilities.splats()) == (placed.points.confidence > 0).sum()
    assert edit.remove(EVERYTHING) == f"Removed {len(placed.points):,} points."
    assert len(desk.scene().points) == 0
    with pytest.raises(ValueError, match="nothing is known inside"):
        edit.remove(EVERYTHING)
    world.tree.undo(2)
    torch.testing.assert_close(desk.scene().points.positions, before.points.positions)


def test_replaying_finds_the_newest_frame_the_same_and_a_forged_one_not(world: World, desk: Desk):
    _, _, _, abilities = hands(desk)
    assert abilities.replay is not None
    assert abilities.replay() == "Imagined frame 3 again: the same, bit for bit."
    before = world.chunks()
    forged(world.path, 3)
    assert abilities.replay().startswith("Not the same: frame 3 differs: colour in 1 of ")
    assert world.chunks() == before


def test_a_token_that_is_guessed_at_once_is_refused(
    walked: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
):
    assert run("view", walked(4), "--read-only", "--token", "short") == 2
    assert "a token is 8 to 128 letters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (("--port", -1), "--port lies between 0, which takes any that is free, and 65535, got -1"),
        (("--port", 65_536), "got 65536"),
        (("--host", "203.0.113.7"), "--host is an address of this machine"),
        (("--host", "a" * 64), "--host is an address of this machine"),
    ],
)
def test_where_nobody_can_listen_is_refused_at_once(
    walked: Callable[[int], Path], words: tuple, about: str, capsys: pytest.CaptureFixture[str]
):
    assert run("view", walked(4), "--read-only", *words) == 2
    assert about in capsys.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_nobody_comes_from_elsewhere_to_this_machine(host: str):
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "my-machine"])
def test_other_addresses_can_be_reached_by_others(host: str):
    assert not is_this_machine(host)


def test_the_desk_and_whoever_only_looks_make_the_same_mesh_and_edits_change_it(world: World, desk: Desk):
    _, _, edit, abilities = hands(desk)
    assert abilities.mesh is not None
    before = abilities.mesh(watertight=False)
    with World.open(world.path) as reading:
        looking = _only_looked_at(reading)[1]
        assert looking.mesh is not None
        np.testing.assert_array_equal(looking.mesh(watertight=False).vertices, before.vertices)
        edit.remove(EVERYTHING)
        np.testing.assert_array_equal(
            looking.mesh(watertight=False).vertices, before.vertices, "what it shows is as it was"
        )
    with pytest.raises(ValueError, match="nothing to make a mesh of"):
        abilities.mesh(watertight=False)
