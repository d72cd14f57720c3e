"""The evaluation: distances in closed form, fills by brute force, and two generators it must see through."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from memory.cache import Seen
from render.cameras import Cameras, intrinsics_from_fov
from render.frames import Frames
from worldgen.conditions import Known, SceneUnits
from worldgen.depth import encode
from worldgen.evaluation.features import frechet_distance, hole_features
from worldgen.evaluation.views import (
    MAX_KNOWN,
    MIN_KNOWN,
    Answer,
    Case,
    answers,
    held_out_case,
    nearest_filled,
    scores_of,
)
from worldgen.training.clips import FIRST_HELD_OUT_SEED
from worldgen.worlds import random_scene, render

SIZE = 32
SCENES = 3


class Eyewitness:
    """A ``Generator`` that looks at the held-out worlds instead of imagining them."""

    name = "eyewitness"
    size = SIZE

    def __init__(self) -> None:
        self.calls: list[tuple[Known, Frames | None, SceneUnits, int]] = []

    def __call__(self, known: Known, recall: Frames | None, *, units: SceneUnits, seed: int) -> Frames:
        """Take the picture."""
        self.calls.append((known, recall, units, seed))
        return render(random_scene(FIRST_HELD_OUT_SEED + len(self.calls) - 1), known.cameras)


@pytest.fixture(scope="module")
def witness() -> Eyewitness:
    return Eyewitness()


@pytest.fixture(scope="module")
def seen_by_eyewitness(witness: Eyewitness) -> list[Answer]:
    return list(answers(witness, scenes=SCENES, seed=40))


@pytest.fixture(scope="module")
def cases(seen_by_eyewitness: list[Answer]) -> list[Case]:
    return [answer.case for answer in seen_by_eyewitness]


def answered(cases: list[Case], frames: list[Frames]) -> list[Answer]:
    return [
        Answer(case=case, frames=answer, elapsed_s=0.25) for case, answer in zip(cases, frames, strict=True)
    ]


def whitened(count: int, *, d: int, seed: int) -> Tensor:
    """Points whose mean is 0 and whose covariance is the identity, exactly."""
    x = torch.randn(count, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x -= x.mean(dim=0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).mT


def test_the_frechet_distance_of_aligned_gaussians_is_that_of_means_and_deviations():
    # Of Gaussians whose covariances share their axes: |m1 - m2|^2 + sum (s1 - s2)^2.
    s = torch.tensor([[0.5, 1.0, 2.0, 0.1], [1.5, 0.7, 2.0, 0.4]], dtype=torch.float64)
    m = torch.tensor([[0.0, 1.0, 0.0, 2.0], [0.3, 1.0, -1.0, 2.0]], dtype=torch.float64)
    turn, _ = torch.linalg.qr(whitened(20, d=4, seed=9)[:4])
    a, b = ((whitened(50 + i, d=4, seed=i) * s[i] + m[i]) @ turn for i in range(2))
    expected = float(((m[0] - m[1]) ** 2).sum() + ((s[0] - s[1]) ** 2).sum())
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_of_two_gaussians_in_the_plane_is_the_closed_form():
    # In two dimensions the trace of the root of M is sqrt(tr M + 2 sqrt(det M)).
    shear = torch.tensor([[1.0, 0.8], [0.0, 0.6]], dtype=torch.float64)
    a, b = whitened(30, d=2, seed=0) @ shear, whitened(40, d=2, seed=1) @ shear.mT.flip(0)
    A, B = torch.cov(a.T), torch.cov(b.T)
    M = A @ B
    root = math.sqrt(float(M.trace()) + 2.0 * math.sqrt(float(torch.linalg.det(M))))
    expected = float(A.trace() + B.trace()) - 2.0 * root
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-9)


def test_the_frechet_distance_exists_for_fewer_points_than_dimensions():
    a = torch.randn(5, 48, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-5)
    assert frechet_distance(a, a + 1.0) == pytest.approx(48.0, rel=1e-5)


def test_a_frechet_distance_of_one_point_is_refused():
    with pytest.raises(ValueError, match="at least 2 features"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(5, 3))


def seen_with_mask(mask: Tensor) -> Seen:
    """A render whose colour says where each pixel is: (row, column, 0) / 100."""
    n, h, w, _ = mask.shape
    rows, columns = torch.meshgrid(torch.arange(h) / 100.0, torch.arange(w) / 100.0, indexing="ij")
    rgb = torch.stack([rows, columns, torch.zeros(h, w)], dim=-1).expand(n, -1, -1, -1)
    c2w = torch.eye(4).repeat(n, 1, 1)
    return Seen(
        rgb=rgb * mask,
        depth=(1.0 + rgb[..., :1] + 10.0 * rgb[..., 1:2]) * mask,
        mask=mask,
        confidence=mask.float(),
        offset=torch.zeros(n, h, w, 2),
        source=torch.zeros(n, h, w, dtype=torch.int64),
        cameras=Cameras(c2w=c2w, K=intrinsics_from_fov(1.0, width=w, height=h, n=n), width=w, height=h),
    )


def test_holes_are_filled_from_the_nearest_known_pixel():
    mask = torch.rand(2, 11, 14, 1, generator=torch.Generator().manual_seed(0)) < 0.1
    seen = seen_with_mask(mask)
    filled = nearest_filled(seen)
    for n in range(2):
        known = np.argwhere(mask[n, ..., 0].numpy())
        for i in range(11):
            for j in range(14):
                source = 100.0 * filled.rgb[n, i, j, :2].numpy()
                nearest = np.sqrt(((known - (i, j)) ** 2).sum(axis=1)).min()
                assert math.hypot(source[0] - i, source[1] - j) == pytest.approx(nearest, abs=1e-4)
                assert (np.abs(known - source).sum(axis=1) < 1e-4).any()
    assert torch.equal(filled.rgb[mask[..., 0]], seen.rgb[mask[..., 0]])
    torch.testing.assert_close(filled.depth, 1.0 + filled.rgb[..., :1] + 10.0 * filled.rgb[..., 1:2])
    assert filled.valid.all()


def test_a_held_out_case_is_the_same_every_time(cases: list[Case]):
    again = held_out_case(1, size=SIZE)
    assert torch.equal(again.truth.rgb, cases[1].truth.rgb)
    assert torch.equal(again.seen.rgb, cases[1].seen.rgb)
    assert again.units == cases[1].units
    assert not torch.equal(cases[0].truth.rgb, cases[1].truth.rgb)


def test_a_held_out_case_is_of_a_world_that_is_never_trained_on(cases: list[Case]):
    for index, case in enumerate(cases):
        scene = random_scene(FIRST_HELD_OUT_SEED + index)
        for frames in (case.sources, case.truth):
            assert torch.equal(render(scene, frames.cameras).rgb, frames.rgb)
        assert (len(case.sources), len(case.truth)) == (2, 1)
        assert MIN_KNOWN <= case.seen.mask.float().mean() <= MAX_KNOWN


def test_a_generator_is_asked_as_in_growth(
    witness: Eyewitness, seen_by_eyewitness: list[Answer], cases: list[Case]
):
    assert [seed for *_, seed in witness.calls] == [40, 41, 42]
    for (known, recall, units, _), case in zip(witness.calls, cases, strict=True):
        assert torch.equal(known.rgb, case.seen.rgb)
        assert recall is case.sources
        assert units == case.units
    assert all(answer.elapsed_s > 0 for answer in seen_by_eyewitness)


def test_the_truth_scores_perfectly(seen_by_eyewitness: list[Answer]):
    scores = scores_of(seen_by_eyewitness)
    assert scores.scenes == SCENES
    assert scores.psnr_known > 100.0
    assert scores.psnr_holes > 100.0
    assert scores.depth_known < 1e-6
    assert scores.frechet_holes == pytest.approx(0.0, abs=1e-6)
    assert scores.frechet_holes_filled > 0.01
    assert scores.psnr_holes_filled < 40.0


def test_the_nearest_fill_scores_as_the_baseline(cases: list[Case]):
    scores = scores_of(answered(cases, [nearest_filled(case.seen) for case in cases]))
    assert scores.psnr_known == scores.psnr_known_raw
    assert scores.depth_known == scores.depth_known_raw
    assert scores.psnr_holes == scores.psnr_holes_filled
    assert scores.frechet_holes == scores.frechet_holes_filled
    assert scores.ms_a_frame == 250.0


def test_scores_are_means_over_views(cases: list[Case]):
    # Off by 0.1 in colour where the cache knew and by 0.01 in the holes, by a factor 1.1 in depth.
    off = []
    for case in cases:
        rgb = case.truth.rgb + torch.where(case.seen.mask, 0.1, 0.01)
        off.append(dataclasses.replace(case.truth, rgb=rgb, depth=1.1 * case.truth.depth))
    scores = scores_of(answered(cases, off))
    assert scores.psnr_known == pytest.approx(20.0, abs=1e-3)
    assert scores.psnr_holes == pytest.approx(40.0, abs=1e-3)
    gaps, shares = [], []
    for case in cases:
        z, span, mask = case.truth.depth / case.units.scale, case.units.span, case.seen.mask
        gaps.append(float((encode(1.1 * z, span) - encode(z, span)).abs()[mask].mean()))
        shares.append(float(mask.float().mean()))
    assert scores.depth_known == pytest.approx(np.mean(gaps), rel=1e-4)
    assert scores.known_share == pytest.approx(np.mean(shares), rel=1e-5)


def test_features_do_not_see_what_was_known(cases: list[Case]):
    truth, known = [case.truth for case in cases], [case.seen.mask for case in cases]
    exact = hole_features([frames.rgb for frames in truth], known, truth)
    painted = [
        torch.where(mask, 1.0 - frames.rgb, frames.rgb) for mask, frames in zip(known, truth, strict=True)
    ]
    assert torch.equal(hole_features(painted, known, truth), exact)
    imagined = [
        torch.where(mask, frames.rgb, 1.0 - frames.rgb) for mask, frames in zip(known, truth, strict=True)
    ]
    assert not torch.equal(hole_features(imagined, known, truth), exact)


def test_features_are_taken_inside_holes_only(cases: list[Case]):
    case = cases[0]
    mask = torch.ones_like(case.seen.mask)
    mask[:, :16, :16] = False  # a quarter of the picture: 4 of the 4 x 4 places that are left of 32 x 32
    assert hole_features([case.truth.rgb], [mask], [case.truth]).shape == (4, 48)
