"""Strategies: pictures that stay, caps that hold, fits that go on alike, and what more splats are worth."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from reconstruct.densify import FAINTEST, MAX_COPIES, SETTLE, Cloning, Relocation, Stage, shared, shares
from reconstruct.fit import Fit, FitSettings, fitted
from reconstruct.levels import thinned
from render.frames import Frames, median_depth
from render.gaussians import Gaussians
from render.splats import SplatTrace, render_splats
from tests.oracles.walks import splats_seen_in, walk_of

SIZE, COUNT = 40, 7
NAMES = [field.name for field in dataclasses.fields(Gaussians)]
STRATEGIES = (
    Relocation(start=20, every=20, growth=0.2),
    Cloning(start=20, every=20, stop=0.8, reset_every=60),
)


@pytest.fixture(scope="module")
def walk() -> Frames:
    """Exact views of a walk through a procedural world."""
    return walk_of(COUNT, side=SIZE)


@pytest.fixture(scope="module")
def splats(walk: Frames) -> Gaussians:
    """Splats of a cache of every other view."""
    return splats_seen_in(walk[::2])


def stage(step: int, *, steps: int = 10_000, most: int = 1_000_000) -> Stage:
    return Stage(step=step, steps=steps, most=most, scale=1.0, half_side=0.5 * SIZE)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dimmed(splats: Gaussians, *, one_in: int) -> Gaussians:
    """The same with some that do not show."""
    logits = splats.logit_opacities.clone()
    logits[::one_in] = -8.0
    return dataclasses.replace(splats, logit_opacities=logits)


def steepness(splats: Gaussians, rows: list[int]) -> SplatTrace:
    """What gradients would say if they were large at a few places, the first the largest."""
    trace = SplatTrace(len(splats))
    trace.views += 4.0
    trace.slope[rows] = 4.0 * torch.linspace(2e-3, 1e-3, len(rows))
    return trace


@pytest.mark.parametrize(("copies", "opacity", "narrower"), [(2, 0.5528, 0.8994), (5, 0.2752, 0.8446)])
def test_copies_share_as_the_paper_says(copies: int, opacity: float, narrower: float):
    found = shares(torch.logit(torch.tensor([0.8])), torch.tensor([copies]))
    assert [float(part) for part in found] == pytest.approx([opacity, narrower], abs=5e-5)


@pytest.mark.parametrize("opacity", [0.01, 0.5, 0.99, 0.999999])
def test_any_number_of_copies_covers_what_one_did(opacity: float):
    """Along a line through the middle: numerical integrals, instead of the formula's own sum."""
    copies = torch.arange(1, MAX_COPIES + 1)
    logits = torch.logit(torch.tensor(opacity, dtype=torch.float64)).float().expand(MAX_COPIES)
    new, narrower = (part[:, None] for part in shares(logits, copies))
    x = torch.linspace(-12.0, 12.0, 20_001, dtype=torch.float64)
    together = 1.0 - (1.0 - new * torch.exp(-0.5 * (x / narrower) ** 2)) ** copies[:, None]
    area = torch.trapezoid(together, x, dim=1)
    expected = torch.sigmoid(logits[0].double()) * math.sqrt(2.0 * math.pi)
    torch.testing.assert_close(area, expected.expand(MAX_COPIES), rtol=1e-6, atol=0)
    torch.testing.assert_close((1.0 - new[:, 0]) ** copies, 1.0 - torch.sigmoid(logits.double()))


def test_relocation_keeps_the_picture_and_uses_what_did_not_show(splats: Gaussians, walk: Frames):
    # Copies of a nearly solid splat differ from it by up to 0.04 at its edge; half solid ones hardly.
    half = dataclasses.replace(splats, logit_opacities=splats.logit_opacities.clamp(max=0.0))
    before = dimmed(half, one_in=10)
    change = Relocation(start=0).changed(before, SplatTrace(len(splats)), stage=stage(100), rng=rng())
    assert change is not None
    after = change.splats
    assert len(after) == int(1.05 * len(before))
    assert float(before.opacities.amin()) < FAINTEST < float(after.opacities.amin())
    pictures = [render_splats(part, walk.cameras, threads=1).rgb for part in (before, after)]
    assert float((pictures[0] - pictures[1]).abs().max()) < 0.02
    # Moving alone would not do: the same splats in the same places, each as solid as before.
    plain = dataclasses.replace(
        after, logit_opacities=before.logit_opacities[change.rows], log_scales=before.log_scales[change.rows]
    )
    wrong = render_splats(plain, walk.cameras, threads=1).rgb
    assert float((pictures[0] - wrong).abs().max()) > 0.05
    is_alone = torch.bincount(change.rows, minlength=len(before))[change.rows] == 1
    assert torch.equal(is_alone, ~change.anew)
    for name in NAMES:
        assert torch.equal(getattr(after, name)[is_alone], getattr(before, name)[change.rows][is_alone])


