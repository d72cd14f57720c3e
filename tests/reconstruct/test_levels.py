"""Levels: from farther away, fewer splats show the same."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from reconstruct._level_kernels import group
from reconstruct.init import gaussians_from_frames
from reconstruct.levels import levels, thinned
from render.cameras import Cameras, resized
from render.frames import Frames
from render.gaussians import Gaussians, concatenated
from render.metrics import psnr
from render.splats import render_splats
from tests.oracles.walks import walk_of

SIZE = 48
NAMES = [field.name for field in dataclasses.fields(Gaussians)]


@pytest.fixture(scope="module")
def walk() -> Frames:
    return walk_of(2, side=SIZE)


@pytest.fixture(scope="module")
def splats(walk: Frames) -> Gaussians:
    return gaussians_from_frames(walk)


def seen(splats: Gaussians, cameras: Cameras) -> torch.Tensor:
    return render_splats(splats, cameras, threads=1).rgb.clamp(0.0, 1.0)


def test_a_quarter_of_the_splats_shows_the_same_at_half_the_size(splats: Gaussians, walk: Frames):
    half = resized(walk.cameras, width=SIZE // 2, height=SIZE // 2)
    expected, count = seen(splats, half), len(splats) // 4
    wide = dataclasses.replace(splats, log_scales=splats.log_scales + torch.tensor(2.0).log())
    rng = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(splats), generator=rng)[:count]
    merged, quarter = thinned(splats, count), levels(splats, least=count)[2]
    assert len(merged) == len(quarter) == count
    scores = [
        float(psnr(seen(few, half), expected).mean())
        for few in (merged, quarter, splats[chosen], wide[chosen])
    ]
    assert min(scores[:2]) > 27.0
    assert min(scores[:2]) > max(scores[2:]) + 2.0


def test_levels_halve_and_stand_for_one_another(splats: Gaussians):
    found = levels(splats, least=100)
    assert found[0] is splats
    counts = [len(level) for level in found]
    assert counts == [len(splats) >> k for k in range(len(counts))]
    assert counts[-1] >= 100 > counts[-1] // 2
    for finer, coarser in itertools.pairwise(found):
        assert 0.7 < covered(coarser) / covered(finer) < 1.3
        for name in NAMES:
            assert torch.equal(getattr(thinned(finer, len(coarser)), name), getattr(coarser, name))
    assert [len(level) for level in levels(splats[:3], least=1)] == [3, 1]


def covered(splats: Gaussians) -> float:
    """Area of all splats, weighted by their opacity."""
    return float((splats.opacities * splats.scales.sort(dim=1).values[:, 1:].prod(dim=1)).sum())


def test_two_splats_become_the_one_that_has_their_moments():
    """Against a great many samples of the two, and their axes whatever the order that they are named in."""
    rng = torch.Generator().manual_seed(2)
    pair = Gaussians(
        means=torch.tensor([[0.0, 0.0, 0.0], [0.3, -0.1, 0.2]]),
        quats=torch.nn.functional.normalize(torch.randn(2, 4, generator=rng), dim=1),
        log_scales=torch.tensor([[0.2, 0.1, 0.02], [0.1, 0.2, 0.01]]).log(),
        logit_opacities=torch.tensor([-3.0, -3.0]),
        sh=torch.randn(2, 4, 3, generator=rng),
    )
    one = thinned(pair, 1)
    points = torch.cat([samples(pair[k : k + 1], 400_000, rng) for k in (0, 1)])
    torch.testing.assert_close(one.means[0], points.mean(dim=0), atol=2e-3, rtol=0)
    variances, axes = torch.linalg.eigh(points.T.cov())
    # What is solid enough grows no wider than its samples say.
    torch.testing.assert_close(one.scales[0].sort().values, variances.sqrt(), atol=0, rtol=0.01)
    along = samples(one, 400_000, rng) @ axes
    torch.testing.assert_close(along.T.cov(), variances.diag(), atol=2e-4, rtol=0.02)
    torch.testing.assert_close(one.sh[0], pair.sh.mean(dim=0))
    assert covered(one) == pytest.approx(covered(pair), rel=1e-4)


def samples(splats: Gaussians, count: int, rng: torch.Generator) -> torch.Tensor:
    """Places drawn from the first of some splats; its axes by the textbook's formula."""
    w, x, y, z = splats.quats[0].tolist()
    axes = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    return splats.means[0] + (torch.randn(count, 3, generator=rng) * splats.scales[0]) @ axes.T


def test_what_is_alone_stays_and_strangers_stay_apart(splats: Gaussians):
    """One splat fewer than there are: a single pair becomes one, and all others remain bit for bit."""
    few = thinned(splats, len(splats) - 1)
    before, after = (part.means.tolist() for part in (splats, few))
    assert len(set(map(tuple, before)) & set(map(tuple, after))) == len(splats) - 2
    assert thinned(splats, len(splats)) is splats
    near = dataclasses.replace(splats[:40], means=0.01 * torch.rand(40, 3))
    far = dataclasses.replace(near, means=near.means + 10.0)
    apart = thinned(concatenated([near, far]), 2)
    assert apart.means[:, 0].sort().values.tolist() == pytest.approx([0.005, 10.005], abs=0.005)
    assert float(apart.scales.amax()) < 5.0 * float(near.scales.amax()) * 40**0.5
    with pytest.raises(ValueError, match="at least one splat"):
        thinned(splats, 0)
    with pytest.raises(ValueError, match="at least one splat"):
        levels(splats, least=0)


def halved(features: np.ndarray, count: int) -> np.ndarray:
    """What ``group`` writes, all parts at once by sorting."""
    order, starts, quotas = np.arange(len(features)), np.array([0]), np.array([count])
    while (quotas > 1).any():
        ends = np.append(starts[1:], len(order))
        sizes, values = ends - starts, features[order]
        widest = np.maximum.reduceat(values, starts) - np.minimum.reduceat(values, starts)
        part = np.repeat(np.arange(len(starts)), sizes)
        keys = np.take_along_axis(values, widest.argmax(axis=1)[part][:, None], axis=1)[:, 0]
        order = order[np.lexsort((order, keys, part))]
        # Each part is cut where its groups are halved, so that groups stay equally large.
        left = quotas // 2
        cuts = starts + np.round(sizes * left / quotas).astype(np.int64)
        cut = quotas > 1
        starts = np.concatenate([starts, cuts[cut]])
        quotas = np.concatenate([np.where(cut, quotas - left, quotas), left[cut]])
        # The right half keeps its number, the left one is what lies before the cut.
        starts[: len(cut)][cut], starts[len(cut) :] = cuts[cut], starts[: len(cut)][cut]
        sorting = starts.argsort(kind="stable")
        starts, quotas = starts[sorting], quotas[sorting]
    groups = np.empty(len(order), np.int64)
    groups[order] = np.repeat(np.arange(count), np.diff(np.append(starts, len(order))))
    return groups


@pytest.mark.parametrize("digits", [0, 1, 15])
@pytest.mark.parametrize(("n", "count"), [(1, 1), (10, 3), (100, 99), (5000, 7), (5000, 2500), (777, 777)])
def test_groups_are_those_of_the_slow_twin_ties_included(n: int, count: int, digits: int):
    features = np.random.default_rng(n).normal(size=(n, 6)).round(digits)
    groups = np.empty(n, np.int64)
    group(features, count, groups)
    np.testing.assert_array_equal(groups, halved(features, count))
