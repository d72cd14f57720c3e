"""Soundness: what every format asks of splats before they are written and after they were read.

Room: reconstruct; only the formats beside it import this. Files come from strangers: what can be saved of
them is saved and told as a warning, what cannot is a ValueError of one sentence.
"""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import BinaryIO

import torch
from jaxtyping import Bool
from torch import Tensor

from render.gaussians import Gaussians

MOST_BYTES = 4 << 30
"""Of splats as they lie in memory, 56 to 236 bytes each; files that hold more are refused before they are
read. While it reads, no format takes more than seven times what its splats do."""

SHORTEST = 1e-6
"""Quaternions shorter than this point nowhere."""

UNIT_TOLERANCE = 1e-6
"""Quaternions this close to unit length are left alone, so that our own files return bit for bit."""

COLUMNS = ("means", "quats", "log_scales", "logit_opacities", "sh")


class SplatFileWarning(UserWarning):
    """Something in a file of splats is left out or passed over."""


def opened(path: Path) -> BinaryIO:
    """The file, to be read.

    Raises:
        ValueError: if it is a folder, a pipe or a device.
        OSError: if it is missing or may not be read.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no file; name a file of splats")
    return path.open("rb")


def check_count(count: int, coefficients: int) -> None:
    """Refuse a number of splats that is none or too many, before anything is read for it.

    Args:
        count: splats that the file says it holds.
        coefficients: spherical harmonics of each, 1 to 16.

    Raises:
        ValueError: if there are none, or they would take more than ``MOST_BYTES``.
    """
    if count == 0:
        raise ValueError("it holds no splats")
    if needed := max(0, count * 4 * (11 + 3 * coefficients) - MOST_BYTES):
        raise ValueError(
            f"it says that it holds {count:,} splats, which are {needed / 2**30:.1f} GiB more than the "
            f"{MOST_BYTES >> 30} GiB that are read"
        )


def check_writable(gaussians: Gaussians) -> None:
    """Refuse what no format can hold.

    Raises:
        ValueError: if there are no splats, a number is NaN or infinite, or a rotation has length zero.
    """
    if len(gaussians) == 0:
        raise ValueError(
            "there are no splats to write, and other tools refuse empty files; grow a world first"
        )
    bad = {name: int((~torch.isfinite(getattr(gaussians, name))).sum()) for name in COLUMNS}
    if any(bad.values()):
        raise ValueError(
            f"{sum(bad.values())} numbers are NaN or infinite, most of them in "
            f"{max(bad, key=bad.__getitem__)}; remove those splats first"
        )
    if unturned := int((gaussians.quats.double().norm(dim=1) < SHORTEST).sum()):
        raise ValueError(f"rotations have length zero in {unturned:,} splats; remove those first")


def warn(path: Path, message: str) -> None:
    """Tell whoever reads a file what is odd about it."""
    warnings.warn(f"{path.name}: {message}", SplatFileWarning, stacklevel=3)


def warn_of_trailing(path: Path, count: int | str) -> None:
    """Tell that something follows the splats, and is passed over."""
    warn(path, f"{count} bytes follow the splats and are passed over; the file may be damaged")


def sound(gaussians: Gaussians, path: Path) -> Gaussians:
    """The splats that make sense, their quaternions of unit length; what is left out is told as one warning.

    Raises:
        ValueError: if nothing is left.
    """
    infinite, unturned = senseless(gaussians)
    keep = ~(infinite | unturned)
    _tell(int(infinite.sum()), int(unturned.sum()), count=len(gaussians), path=path)
    whole = of_unit_length(gaussians)
    return whole if keep.all() else whole[keep]


def senseless(gaussians: Gaussians) -> tuple[Bool[Tensor, " g"], Bool[Tensor, " g"]]:
    """Splats with numbers that are NaN or infinite, and others whose rotation has length zero."""
    finite = torch.ones(len(gaussians), dtype=torch.bool)
    for name in COLUMNS:
        finite &= torch.isfinite(getattr(gaussians, name)).reshape(len(gaussians), -1).all(dim=1)
    return ~finite, finite & (gaussians.quats.double().norm(dim=1) < SHORTEST)


def of_unit_length(gaussians: Gaussians) -> Gaussians:
    """The same splats with quaternions of unit length, where they have any."""
    length = gaussians.quats.double().norm(dim=1, keepdim=True)
    is_unit = (length - 1).abs() <= UNIT_TOLERANCE
    unit = (gaussians.quats / length.clamp_min(SHORTEST)).float()  # trainers store them at any length
    return dataclasses.replace(gaussians, quats=torch.where(is_unit, gaussians.quats, unit))


def _tell(infinite: int, unturned: int, *, count: int, path: Path) -> None:
    """Warn of what is left out, or refuse if that is everything."""
    why = f"numbers are NaN or infinite in {infinite:,}, rotations have length zero in {unturned:,}"
    if infinite + unturned == count:
        raise ValueError(f"none of its {count:,} splats makes sense: {why}")
    if infinite + unturned:
        warn(path, f"{infinite + unturned:,} of {count:,} splats are left out: {why}")