def test_noise_moves_what_hardly_shows_within_its_own_shape_and_ends(splats: Gaussians):
    faint = dimmed(splats, one_in=3)
    strategy = Relocation()
    noise = strategy.noise(faint, stage=stage(10), rate=1.6e-4, rng=rng())
    assert noise is not None
    rows, shift = noise
    assert torch.equal(rows, torch.arange(0, len(splats), 3))
    # What is drawn from a covariance S and multiplied by S again has the covariance S^3: compare spreads.
    moved = shift / (strategy.noise_rate * 1.6e-4 * torch.sigmoid(torch.tensor(0.5)))
    flat = (moved.norm(dim=1) / faint.scales[rows].amax(dim=1) ** 2).square().mean().sqrt()
    assert 0.8 < float(flat) < 1.5
    thinnest = faint[rows].scales.amin(dim=1) / faint[rows].scales.amax(dim=1)
    assert float(thinnest.median()) < 0.2  # flat splats: the normal direction must hardly be shaken
    solid = dataclasses.replace(splats, logit_opacities=torch.zeros(len(splats)))
    assert strategy.noise(solid, stage=stage(10), rate=1.6e-4, rng=rng()) is None
    assert strategy.noise(faint, stage=stage(6_000), rate=1.6e-4, rng=rng()) is None


def test_steep_splats_are_doubled_or_split_and_faint_ones_go(splats: Gaussians):
    widest = splats.scales.amax(dim=1)
    small, large = widest.argsort()[:2].tolist(), widest.argsort()[-2:].tolist()
    edge = float(widest.median())
    strategy = Cloning(start=0, small=edge, large=1e6)
    before = dimmed(splats, one_in=10)
    before.logit_opacities[small + large] = 0.0
    faint = int((before.opacities < FAINTEST).sum())
    trace = steepness(splats, small + large)
    change = strategy.changed(before, trace, stage=stage(100), rng=rng())
    assert change is not None
    times = torch.bincount(change.rows, minlength=len(splats))
    assert times[small + large].tolist() == [2, 2, 2, 2]
    assert int((times == 0).sum()) == faint
    assert len(change.splats) == len(splats) - faint + 4
    for row in small:
        both = (change.rows == row).nonzero()[:, 0]
        assert torch.equal(change.splats.means[both], before.means[[row, row]])
        assert change.anew[both].tolist() == [False, True]
    for row in large:
        both = (change.rows == row).nonzero()[:, 0]
        ratio = change.splats.scales[both] / before.scales[[row, row]]
        torch.testing.assert_close(ratio, torch.full((2, 3), 1 / 1.6))
        assert not torch.equal(change.splats.means[both[0]], change.splats.means[both[1]])
        assert change.anew[both].all()
    assert change.splats.opacities.amax() > 0.3  # no reset yet
    close = strategy.changed(before, trace, stage=stage(100, most=len(splats) - faint + 1), rng=rng())
    assert close is not None
    assert len(close.splats) == len(splats) - faint + 1
    assert int((close.rows == small[0]).sum()) == 2  # the steepest is served first


def test_opacities_are_reset_now_and_then_but_never_at_the_start(splats: Gaussians):
    strategy, trace = Cloning(start=0, reset_every=300), SplatTrace(len(splats))
    assert strategy.changed(splats, trace, stage=stage(0), rng=rng()) is None
    for step, is_reset in ((100, False), (300, True), (400, False), (600, True)):
        change = strategy.changed(splats, trace, stage=stage(step), rng=rng())
        assert change is not None
        assert (float(change.splats.opacities.amax()) <= 2.001 * FAINTEST) == is_reset, step


