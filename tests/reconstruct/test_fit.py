"""Fitting: it helps where it did not look, it can be cut in two, and what is not trusted does not count."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from memory.boxes import Box
from memory.cache import WorldCache
from memory.world import SceneInfo, World
from reconstruct.fit import Fit, FitSettings, fitted, held_out_frames
from reconstruct.fitted import fitted_file, frames_to_fit, has_fitted, keep_fitted, splats_of
from render.frames import Frames, median_depth
from render.gaussians import Gaussians
from render.splats import render_splats
from tests.oracles.walks import splats_seen_in, walk_of

SIZE, COUNT = 40, 9
NAMES = [field.name for field in dataclasses.fields(Gaussians)]


@pytest.fixture(scope="module")
def walk() -> Frames:
    """Exact views of a walk through a procedural world."""
    return walk_of(COUNT, side=SIZE)


@pytest.fixture(scope="module")
def start(walk: Frames) -> Gaussians:
    """Splats of a cache of every other view."""
    return splats_seen_in(walk[::2])


def fit_of(start: Gaussians, walk: Frames, *, steps: int = 12, **more: object) -> Fit:
    settings = FitSettings(steps=steps, look_every=6)
    given = {"held_out": [3], "settings": settings, "scale": median_depth(walk[:1]), "threads": 1}
    return Fit(start, walk, **(given | more))


def finished(fit: Fit) -> Gaussians:
    for _ in fitted(fit):
        pass
    return fit.splats


def assert_same(a: Gaussians, b: Gaussians) -> None:
    for name in NAMES:
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_views_that_nothing_was_learned_from_get_better(start: Gaussians, walk: Frames):
    fit = fit_of(start, walk, steps=150, held_out=[3, 5], settings=FitSettings(steps=150, look_every=50))
    scores = [score for _, score in fitted(fit)]
    assert fit.best_score > scores[0] + 1.5
    assert fit.best_score == max(scores)


def test_the_same_fit_gives_the_same_splats_on_any_number_of_threads(start: Gaussians, walk: Frames):
    first = finished(fit_of(start, walk))
    assert_same(first, finished(fit_of(start, walk, threads=3)))
    other = finished(fit_of(start, walk, seed=1))
    assert not torch.equal(first.means, other.means)


def test_a_fit_cut_in_two_ends_where_a_whole_one_does(start: Gaussians, walk: Frames, tmp_path: Path):
    whole = fit_of(start, walk)
    expected = finished(whole)
    cut = fit_of(start, walk)
    for step, _ in fitted(cut, checkpoint=tmp_path / "fit"):
        if step == 9:  # saved at 6: three steps are lost and taken again
            break
    resumed = fit_of(start, walk)
    assert resumed.resume(tmp_path / "fit")
    assert resumed.steps == 6
    assert_same(expected, finished(resumed))
    assert_same(whole.best, resumed.best)


def test_another_fit_or_a_damaged_file_is_not_gone_on_from(start: Gaussians, walk: Frames, tmp_path: Path):
    fit = fit_of(start, walk)
    fit.step()
    fit.save(tmp_path / "fit")
    others = ({"seed": 1}, {"steps": 13}, {"held_out": [5]})
    for other in (fit_of(start, walk, **change) for change in others):
        assert not other.resume(tmp_path / "fit")
        assert other.steps == 0
    data = (tmp_path / "fit").read_bytes()
    for broken in (b"", data[:100], data[: len(data) // 2]):
        (tmp_path / "broken").write_bytes(broken)
        assert not fit_of(start, walk).resume(tmp_path / "broken")
    assert not fit_of(start, walk).resume(tmp_path / "missing")


def test_a_view_without_confidence_changes_nothing(start: Gaussians, walk: Frames):
    trust = walk.confidence.clone()
    trust[2] = 0.0
    doubted = dataclasses.replace(walk, confidence=trust)
    rgb, depth = doubted.rgb.clone(), doubted.depth.clone()
    rgb[2], depth[2] = 1.0 - rgb[2], 2.0 * depth[2]
    wrong = dataclasses.replace(doubted, rgb=rgb, depth=depth)
    assert_same(finished(fit_of(start, doubted)), finished(fit_of(start, wrong)))


def test_a_fit_ends_early_where_nothing_gets_better(start: Gaussians, walk: Frames):
    still = FitSettings(
        steps=1000,
        look_every=1,
        means_rate=0.0,
        scales_rate=0.0,
        quats_rate=0.0,
        opacities_rate=0.0,
        colours_rate=0.0,
    )
    fit = fit_of(start, walk, settings=still)
    finished(fit)
    assert fit.steps < 10
    assert_same(fit.best, start)


def test_depth_alone_brings_surfaces_to_their_place(start: Gaussians, walk: Frames):
    eye = walk.cameras.origins[0]
    moved = dataclasses.replace(start, means=eye + 1.05 * (start.means - eye))
    settings = FitSettings(steps=60, look_every=60, means_rate=5e-3, structure=0.0, depth_weight=100.0)
    fit = fit_of(moved, walk, settings=settings)
    errors = [float(fit._depth_error(*fit_depth(fit, walk), walk[[3]]))]
    for _ in range(60):
        fit.step()
    errors.append(float(fit._depth_error(*fit_depth(fit, walk), walk[[3]])))
    assert errors[1] < 0.5 * errors[0]


def fit_depth(fit: Fit, walk: Frames) -> tuple[torch.Tensor, torch.Tensor]:
    image = render_splats(fit.splats, walk.cameras[[3]], threads=1)
    return image.depth, image.alpha


def test_a_fit_needs_something_to_learn_from(start: Gaussians, walk: Frames):
    with pytest.raises(ValueError, match="frames to learn from"):
        fit_of(start, walk, held_out=range(COUNT))
    with pytest.raises(ValueError, match="needs splats"):
        fit_of(start[:0], walk)
    with pytest.raises(ValueError, match="at least one step"):
        FitSettings(steps=0)


def test_one_frame_of_eight_is_held_out_of_worlds_that_have_some():
    assert [held_out_frames(count) for count in (1, 4, 5, 13)] == [[], [], [4], [4, 12]]


def test_fitted_splats_belong_to_the_head_that_they_were_fitted_at(
    start: Gaussians, walk: Frames, tmp_path: Path
):
    info = SceneInfo(units="metres", scale=1.0, up=(0.0, -1.0, 0.0))
    with World.create(tmp_path / "world", info) as world:
        with pytest.raises(ValueError, match="no frames yet"):
            fitted_file(world)
        assert not has_fitted(world)
        for i in range(2):
            world.commit(walk[[i]], given=True, generator="test", seed=0, settings={})
        keep_fitted(world, start)
        points = WorldCache().points
        assert_same(splats_of(world, points), start)
        world.tree.undo(1)
        assert not has_fitted(world)
        assert len(splats_of(world, points)) == 0


def test_frames_from_before_an_edit_are_not_believed_where_it_was_made(walk: Frames, tmp_path: Path):
    info = SceneInfo(units="metres", scale=1.0, up=(0.0, -1.0, 0.0))
    ray = walk.cameras.c2w[0, :3, 2]
    half_way = 0.5 * walk.depth[0, SIZE // 2, SIZE // 2]
    centre = walk.cameras.origins[0] + half_way * ray
    corners = (centre - 0.2 * half_way).tolist(), (centre + 0.2 * half_way).tolist()
    with World.create(tmp_path / "world", info) as world:
        world.commit(walk[[0]], given=True, generator="test", seed=0, settings={})
        world.remove(Box(low=tuple(corners[0]), high=tuple(corners[1])), settings={})
        world.commit(walk[[0]], given=True, generator="test", seed=0, settings={})
        trust = frames_to_fit(world, world.frame_ids()).confidence
    old, new = trust[0, ..., 0], trust[1, ..., 0]
    assert (new > 0).all()
    assert old[SIZE // 2, SIZE // 2] == 0
    assert 0.005 < float((old == 0).float().mean()) < 0.3
