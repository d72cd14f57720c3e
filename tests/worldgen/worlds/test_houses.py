"""Stored places: one model gives many worlds, walks keep off things, clips are the same wherever made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import trimesh
from torch.utils.data import DataLoader, Subset

from render.cameras import checked as checked_cameras
from render.frames import checked
from tests.oracles.places import assert_made_again, of_kind
from worldgen.training.clips import Clip, Clips, collated
from worldgen.worlds import clearance, random_walk_cameras, render
from worldgen.worlds.layout import STORED
from worldgen.worlds.mesh_files import surfaces
from worldgen.worlds.paths import MIN_CLEARANCE_M
from worldgen.worlds.queries import follow, nearest

PLACES = STORED
CASES = [(kind, seed) for kind in PLACES for seed in range(2)]


@pytest.mark.parametrize("kind", [pytest.param("house", marks=pytest.mark.slow), "warehouse"])
def test_one_seed_gives_one_place_bit_for_bit(kind: str):
    assert_made_again(kind)


@pytest.mark.parametrize("kind", PLACES)
def test_seeds_change_light_colours_things_and_hands(kind: str):
    scenes = [of_kind(kind, seed) for seed in range(6)]
    whole = surfaces(kind).corners
    assert len({scene.world.light.tobytes() for scene in scenes}) == 6
    assert len({scene.world.materials.tobytes() for scene in scenes}) == 6
    assert len({len(scene.world.corners) for scene in scenes}) > 3
    stays = 0.4 if kind == "flat" else 0.6  # a flat has little but furniture
    assert all(stays * len(whole) < len(scene.world.corners) <= len(whole) for scene in scenes)
    hands = {float(np.sign(scene.world.corners[0, 0, 0] * whole[0, 0, 0])) for scene in scenes}
    assert hands == {1.0, -1.0}  # the first triangle belongs to the walls, which stay


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_walks_stay_clear_and_pictures_are_sound(kind: str, seed: int):
    scene = of_kind(kind, seed)
    cameras = checked_cameras(random_walk_cameras(scene, n=8, seed=seed, width=32, height=24))
    corners = scene.world.corners.astype(np.float64)
    for at in cameras.origins[:3].double().numpy():
        near = trimesh.triangles.closest_point(corners, np.tile(at, (len(corners), 1)))
        assert np.linalg.norm(near - at, axis=1).min() > MIN_CLEARANCE_M - 1e-4
    assert (clearance(scene, cameras.origins) > MIN_CLEARANCE_M - 1e-4).all()
    for x, y, z in cameras.origins.tolist():
        assert scene.ground_under(x, z) == 0.0
        assert 0.55 < -y < 2.15
    frames = checked(render(scene, cameras))
    assert torch.isfinite(frames.rgb).all()
    assert frames.depth.min() > 0.05
    assert frames.depth.flatten(1).median(dim=1).values.min() > 0.8
    luminance = (frames.rgb @ torch.tensor([0.2126, 0.7152, 0.0722])).flatten(1)
    assert 0.2 < luminance.mean() < 0.8
    assert luminance.mean(dim=1).min() > 0.08
    assert luminance.std(dim=1).min() > 0.02


@pytest.mark.parametrize("kind", PLACES)
def test_no_step_of_a_walk_goes_through_anything(kind: str):
    scene = of_kind(kind, 11)
    at = random_walk_cameras(scene, n=50, seed=3, width=16, height=16).origins.double().numpy()
    steps = at[1:] - at[:-1]
    lengths = np.linalg.norm(steps, axis=1)
    moved = lengths > 1e-6
    assert moved.sum() > 35
    free, _ = follow(scene.world, at[:-1][moved].copy(), steps[moved] / lengths[moved, None])
    assert (free > lengths[moved] + 0.5 * MIN_CLEARANCE_M).all()


@pytest.mark.parametrize("kind", PLACES)
def test_people_fit_on_the_floor_of_every_walk_area(kind: str):
    scene, rng = of_kind(kind, 4), np.random.default_rng(0)
    areas = scene.walk_areas
    rows = areas[rng.integers(len(areas), size=2000)]
    ground = rows[:, :2] + rng.random((2000, 2)) * (rows[:, 2:] - rows[:, :2])
    for height in (0.5, 0.9, 1.3, 1.6):
        points = np.stack([ground[:, 0], np.full(2000, -height), ground[:, 1]], axis=1)
        assert (
            nearest(scene.world, points).min() > MIN_CLEARANCE_M - 0.05
        )  # areas are drawn on a grid of 5 cm
    down, _ = follow(scene.world, points, np.tile([1e-9, 1.0, 1e-9], (2000, 1)))
    assert np.abs(down - 1.6).max() < 0.15


@pytest.mark.parametrize("kind", PLACES)
def test_every_walk_area_can_be_reached(kind: str):
    areas = of_kind(kind, 0).walk_areas
    touching = (areas[:, None, :2] <= areas[None, :, 2:] + 1e-6).all(axis=2)
    touching &= touching.T
    found = np.zeros(len(areas), bool)
    found[0] = True
    while (grown := found | touching[found].any(axis=0)).sum() > found.sum():
        found = grown
    assert found.all()


def test_the_sky_is_seen_through_windows_and_the_sun_comes_in():
    """By day some scenes of the house have patches of sun on the floor, and views have sky in windows."""
    contrast, sky = [], 0
    for seed in range(8):
        scene = of_kind("house", seed)
        light = scene.world.light @ np.array([0.2126, 0.7152, 0.0722])
        contrast.append(float(np.quantile(light, 0.999) / np.median(light[light > 0.0])))
        origins = np.tile([3.0 * (1 if seed % 2 else -1), -1.5, -1.0], (400, 1))
        rays = np.random.default_rng(seed).normal(size=(400, 3)) * [1.0, 0.2, 1.0]
        _, ids = follow(scene.world, origins, rays / np.linalg.norm(rays, axis=1, keepdims=True))
        sky += int((ids < 0).sum())
    assert max(contrast) > 10.0
    assert sky > 100


@pytest.mark.parametrize("kind", PLACES)
def test_clips_are_finite_and_the_same_from_a_worker(kind: str):
    clips = Clips(size=32, frames=2, seed=1, kinds={kind: 1.0})
    loader = DataLoader(Subset(clips, [3, 4]), batch_size=2, num_workers=1, collate_fn=collated)
    (made,) = list(loader)
    here = collated([clips[3], clips[4]])
    for field in dataclasses.fields(Clip):
        value = getattr(here, field.name)
        assert torch.isfinite(value.float()).all()
        assert torch.equal(value, getattr(made, field.name))
