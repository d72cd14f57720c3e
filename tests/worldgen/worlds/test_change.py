"""Change: one thing stood elsewhere, or was not there; all else is the same place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from render.cameras import Cameras
from worldgen.worlds import Scene, changed, clearance, random_scene, random_walk_cameras, render
from worldgen.worlds.change import DISTANCE_M, LARGEST_HALF_M, MIN_CLEARANCE_M, shifted, without
from worldgen.worlds.renderer import shapes_seen


@pytest.fixture(scope="module")
def scene() -> Scene:
    return random_scene(5)


@pytest.fixture(scope="module")
def cameras(scene: Scene) -> Cameras:
    return random_walk_cameras(scene, n=2, seed=1, width=48, height=40)


def rows(scene: Scene) -> set[tuple[float, ...]]:
    return {tuple(row) for row in scene.world.shapes}


def row_of(scene: Scene, values: np.ndarray) -> int:
    return int(np.flatnonzero((scene.world.shapes == values).all(axis=1))[0])


def most_seen(scene: Scene, cameras: Cameras) -> int:
    """The small shape that most pixels show."""
    seen = shapes_seen(scene, cameras)
    counts = np.bincount(seen[seen >= 0], minlength=len(scene.world.shapes))
    counts[scene.world.shapes[:, 3:6].max(axis=1) > LARGEST_HALF_M] = 0
    return int(counts.argmax())


def test_the_shapes_that_are_seen_are_where_the_pixels_end(scene: Scene, cameras: Cameras):
    seen, frames = shapes_seen(scene, cameras), render(scene, cameras)
    thing = most_seen(scene, cameras)
    there = seen == thing
    assert there.sum() > 20
    without_it = render(without(scene, thing), cameras)
    assert (without_it.depth.numpy()[there] > frames.depth.numpy()[there]).all()


def test_without_a_thing_only_its_pixels_change(scene: Scene, cameras: Cameras):
    thing = most_seen(scene, cameras)
    now, then = (render(place, cameras) for place in (scene, without(scene, thing)))
    there = torch.from_numpy(shapes_seen(scene, cameras) == thing)
    assert torch.equal(now.depth[..., 0] != then.depth[..., 0], there)
    change = (now.rgb - then.rgb).abs().amax(dim=-1)
    assert change[~there].median() < 0.002  # light and shadow differ beside it
    assert change[there].median() > 0.02


def test_a_thing_elsewhere_changes_only_where_it_is_and_was(scene: Scene, cameras: Cameras):
    thing = most_seen(scene, cameras)
    other = shifted(scene, thing, x=0.3, z=-0.2)
    moved = scene.world.shapes[thing].copy()
    moved[[0, 2]] += (0.3, -0.2)
    now, then = render(scene, cameras), render(other, cameras)
    was = shapes_seen(scene, cameras) == thing
    stands = shapes_seen(other, cameras) == row_of(other, moved)
    assert stands.sum() > 20
    differs = (now.depth != then.depth)[..., 0].numpy()
    assert not (differs & ~was & ~stands).any()
    assert differs[was ^ stands].mean() > 0.99


def test_a_changed_scene_lacks_one_thing_or_has_it_elsewhere(scene: Scene, cameras: Cameras):
    kinds = set()
    for seed in range(12):
        other = changed(scene, cameras[:1], rng=np.random.default_rng(seed))
        assert other is not None
        gone, new = rows(scene) - rows(other), rows(other) - rows(scene)
        assert len(gone) == 1
        kinds.add(len(new))
        (old,) = gone
        assert max(old[3:6]) <= LARGEST_HALF_M
        assert (shapes_seen(scene, cameras[:1]) == row_of(scene, np.array(old))).mean() > 0.01
        for row in new:
            way = np.hypot(row[0] - old[0], row[2] - old[2])
            assert DISTANCE_M[0] <= way <= DISTANCE_M[1]
            assert (row[1], *row[3:]) == (old[1], *old[3:])
            assert (clearance(other, cameras[:1].origins) > MIN_CLEARANCE_M).all()
    assert kinds == {0, 1}


def test_the_same_random_numbers_make_the_same_change_and_the_scene_stays(scene: Scene, cameras: Cameras):
    before = scene.world.shapes.copy(), render(scene, cameras)
    one, two = (changed(scene, cameras, rng=np.random.default_rng(3)) for _ in range(2))
    assert one is not None
    assert two is not None
    assert torch.equal(render(one, cameras).rgb, render(two, cameras).rgb)
    assert np.array_equal(scene.world.shapes, before[0])
    assert torch.equal(render(scene, cameras).rgb, before[1].rgb)


def test_where_no_thing_is_seen_nothing_changes(scene: Scene, cameras: Cameras):
    up = cameras.c2w[:1].clone()
    up[0, :3, :3] = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    up[0, 1, 3] = -50.0  # above everything, looking up
    sky = Cameras(c2w=up, K=cameras.K[:1], width=cameras.width, height=cameras.height)
    assert changed(scene, sky, rng=np.random.default_rng(0)) is None


def test_places_of_triangles_have_no_things_to_change():
    place = random_scene(3, kinds={"warehouse": 1.0})
    walk = random_walk_cameras(place, n=2, seed=1, width=24, height=24)
    assert changed(place, walk, rng=np.random.default_rng(0)) is None
    with pytest.raises(ValueError, match="no shapes to change"):
        without(place, 0)
