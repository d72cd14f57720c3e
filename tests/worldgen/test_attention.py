"""Attention through relative cameras, against a slow transcription in numpy and its invariances."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from render.cameras import Cameras
from tests.oracles.box_room import room_cameras
from tests.oracles.small_models import random_views, rigid_motion
from worldgen.model.attention import (
    MAX_DISTANCE,
    REFERENCE_GRID,
    ROPE_BASE,
    Codes,
    Views,
    applied,
    attend,
    codes_of,
    joined,
    projections,
    rope,
    rotated,
    views_of,
)
from worldgen.model.trunk import between_frames

GRID = (2, 3)
TOKENS, HEADS, HEAD_WIDTH = 6, 2, 16


def queries_keys_values(*, b: int, f: int, seed: int = 0) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(b, f, TOKENS, HEADS, HEAD_WIDTH, generator=rng) for _ in range(3)]


def codes(views: Views) -> Codes:
    return codes_of(views, reference=views.w2c[:, -1], grid=GRID, head_width=HEAD_WIDTH)


def attended(views: Views, qkv: list[Tensor], links: tuple[tuple[int, ...], ...]) -> Tensor:
    return between_frames(*qkv, codes=codes(views), links=links)


def moved(views: Views, motion: Tensor) -> Views:
    """The same views after a rigid motion of the world: E becomes E G^-1."""
    return dataclasses.replace(views, w2c=views.w2c @ torch.linalg.inv(motion.to(views.w2c)))


# The slow oracle: one query and one key at a time, with 4 x 4 matrices and rotations spelled out.


def slow_projection(w2c: np.ndarray, lens: np.ndarray) -> np.ndarray:
    """P = K E; ``lens`` is fx / W, fy / H, cx / W - 0.5, cy / H - 0.5."""
    K = np.eye(4)
    K[0, 0], K[1, 1], K[0, 2], K[1, 2] = lens
    return K @ w2c


def slow_angles(token: int) -> np.ndarray:
    """Rotary angles of the pairs of the second half of a head: those of x, then those of y."""
    row, column = divmod(token, GRID[1])
    x, y = (column + 0.5) * REFERENCE_GRID / GRID[1], (row + 0.5) * REFERENCE_GRID / GRID[0]
    pairs = HEAD_WIDTH // 8
    frequencies = np.array([ROPE_BASE ** (-i / pairs) for i in range(pairs)])
    return np.concatenate([x * frequencies, y * frequencies])


def slow_matrix(projection: np.ndarray, token: int) -> np.ndarray:
    """What a token's position does to a whole head, as one matrix: A_q A_k^-1 is the relative one."""
    matrix = np.zeros((HEAD_WIDTH, HEAD_WIDTH))
    half = HEAD_WIDTH // 2
    for start in range(0, half, 4):
        matrix[start : start + 4, start : start + 4] = projection
    pairs = HEAD_WIDTH // 8
    for i, angle in enumerate(slow_angles(token)):
        first = half + i if i < pairs else half + i + pairs
        second = first + pairs
        matrix[first, first] = matrix[second, second] = math.cos(angle)
        matrix[first, second], matrix[second, first] = math.sin(angle), -math.sin(angle)
    return matrix


