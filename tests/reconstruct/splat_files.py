"""What tests of splat files share: splats that every format can hold, and who is who after a round trip."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from kornia.geometry.conversions import quaternion_to_rotation_matrix
from torch import Tensor

from reconstruct.formats import SplatFileWarning
from render.gaussians import Gaussians

FIELDS = [field.name for field in dataclasses.fields(Gaussians)]


def tame(gaussians: Gaussians) -> Gaussians:
    """The same splats with colours that no format has to clip."""
    return dataclasses.replace(gaussians, sh=(0.25 * gaussians.sh).clamp(-0.9, 0.9))


def matched(read: Gaussians, gaussians: Gaussians) -> Gaussians:
    """What was read, in the order of what was written; every splat once."""
    assert len(read) == len(gaussians)
    nearest = torch.cdist(gaussians.means.double(), read.means.double()).argmin(dim=1)
    assert len(nearest.unique()) == len(gaussians)
    return read[nearest]


def covariances(gaussians: Gaussians) -> Tensor:
    """Of every ellipsoid, relative to its largest variance; tells rotations, but not their signs."""
    axes = quaternion_to_rotation_matrix(gaussians.quats.double()) * gaussians.scales.double()[:, None]
    spread = axes @ axes.mT
    return spread / spread.flatten(1).abs().amax(dim=1)[:, None, None]


def degrees_apart(a: Gaussians, b: Gaussians) -> Tensor:
    """Angle between rotations; exact for small ones."""
    a_quats, b_quats = a.quats.double(), b.quats.double()
    b_quats = b_quats * (a_quats * b_quats).sum(dim=1, keepdim=True).sign()
    return (4.0 * ((a_quats - b_quats).norm(dim=1) / 2.0).asin()).rad2deg()


def assert_identical(a: Gaussians, b: Gaussians) -> None:
    for name in FIELDS:
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0)


def assert_sound(gaussians: Gaussians) -> None:
    """It may be shown."""
    assert len(gaussians) > 0
    for name in FIELDS:
        assert torch.isfinite(getattr(gaussians, name)).all(), name
    torch.testing.assert_close(gaussians.quats.norm(dim=1), torch.ones(len(gaussians)), atol=1e-5, rtol=0)


def told(read: Callable[[Path], Gaussians], path: Path) -> tuple[Gaussians, list[str]]:
    """What is read from a file, and what is said about it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gaussians = read(path)
    assert all(issubclass(warning.category, SplatFileWarning) for warning in caught)
    return gaussians, [str(warning.message) for warning in caught]
