"""What viser is given to draw, against scipy's rotations and viser's own test for what it skips."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reconstruct import levels
from render.gaussians import Gaussians, sh_from_rgb
from viewer.clouds import (
    BLUR,
    FOCAL_PX,
    SKIP_BELOW,
    Cloud,
    cloud_from_gaussians,
    covariances_seen_from,
    next_reach,
    packed,
    reach_needed,
    thinned,
)


def splats(n: int = 200, *, widest: float = 0.01) -> Gaussians:
    """Slivers and specks of every orientation and opacity."""
    random = torch.Generator().manual_seed(7)
    return Gaussians(
        means=torch.randn(n, 3, generator=random),
        quats=torch.nn.functional.normalize(torch.randn(n, 4, generator=random), dim=1),
        log_scales=(widest * torch.rand(n, 3, generator=random) + 1e-6).log(),
        logit_opacities=torch.linspace(-3.5, 6.0, n),
        sh=sh_from_rgb(torch.rand(n, 3, generator=random)),
    )


def drawn(cloud: Cloud, covariances: np.ndarray, *, distance: float) -> np.ndarray:
    """Viser's test, spelled out for one splat after another, each seen off the axis from ``distance``."""
    turn = Rotation.from_euler("YXZ", [20, -35, 50], degrees=True).as_matrix()
    verdicts = []
    for covariance, opacity in zip(covariances.astype(np.float16), cloud.opacities[:, 0], strict=True):
        x, y, z = 0.2 * distance, -0.1 * distance, distance
        jacobian = FOCAL_PX * np.array([[1 / z, 0, -x / z**2], [0, 1 / z, -y / z**2]]) @ turn
        on_screen = jacobian @ covariance.astype(np.float64) @ jacobian.T + BLUR * np.eye(2)
        verdicts.append(opacity / 255 * np.linalg.det(on_screen) >= SKIP_BELOW)
    return np.array(verdicts)


def test_covariances_are_scipys():
    gaussians = splats()
    axes = Rotation.from_quat(gaussians.quats, scalar_first=True).as_matrix()
    expected = axes @ (np.eye(3) * gaussians.scales.numpy()[:, None] ** 2) @ axes.transpose(0, 2, 1)
    np.testing.assert_allclose(cloud_from_gaussians(gaussians).covariances, expected, atol=1e-9)


def test_colours_and_opacities_become_bytes():
    gaussians = splats()
    cloud = cloud_from_gaussians(gaussians)
    np.testing.assert_allclose(cloud.rgbs / 255, gaussians.base_rgb, atol=0.51 / 255)
    np.testing.assert_allclose(cloud.opacities[:, 0] / 255, gaussians.opacities, atol=0.51 / 255)


def test_every_splat_is_drawn_from_as_far_as_promised():
    cloud = cloud_from_gaussians(splats())
    reach = 40.0
    assert not drawn(cloud, cloud.covariances, distance=reach).any()
    assert drawn(cloud, covariances_seen_from(cloud, reach=reach), distance=reach).all()


def test_splats_are_not_widened_more_than_they_must():
    cloud = cloud_from_gaussians(splats(widest=1e-5))
    assert not drawn(cloud, covariances_seen_from(cloud, reach=40.0), distance=44.0).any()


def test_wide_splats_keep_their_shape():
    cloud = cloud_from_gaussians(splats(widest=5.0))
    wider = covariances_seen_from(cloud, reach=4.0)
    np.testing.assert_allclose(wider, cloud.covariances, atol=3e-4)  # (3 px at a reach of 4)^2


def test_reach_counts_only_how_far_outside_a_visitor_is():
    low, high = np.array([-1.0, -1, -1]), np.array([1.0, 2, 3])
    assert reach_needed(np.array([[0.5, 1, -0.5]]), low=low, high=high) == 0.0
    assert reach_needed(np.array([[0.0, 0, 0], [0, 0, 5.0]]), low=low, high=high) == pytest.approx(4.0)
    diagonal = np.linalg.norm(high - low)
    assert reach_needed(np.array([[101.0, 0, 0]]), low=low, high=high) == pytest.approx(100 + diagonal)


@pytest.mark.parametrize("needed", [0.0, 0.5, 3.9, 4.1, 7.9, 8.1, 1000.0])
@pytest.mark.parametrize("reach", [4.0, 8.0, 64.0])
def test_reach_follows_the_need_and_then_rests(reach: float, needed: float):
    new = next_reach(reach, needed=needed, least=4.0)
    assert new >= max(needed, 4.0)
    assert new == 4.0 or new <= 4.0 * needed
    assert next_reach(new, needed=needed, least=4.0) == new


def test_small_clouds_share_one_and_none_is_lost():
    cloud = cloud_from_gaussians(splats(100))
    parts = [cloud[a:b] for a, b in ((0, 10), (10, 10), (10, 35), (35, 90), (90, 100))]
    joined = packed(parts, least=30)
    assert [len(part) for part in joined] == [35, 55, 10]
    np.testing.assert_array_equal(np.concatenate([part.centers for part in joined]), cloud.centers)


def test_thinning_merges_as_levels_do():
    """Flat splats, of which the two ways to say what a splat covers agree, in colours that are bytes."""
    gaussians = splats(5_000)
    gaussians.log_scales[:, 0] = -14.0
    gaussians = dataclasses.replace(
        gaussians,
        sh=sh_from_rgb((gaussians.base_rgb * 255).round() / 255),
        logit_opacities=torch.logit(((gaussians.opacities * 255).round() / 255).clamp(max=254 / 255)),
    )
    few = thinned(cloud_from_gaussians(gaussians, torch.linspace(0.0, 1.0, 5_000)), one_in=4)
    expected = cloud_from_gaussians(levels.thinned(gaussians, 1_250))
    np.testing.assert_allclose(few.centers, expected.centers, atol=1e-4)
    widths = [np.trace(cloud.covariances, axis1=1, axis2=2) ** 0.5 for cloud in (few, expected)]
    np.testing.assert_allclose(*widths, rtol=0.02)
    assert np.abs(few.rgbs.astype(int) - expected.rgbs).mean() < 1.0
    assert 0.0 < few.confidence.min() < few.confidence.max() < 1.0
    np.testing.assert_allclose(np.linalg.norm(few.normals, axis=1), 1.0, atol=1e-5)


def test_what_is_thinned_is_the_same_every_time_and_trust_stays_whole():
    cloud = cloud_from_gaussians(splats(999))
    few, again = thinned(cloud, one_in=4), thinned(cloud, one_in=4)
    assert len(few) == 249
    np.testing.assert_array_equal(few.covariances, again.covariances)
    assert (few.confidence == 1.0).all(), "what was measured must not look imagined"
    assert len(thinned(cloud[:1], one_in=4)) == 1
    assert len(thinned(cloud[:0], one_in=4)) == 0
    assert thinned(cloud, one_in=1) is cloud


def test_two_that_are_far_apart_become_one_that_spans_both():
    cloud = cloud_from_gaussians(splats(2))
    (one,) = thinned(cloud, one_in=2).covariances
    apart = np.linalg.norm(cloud.centers[1] - cloud.centers[0])
    assert np.linalg.eigvalsh(one)[-1] ** 0.5 > 0.1 * apart
