""".ksplat: compression, cubes and sections, which are read and not written, and files that make no sense."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reconstruct.formats import read_ply
from reconstruct.formats.ksplat import read_ksplat, write_ksplat
from render.gaussians import SH_C0, Gaussians
from tests.reconstruct.splat_files import assert_sound, degrees_apart, tame, told

SIDE, STEPS = 5.0, 32767
SH_RANGE = (-2.0, 3.0)

# Where the format keeps what; the first four are in the header of the file, the rest in that of a section.
VERSION, SECTIONS, COUNT, COMPRESSION = 1, 4, 16, 20
HELD, ROOM, CUBE_SPLATS, CUBES, CUBE_BYTES, FULL, REST, DEGREE = 4096 + np.array(
    [0, 4, 8, 12, 20, 32, 36, 40]
)


def compressed(gaussians: Gaussians, *, level: int, cuts: list[int], cube_splats: int = 16) -> bytes:
    """A file of sections that end at ``cuts``, each with cubes of so many splats and one of what is left."""
    degree = (1, 4, 9).index(gaussians.sh.shape[1])
    head = bytearray(4096)
    head[1] = 1
    struct.pack_into("<4I", head, SECTIONS, len(cuts), len(cuts), len(gaussians), len(gaussians))
    struct.pack_into("<H", head, COMPRESSION, level)
    struct.pack_into("<2f", head, 36, *SH_RANGE)
    heads, bodies = b"", b""
    for begin, end in zip([0, *cuts], cuts, strict=False):
        part = gaussians[begin:end]
        full, left = divmod(len(part), cube_splats)
        cubes = [slice(i * cube_splats, (i + 1) * cube_splats) for i in range(full + (left > 0))]
        section = bytearray(1024)
        room = (len(part) // 4 + 2) * 4  # the stranger asks for sections that begin at multiples of 4
        struct.pack_into("<4If", section, 0, len(part), room, cube_splats, len(cubes), SIDE)
        struct.pack_into("<H", section, 20, 12)
        struct.pack_into("<I", section, 24, STEPS)
        struct.pack_into("<IIH", section, 32, full, int(left > 0), degree)
        heads += bytes(section)
        bodies += struct.pack("<I", left) if left else b""
        centres = [part.means[cube].mean(dim=0).numpy().astype("<f4") for cube in cubes]
        bodies += b"".join(centre.tobytes() for centre in centres)
        records = [splat(part, i, centres[i // cube_splats], level) for i in range(len(part))]
        size = 24 + 3 * ((degree + 1) ** 2 - 1) * (3 - level)
        bodies += b"".join(records) + bytes((room - len(part)) * size)
    return bytes(head) + heads + bodies


def splat(gaussians: Gaussians, i: int, centre: np.ndarray, level: int) -> bytes:
    steps = np.rint((gaussians.means[i].numpy() - centre) * (2 * STEPS / SIDE) + STEPS)
    assert steps.min() >= 0
    assert steps.max() < 65536
    rgba = torch.cat([gaussians.base_rgb[i], gaussians.opacities[i : i + 1]]).mul(255).round().clamp(0, 255)
    rest = gaussians.sh[i, 1:].numpy()
    bands = [rest[begin:end].T.ravel() for begin, end in ((0, 3), (3, 8)) if end <= len(rest)]
    harmonics = np.concatenate([np.zeros(0), *bands])
    if level == 2:
        low, high = SH_RANGE
        stored = np.rint((harmonics - low) / (high - low) * 255).astype("u1").tobytes()
    else:
        stored = harmonics.astype("<f2").tobytes()
    return b"".join(
        [
            steps.astype("<u2").tobytes(),
            gaussians.scales[i].numpy().astype("<f2").tobytes(),
            gaussians.quats[i].numpy().astype("<f2").tobytes(),
            rgba.to(torch.uint8).numpy().tobytes(),
            stored,
        ]
    )


@pytest.fixture
def splats(make_gaussians: Callable[..., Gaussians]) -> Callable[[int], Gaussians]:
    """50 splats close enough together for cubes."""

    def make(degree: int) -> Gaussians:
        gaussians = tame(make_gaussians(50, degree=degree))
        gaussians.means[:] = gaussians.means.clamp(-4.0, 4.0) * 0.4
        return gaussians

    return make


@pytest.mark.parametrize("cuts", [[50], [20, 20, 50], [16, 48, 50]], ids=str)
@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("level", [1, 2])
def test_compressed_files_are_read_as_strangers_read_them(
    tmp_path: Path, splats, splat_transform, level: int, degree: int, cuts: list[int]
):
    gaussians, file = splats(degree), tmp_path / "a.ksplat"
    file.write_bytes(compressed(gaussians, level=level, cuts=cuts))
    read = read_ksplat(file)
    assert_sound(read)
    torch.testing.assert_close(read.means, gaussians.means, atol=SIDE / STEPS / 4 + 1e-6, rtol=0)
    torch.testing.assert_close(read.scales, gaussians.scales, atol=0, rtol=2.0**-10)
    torch.testing.assert_close(read.opacities, gaussians.opacities, atol=0.5 / 255 + 1e-6, rtol=0)
    torch.testing.assert_close(read.sh[:, :1] * SH_C0, gaussians.sh[:, :1] * SH_C0, atol=0.003, rtol=0)
    torch.testing.assert_close(
        read.sh[:, 1:], gaussians.sh[:, 1:], atol=0.011 if level == 2 else 0.001, rtol=0
    )
    assert degrees_apart(read, gaussians).max() < 0.1
    splat_transform(file, tmp_path / "theirs.ply")
    theirs = read_ply(tmp_path / "theirs.ply")
    torch.testing.assert_close(theirs.means, read.means, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.sh, read.sh, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.log_scales, read.log_scales, atol=1e-5, rtol=0)


def test_harmonics_of_degree_3_are_left_out(tmp_path: Path, splats):
    write_ksplat(splats(3), tmp_path / "a.ksplat")
    torch.testing.assert_close(
        read_ksplat(tmp_path / "a.ksplat").sh[:, 1:], splats(3).sh[:, 1:9], rtol=0, atol=0
    )


def said(place: int, kind: str, *values: float) -> Callable[[bytes], bytes]:
    """The same file with something else at a place."""

    def damage(data: bytes) -> bytes:
        damaged = bytearray(data)
        struct.pack_into(kind, damaged, place, *values)
        return bytes(damaged)

    return damage


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "version 1.0": (said(0, "<2B", 1, 0), "no .ksplat"),
    "version 0.0": (said(VERSION, "<B", 0), "no .ksplat"),
    "compression 3": (said(COMPRESSION, "<H", 3), "no .ksplat"),
    "no sections": (said(SECTIONS, "<I", 0), "sections hold 0"),
    "sections beyond the file": (said(SECTIONS, "<I", (1 << 32) - 1), "cut short"),
    "no splats": (said(COUNT, "<I", 0), "no splats"),
    "too many splats": (said(COUNT, "<I", (1 << 32) - 1), "4,294,967,295 splats"),
    "more than in the sections": (said(COUNT, "<I", 51), "sections hold 50"),
    "a section with too many": (said(HELD, "<I", 51), "sections hold 51"),
    "a section without room": (said(ROOM, "<I", 49), "room for"),
    "room beyond the file": (said(ROOM, "<I", (1 << 32) - 1), "cut short"),
    "cubes beyond the file": (said(CUBES, "<I", (1 << 32) - 1), "cut short"),
    "no cubes": (said(CUBES, "<I", 0), "more cubes than it has"),
    "cubes of another size": (said(CUBE_BYTES, "<H", 16), "bytes a cube"),
    "empty cubes": (said(CUBE_SPLATS, "<I", 0), "cubes fewer"),
    "more full cubes than there are": (said(FULL, "<I", (1 << 32) - 1), "more cubes than it has"),
    "lengths beyond the file": (said(REST, "<I", (1 << 32) - 1), "cut short"),
    "degree 3": (said(DEGREE, "<H", 3), "degree 0 to 2"),
    "degree 65535": (said(DEGREE, "<H", 65535), "degree 0 to 2"),
    "degree beyond the file": (said(DEGREE, "<H", 2), "cut short"),
    "cut short": (lambda data: data[:-1], "cut short"),
    "header only": (lambda data: data[:4096], "cut short"),
    "infinite cubes": (said(4096 + 16, "<f", float("inf")), "none of its 50 splats"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, splats, case: str):
    damage, message = HOSTILE[case]
    file = tmp_path / "a.ksplat"
    file.write_bytes(damage(compressed(splats(1), level=1, cuts=[50])))
    with pytest.raises(ValueError, match=message) as refusal:
        read_ksplat(file)
    assert len(str(refusal.value)) < 200


def test_what_makes_no_sense_is_left_out_and_counted(tmp_path: Path, splats):
    file = tmp_path / "a.ksplat"
    write_ksplat(splats(1), file)
    data = bytearray(file.read_bytes())
    size = 44 + 36
    struct.pack_into("<f", data, 5120, float("nan"))
    struct.pack_into("<f", data, 5120 + size + 12, -1.0)
    struct.pack_into("<4f", data, 5120 + 2 * size + 24, 0.0, 0.0, 0.0, 0.0)
    struct.pack_into("<I", data, 5120 + 3 * size + 44, 0x7F800001)  # a NaN that numpy warns of
    file.write_bytes(data)
    read, messages = told(read_ksplat, file)
    torch.testing.assert_close(read.means, splats(1).means[4:], atol=0, rtol=0)
    assert len(messages) == 1
    assert "4 of 50 splats are left out" in messages[0]
