"""The other ways of telling attention about cameras: CaPE, and absolute poses."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from tests.oracles.small_models import SMALL, random_views, rigid_motion
from worldgen.model.attention import CameraCode, Views, codes_of
from worldgen.model.rgbd import RGBDModel
from worldgen.model.trunk import between_frames

GRID = (2, 3)
TOKENS, HEADS, HEAD_WIDTH = 6, 2, 16
LINKS = ((), (0,), (0, 1))


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def attended(views: Views, cameras: CameraCode) -> Tensor:
    q, k, v = (drawn(1, 3, TOKENS, HEADS, HEAD_WIDTH, seed=i) for i in range(3))
    codes = codes_of(views, reference=views.w2c[:, -1], grid=GRID, head_width=HEAD_WIDTH, cameras=cameras)
    return between_frames(q, k, v, codes=codes, links=LINKS)


def moved(views: Views) -> Views:
    back = torch.linalg.inv(rigid_motion(seed=1, distance=5.0, dtype=torch.float64))
    return dataclasses.replace(views, w2c=views.w2c @ back)


def other_lens(views: Views) -> Views:
    """The first camera alone gets a longer focal length."""
    K_norm = views.K_norm.clone()
    K_norm[:, 0, :2] *= 2.0
    return dataclasses.replace(views, K_norm=K_norm)


def test_cape_takes_values_as_they_are_by_scores_of_relative_poses():
    views = random_views(b=1, f=3, seed=2, dtype=torch.float64)
    q, k, v = (drawn(1, 3, TOKENS, HEADS, HEAD_WIDTH, seed=i).double() for i in range(3))
    found = attended(views, "cape").double()
    codes = codes_of(views, reference=torch.eye(4)[None], grid=GRID, head_width=HEAD_WIDTH)
    pairs = HEAD_WIDTH // 8

    def turned(x: Tensor) -> Tensor:
        """Rotary angles of the second half, by complex numbers."""
        angles = torch.atan2(codes.sin, codes.cos).double()
        angles = torch.cat([angles[:, pairs : 2 * pairs], angles[:, 3 * pairs :]], dim=-1)
        first, second, third, fourth = x[..., HEAD_WIDTH // 2 :].chunk(4, dim=-1)
        z = torch.complex(torch.cat([first, third], dim=-1), torch.cat([second, fourth], dim=-1))
        return z * torch.exp(1j * angles)[:, None]

    for i in range(3):
        logits, values = [], []
        for j in (i, *LINKS[i]):
            relative = views.w2c[0, i] @ torch.linalg.inv(views.w2c[0, j])
            camera = sum(
                torch.einsum("snc,cd,mnd->nsm", q[0, i, ..., g : g + 4], relative, k[0, j, ..., g : g + 4])
                for g in (0, 4)
            )
            plane = torch.einsum("snc,mnc->nsm", turned(q[0, i]), turned(k[0, j]).conj()).real
            logits.append((camera + plane) / math.sqrt(HEAD_WIDTH))
            values.append(v[0, j])
        weights = torch.cat(logits, dim=-1).softmax(dim=-1)
        expected = torch.einsum("nsm,mnc->snc", weights, torch.cat(values))
        torch.testing.assert_close(found[0, i], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("cameras", ["prope", "cape"])
def test_relative_codes_do_not_feel_a_move_of_the_world(cameras: CameraCode):
    views = random_views(b=1, f=3, seed=2, dtype=torch.float64)
    difference = attended(moved(views), cameras) - attended(views, cameras)
    assert difference.abs().max() < 1e-4


def test_poses_the_wrong_way_round_feel_a_move_of_the_world():
    # The negative control of the test above: camera-to-world in place of world-to-camera.
    views = random_views(b=1, f=3, seed=2, dtype=torch.float64)
    here, there = (
        attended(dataclasses.replace(v, w2c=torch.linalg.inv(v.w2c)), "cape") for v in (views, moved(views))
    )
    assert (here - there).abs().max() > 0.05


def test_only_projections_feel_a_lens():
    views = random_views(b=1, f=3, seed=2)
    change = {
        cameras: float((attended(other_lens(views), cameras) - attended(views, cameras)).abs().max())
        for cameras in ("prope", "cape", "absolute")
    }
    assert change["prope"] > 0.05
    assert change["cape"] == change["absolute"] == 0.0


def test_attention_knows_no_camera_where_poses_are_absolute():
    assert torch.equal(*(attended(random_views(b=1, f=3, seed=seed), "absolute") for seed in (1, 2)))


def answer(cameras: CameraCode, views: Views) -> Tensor:
    torch.manual_seed(0)
    model = RGBDModel(dataclasses.replace(SMALL, cameras=cameras)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
        x, condition = drawn(1, 3, 4, 16, 24, seed=1), drawn(1, 3, 11, 16, 24, seed=2)
        return model(x, torch.full((1, 3), 0.5), condition=condition, views=views, links=LINKS)


def test_a_model_with_absolute_poses_feels_where_the_world_lies():
    views = random_views(b=1, f=3, seed=2, dtype=torch.float64)
    for cameras, is_felt in (("prope", False), ("cape", False), ("absolute", True)):
        change = (answer(cameras, moved(views)) - answer(cameras, views)).abs().max()
        assert (change > 1e-2) if is_felt else (change < 1e-4)


def test_an_unknown_code_is_refused():
    with pytest.raises(ValueError, match="prope, cape, absolute"):
        dataclasses.replace(SMALL, cameras="plucker")