def slow_attention(views: Views, qkv: list[Tensor], links: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Scores q^T A_q A_k^-1 k, outputs the weighted A_q A_k^-1 v; batch 0 only."""
    q, k, v = (x[0].double().numpy() for x in qkv)
    w2c, lens = views.w2c[0].double().numpy(), views.K_norm[0].double().numpy()
    out = np.zeros_like(q)
    for i, linked in enumerate(links):
        for s in range(TOKENS):
            into = slow_matrix(slow_projection(w2c[i], lens[i]), s)
            seen = [(j, m) for j in (i, *linked) for m in range(TOKENS)]
            relative = [
                into @ np.linalg.inv(slow_matrix(slow_projection(w2c[j], lens[j]), m)) for j, m in seen
            ]
            for head in range(HEADS):
                scores = [
                    q[i, s, head] @ r @ k[j, m, head] / math.sqrt(HEAD_WIDTH)
                    for (j, m), r in zip(seen, relative, strict=True)
                ]
                weights = np.exp(scores - np.max(scores))
                weights /= weights.sum()
                out[i, s, head] = sum(
                    w * r @ v[j, m, head] for w, (j, m), r in zip(weights, seen, relative, strict=True)
                )
    return out


def test_attention_between_frames_matches_the_slow_transcription():
    views, qkv = random_views(b=1, f=3, seed=3), queries_keys_values(b=1, f=3)
    links = ((), (0,), (0, 1))
    found = attended(views, qkv, links)[0].double().numpy()
    np.testing.assert_allclose(found, slow_attention(views, qkv, links), atol=1e-4)


def test_scores_depend_on_the_relative_projection_only():
    views, (q, k, _) = random_views(b=1, f=2, seed=5), queries_keys_values(b=1, f=2)
    c = codes(views)
    left = applied(q, c.into.mT, cos=c.cos, sin=c.sin)[0, 0].double()
    right = applied(k, c.out_of, cos=c.cos, sin=c.sin)[0, 1].double()
    found = torch.einsum("snc,mnc->nsm", left, right).numpy()
    P = [
        slow_projection(views.w2c[0, i].double().numpy(), views.K_norm[0, i].double().numpy()) for i in (0, 1)
    ]
    relative = P[0] @ np.linalg.inv(P[1])
    for s, m, n in [(0, 0, 0), (1, 4, 1), (5, 2, 0)]:
        query, key = q[0, 0, s, n].double().numpy(), k[0, 1, m, n].double().numpy()
        camera = sum(query[g : g + 4] @ relative @ key[g : g + 4] for g in (0, 4))
        plane = query @ slow_matrix(np.zeros((4, 4)), s) @ slow_matrix(np.zeros((4, 4)), m).T @ key
        assert found[n, s, m] == pytest.approx(camera + plane, abs=1e-4)


@pytest.mark.parametrize("distance", [0.0, 3.0, 1000.0])
def test_moving_the_world_changes_nothing(distance: float):
    views, qkv = random_views(b=2, f=3, seed=7, dtype=torch.float64), queries_keys_values(b=2, f=3)
    links = ((), (0,), (0, 1))
    there = moved(views, rigid_motion(seed=1, distance=distance, dtype=torch.float64))
    difference = attended(there, qkv, links) - attended(views, qkv, links)
    assert difference.abs().max() < 1e-4


def test_moving_the_world_changes_nothing_in_single_precision():
    # At 8 units from the origin float32 places a camera to 5e-7; at 1000 units only to 6e-5, times the
    # factors of PRoPE, which is why cameras that far away come in double precision above.
    views, qkv = random_views(b=1, f=3, seed=7), queries_keys_values(b=1, f=3)
    there = moved(views, rigid_motion(seed=1, distance=8.0))
    difference = attended(there, qkv, ((), (0,), (0, 1))) - attended(views, qkv, ((), (0,), (0, 1)))
    assert difference.abs().max() < 1e-4


def test_stale_keys_do_not_survive_a_move_of_the_world():
    # The negative control of the test above: keys transformed before the move, queries after it.
    views, (q, k, _) = random_views(b=1, f=2, seed=7), queries_keys_values(b=1, f=2)
    there = moved(views, rigid_motion(seed=1, distance=3.0))
    origin = torch.eye(4)[None]
    before, after = (codes_of(v, reference=origin, grid=GRID, head_width=HEAD_WIDTH) for v in (views, there))
    right = applied(k, before.out_of, cos=before.cos, sin=before.sin)
    scores = [
        torch.einsum("snc,mnc->nsm", applied(q, c.into.mT, cos=c.cos, sin=c.sin)[0, 1], right[0, 0])
        for c in (before, after)
    ]
    assert (scores[0] - scores[1]).abs().max() > 1.0


def test_one_camera_for_all_frames_leaves_plain_attention_and_rotary_positions():
    views, (q, k, v) = random_views(b=1, f=1, seed=2), queries_keys_values(b=1, f=2)
    same = Views(w2c=views.w2c.expand(1, 2, 4, 4), K_norm=views.K_norm.expand(1, 2, 4))
    found = attended(same, [q, k, v], ((), (0,)))[0, 1]
    cos, sin = rope(GRID, channels=HEAD_WIDTH // 2, device=torch.device("cpu"))
    turned = [torch.cat([x[..., :8], rotated(x[..., 8:], cos, sin)], dim=-1) for x in (q, k, v)]
    keys, values = (torch.cat([x[:, 1], x[:, 0]], dim=1) for x in turned[1:])
    plain = torch.nn.functional.scaled_dot_product_attention(
        *(x.transpose(1, 2) for x in (turned[0][:, 1], keys, values))
    ).transpose(1, 2)
    expected = torch.cat([plain[..., :8], rotated(plain[:, None, ..., 8:], cos, -sin)[:, 0]], dim=-1)
    torch.testing.assert_close(found, expected[0], atol=1e-5, rtol=0)


def lens(*, fx: float = 52.0, width: int = 60, cx: float = 27.3) -> Cameras:
    """The room's cameras with another lens on the last one's axis x."""
    cameras = room_cameras()
    K = cameras.K.clone()
    K[:, 0, 0], K[:, 0, 2] = fx, cx
    return Cameras(c2w=cameras.c2w, K=K, width=width, height=44)


def test_doubling_focal_length_width_and_centre_together_changes_nothing():
    qkv, links = queries_keys_values(b=1, f=3), ((), (0,), (0, 1))
    once = attended(views_of(lens(), scale=1.3), qkv, links)
    twice = attended(views_of(lens(fx=104.0, width=120, cx=54.6), scale=1.3), qkv, links)
    torch.testing.assert_close(twice, once, atol=1e-5, rtol=0)


def test_doubling_the_focal_length_of_one_camera_alone_changes_its_answer():
    cameras, qkv, links = lens(), queries_keys_values(b=1, f=3), ((), (0,), (0, 1))
    K = cameras.K.clone()
    K[2, 0, 0] *= 2.0
    once, twice = (
        attended(views_of(c, scale=1.3), qkv, links) for c in (cameras, dataclasses.replace(cameras, K=K))
    )
    assert (once[:, 2] - twice[:, 2]).abs().max() > 0.05
    torch.testing.assert_close(once[:, 1], twice[:, 1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_the_closed_form_inverse_is_the_inverse(seed: int):
    views = random_views(b=2, f=3, seed=seed)
    into, out_of = projections(views, reference=views.w2c[:, 1])
    torch.testing.assert_close(out_of, torch.linalg.inv(into.double()).float(), atol=1e-5, rtol=1e-5)


def test_projections_are_relative_to_the_reference_camera():
    views = random_views(b=2, f=3, seed=4, dtype=torch.float64)
    into, _ = projections(views, reference=views.w2c[:, 2])
    for b, f in [(0, 0), (1, 1), (1, 2)]:
        relative = views.w2c[b, f].numpy() @ np.linalg.inv(views.w2c[b, 2].numpy())
        expected = slow_projection(relative, views.K_norm[b, f].numpy())
        np.testing.assert_allclose(into[b, f].numpy(), expected, atol=1e-5)


def test_a_camera_too_far_away_is_drawn_in_along_its_direction():
    w2c = torch.eye(4).repeat(1, 3, 1, 1)
    w2c[0, 0, :3, 3] = torch.tensor([30.0, 0.0, 40.0])
    w2c[0, 1, :3, 3] = torch.tensor([0.0, 0.0, 0.9 * MAX_DISTANCE])
    plain = torch.tensor([1.0, 1.0, 0.0, 0.0]).repeat(1, 3, 1)
    into, out_of = projections(Views(w2c=w2c, K_norm=plain), reference=w2c[:, 2])
    torch.testing.assert_close(into[0, 0, :3, 3], torch.tensor([0.6, 0.0, 0.8]) * MAX_DISTANCE)
    torch.testing.assert_close(into[0, 1, :3, 3], w2c[0, 1, :3, 3])
    torch.testing.assert_close(into @ out_of, torch.eye(4).repeat(1, 3, 1, 1))


def test_views_hold_normalised_lenses_and_positions_in_scene_units():
    cameras = room_cameras()
    views = views_of(cameras, scale=2.5)
    expected = torch.linalg.inv(cameras.c2w)
    torch.testing.assert_close(views.w2c[0, :, :3, :3], expected[:, :3, :3])
    torch.testing.assert_close(views.w2c[0, :, :3, 3], expected[:, :3, 3] / 2.5)
    torch.testing.assert_close(
        views.K_norm[0, 1], torch.tensor([61.0 / 60, 47.0 / 44, 27.3 / 60 - 0.5, 24.1 / 44 - 0.5])
    )


def test_one_scale_for_pose_and_scene_unit_cancels():
    cameras = room_cameras()
    c2w = cameras.c2w.clone()
    c2w[:, :3, 3] *= 4.0
    once, twice = views_of(cameras, scale=1.0), views_of(dataclasses.replace(cameras, c2w=c2w), scale=4.0)
    torch.testing.assert_close(once.w2c, twice.w2c)


def test_joined_parts_are_the_whole():
    views = random_views(b=2, f=5, seed=1)
    whole = joined([views[:2], views[[2]], views[3:]])
    assert torch.equal(whole.w2c, views.w2c)
    assert torch.equal(whole.K_norm, views.K_norm)


@given(columns=st.integers(1, 3), rows=st.integers(1, 3), seed=st.integers(0, 100))
def test_rotary_scores_depend_on_the_shift_between_tokens_only(columns: int, rows: int, seed: int):
    height, width, channels = 7, 8, 16
    cos, sin = rope((height, width), channels=channels, device=torch.device("cpu"))
    rng = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, channels, generator=rng)

    def score(of: tuple[int, int], at: tuple[int, int]) -> float:
        a, b = (row * width + column for row, column in (of, at))
        tokens = torch.zeros(1, 1, height * width, 1, channels)
        tokens[0, 0, :, 0] = query
        left = rotated(tokens, cos, sin)[0, 0, a, 0]
        tokens[0, 0, :, 0] = key
        return float(left @ rotated(tokens, cos, sin)[0, 0, b, 0])

    shifted = (3 + rows, 4 + columns)
    assert score((1, 2), (3, 4)) == pytest.approx(score((1 + rows, 2 + columns), shifted), abs=1e-4)


def test_rotating_back_undoes_a_rotation():
    x = torch.randn(1, 2, TOKENS, HEADS, 8, generator=torch.Generator().manual_seed(0))
    cos, sin = rope(GRID, channels=8, device=torch.device("cpu"))
    assert (rotated(x, cos, sin) - x).abs().max() > 0.1
    torch.testing.assert_close(rotated(rotated(x, cos, sin), cos, -sin), x)


def test_rotary_positions_are_those_of_one_picture_at_any_resolution():
    # Two tokens of a fine grid lie on either side of the centre of a token of a grid half as fine.
    coarse, fine = (rope((1, width), channels=8, device=torch.device("cpu")) for width in (4, 8))
    angles = [torch.atan2(sin[:, 2], cos[:, 2]) for cos, sin in (coarse, fine)]  # the fastest pair of x
    slow = [torch.atan2(sin[:, 3], cos[:, 3]) for cos, sin in (coarse, fine)]
    assert angles[0].shape == (4,)
    torch.testing.assert_close(slow[0], slow[1].view(4, 2).mean(dim=1))


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_attend_is_the_attention_of_the_papers(mode: type):
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, length, HEADS, HEAD_WIDTH, generator=rng) for length in (5, 9, 9))
    weights = torch.softmax(torch.einsum("bsnc,bmnc->bnsm", q, k) / math.sqrt(HEAD_WIDTH), dim=-1)
    expected = torch.einsum("bnsm,bmnc->bsnc", weights, v)
    with mode():
        torch.testing.assert_close(attend(q, k, v), expected, atol=1e-5, rtol=1e-5)
