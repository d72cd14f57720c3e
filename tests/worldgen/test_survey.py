"""Views that are imagined far ahead on a path, before those on the way to them."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
import torch

from memory.cache import WorldCache
from memory.world import AHEAD, World
from reconstruct.film.scenes import frame_scene
from render.cameras import Cameras
from render.paths import path_named
from tests.worldgen.test_rollout import INFO, Photographer
from worldgen.conditions import FEW_KNOWN
from worldgen.replay import replay
from worldgen.rollout import Growth, start
from worldgen.survey import GAP, MOST_VIEWS, survey
from worldgen.worlds import Scene, render

TURN = 24


@pytest.fixture
def cache(scene: Scene, camera: Cameras) -> WorldCache:
    cache = WorldCache()
    cache.insert(render(scene, camera), ids=[0])
    return cache


def shares(cache: WorldCache, cameras: Cameras) -> torch.Tensor:
    return cache.render(cameras).mask.float().mean(dim=(1, 2, 3))


def begun(folder: Path, scene: Scene, camera: Cameras, *, path: str = "turn") -> World:
    cameras, photographer = path_named(path, camera, n=TURN), Photographer(scene)
    start(folder, INFO, camera, cameras=cameras, generator=photographer, seed=1, name=path, surveys=True)
    return World.open(folder, writable=True)


def test_the_view_of_which_least_is_known_comes_first(cache: WorldCache, camera: Cameras):
    turn = path_named("turn", camera, n=TURN)
    first, *others = survey(cache, turn, scale=1.0)
    assert shares(cache, turn[[first]]) == shares(cache, turn).min()
    assert first > max(others)  # of those of which nothing is known, the farthest along the path


def test_views_ahead_leave_little_unknown_to_the_views_between(
    cache: WorldCache, scene: Scene, camera: Cameras
):
    turn = path_named("turn", camera, n=TURN)
    assert shares(cache, turn).min() == 0.0
    ahead = survey(cache, turn, scale=1.0)
    assert 2 <= len(ahead) == len(set(ahead)) <= 8
    cache.insert(render(scene, turn[ahead]), ids=[1 + place for place in ahead])
    assert shares(cache, turn).min() > FEW_KNOWN - 0.1


def test_nothing_is_ahead_where_enough_is_known(cache: WorldCache, camera: Cameras):
    assert survey(cache, camera, scale=1.0) == []
    assert survey(cache, path_named("turn", camera, n=90)[1:4], scale=1.0) == []


def test_what_is_close_comes_in_its_turn(camera: Cameras):
    turn = path_named("turn", camera, n=TURN)
    assert survey(WorldCache(), turn[: GAP - 1], scale=1.0) == []
    assert survey(WorldCache(), turn[:GAP], scale=1.0) == [GAP - 1]
    places = [-1, *sorted(survey(WorldCache(), path_named("walk", camera, n=60), scale=0.01))]
    assert min(after - before for before, after in itertools.pairwise(places)) == GAP


def test_a_path_of_any_length_has_so_many_views_ahead_and_no_more(camera: Cameras):
    far = path_named("walk", camera, n=4000)
    ahead = survey(WorldCache(), far, scale=0.01)
    assert len(ahead) == len(set(ahead)) == MOST_VIEWS
    assert max(ahead) - min(ahead) > 3000


def test_small_and_narrow_views_are_surveyed_too(camera: Cameras):
    slit = dataclasses.replace(path_named("turn", camera, n=GAP), width=1, height=64)
    assert survey(WorldCache(), slit, scale=1.0) == [GAP - 1]


def test_the_path_is_whole_and_after_the_views_ahead(tmp_path: Path, scene: Scene, camera: Cameras):
    with begun(tmp_path / "w", scene, camera) as world:
        pending = world.pending()
        assert pending is not None
        path = path_named("turn", camera, n=TURN)[1:]
        assert len(pending.cameras) == pending.ahead + len(path)
        assert torch.equal(pending.cameras.c2w[pending.ahead :], path.c2w)
        grown = list(Growth(world, Photographer(scene)).follow())
        assert [one.chunk.is_ahead for one in grown] == [True] * pending.ahead + [False] * len(path)
        assert torch.equal(world.cameras(world.walked_ids()).c2w[1:], path.c2w)
        assert len(world.frame_ids()) == 1 + pending.ahead + len(path)
        assert frame_scene(world).count == TURN


def test_a_survey_that_was_interrupted_goes_on_as_if_it_had_not_been(
    tmp_path: Path, scene: Scene, camera: Cameras
):
    with begun(tmp_path / "one", scene, camera) as world:
        at_once = [one.frames.rgb for one in Growth(world, Photographer(scene)).follow()]
    with begun(tmp_path / "two", scene, camera) as world:
        first = next(Growth(world, Photographer(scene)).follow())
        assert first.chunk.is_ahead
        growth = Growth(world, Photographer(scene))
        again = [first.frames.rgb, *(one.frames.rgb for one in growth.follow())]
    assert all(torch.equal(a, b) for a, b in zip(at_once, again, strict=True))


def test_a_world_with_views_ahead_is_replayed(tmp_path: Path, scene: Scene, camera: Cameras):
    with begun(tmp_path / "w", scene, camera) as world:
        count = len(list(Growth(world, Photographer(scene)).follow()))
    replayed = list(replay(tmp_path / "w", generator_of=lambda name: Photographer(scene)))
    assert len(replayed) == 1 + count
    assert not any(one.difference for one in replayed)


@pytest.mark.parametrize("said", [-1, True, "3", 99, None, [2]])
def test_what_a_path_says_of_its_views_ahead_is_checked(
    tmp_path: Path, scene: Scene, camera: Cameras, said: object
):
    with begun(tmp_path / "w", scene, camera, path="walk") as world:
        world.plan(camera, seed=0, generator="photographer", settings={AHEAD: said})
        pending = world.pending()
        assert pending is not None
        assert pending.ahead == 0
        (grown,) = Growth(world, Photographer(scene)).follow()
        assert not grown.chunk.is_ahead
