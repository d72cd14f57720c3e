""".splat: the published layout, and what may be wrong with bytes that have no header."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from reconstruct.formats.splat import RECORD, read_splat, write_splat
from tests.reconstruct.splat_files import assert_identical, assert_sound, told


def changed(file: Path, column: str, value: object, rows: slice) -> None:
    """Write a value into some rows of a file."""
    records = np.fromfile(file, RECORD)
    records[column][rows] = value
    records.tofile(file)


def test_the_layout_is_the_published_one(tmp_path: Path, make_gaussians):
    gaussians = make_gaussians(1, degree=1)
    write_splat(gaussians, tmp_path / "a.splat")
    row = struct.unpack("<6f8B", (tmp_path / "a.splat").read_bytes())
    np.testing.assert_array_equal(row[:3], gaussians.means[0])
    np.testing.assert_allclose(row[3:6], gaussians.scales[0], rtol=1e-6)
    np.testing.assert_allclose(row[6:9], 255.0 * gaussians.base_rgb[0], atol=0.51)
    np.testing.assert_allclose(row[9], 255.0 * gaussians.opacities[0], atol=0.51)
    np.testing.assert_allclose((np.array(row[10:]) - 128) / 128, gaussians.quats[0], atol=0.01)


def test_what_is_most_visible_comes_first(tmp_path: Path, make_gaussians):
    write_splat(make_gaussians(100, degree=0), tmp_path / "a.splat")
    read = read_splat(tmp_path / "a.splat")
    seen = read.opacities * read.scales.prod(dim=1)
    assert (seen[1:] <= seen[:-1] * 1.01 + 1e-9).all()  # opacities are rounded


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("mean", np.nan),
        ("mean", np.inf),
        ("scale", np.nan),
        ("scale", np.inf),
        ("scale", -1.0),
        ("quat", 128),
    ],
)
def test_senseless_splats_are_left_out_and_told(tmp_path: Path, make_gaussians, column: str, value: float):
    file = tmp_path / "a.splat"
    write_splat(make_gaussians(9, degree=0), file)
    whole = read_splat(file)
    changed(file, column, value, slice(0, 4))
    read, messages = told(read_splat, file)
    assert_identical(read, whole[4:])
    assert len(messages) == 1
    assert "4 of 9 splats are left out" in messages[0]
    changed(file, column, value, slice(0, 9))
    with pytest.raises(ValueError, match=r"none of its 9 splats|no \.splat file"):
        read_splat(file)


def test_flat_splats_stay(tmp_path: Path, make_gaussians):
    file = tmp_path / "a.splat"
    write_splat(make_gaussians(9, degree=0), file)
    records = np.fromfile(file, RECORD)
    records["scale"][:, 2] = 0.0
    records.tofile(file)
    read = read_splat(file)
    assert_sound(read)
    torch.testing.assert_close(read.log_scales[:, 2], torch.full((9,), -40.0))


def test_less_than_one_splat_is_refused(tmp_path: Path):
    (tmp_path / "a.splat").write_bytes(bytes(31))
    with pytest.raises(ValueError, match="32 bytes a splat, but this one has 31"):
        read_splat(tmp_path / "a.splat")
