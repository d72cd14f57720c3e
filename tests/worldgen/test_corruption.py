"""What sensors, caches and the model do to frames, before training sees them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from memory.cache import WorldCache
from render.frames import Frames
from tests.oracles.walks import walk_of
from worldgen.training.corruption import (
    BLEEDING_CHANCE,
    DEPTH_SCALES,
    FLAWLESS,
    MOST_LOST,
    MOST_THINNED,
    STALE_CHANCE,
    bled,
    degraded,
    drawn_faults,
    measured,
    rescaled,
    torn,
)


@pytest.fixture(scope="module")
def frame() -> Frames:
    return walk_of(1, side=64)


def lost_share(frame: Frames) -> float:
    return float((~frame.valid).float().mean())


@pytest.mark.parametrize("seed", range(8))
def test_a_sensor_loses_depth_and_nothing_else(frame: Frames, seed: int):
    seen = measured(frame, np.random.default_rng(seed))
    assert torch.equal(seen.rgb, frame.rgb)
    assert torch.equal(seen.depth[seen.valid], frame.depth[seen.valid])
    assert not seen.depth[~seen.valid].any()
    assert not seen.confidence[~seen.valid].any()
    assert 0.0 < lost_share(seen) <= MOST_LOST


def stepped(frame: Frames) -> Frames:
    """A wall at 1, and one at 2 in the right half."""
    depth = torch.ones_like(frame.depth)
    depth[:, :, 32:] = 2.0
    return dataclasses.replace(frame, depth=depth, valid=torch.ones_like(frame.valid))


def test_a_sensor_loses_depth_beside_steps(frame: Frames):
    step = stepped(frame)
    for seed in range(8):
        seen = measured(step, np.random.default_rng(seed))
        assert not seen.valid[:, :, 31:33].any()
        assert seen.valid[:, :, :28].any()


def test_a_sensor_that_would_lose_nearly_everything_loses_nothing(frame: Frames):
    checks = torch.arange(64).view(1, 1, 64, 1) % 2 + torch.arange(64).view(1, 64, 1, 1) % 2
    rough = dataclasses.replace(frame, depth=1.0 + checks.float(), valid=torch.ones_like(frame.valid))
    assert lost_share(measured(rough, np.random.default_rng(0))) == 0.0


def test_sensors_differ(frame: Frames):
    shares = [lost_share(measured(frame, np.random.default_rng(seed))) for seed in range(8)]
    assert max(shares) > 1.2 * min(shares)


def test_a_degraded_frame_is_nearly_the_frame_and_trusted_less(frame: Frames):
    frames = [degraded(frame, np.random.default_rng(seed)) for seed in range(40)]
    worse = [other for other in frames if other is not frame]
    assert 5 <= len(worse) <= 30
    for other in worse:
        assert (other.rgb - frame.rgb).abs().mean() < 0.1
        assert (other.depth / frame.depth - 1.0)[frame.valid].abs().mean() < 0.1
        assert (other.confidence <= frame.confidence).all()
        assert torch.equal(other.valid, frame.valid)


def test_a_torn_render_loses_rectangles_or_points_whole(frame: Frames):
    cache = WorldCache()
    cache.insert(frame, ids=[0])
    seen = cache.render(frame.cameras)
    shares = []
    for seed in range(60):
        less = torn(seen, np.random.default_rng(seed))
        assert not (less.mask & ~seen.mask).any()
        for name in ("rgb", "depth", "confidence", "offset"):
            assert torch.equal(getattr(less, name), getattr(seen, name) * less.mask), name
        shares.append(float(less.mask.sum() / seen.mask.sum()))
    assert sum(share == 1.0 for share in shares) > 20
    assert min(shares) < 0.9
    assert min(shares) > (1.0 - MOST_THINNED) * 0.2


def test_a_blurred_edge_lies_between_the_two_depths_and_nothing_else_changes(frame: Frames):
    step = stepped(frame)
    soft = bled(step)
    torch.testing.assert_close(soft.depth[0, :, 31:33, 0], torch.tensor([[4 / 3, 5 / 3]]).expand(64, 2))
    rest = [i for i in range(64) if i not in (31, 32)]
    assert torch.equal(soft.depth[:, :, rest], step.depth[:, :, rest])
    assert torch.equal(soft.rgb, step.rgb)
    slanted = torch.linspace(1.0, 2.0, 64)[None, None, :, None].expand(1, 64, 64, 1)
    floor = dataclasses.replace(step, depth=1.0 / slanted)
    assert torch.equal(bled(floor).depth, floor.depth)


def test_a_cache_that_bleeds_has_points_in_the_air_between_both_depths(frame: Frames):
    step = stepped(frame)
    distances = []
    for with_edges in (False, True):
        cache = WorldCache()
        cache.insert(bled(step), ids=[0], with_edges=with_edges)
        points = cache.points
        origin, forward = step.cameras.origins[0], step.cameras.forwards[0]
        depths = (points.positions - origin) @ forward
        distances.append(depths[points.confidence > 0])
    flying = [((depth > 1.1) & (depth < 1.9)).sum() for depth in distances]
    assert flying == [0, 128]
    assert len(distances[1]) == 64 * 64  # every pixel came in


def test_a_rescaled_frame_is_wrong_by_one_factor(frame: Frames):
    assert rescaled(frame, 1.0) is frame
    other = rescaled(frame, 1.04)
    torch.testing.assert_close(other.depth, 1.04 * frame.depth)
    assert torch.equal(other.cameras.c2w, frame.cameras.c2w)


def test_faults_come_as_often_as_documented_and_never_by_default():
    assert all(drawn_faults("base", np.random.default_rng(seed)) == FLAWLESS for seed in range(20))
    drawn = [drawn_faults("full", np.random.default_rng(seed)) for seed in range(3000)]
    assert np.mean([faults.bleeds for faults in drawn]) == pytest.approx(BLEEDING_CHANCE, abs=0.03)
    assert np.mean([faults.is_stale for faults in drawn]) == pytest.approx(STALE_CHANCE, abs=0.015)
    scales = np.array([faults.depth_scale for faults in drawn])
    assert DEPTH_SCALES[0] <= scales.min() < 0.951
    assert 1.049 < scales.max() <= DEPTH_SCALES[1]
    assert scales.mean() == pytest.approx(1.0, abs=0.003)


def test_a_kind_of_corruption_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="one of base, full, got 'some'"):
        drawn_faults("some", np.random.default_rng(0))
