"""Kinds of places: chosen by weights, each sound by itself, and none a reason for another to change."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from render.cameras import checked as checked_cameras
from render.frames import checked
from tests.oracles.places import assert_made_again, of_kind
from worldgen.training.clips import Clip, Clips
from worldgen.worlds import DEFAULT_KINDS, KINDS, clearance, random_scene, random_walk_cameras, render
from worldgen.worlds._geometry import shape_bounds
from worldgen.worlds._raster import DOME_NEAR
from worldgen.worlds.layout import chosen_kind
from worldgen.worlds.paths import MAX_CLIMB_M, MIN_CLEARANCE_M, STEP_M

NEW_KINDS = ("street", "landscape", "furnished")
SEEDS = range(4)
CASES = [(kind, seed) for kind in NEW_KINDS for seed in SEEDS]

KNOWN = (
    (0, "room", 103, 843.200195, 699.393518),
    (1, "room", 114, 1125.930567, 1381.922275),
    (2, "courtyard", 245, 4000.865148, 1491.430929),
    (3, "courtyard", 153, 2104.461915, 780.689531),
    (11, "courtyard", 84, 1344.921084, 594.027422),
    (1_000_000_000, "room", 133, 1412.584809, 1467.156306),
    (3_000_000_004, "courtyard", 173, 2901.79494, 779.63129),
)
"""Seed, kind, number of shapes, sums of their sizes and of their materials, from before there were kinds."""


@pytest.mark.parametrize(("seed", "kind", "count", "sizes", "looks"), KNOWN)
def test_seeds_give_the_rooms_and_courtyards_they_always_gave(
    seed: int, kind: str, count: int, sizes: float, looks: float
):
    scene = random_scene(seed)
    assert (scene.is_open, len(scene.world.shapes)) == (kind == "courtyard", count)
    assert np.abs(scene.world.shapes[:, :6]).sum() == pytest.approx(sizes, abs=1e-5)
    assert scene.world.materials[:, 3:9].sum() == pytest.approx(looks, abs=1e-5)


def test_a_kind_looks_the_same_whatever_else_could_have_come():
    seed = 5
    alone = {kind: of_kind(kind, seed).world[0] for kind in KINDS}  # shapes or corners of triangles
    usual = random_scene(seed)
    assert np.array_equal(usual.world[0], alone["courtyard" if usual.is_open else "room"])
    assert len({shapes.tobytes() for shapes in alone.values()}) == len(KINDS)
    for mix in ({"street": 3.0, "room": 1.0}, dict.fromkeys(KINDS, 1.0)):
        shapes = random_scene(seed, kinds=mix).world[0]
        assert any(np.array_equal(shapes, alone[kind]) for kind in mix)


def test_kinds_come_up_by_weight():
    draws = np.random.default_rng(0).random(4000)
    kinds = [chosen_kind(draw, {"street": 1.0, "landscape": 3.0, "room": 0.0}) for draw in draws]
    assert kinds.count("landscape") / len(kinds) == pytest.approx(0.75, abs=0.03)
    assert set(kinds) == {"street", "landscape"}
    assert [chosen_kind(draw, DEFAULT_KINDS) for draw in (0.0, 0.3499, 0.35, 0.9999)] == [
        "courtyard",
        "courtyard",
        "room",
        "room",
    ]


@pytest.mark.parametrize(
    ("kinds", "complaint"),
    [
        ({"castle": 1.0}, "no kind of place 'castle'; kinds are courtyard, room"),
        ({"room": -1.0}, "weight of a kind must be a number from 0 up, got room = -1"),
        ({"room": float("nan")}, "must be a number from 0 up"),
        ({"room": 0.0}, "needs a weight above 0"),
        ({}, "needs a weight above 0"),
    ],
)
def test_weights_that_choose_nothing_are_refused(kinds: dict[str, float], complaint: str):
    with pytest.raises(ValueError, match=complaint):
        random_scene(0, kinds=kinds)


@pytest.mark.parametrize("kind", NEW_KINDS)
def test_one_seed_gives_one_place_bit_for_bit(kind: str):
    assert_made_again(kind)


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_walks_stay_clear_and_pictures_are_sound(kind: str, seed: int):
    scene = of_kind(kind, seed)
    cameras = checked_cameras(random_walk_cameras(scene, n=8, seed=seed, width=32, height=24))
    assert (clearance(scene, cameras.origins) > MIN_CLEARANCE_M - 1e-4).all()
    assert ((cameras.origins[1:] - cameras.origins[:-1]).norm(dim=-1) < STEP_M[1]).all()
    for x, y, z in cameras.origins.tolist():
        ground = scene.ground_under(x, z)
        assert ground is not None
        assert 0.55 < ground - y < 2.15
    frames = checked(render(scene, cameras))
    assert torch.isfinite(frames.rgb).all()
    assert frames.valid.all()
    assert frames.depth.min() > 0.05
    assert frames.depth.flatten(1).median(dim=1).values.min() > 0.8
    luminance = (frames.rgb @ torch.tensor([0.2126, 0.7152, 0.0722])).flatten(1)
    assert 0.2 < luminance.mean() < 0.8
    assert luminance.mean(dim=1).min() > 0.08
    assert luminance.std(dim=1).min() > 0.02


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_shapes_are_solid_and_stay_within_bounds(kind: str, seed: int):
    scene = of_kind(kind, seed)
    rows, radius = scene.world.shapes, scene.world.sky[3]
    assert np.isfinite(rows).all()
    assert (rows[:, 3:6] > 0.0).all()
    assert len(rows) < 2000
    bounds = shape_bounds(rows)
    assert bounds[:, 1].min() > -radius  # nothing pokes through the top of the dome
    assert np.abs(bounds).max() <= 100.0
    corners = np.abs(scene.walk_areas).reshape(-1, 2).max(axis=0)
    assert np.hypot(*corners) < radius - DOME_NEAR
    # the ground is where the walk areas say; not in their middles, where boxes may meet
    at = scene.walk_areas[:, :2] + 0.47 * (scene.walk_areas[:, 2:] - scene.walk_areas[:, :2])
    points = np.stack([at[:, 0], scene.walk_levels + 0.02, at[:, 1]], axis=1)
    assert (clearance(scene, torch.from_numpy(points)) < 0.0).all()


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_every_walk_area_can_be_reached(kind: str, seed: int):
    scene = of_kind(kind, seed)
    areas, levels = scene.walk_areas, scene.walk_levels
    gap = 1e-6
    touching = (areas[:, None, :2] <= areas[None, :, 2:] + gap).all(axis=2)
    touching &= touching.T & (np.abs(levels[:, None] - levels[None]) <= MAX_CLIMB_M)
    found = np.zeros(len(areas), bool)
    found[0] = True
    while (grown := found | touching[found].any(axis=0)).sum() > found.sum():
        found = grown
    assert found.all()


def test_a_landscape_is_walked_up_and_down():
    climbs = 0
    for seed in range(3):
        scene = of_kind("landscape", seed)
        cameras = random_walk_cameras(scene, n=40, seed=seed, width=16, height=16)
        grounds = np.array([scene.ground_under(x, z) for x, _, z in cameras.origins.tolist()])
        rises = np.abs(np.diff(grounds))
        assert (rises <= MAX_CLIMB_M + 1e-9).all()
        climbs += int((rises > 0.0).sum())
    assert climbs > 5


@pytest.mark.parametrize("kind", NEW_KINDS)
def test_clips_of_every_kind_are_finite(kind: str):
    clips = Clips(size=32, frames=3, seed=1, kinds={kind: 1.0})
    for index in range(3):
        clip = clips[index]
        for field in dataclasses.fields(Clip):
            value = getattr(clip, field.name)
            assert torch.isfinite(value.float()).all()
        assert clip.images.abs().max() < 6.0


def test_clips_without_kinds_are_those_of_rooms_and_courtyards():
    usual, said = Clips(size=32, frames=3, seed=3), Clips(size=32, frames=3, seed=3, kinds=DEFAULT_KINDS)
    other = Clips(size=32, frames=3, seed=3, kinds={"street": 1.0})
    for field in dataclasses.fields(Clip):
        assert torch.equal(getattr(usual[4], field.name), getattr(said[4], field.name))
    assert not torch.equal(usual[4].images, other[4].images)
