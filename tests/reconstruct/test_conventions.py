"""docs/conventions.md is true: what it says of files is what their bytes say, read without our readers."""

from __future__ import annotations

import gzip
import json
import math
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from reconstruct.formats import WRITERS, export_splats, read_splats
from render.gaussians import Gaussians
from tests.reconstruct.splat_files import matched, tame

PAGE = Path(__file__).parents[2] / "docs" / "conventions.md"
SIGNS = {"right": 1.0, "down": 1.0, "forward": 1.0, "up": -1.0, "backward": -1.0}

MEAN = np.array([1.5, -0.75, 3.0])
QUAT = np.array([0.1, 0.5, -0.7, 0.5])
LOG_SCALES = np.array([-3.0, -2.0, -1.0])
OPACITY = 0.8

EXACT = 1e-5
"""Of positions, in a room of some metres."""

COARSE = {".compressed.ply": 8.0 / 2046, ".sog": 5.0 * 2 * math.log(5.0) / 131070}
"""What formats with few bits a position can hold: chunks 8 across, or places less than 4 from the origin."""


@dataclass(frozen=True)
class Said:
    """What the page says of a file, and what is in the file."""

    axes: tuple[float, ...]
    quaternions: str
    sizes: str
    opacities: str


@dataclass(frozen=True)
class Found:
    """The numbers of one splat as they lie in a file; None where they are not plain numbers."""

    mean: np.ndarray
    quat: np.ndarray | None
    size: np.ndarray | None
    opacity: float | None


def said() -> dict[str, Said]:
    """The table of files of splats, by ending."""
    rows = re.findall(r"^\| `(\.[\w.]+)` \|(.+)\|$", PAGE.read_text(encoding="utf-8"), re.M)
    cells = {ending: [cell.strip() for cell in row.split("|")] for ending, row in rows}
    return {
        ending: Said(tuple(SIGNS[word] for word in row[:3]), *row[3:])
        for ending, row in cells.items()
        if len(row) == 6
    }


def of_ply(data: bytes) -> Found:
    head, _, body = data.partition(b"end_header\n")
    names = re.findall(rb"property float (\w+)", head)
    row = dict(zip(names, struct.unpack_from(f"<{len(names)}f", body), strict=True))

    def taken(*some: str) -> np.ndarray:
        return np.array([row[name.encode()] for name in some])

    quat = taken("rot_0", "rot_1", "rot_2", "rot_3")
    return Found(taken("x", "y", "z"), quat, taken("scale_0", "scale_1", "scale_2"), row[b"opacity"])


def of_compressed_ply(data: bytes) -> Found:
    body = data.partition(b"end_header\n")[2]
    low, high = np.split(np.frombuffer(body, "<f4", 6), 2)
    np.testing.assert_array_equal(low, high)  # one splat, so its chunk is as small as can be
    return Found(low, None, np.frombuffer(body, "<f4", 3, offset=24), None)


def of_splat(data: bytes) -> Found:
    numbers, colour, quat = (
        np.frombuffer(data, "<f4", 6),
        data[24:28],
        np.frombuffer(data, "u1", 4, offset=28),
    )
    return Found(numbers[:3], (quat - 128.0) / 128.0, numbers[3:], colour[3] / 255)


def of_ksplat(data: bytes) -> Found:
    numbers = np.frombuffer(data, "<f4", 10, offset=4096 + 1024)
    return Found(numbers[:3], numbers[6:], numbers[3:6], data[5120 + 43] / 255)


def of_spz(data: bytes) -> Found:
    data = gzip.decompress(data)
    steps = [int.from_bytes(data[16 + 3 * i : 19 + 3 * i], "little", signed=True) for i in range(3)]
    size = np.frombuffer(data, "u1", 3, offset=16 + 9 + 1 + 3) / 16.0 - 10.0
    return Found(np.array(steps) / 2.0 ** data[13], None, size, data[25] / 255)


