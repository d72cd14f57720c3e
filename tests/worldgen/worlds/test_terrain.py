"""Terrain: rectangles that tile a grid, what can be reached on it, and noise that is smooth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from worldgen.worlds.scene import Material
from worldgen.worlds.terrain import columns, merged, reachable, rect_of, smooth_noise


@pytest.mark.parametrize("seed", range(5))
def test_merged_rectangles_tile_the_grid_and_hold_one_key_each(seed: int):
    rng = np.random.default_rng(seed)
    key = rng.integers(0, 3, (13, 9)) if seed else np.zeros((13, 9), np.int64)
    covered = np.zeros(key.shape, int)
    rects = merged(key)
    for i0, j0, i1, j1 in rects:
        covered[i0:i1, j0:j1] += 1
        assert (key[i0:i1, j0:j1] == key[i0, j0]).all()
    assert (covered == 1).all()
    assert len(rects) == 1 if seed == 0 else len(rects) < key.size


def test_merging_chooses_the_larger_way_round():
    key = np.array([[1, 1, 0], [1, 2, 0], [1, 2, 0]])
    assert (0, 0, 3, 1) in merged(key)


def test_cells_without_climbing_are_connected_pieces():
    rng = np.random.default_rng(4)
    allowed = rng.random((20, 17)) < 0.6
    pieces = np.empty(allowed.shape, np.int64)
    ndimage.label(allowed, output=pieces)
    i, j = (int(v) for v in np.argwhere(allowed)[40])
    found = reachable(np.zeros(allowed.shape, np.int64), allowed, climb=0, start=(i, j))
    np.testing.assert_array_equal(found, pieces == pieces[i, j])


def test_cliffs_are_not_climbed_and_stairs_are():
    levels = np.array([[0, 1, 2, 3], [0, 0, 0, 3]])
    everywhere = np.ones(levels.shape, bool)
    found = reachable(levels, everywhere, climb=1, start=(0, 0))
    assert found.all()
    assert not reachable(levels, everywhere, climb=0, start=(0, 0))[:, 3].any()
    wall = np.array([[0, 5, 0]])
    assert reachable(wall, np.ones((1, 3), bool), climb=2, start=(0, 0)).tolist() == [[True, False, False]]


def test_columns_stand_where_their_cells_are():
    levels, cover = np.array([[2, 2], [0, 1]]), np.array([[0, 0], [-1, 0]])
    look = (Material(tile=0), Material(tile=1))
    shapes = columns(levels, cover, step=0.5, cell=2.0, corner=-2.0, looks=[look], bottom=1.0)
    tops = {
        tuple(np.round([s.centre[k] - s.half[k] for k in range(3)], 6)): s.centre[1] + s.half[1]
        for s in shapes
    }
    assert tops == {(-2.0, -1.0, -2.0): 1.0, (0.0, -0.5, 0.0): 1.0}
    assert all(s.materials[2] == look[0] and s.materials[0] == look[1] for s in shapes)
    assert rect_of((0, 1, 1, 2), cell=2.0, corner=-2.0) == (-2.0, 0.0, 0.0, 2.0)


def test_noise_is_smooth_and_within_bounds():
    at = np.linspace(-90.0, 90.0, 601)
    x, z = np.meshgrid(at, at[:40], indexing="ij")
    values = smooth_noise(np.random.default_rng(0), x, z, wave=9.0)
    assert np.abs(values).max() <= 1.0
    assert values.std() > 0.2
    # the steepest smoothstep between +1 and -1 rises by 1.5 * 2 a wave
    assert np.abs(np.diff(values, axis=0)).max() <= 3.0 / 9.0 * 0.3 + 1e-9
