"""Light, colour and textures: view by view the same, and as plain numpy says."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from render.cameras import Cameras, project, unproject
from worldgen.worlds import Scene, random_scene, random_walk_cameras, render
from worldgen.worlds._light import UNKNOWN, fill_light
from worldgen.worlds._occlusion import HEMISPHERE, LAMP_U, LAMP_V, RAYS
from worldgen.worlds._texture import TILE_PX, TILE_TEXELS, trilinear
from worldgen.worlds.layout import random_sky
from worldgen.worlds.scene import Light, Material, box, packed, sphere
from worldgen.worlds.textures import linear_from_srgb, mip_levels, textures


def two_views(scene: Scene) -> Cameras:
    """Two stances a fraction of a metre apart."""
    return random_walk_cameras(scene, n=2, seed=3, width=96, height=72)


def test_a_surface_point_has_one_colour_in_two_views():
    errors = []
    for seed in (2, 4, 7):
        scene = random_scene(seed)
        cameras = two_views(scene)
        frames = render(scene, cameras)
        points = unproject(frames.depth[:1], cameras[:1]).reshape(-1, 3)
        uv, z = project(points, cameras[1:])
        grid = (uv[0] / torch.tensor([96.0, 72.0]) * 2 - 1)[None, None]
        there = torch.nn.functional.grid_sample(
            torch.cat([frames.rgb[1], frames.depth[1]], dim=-1).permute(2, 0, 1)[None],
            grid,
            mode="bilinear",
            align_corners=False,
        )[0, :, 0].T
        same = (grid[0, 0].abs() < 0.97).all(dim=-1) & (z[0, :, 0] > 0)
        same &= (there[:, 3] / z[0, :, 0] - 1).abs() < 2e-3
        assert same.float().mean() > 0.1
        errors.append((there[:, :3] - frames.rgb[0].reshape(-1, 3))[same].abs().mean(dim=-1))
    error = torch.cat(errors)
    # what is left is texture, filtered to pixels of different size
    assert error.median() < 0.012
    assert error.quantile(0.9) < 0.06


def test_light_does_not_depend_on_what_was_seen_before():
    cameras = two_views(random_scene(4))
    fresh, used = random_scene(4), random_scene(4)
    render(used, cameras[1:])
    torch.testing.assert_close(render(fresh, cameras[:1]).rgb, render(used, cameras[:1]).rgb, atol=0, rtol=0)


def shadow_scene() -> Scene:
    """A ground, two blocks and a ball, under one square lamp."""
    grey = Material(tile=0)
    shapes = [
        box((0.0, 0.5, 0.0), (3.0, 0.5, 3.0), grey),
        box((0.6, -0.4, 0.2), (0.2, 0.4, 0.3), grey, yaw=0.4),
        box((-0.7, -1.5, -0.5), (0.6, 0.05, 0.3), grey, yaw=-0.9),
        sphere((-0.2, -0.5, 0.9), 0.3, grey),
    ]
    lamp = Light(
        kind=1, at=(0.2, -2.5, 0.1), colour=(3.0, 2.0, 1.0), half_u=(0.4, 0.0, 0.1), half_v=(0.0, 0.0, 0.5)
    )
    sky = random_sky(np.random.default_rng(0))
    world = packed(shapes, [lamp], sky=sky, ambient=((0.4, 0.4, 0.4), (0.2, 0.2, 0.2)), reach=1.3)
    areas, levels = np.zeros((1, 4)), np.zeros(1)
    return Scene(seed=0, world=world, walk_areas=areas, walk_levels=levels, ceiling=3.0, is_open=True)


def slow_end(shapes: np.ndarray, p: np.ndarray, ray: np.ndarray, t_max: float) -> float:
    """How far a ray gets, by slabs and quadratics in plain numpy, shape by shape."""
    end = t_max
    for row in shapes:
        local, d = p - row[:3], ray
        if row[8] == 2:
            a, b, c = d @ d, local @ d, local @ local - row[3] ** 2
            if b * b < a * c:
                continue
            near, far = (-b - np.sqrt(b * b - a * c)) / a, (-b + np.sqrt(b * b - a * c)) / a
        else:
            turn = np.array([[row[6], 0, -row[7]], [0, 1, 0], [row[7], 0, row[6]]])
            local, d = turn @ local, turn @ d
            with np.errstate(divide="ignore"):
                ends = np.stack([(-row[3:6] - local) / d, (row[3:6] - local) / d])
            near, far = ends.min(axis=0).max(), ends.max(axis=0).min()
        if near <= far and far > 0:
            end = min(end, max(near, 0.0))
    return end


def slow_light(scene: Scene, p: np.ndarray) -> np.ndarray:
    """Light on the ground at ``p``, ray by ray."""
    w, up = scene.world, np.array([0.0, -1.0, 0.0])
    lamp, reach = w.lights[0], w.ambient[6]
    basis = np.array([[1.0, 0, 0], [0, 0, 1.0], up]).T
    ends = [slow_end(w.shapes, p, basis @ HEMISPHERE[:, k], reach) for k in range(RAYS)]
    light = w.ambient[:3] * (1 - np.mean((1 - np.array(ends) / reach) ** 2))
    centre = lamp[1:4] - p
    length = np.linalg.norm(centre)
    gain = (centre @ up) / length * (-centre @ lamp[10:13]) / length / (length**2 + 0.15)
    seen = 0
    for u, v in zip(LAMP_U, LAMP_V, strict=True):
        ray, t_max = centre + u * lamp[4:7] + v * lamp[7:10], 1 - 0.01 / length
        seen += slow_end(w.shapes, p, ray, t_max) >= t_max
    return light + gain * seen / RAYS * lamp[13:16]


def test_shadows_match_ray_by_ray_numpy():
    scene = shadow_scene()
    w = scene.world
    ground = int(np.argmax(w.shapes[:, 1] == 0.5))
    first, nu, nv = w.faces[ground, 2, 1:]
    assert (w.light[first : first + nu * nv] == UNKNOWN).all()
    cells = [(a, b) for a in range(2, nu - 2, 2) for b in range(2, nv - 2, 3)]
    wanted = np.array([[first + b * nu + a, ground, 2, a, b] for a, b in cells])
    fill_light(w, wanted, len(wanted))
    levels = set()
    for (a, b), row in zip(cells, wanted[:, 0], strict=True):
        p = np.array([-2.98 + 5.96 * a / (nu - 1), -2e-3, -2.98 + 5.96 * b / (nv - 1)])
        if (w.light[row] < 0).any():  # under a block
            continue
        np.testing.assert_allclose(w.light[row], slow_light(scene, p), rtol=1e-5)  # kept as float32
        levels.add(round(float(w.light[row, 0]), 2))
    assert len(levels) > 10


def test_mip_levels_keep_the_mean_and_end_in_it():
    tile = np.random.default_rng(0).random((1, 16, 16, 3))
    levels = mip_levels(tile)
    assert levels.shape == (1, 341, 3)
    np.testing.assert_allclose(levels[0, -1], tile.mean(axis=(0, 1, 2)), atol=1e-12)
    np.testing.assert_allclose(levels[0, 256:320].reshape(8, 8, 3)[1, 2], tile[0, 2:4, 4:6].mean(axis=(0, 1)))


def test_trilinear_reads_texel_centres_and_level_means():
    texels = textures().texels
    tile, x, y = 3, 17, 90
    colour = trilinear(texels, tile, 0.0, (x + 0.5) / TILE_PX, (y + 0.5) / TILE_PX)
    expected = texels[tile * TILE_TEXELS + y * TILE_PX + x] / 65535.0
    np.testing.assert_allclose(colour, expected, atol=1e-9)
    np.testing.assert_allclose(trilinear(texels, tile, 7.0, 0.3, 0.8), textures().means[tile], atol=2e-5)


def test_srgb_curve_has_its_published_values():
    np.testing.assert_allclose(
        linear_from_srgb(np.array([0.0, 0.04045, 0.5, 1.0])), [0, 0.0031308, 0.2140411, 1], atol=1e-6
    )


def test_a_material_is_a_plain_value():
    assert dataclasses.replace(Material(tile=1), fits=True) == Material(tile=1, fits=True)
