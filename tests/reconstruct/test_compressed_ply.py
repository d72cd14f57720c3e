"""Compressed PLY: chunks, their bounds, and files that lie about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reconstruct.formats.compressed_ply import read_compressed_ply, write_compressed_ply
from reconstruct.formats.ply import write_ply
from render.gaussians import SH_C0
from tests.reconstruct.splat_files import assert_identical, assert_sound, matched, tame, told

BOUND = 4
"""Bytes of a bound of a chunk, 18 to a chunk."""


def parts(file: Path) -> tuple[bytes, bytes]:
    """Header and body."""
    header, body = file.read_bytes().split(b"end_header\n", 1)
    return header + b"end_header\n", body


def test_neighbours_share_a_chunk(tmp_path: Path, make_gaussians):
    gaussians = tame(make_gaussians(4000, degree=0))
    write_compressed_ply(gaussians, tmp_path / "a.compressed.ply")
    bounds = np.frombuffer(parts(tmp_path / "a.compressed.ply")[1], "<f4", 16 * 18).reshape(16, 18)
    extent = gaussians.means.amax(dim=0) - gaussians.means.amin(dim=0)
    volume = (bounds[:, 3:6] - bounds[:, :3]).prod(axis=1).mean()
    assert volume < 0.15 * float(extent.prod())  # in any order a chunk would span nearly all of it
    assert (tmp_path / "a.compressed.ply").stat().st_size < 17.5 * 4000
    read = matched(read_compressed_ply(tmp_path / "a.compressed.ply"), gaussians)
    largest = torch.from_numpy(bounds[:, 3:6] - bounds[:, :3]).amax(dim=0)
    assert ((read.means - gaussians.means).abs() <= largest / torch.tensor([4094, 2046, 4094]) + 1e-6).all()


def test_colours_without_bounds_are_read(tmp_path: Path, make_gaussians):
    file = tmp_path / "a.compressed.ply"
    write_compressed_ply(tame(make_gaussians(5, degree=0)), file)
    header, body = parts(file)
    for channel in "rgb":
        for end in ("min", "max"):
            header = header.replace(f"property float {end}_{channel}\n".encode(), b"")
    file.write_bytes(header + body[: 12 * BOUND] + body[18 * BOUND :])
    packed = np.frombuffer(body[18 * BOUND :], "<u4").reshape(5, 4)[:, 3]
    rgb = (packed[:, None] >> np.array([24, 16, 8]) & 255) / 255.0
    read = read_compressed_ply(file)
    np.testing.assert_allclose(read.sh[:, 0] * SH_C0 + 0.5, rgb, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_chunks_without_bounds_are_left_out_and_told(tmp_path: Path, make_gaussians, value: float):
    file = tmp_path / "a.compressed.ply"
    write_compressed_ply(tame(make_gaussians(300, degree=1)), file)
    whole = read_compressed_ply(file)
    header, body = parts(file)
    broken = np.frombuffer(body, np.uint8).copy()
    broken[18 * BOUND : 19 * BOUND] = np.frombuffer(np.float32(value).tobytes(), np.uint8)  # of 44 splats
    file.write_bytes(header + broken.tobytes())
    read, messages = told(read_compressed_ply, file)
    assert_identical(read, whole[:256])
    assert len(messages) == 1
    assert "44 of 300 splats are left out: numbers are NaN or infinite in 44" in messages[0]
    broken[:BOUND] = broken[18 * BOUND : 19 * BOUND]
    file.write_bytes(header + broken.tobytes())
    with pytest.raises(ValueError, match="none of its 300 splats"):
        read_compressed_ply(file)


def test_contradicting_rotations_become_rotations(tmp_path: Path, make_gaussians):
    file = tmp_path / "a.compressed.ply"
    write_compressed_ply(tame(make_gaussians(5, degree=0)), file)
    header, body = parts(file)
    table = np.frombuffer(body[18 * BOUND :], "<u4").reshape(5, 4).copy()
    table[:, 1] = [0, 0x3FFFFFFF, 0x7FFFFFFF, 0xBFFFFFFF, 0xFFFFFFFF]
    file.write_bytes(header + body[: 18 * BOUND] + table.tobytes())
    assert_sound(read_compressed_ply(file))


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "count beyond reason": (
        lambda ply: ply.replace(b"vertex 300", b"vertex 2147483648").replace(b"chunk 2", b"chunk 8388608"),
        "2,147,483,648 splats",
    ),
    "too few chunks": (lambda ply: ply.replace(b"chunk 2", b"chunk 1"), "contradict"),
    "too many chunks": (lambda ply: ply.replace(b"chunk 2", b"chunk 99999999"), "contradict"),
    "no splats": (lambda ply: ply.replace(b"vertex 300", b"vertex 0"), "no splats"),
    "more harmonics": (lambda ply: ply.replace(b"element sh 300", b"element sh 301"), "contradict"),
    "one byte short": (lambda ply: ply[:-1], "cut short"),
    "no vertices": (lambda ply: ply.replace(b"element vertex", b"element vortex"), "chunk, vertex"),
    "a fourth table": (lambda ply: ply.replace(b"end_h", b"element face 3\nend_h"), "chunk, vertex"),
    "double bounds": (lambda ply: ply.replace(b"float min_x", b"double min_x"), "float bounds"),
    "other bounds": (lambda ply: ply.replace(b"max_z", b"max_w"), "float bounds"),
    "floats": (lambda ply: ply.replace(b"uint packed_scale", b"float packed_scale"), "each a uint"),
    "odd harmonics": (lambda ply: ply.replace(b"property uchar f_rest_8\n", b""), "f_rest"),
    "ascii": (lambda ply: ply.replace(b"binary_little_endian", b"ascii"), "binary_little_endian"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, make_gaussians, case: str):
    damage, message = HOSTILE[case]
    file = tmp_path / "a.compressed.ply"
    write_compressed_ply(make_gaussians(300, degree=1), file)
    damaged = damage(file.read_bytes())
    assert damaged != file.read_bytes()
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match=message) as refusal:
        read_compressed_ply(file)
    assert len(str(refusal.value)) < 220


def test_a_plain_ply_is_refused(tmp_path: Path, make_gaussians):
    write_ply(make_gaussians(3, degree=0), tmp_path / "a.ply")
    with pytest.raises(ValueError, match="expected a compressed PLY"):
        read_compressed_ply(tmp_path / "a.ply")
