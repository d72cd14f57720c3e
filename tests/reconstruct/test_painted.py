"""Textures: they show what the frames show, and more of it than the corners of few faces."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import trimesh

from reconstruct.painted import painted
from reconstruct.surface import Surface, surface_of
from reconstruct.tidy import decimated
from reconstruct.tsdf import Field, Fusion, fuse
from render.frames import Frames
from tests.oracles.box_room import paint
from tests.oracles.solids import REACH, seen

SETTINGS = Fusion(voxel=0.06, max_depth=REACH)


@pytest.fixture(scope="module")
def few() -> tuple[Frames, Field, Surface]:
    """A box of 200 faces, and what it was made of."""
    frames = seen("box")
    field = fuse([frames], SETTINGS)
    return frames, field, decimated(surface_of(field), 200)


def looked_up(surface: Surface, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Random places on a surface, and what its texture shows there."""
    assert surface.texture is not None
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    places, faces = trimesh.sample.sample_surface(mesh, count, seed=0)
    shares = trimesh.triangles.points_to_barycentric(mesh.triangles[faces], places)
    uv = (surface.texture.uv[surface.faces[faces]] * shares[:, :, None]).sum(axis=1)
    height, width = surface.texture.image.shape[:2]
    columns, rows = (uv * (width, height)).astype(int).clip(0, (width - 1, height - 1)).T
    return places, surface.texture.image[rows, columns] / 255.0


def test_a_texture_shows_the_colours_of_places(few: tuple[Frames, Field, Surface]):
    frames, field, surface = few
    result = painted(surface, field, [frames], size=512)
    places, rgb = looked_up(result)
    error = np.abs(rgb - paint(places)).mean(axis=1)
    assert error.mean() < 0.0045, "half a pixel makes 0.006"
    assert surface.rgb is not None
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    spots, faces = trimesh.sample.sample_surface(mesh, 20_000, seed=0)
    shares = trimesh.triangles.points_to_barycentric(mesh.triangles[faces], spots)
    by_corner = (surface.rgb[surface.faces[faces]] * shares[:, :, None]).sum(axis=1)
    assert error.mean() < 0.5 * np.abs(by_corner - paint(spots)).mean()


def test_the_shape_stays_and_charts_do_not_overlap(few: tuple[Frames, Field, Surface]):
    frames, field, surface = few
    result = painted(surface, field, [frames], size=256)
    one = surface.vertices[surface.faces].reshape(-1, 9)
    other = result.vertices[result.faces].reshape(-1, 9)
    assert np.array_equal(np.sort(one, axis=0), np.sort(other, axis=0))
    assert result.texture is not None
    uv = result.texture.uv
    assert uv.min() >= 0.0
    assert uv.max() <= 1.0
    a, b, c = (uv[result.faces[:, k]].astype(float) for k in range(3))
    areas = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (c - a)[:, 0] * (b - a)[:, 1]) / 2.0
    assert 0.3 < areas.sum() < 1.0


def test_the_number_of_threads_and_batches_changes_nothing(few: tuple[Frames, Field, Surface]):
    frames, field, surface = few
    ways = [([frames], 1), ([frames], 3), ([frames[:9], frames[9:]], 2)]
    images = [painted(surface, field, parts, size=128, threads=threads).texture for parts, threads in ways]
    for other in images[1:]:
        assert images[0] is not None
        assert other is not None
        assert np.array_equal(images[0].image, other.image)


def test_what_no_frame_shows_keeps_its_colours(few: tuple[Frames, Field, Surface]):
    frames, field, surface = few
    untrusted = dataclasses.replace(frames, confidence=torch.zeros_like(frames.confidence))
    result = painted(surface, field, [untrusted], size=256)
    places, rgb = looked_up(result)
    assert 0.0 < np.abs(rgb - paint(places)).mean() < 0.2
    plain = painted(dataclasses.replace(surface, rgb=None), field, [untrusted], size=256)
    assert np.abs(looked_up(plain)[1] - 0.5).max() < 0.01


def test_what_stands_behind_something_is_not_painted_with_it(few: tuple[Frames, Field, Surface]):
    frames, field, surface = few
    black, depth, rgb = 1.0, frames.depth.clone(), frames.rgb.clone()
    depth[::2, 26:46, 26:46], rgb[::2, 26:46, 26:46] = black, 0.0  # held before every other camera
    hidden = dataclasses.replace(frames, depth=depth, rgb=rgb)
    places, colours = looked_up(painted(surface, field, [hidden], size=256))
    assert np.abs(colours - paint(places)).mean() < 0.03


@pytest.mark.parametrize("size", [10, 10_000])
def test_pictures_of_absurd_sizes_are_refused(few: tuple[Frames, Field, Surface], size: int):
    frames, field, surface = few
    with pytest.raises(ValueError, match="texels a side"):
        painted(surface, field, [frames], size=size)