def of_sog(data: bytes, tmp_path: Path) -> Found:
    (tmp_path / "b.zip").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        meta = json.loads(archive.read("meta.json"))
    assert meta["means"]["mins"] == meta["means"]["maxs"]
    logs = np.array(meta["means"]["mins"])
    sizes = np.unique(meta["scales"]["codebook"])
    return Found(np.sign(logs) * np.expm1(np.abs(logs)), None, sizes, None)


def of_glb(data: bytes) -> Found:
    length = struct.unpack_from("<I", data, 12)[0]
    said, body = json.loads(data[20 : 20 + length]), data[28 + length :]
    (primitive,) = said["meshes"][0]["primitives"]

    def taken(name: str, count: int) -> np.ndarray:
        accessor = said["accessors"][primitive["attributes"][name]]
        view = said["bufferViews"][accessor["bufferView"]]
        assert accessor["componentType"] == 5126
        return np.frombuffer(
            body, "<f4", count, offset=view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        )

    prefix = "KHR_gaussian_splatting:"
    opacity = float(taken(f"{prefix}OPACITY", 1)[0])
    return Found(taken("POSITION", 3), taken(f"{prefix}ROTATION", 4), taken(f"{prefix}SCALE", 3), opacity)


def found(ending: str, data: bytes, tmp_path: Path) -> Found:
    """What one splat looks like in a file."""
    if ending == ".sog":
        return of_sog(data, tmp_path)
    readers: dict[str, Callable[[bytes], Found]] = {
        ".ply": of_ply,
        ".compressed.ply": of_compressed_ply,
        ".splat": of_splat,
        ".ksplat": of_ksplat,
        ".spz": of_spz,
        ".glb": of_glb,
    }
    return readers[ending](data)


def test_the_page_speaks_of_every_format():
    assert sorted(said()) == sorted(WRITERS)
    assert [row.axes for row in said().values()].count((1.0, -1.0, -1.0)) == 2


@pytest.mark.parametrize("ending", sorted(WRITERS))
def test_files_hold_what_the_page_says(tmp_path: Path, ending: str):
    splat = Gaussians(
        means=torch.from_numpy(MEAN)[None].float(),
        quats=torch.from_numpy(QUAT)[None].float(),
        log_scales=torch.from_numpy(LOG_SCALES)[None].float(),
        logit_opacities=torch.tensor([OPACITY]).logit(),
        sh=torch.zeros(1, 1, 3),
    )
    export_splats(splat, tmp_path / f"a{ending}")
    row, there = said()[ending], found(ending, (tmp_path / f"a{ending}").read_bytes(), tmp_path)
    np.testing.assert_allclose(there.mean, MEAN * row.axes, atol=1e-6)
    if there.quat is not None:
        turned = QUAT * (1.0, *row.axes)
        expected = {"wxyz": turned, "xyzw": np.roll(turned, -1)}[row.quaternions]
        np.testing.assert_allclose(there.quat, expected, atol=1 / 128)
    else:
        assert "three smallest" in row.quaternions
    assert there.size is not None
    expected = {"logarithms": LOG_SCALES, "plain": np.exp(LOG_SCALES)}[row.sizes]
    np.testing.assert_allclose(there.size, expected, atol=1e-6, rtol=1e-5)
    if there.opacity is not None:
        expected = {"logits": math.log(OPACITY / (1 - OPACITY)), "plain": OPACITY}[row.opacities]
        assert there.opacity == pytest.approx(expected, abs=0.5 / 255)


@pytest.mark.parametrize("ending", sorted(WRITERS))
def test_a_room_comes_back_splat_for_splat_where_it_was(tmp_path: Path, make_gaussians, ending: str):
    gaussians = tame(make_gaussians(2000, degree=1))
    gaussians.means[:] = 8.0 * torch.rand(2000, 3, generator=torch.Generator().manual_seed(2)) - 4.0
    export_splats(gaussians, tmp_path / f"a{ending}")
    read = read_splats(tmp_path / f"a{ending}")
    assert len(read) == 2000
    apart = (matched(read, gaussians).means - gaussians.means).abs()
    assert apart.max() <= COARSE.get(ending, EXACT)
