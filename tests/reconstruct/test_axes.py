"""Turns of splats, against what gsplat's harmonics and their ellipsoids show once everything is turned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reconstruct.formats.axes import half_turned, moved
from render.gaussians import Gaussians
from tests.oracles import gsplat_reference
from tests.reconstruct.splat_files import FIELDS, assert_identical, covariances

HALF_TURN = np.diag([1.0, -1.0, -1.0, 1.0])


def similarity(scale: float = 2.5) -> np.ndarray:
    """A turn about no axis of the world, a scale and a move."""
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_euler("xyz", [0.4, -1.1, 2.3]).as_matrix()
    matrix[:3, 3] = [3.0, -0.5, 7.0]
    return matrix


def assert_shows_the_same(turned: Gaussians, gaussians: Gaussians, b_from_a: np.ndarray) -> None:
    """Whoever looks at both from the same side sees the same."""
    matrix = torch.from_numpy(b_from_a).float()
    means = gaussians.means @ matrix[:3, :3].T + matrix[:3, 3]
    torch.testing.assert_close(turned.means, means, atol=1e-5, rtol=1e-5)
    turn = matrix[:3, :3] / torch.linalg.det(matrix[:3, :3]) ** (1 / 3)
    seen = turn.double() @ covariances(gaussians) @ turn.double().T
    expected = covariances(turned)
    torch.testing.assert_close(
        expected / expected.flatten(1).norm(dim=1)[:, None, None],
        seen / seen.flatten(1).norm(dim=1)[:, None, None],
        atol=1e-5,
        rtol=0,
    )
    directions = torch.nn.functional.normalize(
        torch.randn(len(gaussians), 3, generator=torch.Generator().manual_seed(1)), dim=1
    )
    torch.testing.assert_close(
        gsplat_reference.sh_colours(turned.sh, directions @ turn.T),
        gsplat_reference.sh_colours(gaussians.sh, directions),
        atol=1e-5,
        rtol=0,
    )


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_half_a_turn_shows_the_same(make_gaussians, degree: int):
    gaussians = make_gaussians(50, degree=degree)
    assert_shows_the_same(half_turned(gaussians), gaussians, HALF_TURN)
    assert_identical(half_turned(half_turned(gaussians)), gaussians)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_move_shows_the_same(make_gaussians, degree: int):
    gaussians = make_gaussians(50, degree=degree)
    there = moved(gaussians, similarity())
    assert_shows_the_same(there, gaussians, similarity())
    torch.testing.assert_close(there.scales, 2.5 * gaussians.scales)
    back = moved(there, np.linalg.inv(similarity()))
    for name in set(FIELDS) - {"quats"}:
        torch.testing.assert_close(getattr(back, name), getattr(gaussians, name), atol=1e-4, rtol=0)
    torch.testing.assert_close(covariances(back), covariances(gaussians), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.diag([1.0, 1.0, 2.0, 1.0]), "stretches"),
        (np.diag([-1.0, 1.0, 1.0, 1.0]), "mirrors"),
        (np.diag([0.0, 0.0, 0.0, 1.0]), "nowhere"),
        (np.diag([np.nan, 1.0, 1.0, 1.0]), "nowhere"),
        (np.diag([1e13, 1e13, 1e13, 1.0]), "far away"),
        (np.eye(4) + np.outer([0.5, 0, 0, 0], [0, 1, 0, 0]), "stretches"),
    ],
)
def test_what_no_splat_survives_is_refused(make_gaussians, matrix: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        moved(make_gaussians(3, degree=1), matrix)
