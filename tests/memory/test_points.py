"""Points as patches of surface."""

import pytest
import torch
from scipy.spatial import cKDTree

from memory.points import MOST_ACROSS, Points, spread


def patches(*halves: tuple[float, float]) -> Points:
    """Level patches of half-axes of these lengths, far from each other."""
    count = len(halves)
    axes = torch.zeros(count, 2, 3)
    for row, (u, v) in enumerate(halves):
        axes[row, 0, 0], axes[row, 1, 2] = u, v
    return Points(
        positions=torch.arange(3.0 * count).reshape(count, 3) * 10.0,
        rgb=torch.zeros(count, 3),
        normals=torch.tensor([[0.0, 1.0, 0.0]]).repeat(count, 1),
        confidence=torch.ones(count),
        axes=axes,
        source=torch.zeros(count, dtype=torch.int64),
    )


def test_large_patches_are_covered_and_small_ones_are_one_place():
    points = patches((0.01, 0.02), (0.3, 0.05), (0.2, 0.35))
    places = spread(points, spacing=0.1)
    assert places.shape == (1 + 6 * 1 + 4 * 7, 3)
    assert torch.equal(places[0], points.positions[0])
    generator = torch.Generator().manual_seed(0)
    for row in range(3):
        shares = 2.0 * torch.rand(500, 2, generator=generator) - 1.0
        anywhere = points.positions[row] + shares @ points.axes[row]
        apart, _ = cKDTree(places.numpy()).query(anywhere.numpy())
        assert apart.max() <= 0.5 * 0.1 * 2**0.5 + 1e-5, "half a diagonal of what is between four places"


def test_what_lies_on_a_patch_stays_on_it():
    points = patches((0.3, 0.3))
    offsets = spread(points, spacing=0.1) - points.positions
    assert offsets.abs().amax(dim=0).tolist() == pytest.approx([0.25, 0.0, 0.25])
    torch.testing.assert_close(offsets.mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0)


def test_a_patch_as_large_as_the_sky_has_a_bounded_number_of_places():
    assert len(spread(patches((1e6, 1e6)), spacing=1e-3)) == MOST_ACROSS**2


def test_nothing_is_spread_to_nothing():
    assert spread(patches((1.0, 1.0))[:0], spacing=0.1).shape == (0, 3)
