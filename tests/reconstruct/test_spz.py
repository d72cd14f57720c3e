"""SPZ: its versions, its fixed point, and files that inflate to more than they say."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import zstandard

from reconstruct.formats.spz import read_spz, write_spz
from tests.reconstruct.splat_files import assert_identical, assert_sound, degrees_apart, tame, told

HEADER = struct.Struct("<4sIIBBBB")


def inflated(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes())


def with_header(data: bytes, **fields: int) -> bytes:
    """The same file with other numbers in its header, compressed again."""
    names = ("magic", "version", "count", "degree", "bits", "flags", "streams")
    said = dict(zip(names, HEADER.unpack(data[:16]), strict=True)) | fields
    return gzip.compress(HEADER.pack(*said.values()) + data[16:], mtime=0)


def version_4(data: bytes, *, sizes: dict[int, int] | None = None, start: int = 32) -> bytes:
    """A file of version 4 with what a file of version 3 holds; ``sizes`` lies about inflated streams."""
    magic, _, count, degree, bits, flags, _ = HEADER.unpack(data[:16])
    streams, place = [], 16
    for width in (9, 1, 3, 3, 4, 3 * ((degree + 1) ** 2 - 1)):
        streams.append(data[place : place + count * width])
        place += count * width
    streams = [stream for stream in streams if stream]
    packed = [zstandard.ZstdCompressor().compress(stream) for stream in streams]
    lengths = [(sizes or {}).get(i, len(stream)) for i, stream in enumerate(streams)]
    table = b"".join(struct.pack("<QQ", len(p), n) for p, n in zip(packed, lengths, strict=True))
    head = HEADER.pack(magic, 4, count, degree, bits, flags, len(streams)) + struct.pack("<I12x", start)
    return head + bytes(max(0, start - 32)) + table + b"".join(packed)


@pytest.mark.parametrize("extent", [1e-6, 0.01, 1.0, 300.0, 1e5, 8e6])
def test_positions_use_all_their_bits(tmp_path: Path, make_gaussians, extent: float):
    gaussians = make_gaussians(50, degree=0)
    gaussians.means[:] = gaussians.means / gaussians.means.abs().max() * extent
    write_spz(gaussians, tmp_path / "a.spz")
    read = read_spz(tmp_path / "a.spz")
    finest = 2.0**-25
    assert (read.means - gaussians.means).abs().max() <= max(extent * 2.0**-22, finest)


def test_what_is_too_far_away_is_refused(tmp_path: Path, make_gaussians):
    gaussians = make_gaussians(5, degree=0)
    gaussians.means[0, 0] = 9e6
    with pytest.raises(ValueError, match=r"8,388,607 units.*9e\+06"):
        write_spz(gaussians, tmp_path / "a.spz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_version_4_holds_the_same(tmp_path: Path, make_gaussians, degree: int):
    write_spz(tame(make_gaussians(70, degree=degree)), tmp_path / "a.spz")
    whole = read_spz(tmp_path / "a.spz")
    for start in (32, 50):
        (tmp_path / "b.spz").write_bytes(version_4(inflated(tmp_path / "a.spz"), start=start))
        assert_identical(read_spz(tmp_path / "b.spz"), whole)


def test_version_2_leaves_w_out(tmp_path: Path, make_gaussians):
    gaussians, file = tame(make_gaussians(70, degree=1)), tmp_path / "a.spz"
    write_spz(gaussians, file)
    whole, data = read_spz(file), inflated(file)
    turned = gaussians.quats * gaussians.quats[:, :1].sign() * torch.tensor([1.0, 1.0, -1.0, -1.0])
    xyz = (turned[:, 1:] * 127.5 + 127.5).round().to(torch.uint8).numpy().tobytes()
    rotations = 16 + 70 * 16
    file.write_bytes(with_header(data[:rotations] + xyz + data[rotations + 70 * 4 :], version=2))
    read = read_spz(file)
    torch.testing.assert_close(read.sh, whole.sh)
    assert degrees_apart(read, gaussians).max() < 12.0  # w is badly known where it is small
    assert degrees_apart(read, gaussians).median() < 1.0


def test_rotations_longer_than_1_become_rotations(tmp_path: Path, make_gaussians):
    file = tmp_path / "a.spz"
    write_spz(make_gaussians(4, degree=0), file)
    data = inflated(file)
    words = np.array([0x3FFFFFFF, 0x7FFFFFFF, 0xBFFFFFFF, 0xFFFFFFFF], "<u4").tobytes()
    file.write_bytes(gzip.compress(data[:-16] + words))
    assert_sound(read_spz(file))


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no gzip": (lambda data: data, "version 2, 3 and 4"),
    "gzip of something else": (lambda data: gzip.compress(b"x" * len(data)), "NGSP"),
    "gzip of nothing": (lambda _: gzip.compress(b""), "cut short"),
    "version 1": (lambda data: with_header(data, version=1), "this is 1"),
    "version 4 in gzip": (lambda data: with_header(data, version=4), "this is 4"),
    "no splats": (lambda data: with_header(data, count=0), "no splats"),
    "count of 2^31": (lambda data: with_header(data, count=1 << 31), "2,147,483,648 splats"),
    "count beyond the file": (lambda data: with_header(data, count=71), "cut short"),
    "count far beyond the file": (lambda data: with_header(data, count=20_000_000), "cut short"),
    "degree 4": (lambda data: with_header(data, degree=4), "degree 0 to 3"),
    "degree beyond the file": (lambda data: with_header(data, degree=3), "cut short"),
    "too fine": (lambda data: with_header(data, bits=32), "fractional bits"),
    "bomb": (lambda data: gzip.compress(data + bytes(1 << 26)), "far more than the splats"),
    "wrong checksum": (lambda data: gzip.compress(data)[:-8] + bytes(8), "damaged"),
    "no checksum": (lambda data: gzip.compress(data)[:-8], "checksum is missing"),
    "damaged": (lambda data: gzip.compress(data)[:40] + b"\xff" * 40 + gzip.compress(data)[80:], "damaged"),
    "4: cut": (lambda data: version_4(data)[:-1], "cut short"),
    "4: header only": (lambda data: version_4(data)[:20], "table of streams"),
    "4: table cut": (lambda data: version_4(data)[:60], "cut short"),
    "4: table beyond the file": (lambda data: version_4(data)[:16] + b"\xff" * 100, "table of streams"),
    "4: a stream says too much": (lambda data: version_4(data, sizes={0: 1 << 40}), "1099511627776 bytes"),
    "4: a stream says too little": (lambda data: version_4(data, sizes={5: 1}), "of 1 bytes"),
    "4: no zstd": (lambda data: version_4(data)[:128] + bytes(len(version_4(data)) - 128), "no zstd"),
    "4: count": (
        lambda data: version_4(data)[:8] + struct.pack("<I", 1 << 31) + version_4(data)[12:],
        "2,147,483,648 splats",
    ),
    "4: version 5": (lambda data: b"NGSP\5" + version_4(data)[5:], "this is 5"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_and_take_no_memory(tmp_path: Path, make_gaussians, case: str):
    damage, message = HOSTILE[case]
    file = tmp_path / "a.spz"
    write_spz(make_gaussians(70, degree=1), file)
    file.write_bytes(damage(inflated(file)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as refusal:
            read_spz(file)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert len(str(refusal.value)) < 200


def test_a_zstd_bomb_is_not_inflated(tmp_path: Path, make_gaussians):
    file = tmp_path / "a.spz"
    write_spz(make_gaussians(70, degree=0), file)
    data = version_4(inflated(file))
    compressed = struct.unpack_from("<Q", data, 32)[0]
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))  # in place of positions
    table = struct.pack("<Q", len(bomb)) + data[40:112]
    file.write_bytes(data[:32] + table + bomb + data[112 + compressed :])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="should inflate to 630 bytes, and does not"):
            read_spz(file)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_little_that_follows_inside_is_passed_over_with_a_word(tmp_path: Path, make_gaussians):
    file = tmp_path / "a.spz"
    write_spz(make_gaussians(70, degree=1), file)
    whole = read_spz(file)
    file.write_bytes(gzip.compress(inflated(file) + b"an extension"))
    read, messages = told(read_spz, file)
    assert_identical(read, whole)
    assert len(messages) == 1
    assert "12 bytes follow" in messages[0]


def test_the_file_is_what_any_gzip_opens(tmp_path: Path, make_gaussians):
    write_spz(make_gaussians(10, degree=2), tmp_path / "a.spz")
    data = zlib.decompress((tmp_path / "a.spz").read_bytes(), 31)
    assert HEADER.unpack(data[:16])[:4] == (b"NGSP", 3, 10, 2)
    assert len(data) == 16 + 10 * (9 + 1 + 3 + 3 + 4 + 24)
