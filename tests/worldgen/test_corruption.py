"""What sensors, caches and the model do to frames, before training sees them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from memory.cache import WorldCache
from render.frames import Frames
from worldgen.training.corruption import MOST_LOST, MOST_THINNED, degraded, measured, torn
from worldgen.worlds import random_scene, random_walk_cameras, render


@pytest.fixture(scope="module")
def frame() -> Frames:
    scene = random_scene(5)
    return render(scene, random_walk_cameras(scene, n=1, seed=1, width=64, height=64))


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


def test_a_sensor_loses_depth_beside_steps(frame: Frames):
    depth = torch.ones_like(frame.depth)
    depth[:, :, 32:] = 2.0
    step = dataclasses.replace(frame, depth=depth, valid=torch.ones_like(frame.valid))
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
