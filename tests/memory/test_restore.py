"""Restoring: a world folder read again gives the cache that growth had, bit for bit."""

import dataclasses
from pathlib import Path

import torch

from memory.cache import WorldCache
from memory.points import FIELDS, Points
from memory.restore import restored_cache
from memory.world import SceneInfo, World
from render.frames import Frames
from tests.oracles.box_room import BoxRoom

SCENE = SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))


def assert_same(a: Points, b: Points) -> None:
    for name in FIELDS:
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def commit(world: World, cache: WorldCache, frames: Frames, *, given: bool) -> Points:
    """One step of growth: render, commit, and remember what the folder says was committed."""
    seen = cache.render(frames.cameras)
    chunk, stored = world.commit(frames, given=given, generator="rays", seed=0, settings={})
    return cache.remember(stored, seen, ids=list(chunk.frame_ids), given=given)


def test_a_world_read_again_gives_the_cache_that_growth_had(tmp_path: Path, box_room: BoxRoom):
    frames, cache = box_room.frames, WorldCache()
    off = dataclasses.replace(frames, depth=frames.depth * 1.03)
    with World.create(tmp_path / "world", SCENE) as world:
        live = [
            commit(world, cache, frames[:1], given=True),
            commit(world, cache, off[1:], given=False),
            commit(world, cache, off[:1], given=False),
        ]
    with World.open(tmp_path / "world") as world:
        restored = restored_cache(world)
        assert_same(restored.points, cache.points)
        assert len(restored) == sum(len(points) for points in live)
        next_camera = frames.cameras[2:]
        assert torch.equal(restored.render(next_camera).confidence, cache.render(next_camera).confidence)


def test_growth_goes_on_from_a_restored_cache_as_if_it_had_not_stopped(tmp_path: Path, box_room: BoxRoom):
    frames, cache = box_room.frames, WorldCache()
    with World.create(tmp_path / "world", SCENE) as world:
        commit(world, cache, frames[:1], given=True)
        commit(world, cache, frames[1:2], given=False)
        restored = restored_cache(world)
        step = dataclasses.replace(frames[2:], depth=frames.depth[2:] * 0.97)
        seen = restored.render(step.cameras)
        goes_on = restored.remember(step, seen, ids=[2], given=False)
        assert_same(goes_on, cache.remember(step, cache.render(step.cameras), ids=[2], given=False))


def test_an_empty_world_restores_an_empty_cache(tmp_path: Path):
    with World.create(tmp_path / "world", SCENE) as world:
        cache = restored_cache(world)
    assert len(cache) == 0
