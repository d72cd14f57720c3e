"""Depth of photographs alone, against exact depth of a procedural room and against plain arithmetic."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from reconstruct._stereo_kernel import DIRECTIONS, aggregated, likeness_of_planes
from reconstruct.stereo import FINER, with_stereo_depth
from render.frames import Frames
from worldgen.worlds import random_scene, random_walk_cameras, render

SIZE = 48
COUNT = 6


@pytest.fixture(scope="module")
def walk() -> Frames:
    """A walk through a furnished room, wider than high, at the size that photographs are compared at."""
    scene = random_scene(5, kinds={"furnished": 1.0})
    cameras = random_walk_cameras(scene, n=COUNT, seed=3, width=4 * SIZE, height=FINER * SIZE)
    return render(scene, cameras)


@pytest.fixture(scope="module")
def found(walk: Frames) -> Frames:
    return with_stereo_depth(blind(walk), size=SIZE)


def blind(frames: Frames) -> Frames:
    """Without depth."""
    nothing = torch.zeros_like(frames.depth)
    return dataclasses.replace(frames, depth=nothing, valid=nothing > 0)


def test_most_of_a_room_is_found_where_it_is(walk: Frames, found: Frames):
    left = (4 - FINER) * SIZE // 2
    middle = slice(FINER // 2, None, FINER)
    exact = walk.depth[:, middle, left : left + FINER * SIZE][:, :, middle]
    error = (found.depth / exact - 1.0).abs()[found.valid]
    assert found.valid.float().mean() > 0.5
    assert error.median() < 0.015
    assert (error > 0.1).float().mean() < 0.08
    torch.testing.assert_close(found.rgb[:, 0, 0], walk.rgb[:, :FINER, left : left + FINER].mean(dim=(1, 2)))
    assert not found.depth[~found.valid].any()
    assert torch.equal(found.confidence, found.valid.float())


def test_known_points_and_more_threads_tell_the_same(walk: Frames, found: Frames):
    assert torch.equal(with_stereo_depth(blind(walk), size=SIZE, threads=2).depth, found.depth)
    beyond = torch.tensor([0.0, 0.0, -1000.0]).expand(3, 3)  # too few to mean anything
    assert torch.equal(with_stereo_depth(blind(walk), size=SIZE, points=beyond).depth, found.depth)


def test_what_is_masked_has_no_depth(walk: Frames, found: Frames):
    confidence = torch.ones_like(walk.depth)
    confidence[:, : FINER * SIZE // 2] = 0.0
    masked = with_stereo_depth(dataclasses.replace(blind(walk), confidence=confidence), size=SIZE)
    assert not masked.valid[:, : SIZE // 2].any()
    assert masked.valid[:, SIZE // 2 :].any()


def test_plain_photographs_tell_nothing(walk: Frames):
    with pytest.raises(ValueError, match="do not tell how far"):
        with_stereo_depth(dataclasses.replace(blind(walk), rgb=torch.full_like(walk.rgb, 0.5)), size=SIZE)


def test_likeness_is_the_mean_of_the_two_best_correlations():
    rng = np.random.default_rng(1)
    others = rng.random((3, 20, 24), dtype=np.float32)
    picture = others[1].copy()  # at no shift, the second of the others is the picture itself
    turns, shifts = np.stack([np.eye(3)] * 3), np.array([[8.0, 0.0, 0.0]] * 3)
    size, finer, side = 4, 3, 5
    out = likeness_of_planes(picture, (3, 3), others, turns, shifts, (size, finer, side), 2, 1.0)
    for y, x, i in ((0, 0, 0), (3, 1, 0), (1, 1, 1)):
        top, left, by = 3 + finer * y - 1, 3 + finer * x - 1, 4 * (i + 1)
        own = picture[top : top + side, left : left + side].ravel()
        correlations = [
            np.corrcoef(own, other[top : top + side, left + by : left + by + side].ravel())[0, 1]
            for other in others
        ]
        assert out[y, x, i] == pytest.approx(np.mean(sorted(correlations)[-2:]), abs=1e-3)
    assert out[0, 3, 1] == -1.0  # eight pixels on, it reaches beyond the others


def paid(costs: np.ndarray, way: tuple[int, ...], small: float, large: float) -> float:
    """What a way through a row costs, that has these depths one after the other."""
    steps = (abs(a - b) for a, b in itertools.pairwise(way))
    return sum(costs[x, k] for x, k in enumerate(way)) + sum(
        (0.0, small, large)[min(step, 2)] for step in steps
    )


def test_ways_are_the_cheapest_of_all():
    """Against all ways through a row, tried one by one; in a single row the others are one pixel long."""
    rng = np.random.default_rng(2)
    costs, grey = rng.random((1, 5, 4), dtype=np.float32), np.zeros((1, 5), np.float32)
    small, large = 0.1, 0.25
    expected = (len(DIRECTIONS) - 2) * costs[0].astype(np.float64)
    for row, out in ((costs[0], expected), (costs[0, ::-1], expected[::-1])):
        for x in range(5):
            before = min(
                (paid(row, way, small, large) for way in itertools.product(range(4), repeat=x)), default=0.0
            )
            for k in range(4):
                ways = ((*way, k) for way in itertools.product(range(4), repeat=x))
                out[x, k] += min(paid(row, way, small, large) for way in ways) - before
    np.testing.assert_allclose(aggregated(costs, grey, small, large, 0.05)[0], expected, atol=1e-4)


def test_a_jump_is_cheaper_where_the_picture_has_an_edge():
    costs = np.ones((1, 12, 8), np.float32)
    costs[:, :6, 1] = costs[:, 6:, 6] = 0.9
    flat, edged = np.zeros((1, 12), np.float32), np.zeros((1, 12), np.float32)
    edged[:, 6:] = 1.0
    totals = [aggregated(costs, grey, 0.05, 2.0, 0.05)[0, 6] for grey in (flat, edged)]
    assert totals[1][6] - totals[1][1] < totals[0][6] - totals[0][1] - 0.1
