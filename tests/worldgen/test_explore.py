"""Exploring: which way is taken in rooms with one open side, and after an interruption (A8.2)."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import pytest
import torch

from memory.cache import WorldCache
from memory.points import Points
from memory.world import SceneInfo, World
from render.cameras import Cameras, intrinsics_from_fov
from tests.oracles.small_models import perturbed_model
from worldgen.explore import LEG_FRAMES, MOST_UNSEEN, ROOM, Way, clear_leg, explore, next_leg, wander, ways
from worldgen.generator import RGBDGenerator
from worldgen.model.weights import save_model
from worldgen.rollout import Growth

UP = (0.0, -1.0, 0.0)
SIZE = 32
SPACING = 0.05


def camera() -> Cameras:
    """At the origin, looking along +z."""
    return Cameras(
        c2w=torch.eye(4)[None],
        K=intrinsics_from_fov(math.radians(70.0), width=SIZE, height=SIZE),
        width=SIZE,
        height=SIZE,
    )


def sheet(corner: tuple[float, ...], a: tuple[float, ...], b: tuple[float, ...]) -> Points:
    """Points on a parallelogram, facing the origin."""
    start, along, across = (torch.tensor(x) for x in (corner, a, b))
    counts = [max(2, int(side.norm() / SPACING)) for side in (along, across)]
    u, v = torch.meshgrid(*(torch.linspace(0.0, 1.0, n) for n in counts), indexing="ij")
    positions = start + u.reshape(-1, 1) * along + v.reshape(-1, 1) * across
    normal = torch.nn.functional.normalize(torch.linalg.cross(along, across), dim=0)
    normals = normal.expand_as(positions)
    towards = (normals * positions).sum(dim=-1, keepdim=True) > 0
    normals = torch.where(towards, -normals, normals)
    axes = torch.stack([along / along.norm(), across / across.norm()]) * SPACING
    n = len(positions)
    return Points(
        positions=positions,
        rgb=torch.full((n, 3), 0.5),
        normals=normals.contiguous(),
        confidence=torch.ones(n),
        axes=axes.expand(n, 2, 3).contiguous(),
        source=torch.zeros(n, dtype=torch.int64),
    )


def room(*, half: float = 1.5, without: tuple[str, ...] = ()) -> WorldCache:
    """A cube round the origin, some of whose sides are not known."""
    lo, hi, side = -half, half, 2 * half
    sides = {
        "left": ((lo, lo, lo), (0.0, side, 0.0), (0.0, 0.0, side)),
        "right": ((hi, lo, lo), (0.0, side, 0.0), (0.0, 0.0, side)),
        "ahead": ((lo, lo, hi), (side, 0.0, 0.0), (0.0, side, 0.0)),
        "behind": ((lo, lo, lo), (side, 0.0, 0.0), (0.0, side, 0.0)),
        "floor": ((lo, hi, lo), (side, 0.0, 0.0), (0.0, 0.0, side)),
        "ceiling": ((lo, lo, lo), (side, 0.0, 0.0), (0.0, 0.0, side)),
    }
    cache = WorldCache()
    for name, corners in sides.items():
        if name not in without:
            cache.take(sheet(*corners))
    return cache


def heading(leg: Cameras) -> float:
    """How far the last camera is turned to the right, in degrees."""
    x, _, z = leg.forwards[-1].tolist()
    return math.degrees(math.atan2(x, z))


@pytest.mark.parametrize(("open_side", "sign"), [("left", -1), ("right", 1)])
def test_the_way_leads_to_the_open_side(open_side: str, sign: int):
    leg = next_leg(room(without=(open_side,)), camera(), up=UP, scale=1.0)
    assert leg is not None
    assert len(leg) == LEG_FRAMES
    assert sign * heading(leg) > 20.0


def test_straight_ahead_is_best_where_only_the_end_is_open():
    leg = next_leg(room(without=("ahead",)), camera(), up=UP, scale=1.0)
    assert leg is not None
    assert abs(heading(leg)) < 45.0
    assert leg.origins[-1, 2] > 0.2


def test_where_everything_is_known_there_is_no_way():
    assert next_leg(room(), camera(), up=UP, scale=1.0) is None


def test_nothing_is_walked_into():
    cache = room(without=("left", "right", "behind"))
    cache.take(sheet((-1.0, -1.0, 0.1), (2.0, 0.0, 0.0), (0.0, 2.0, 0.0)))
    for way in ways(cache, camera(), up=UP, scale=1.0):
        assert way.is_free == (not way.cameras.origins.any())
    leg = next_leg(cache, camera(), up=UP, scale=1.0)
    assert leg is not None
    assert not leg.origins.any()  # it turns on the spot


def test_a_larger_scene_is_explored_the_same_way():
    small, large = (
        next_leg(room(half=1.5 * scale, without=("right",)), camera(), up=UP, scale=scale)
        for scale in (1.0, 2.0)
    )
    assert small is not None
    assert large is not None
    torch.testing.assert_close(large.origins, 2.0 * small.origins, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("unseen", "degrees", "utility"),
    [(0.3, 0.0, 0.3), (MOST_UNSEEN, 0.0, 0.6), (0.9, 0.0, 0.3), (0.5, 90.0, 0.25), (0.5, -90.0, 0.25)],
)
def test_utility_rises_and_falls_with_what_is_unseen(unseen: float, degrees: float, utility: float):
    way = Way(cameras=camera(), degrees=degrees, unseen=unseen, room=1.0, is_free=True)
    assert way.utility == pytest.approx(utility)
    assert dataclasses.replace(way, is_free=False).utility == -math.inf


def test_a_wanderer_goes_straight_on_while_there_is_room():
    way = clear_leg(room(half=3.0), camera(), up=UP, scale=1.0, side=1.0)
    assert way.degrees == 0.0
    assert way.cameras.origins[-1, 2] > 0.3
    assert way.room >= ROOM


@pytest.mark.parametrize(("open_side", "sign"), [("left", -1), ("right", 1)])
def test_a_wanderer_turns_from_a_wall_to_where_there_is_room(open_side: str, sign: int):
    cache = room(half=3.0, without=(open_side,))
    cache.take(sheet((-3.0, -3.0, 0.8), (6.0, 0.0, 0.0), (0.0, 6.0, 0.0)))
    closer = {"left": (0.7, -3.0, -3.0), "right": (-0.7, -3.0, -3.0)}[open_side]
    cache.take(sheet(closer, (0.0, 6.0, 0.0), (0.0, 0.0, 6.0)))
    way = clear_leg(cache, camera(), up=UP, scale=1.0, side=1.0)
    assert way.is_free
    assert way.room >= ROOM
    assert sign * heading(way.cameras) > 20.0


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_wanderer_in_a_cell_turns_on_to_one_side(side: float):
    way = clear_leg(room(half=0.5), camera(), up=UP, scale=1.0, side=side)
    assert way.is_turn
    assert way.degrees * side > 0
    assert way.room < ROOM


def test_a_wanderer_walks_through_nothing_that_was_known(tmp_path: Path):
    save_model(perturbed_model(), tmp_path / "small.safetensors", size=SIZE)
    generator = RGBDGenerator(tmp_path / "small.safetensors", steps=1)
    with World.create(tmp_path / "w", SceneInfo(units="scene", scale=1.0, up=UP)) as world:
        growth = Growth(world, generator)
        growth.begin(camera(), seed=3)
        at, seen = camera().origins[0], growth.cache
        for grown in wander(growth, frames=2 * LEG_FRAMES + 3, seed=3):
            (to,) = grown.frames.cameras.origins
            middle = (0.5 * (at + to)).tolist()
            step = float((to - at).norm())
            assert step < 0.1
            assert not seen.count_within(*(tuple(x + d for x in middle) for d in (-0.02, 0.02)))
            at = to
        assert len(world.frame_ids()) == 2 * LEG_FRAMES + 4


def test_an_interrupted_leg_is_finished_as_it_would_have_been(tmp_path: Path):
    save_model(perturbed_model(), tmp_path / "small.safetensors", size=SIZE)
    generator = RGBDGenerator(tmp_path / "small.safetensors", steps=1)
    info = SceneInfo(units="scene", scale=1.0, up=UP)
    for name in ("whole", "cut"):
        with World.create(tmp_path / name, info) as world:
            growth = Growth(world, generator)
            growth.begin(camera(), seed=3)
            steps = explore(growth, frames=LEG_FRAMES + 2, seed=3)
            grown = list(steps if name == "whole" else itertools.islice(steps, 3))
            assert grown
    with World.open(tmp_path / "cut", writable=True) as world:
        assert len(list(Growth(world, generator).follow())) == LEG_FRAMES - 3
    with World.open(tmp_path / "cut") as cut, World.open(tmp_path / "whole") as whole:
        ids = cut.frame_ids()
        assert len(whole.frame_ids()) == LEG_FRAMES + 3
        assert torch.equal(cut.frames(ids).rgb, whole.frames(ids).rgb)
