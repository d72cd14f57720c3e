"""Skies: panoramas look on the dome as they do on paper, and their light is what was measured."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from render.cameras import Cameras, intrinsics_from_fov
from worldgen.worlds import Scene, random_scene, render
from worldgen.worlds.scene import Material, Sky, box, packed
from worldgen.worlds.skies import FOLDER, LUMINANCE, daylight_of, random_daylight
from worldgen.worlds.textures import textures

ENTRIES = json.loads((FOLDER / "index.json").read_text())["panoramas"]


def dome_of(*, sun_at: tuple[float, float], excess: float) -> np.ndarray:
    """Radiance 2 above and 1 below the horizon, and a disc of ``excess`` at (longitude, latitude)."""
    height, width = 180, 360
    lat = (0.5 - (np.arange(height) + 0.5) / height)[:, None] * math.pi
    lon = (((np.arange(width) + 0.5) / width - 0.5) * 2 * math.pi)[None]
    near = np.sin(lat) * math.sin(sun_at[1]) + np.cos(lat) * math.cos(sun_at[1]) * np.cos(lon - sun_at[0])
    radiance = np.where(lat > 0, 2.0, 1.0) + excess * (near > math.cos(math.radians(5.0)))
    return np.repeat(np.broadcast_to(radiance, (height, width))[..., None], 3, axis=2)


def test_light_of_a_dome_with_a_sun_matches_the_closed_form():
    lon, lat, excess = 0.9, 0.7, 300.0
    to_sun, sun, above = daylight_of(dome_of(sun_at=(lon, lat), excess=excess))
    expected = (math.cos(lat) * math.sin(lon), -math.sin(lat), math.cos(lat) * math.cos(lon))
    np.testing.assert_allclose(to_sun, expected, atol=0.02)
    # irradiance / pi: 2 from an even sky; the disc's solid angle times its excess, over pi, from the sun
    solid = 2 * math.pi * (1 - math.cos(math.radians(5.0)))
    assert sun[1] / above[1] == pytest.approx(excess * solid / math.pi / 2.0, rel=0.03)
    assert np.array(above) @ LUMINANCE == pytest.approx(0.6)


def test_a_sun_that_is_too_strong_is_held_and_a_low_one_lifted():
    to_sun, sun, above = daylight_of(dome_of(sun_at=(-2.0, 0.03), excess=1e5))
    assert sun[1] / above[1] == pytest.approx(5.0, rel=1e-6)
    assert -to_sun[1] == pytest.approx(math.sin(math.radians(8.0)))
    assert np.linalg.norm(to_sun) == pytest.approx(1.0)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_the_dome_shows_the_photograph(entry: dict):
    turn, size = 0.6, 48
    plain = (0.3, 0.3, 0.3)
    sky = Sky(
        to_sun=(0.0, -1.0, 0.0),
        zenith=plain,
        horizon=plain,
        ground=plain,
        sun=plain,
        cloud_cover=0.0,
        cloud_seed=0,
        cloud_scale=1.0,
        panorama=textures().panoramas[entry["name"]],
        turn=turn,
        gain=1.0,
    )
    world = packed(
        [box((0.0, 3.0, 0.0), (0.1, 0.1, 0.1), Material(tile=0))],
        [],
        sky=sky,
        ambient=(plain, plain),
        reach=1.0,
    )
    areas, levels = np.array([[-1.0, -1.0, 1.0, 1.0]]), np.zeros(1)
    scene = Scene(seed=0, world=world, walk_areas=areas, walk_levels=levels, ceiling=4.0, is_open=True)
    yaw, pitch = turn + 1.0, 0.35  # looks 1 radian to the right of the picture's middle, and up
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    c2w = torch.eye(4)[None].clone()
    c2w[0, :3, :3] = torch.tensor([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ torch.tensor(
        [[1, 0, 0], [0, cp, -sp], [0, sp, cp]]
    )
    K = intrinsics_from_fov(1.0, width=size, height=size, n=1)
    forward = c2w[0, :3, 2]
    shown = render(scene, Cameras(c2w=c2w, K=K, width=size, height=size), smooth=False).rgb[0].numpy()
    with (FOLDER / f"{entry['name']}.webp").open("rb") as file:
        picture = np.asarray(Image.open(file).convert("RGB")) / 255.0
    lon, lat = math.atan2(float(forward[0]), float(forward[2])) - turn, math.asin(-float(forward[1]))
    assert (lon, lat) == pytest.approx((1.0, 0.35), abs=1e-6)
    at_x, at_y = (lon / (2 * math.pi) + 0.5) * 512, (0.5 - lat / math.pi) * 256
    patch = picture[round(at_y) - 3 : round(at_y) + 3, round(at_x) - 3 : round(at_x) + 3].mean(axis=(0, 1))
    middle = shown[size // 2 - 2 : size // 2 + 2, size // 2 - 2 : size // 2 + 2].mean(axis=(0, 1))
    np.testing.assert_allclose(middle, patch, atol=0.03)


def test_photographs_light_open_places_and_no_others():
    skies = [random_scene(seed, kinds={"street": 1.0}).world.sky for seed in range(8)]
    assert {bool(sky[22] >= 0) for sky in skies} == {True, False}
    for kind in ("room", "courtyard", "furnished"):
        assert random_scene(3, kinds={kind: 1.0}).world.sky[22] == -1


def test_the_sun_turns_with_the_panorama():
    for seed in range(12):
        daylight = random_daylight(np.random.default_rng(seed), radius=90.0)
        sky = daylight.sky
        assert np.linalg.norm(sky.to_sun) == pytest.approx(1.0, abs=1e-3)
        if sky.panorama < 0:
            continue
        names = {first: name for name, first in textures().panoramas.items()}
        x, _, z = next(e["to_sun"] for e in ENTRIES if e["name"] == names[sky.panorama])
        before, after = math.atan2(x, z), math.atan2(sky.to_sun[0], sky.to_sun[2])
        assert math.remainder(after - before - sky.turn, 2 * math.pi) == pytest.approx(0.0, abs=1e-6)