def test_nothing_is_judged_soon_after_a_change_nor_changed_soon_before_the_end():
    strategy = Cloning(start=500, every=200, reset_every=3_000, stop=1.0)
    settled = [strategy.is_settled(stage(step, steps=1_050)) for step in range(1_051)]
    last = None
    for step in range(1_051):
        assert settled[step] == (last is None or step - last >= SETTLE), step
        if step >= 500 and step % 200 == 0 and step <= 1_050 - SETTLE:
            last = step  # happens after step is judged
    assert last == 800
    assert settled[1_050]
    assert Relocation().is_settled(stage(601))


def few_of(splats: Gaussians, walk: Frames, *, steps: int, cap: float = 16.0, **more: object) -> Fit:
    """A fit that starts from one splat of forty."""
    settings = FitSettings(steps=steps, look_every=20, cap=cap, **more)
    few = thinned(splats, len(splats) // 40)
    return Fit(few, walk, held_out=[3], settings=settings, scale=median_depth(walk[:1]), threads=1)


@pytest.mark.slow
def test_too_few_splats_become_enough(splats: Gaussians, walk: Frames):
    scores = []
    for strategy in (
        None,
        Relocation(start=20, every=20, stop=0.5, growth=0.3),
        Cloning(start=20, every=20, stop=0.5),
    ):
        fit = few_of(splats, walk, steps=400, cap=16.0, strategy=strategy)
        for _ in fitted(fit):
            pass
        scores.append(fit.look())
    assert scores[1] > scores[0] + 1.0
    assert scores[2] > scores[0] + 2.0


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["relocation", "cloning"])
def test_a_fit_that_grows_is_cut_in_two_and_never_exceeds_its_cap(
    strategy: Relocation | Cloning, splats: Gaussians, walk: Frames, tmp_path: Path
):
    def begun() -> Fit:
        return few_of(splats, walk, steps=190, cap=1.3, strategy=strategy, degree=2, degree_every=30)

    whole, counts, kinds = begun(), [], set()
    most = int(1.3 * len(whole.splats))
    while whole.steps < 90:
        whole.step()
        counts.append(len(whole.splats))
        kinds.add(whole.splats.sh.shape[1])
        if whole.steps == 49:  # between a change and a look: averages and gradients are under way
            whole.save(tmp_path / "fit")
    assert min(counts) < max(counts) <= most
    assert kinds == {1, 4, 9}
    resumed = begun()
    assert resumed.resume(tmp_path / "fit")
    while resumed.steps < 90:
        resumed.step()
    for name in NAMES:
        assert torch.equal(getattr(whole.splats, name), getattr(resumed.splats, name)), name
    other = few_of(splats, walk, steps=190, cap=1.3, strategy=None, degree=2, degree_every=30)
    assert not other.resume(tmp_path / "fit")


def test_a_fit_looks_only_where_the_picture_is_settled(splats: Gaussians, walk: Frames):
    fit = few_of(splats, walk, steps=230, strategy=Cloning(start=20, every=20, stop=0.3, reset_every=60))
    scores = [score for _, score in fitted(fit)]
    changed = [step for step in range(1, len(scores)) if scores[step] != scores[step - 1]]
    # Changes at 20, 40 and 60: looks at 40 to 140 would be too early.
    assert changed
    assert set(changed) <= {20, 160, 180, 200, 220, 230}
    assert max(changed) == 230


def test_senseless_strategies_are_refused():
    for senseless in ({"start": -1}, {"every": 0}, {"stop": 1.5}):
        for kind in (Relocation, Cloning):
            with pytest.raises(ValueError, match="splats change from a step on"):
                kind(**senseless)
    with pytest.raises(ValueError, match="no multiple"):
        Cloning(reset_every=250)
    with pytest.raises(ValueError, match="keeps its splats or adds some"):
        FitSettings(steps=1, cap=0.5)


def test_splats_that_share_nothing_are_left_alone(splats: Gaussians):
    same = shared(splats, torch.ones(len(splats), dtype=torch.int64))
    for name in NAMES:
        assert torch.equal(getattr(same, name), getattr(splats, name))
