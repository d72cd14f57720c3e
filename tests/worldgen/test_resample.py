"""From a cache render to the picture that a prediction starts from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from worldgen.resample import STEEPEST_ALONE, push_pull, recentred


def scattered(
    function, *, h: int = 14, w: int = 18, share: float = 1.0, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A function of (x, y) seen by points off the pixel centres: values, known, offsets, truth there."""
    rng = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    offset = torch.rand(1, 2, h, w, generator=rng) - 0.5
    known = (torch.rand(1, 1, h, w, generator=rng) < share).float()
    values = function(x + offset[:, :1], y + offset[:, 1:]) * known
    return values, known, offset * known, function(x, y)[None, None] * torch.ones_like(known)


def test_a_slanted_plane_comes_back_to_the_pixel_centres():
    values, known, offset, truth = scattered(lambda x, y: 0.05 * x - 0.03 * y)
    before, after = ((image - truth).abs() for image in (values, recentred(values, known, offset)))
    inside = (..., slice(2, -2), slice(2, -2))
    assert before[inside].mean() > 0.01
    # Where two points nearly coincide their slope is not trusted: most come back, not all.
    assert after[inside].median() < 5e-4
    assert after.mean() < 0.2 * before.mean()


@pytest.mark.parametrize("size", [2, 3])
def test_a_plane_near_the_camera_comes_back_though_a_point_covers_several_pixels(size: int):
    h, w = 24, 30
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    rng = torch.Generator().manual_seed(3)
    row, column = y // size, x // size
    jitter = 0.4 * torch.rand(2, h // size, w // size, generator=rng)
    offset = torch.stack(
        [
            (column + 0.3 + jitter[0, row, column]) * size - (x + 0.5),
            (row + 0.3 + jitter[1, row, column]) * size - (y + 0.5),
        ]
    )[None]
    truth = (0.05 * (x + 0.5) - 0.03 * (y + 0.5))[None, None]
    values = truth + 0.05 * offset[:, :1] - 0.03 * offset[:, 1:]
    out = recentred(values, torch.ones_like(values), offset)
    inside = (..., slice(2 * size, -2 * size), slice(2 * size, -2 * size))
    assert (values - truth)[inside].abs().mean() > 0.02
    torch.testing.assert_close(out[inside], truth[inside], atol=5e-3, rtol=0.0)


def test_a_smooth_picture_with_holes_gets_nearer_to_the_truth():
    values, known, offset, truth = scattered(lambda x, y: torch.sin(0.4 * x) * torch.cos(0.3 * y), share=0.8)
    seen = known.bool()
    before, after = (
        (image - truth)[seen].abs().mean() for image in (values, recentred(values, known, offset))
    )
    assert after < 0.35 * before


def test_nothing_is_smoothed_over_an_edge_and_nothing_overshoots():
    values, known, offset, truth = scattered(lambda x, y: (x > 9.0).float() + 0.0 * y)
    out = recentred(values, known, offset)
    assert torch.equal(out, values)
    assert (out - truth).abs().mean() <= (values - truth).abs().mean()


def test_points_at_the_centres_and_unknown_pixels_stay_as_they_are():
    rng = torch.Generator().manual_seed(2)
    values = torch.randn(2, 3, 9, 11, generator=rng)
    known = (torch.rand(2, 1, 9, 11, generator=rng) < 0.6).float()
    offset = torch.rand(2, 2, 9, 11, generator=rng) - 0.5
    assert torch.equal(recentred(values, known, torch.zeros_like(offset)), values)
    moved = recentred(values, known, offset)
    hidden = (known == 0).expand_as(values)
    assert torch.equal(moved[hidden], values[hidden])
    assert not torch.equal(moved[~hidden], values[~hidden])


def test_one_neighbour_alone_is_trusted_only_with_a_gentle_slope():
    values = torch.tensor([[[[0.0, 10.0, 0.0, 0.0]]]])
    known = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    offset = torch.zeros(1, 2, 1, 4)
    offset[0, 0, 0, :2] = 0.5
    out = recentred(values, known, offset)
    torch.testing.assert_close(out[0, 0, 0, :2], torch.tensor([0.0, 10.0]) - 0.5 * STEEPEST_ALONE)


def slow_fill(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Push-pull in loops: halve by averaging what is known, fill the half, enlarge it into the holes."""
    h, w = values.shape
    if (h, w) == (1, 1):
        return np.where(known, values, 0.0)
    half = np.zeros((-(-h // 2), -(-w // 2)))
    some = np.zeros(half.shape, bool)
    for i, j in np.ndindex(*half.shape):
        block = np.s_[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        some[i, j] = known[block].any()
        half[i, j] = values[block][known[block]].mean() if some[i, j] else 0.0
    half = slow_fill(half, some)
    out = values.copy()
    for i, j in zip(*np.nonzero(~known), strict=True):
        y = np.clip((i + 0.5) * half.shape[0] / h - 0.5, 0, half.shape[0] - 1)
        x = np.clip((j + 0.5) * half.shape[1] / w - 0.5, 0, half.shape[1] - 1)
        rows, columns = (
            (int(y), min(int(y) + 1, half.shape[0] - 1)),
            (int(x), min(int(x) + 1, half.shape[1] - 1)),
        )
        top, bottom = ((1 - x % 1) * half[r, columns[0]] + x % 1 * half[r, columns[1]] for r in rows)
        out[i, j] = (1 - y % 1) * top + y % 1 * bottom
    return out


@pytest.mark.parametrize(("h", "w", "share"), [(8, 8, 0.5), (9, 14, 0.1), (1, 5, 0.4), (16, 24, 0.02)])
def test_holes_are_filled_as_by_the_slow_push_pull(h: int, w: int, share: float):
    rng = torch.Generator().manual_seed(h)
    values, weight = torch.randn(3, 2, h, w, generator=rng), (torch.rand(3, 1, h, w, generator=rng) < share)
    weight[0, 0, 0, 0] = True
    found = push_pull(values, weight.float())
    for n, c in np.ndindex(3, 2):
        expected = slow_fill(values[n, c].double().numpy(), weight[n, 0].numpy())
        np.testing.assert_allclose(found[n, c].numpy(), expected, atol=1e-5)


def test_known_pixels_keep_their_values_and_holes_stay_within_them():
    values = torch.rand(2, 3, 13, 10, generator=torch.Generator().manual_seed(0))
    weight = (torch.rand(2, 1, 13, 10, generator=torch.Generator().manual_seed(1)) < 0.2).float()
    out, known = push_pull(values, weight), weight.bool().expand(-1, 3, -1, -1)
    assert torch.equal(out[known], values[known])
    assert out.amin() >= values[known].amin() - 1e-6
    assert out.amax() <= values[known].amax() + 1e-6
