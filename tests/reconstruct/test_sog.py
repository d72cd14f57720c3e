"""SOG: strangers' files, splats that share their harmonics, and archives that were made to harm."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from reconstruct.formats import read_ply, write_ply
from reconstruct.formats.pictured import encoded
from reconstruct.formats.sog import MOST_SHARED, read_sog, write_sog
from render.gaussians import Gaussians
from tests.reconstruct.splat_files import assert_sound, degrees_apart, tame, told

Files = dict[str, bytes]


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_we_read_what_strangers_write_as_they_do(
    tmp_path: Path, make_gaussians, splat_transform, degree: int
):
    write_ply(tame(make_gaussians(200, degree=degree)), tmp_path / "a.ply")
    splat_transform("--gpu", "cpu", tmp_path / "a.ply", tmp_path / "b.sog")
    splat_transform(tmp_path / "b.sog", tmp_path / "c.ply")
    ours, theirs = read_sog(tmp_path / "b.sog"), read_ply(tmp_path / "c.ply")
    for name in ("means", "log_scales", "logit_opacities", "sh"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-5, rtol=1e-5)
    assert degrees_apart(ours, theirs).max() < 1e-3


def test_splats_share_harmonics_where_there_are_more_than_sets(tmp_path: Path):
    count = MOST_SHARED + 5000
    rng = torch.Generator().manual_seed(1)
    gaussians = Gaussians(
        means=torch.rand(count, 3, generator=rng),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(count, 1),
        log_scales=torch.full((count, 3), -5.0),
        logit_opacities=torch.zeros(count),
        sh=0.3 * torch.randn(count, 4, 3, generator=rng),
    )
    write_sog(gaussians, tmp_path / "a.sog")
    read = read_sog(tmp_path / "a.sog")
    # Which is which: quantised positions, compared with those of a file of one harmonic that are the same.
    order = torch.cdist(read.means[:300], gaussians.means).argmin(dim=1)
    near = (read.means[:300] - gaussians.means[order]).abs().amax(dim=1) < 1e-5
    apart = (read.sh[:300] - gaussians.sh[order])[near, 1:]
    assert near.sum() > 250
    assert apart.square().mean().sqrt() < 0.12 * 0.3  # an eighth of how far harmonics are from their mean
    assert len(read.sh[:, 1:].flatten(1).unique(dim=0)) <= MOST_SHARED


def test_sizes_far_from_all_others_are_kept(tmp_path: Path, make_gaussians):
    gaussians = make_gaussians(3000, degree=0)
    gaussians.log_scales[7] = 30.0
    write_sog(gaussians, tmp_path / "a.sog")
    read = read_sog(tmp_path / "a.sog")
    order = torch.cdist(gaussians.means, read.means).argmin(dim=1)
    extent = gaussians.log_scales.max() - gaussians.log_scales.min()
    apart = (read.log_scales[order] - gaussians.log_scales).abs()
    assert apart.max() <= extent / 254
    assert apart.median() < 0.03  # half of the list lies where most sizes are


def rewritten(
    change: Callable[[Files], object], *, compression: int = zipfile.ZIP_STORED
) -> Callable[[bytes], bytes]:
    """The same archive with other files in it."""

    def damage(data: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        change(files)
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", compression) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return target.getvalue()

    return damage


def says(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """The same archive with a ``meta.json`` that says something else."""

    def edit(files: Files) -> None:
        meta = json.loads(files["meta.json"])
        change(meta)
        files["meta.json"] = json.dumps(meta).encode()

    return rewritten(edit)


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "PNG")
    return file.getvalue()


def blank(width: int, height: int) -> bytes:
    return encoded(np.zeros((width * height, 4), np.uint8), width=width)


def at(data: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    """Other bytes so far behind the first mark."""
    place = data.index(mark) + offset
    return data[:place] + value + data[place + len(value) :]


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no zip": (lambda data: b"PK\3\4" + bytes(len(data)), "no .sog file"),
    "cut short": (lambda data: data[:-30], "cut short"),
    "a directory elsewhere": (
        lambda data: at(data, b"PK\5\6", 16, b"\xff\xff\xff\x7f"),
        "missing or damaged",
    ),
    "a large directory": (lambda data: at(data, b"PK\5\6", 12, b"\xff\xff\xff\x7f"), "2,147,483,647 bytes"),
    "encrypted": (lambda data: at(data, b"PK\1\2", 8, b"\1\0"), "missing or damaged"),
    "a wrong checksum": (lambda data: at(data, b"PK\1\2", 16, b"\0\0\0\0"), "damaged"),
    "another compression": (rewritten(lambda files: None, compression=zipfile.ZIP_LZMA), "is not read"),
    "a version that is a list": (says(lambda meta: meta.update(version=[[[]]])), "this is a list"),
    "no meta.json": (rewritten(lambda files: files.pop("meta.json")), "'meta.json' is missing"),
    "no JSON": (rewritten(lambda files: files.update({"meta.json": b"{"})), "not JSON"),
    "deep JSON": (rewritten(lambda files: files.update({"meta.json": b"[" * 100_000})), "not JSON"),
    "a list": (rewritten(lambda files: files.update({"meta.json": b"[]"})), "no JSON object"),
    "a long JSON": (rewritten(lambda files: files.update({"meta.json": bytes(1 << 23)})), "8,388,608 bytes"),
    "a bomb": (
        rewritten(
            lambda files: files.update({"quats.webp": bytes(1 << 26)}), compression=zipfile.ZIP_DEFLATED
        ),
        "more than splats need",
    ),
    "version 1": (says(lambda meta: meta.pop("version")), "this is 1"),
    "version 3": (says(lambda meta: meta.update(version=3)), "this is 3"),
    "no count": (says(lambda meta: meta.pop("count")), "expected a count"),
    "no splats": (says(lambda meta: meta.update(count=0)), "no splats"),
    "a count that is true": (says(lambda meta: meta.update(count=True)), "expected a count"),
    "too many splats": (says(lambda meta: meta.update(count=1 << 31)), "2,147,483,648 splats"),
    "a count beyond the pictures": (says(lambda meta: meta.update(count=10_000)), "for 10,000 numbers"),
    "degree 4": (says(lambda meta: meta["shN"].update(bands=4)), "degree of harmonics"),
    "degree 2 of 1": (says(lambda meta: meta["shN"].update(bands=2)), "pixels wide"),
    "too many sets": (says(lambda meta: meta["shN"].update(count=65_537)), "number of harmonics"),
    "sets that are not there": (says(lambda meta: meta["shN"].update(count=9)), "of 9"),
    "no means": (says(lambda meta: meta.pop("means")), "does not say where means are"),
    "means that are a list": (says(lambda meta: meta.update(means=[])), "does not say where means are"),
    "bounds that are words": (
        says(lambda meta: meta["means"].update(mins=["a", 0, 0])),
        "numbers under 'mins'",
    ),
    "two bounds": (says(lambda meta: meta["means"].update(maxs=[1, 2])), "list of 3 numbers"),
    "bounds of NaN": (
        says(lambda meta: meta["means"].update(mins=[float("nan")] * 3)),
        "numbers under 'mins'",
    ),
    "bounds that overflow": (
        says(lambda meta: meta["means"].update(maxs=[900.0] * 3, mins=[900.0] * 3)),
        "none of its 70",
    ),
    "a huge bound": (says(lambda meta: meta["means"].update(maxs=[10**400] * 3)), "numbers under 'maxs'"),
    "a short list": (says(lambda meta: meta["scales"].update(codebook=[0.0])), "list of 256"),
    "no files": (says(lambda meta: meta["quats"].pop("files")), "names of 1 pictures"),
    "a file that is a number": (says(lambda meta: meta["quats"].update(files=[1])), "names of 1 pictures"),
    "a file outside": (
        says(lambda meta: meta["quats"].update(files=["../../etc/passwd"])),
        "missing or damaged",
    ),
    "no picture": (rewritten(lambda files: files.update({"quats.webp": b"RIFF"})), "no WebP"),
    "a PNG": (rewritten(lambda files: files.update({"quats.webp": png()})), "no WebP"),
    "a small picture": (rewritten(lambda files: files.update({"sh0.webp": blank(4, 4)})), "4 x 4 pixels"),
    "a huge picture": (
        rewritten(lambda files: files.update({"sh0.webp": blank(4000, 4000)})),
        "4000 x 4000 pixels",
    ),
    "a narrow picture": (
        rewritten(lambda files: files.update({"shN_centroids.webp": blank(3, 99)})),
        "3 pixels wide, not 192",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_and_take_no_memory(tmp_path: Path, make_gaussians, case: str):
    damage, message = HOSTILE[case]
    file = tmp_path / "a.sog"
    write_sog(tame(make_gaussians(70, degree=1)), file)
    file.write_bytes(damage(file.read_bytes()))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as refusal:
            read_sog(file)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert len(str(refusal.value)) < 200
    assert "\n" not in str(refusal.value)


def test_splats_without_a_rotation_are_left_out_and_counted(tmp_path: Path, make_gaussians):
    file = tmp_path / "a.sog"
    write_sog(tame(make_gaussians(70, degree=0)), file)
    pixels = np.full((70, 4), 255, np.uint8)
    pixels[5:9, 3] = [0, 100, 200, 251]
    file.write_bytes(
        rewritten(lambda files: files.update({"quats.webp": encoded(pixels)}))(file.read_bytes())
    )
    read, messages = told(read_sog, file)
    assert_sound(read)
    assert len(read) == 66
    assert "4 of 70 splats are left out" in messages[0]


def test_an_archive_that_is_deflated_is_read_too(tmp_path: Path, make_gaussians):
    file = tmp_path / "a.sog"
    write_sog(tame(make_gaussians(70, degree=1)), file)
    whole = read_sog(file)
    deflated = rewritten(lambda files: None, compression=zipfile.ZIP_DEFLATED)(file.read_bytes())
    file.write_bytes(deflated)
    torch.testing.assert_close(read_sog(file).means, whole.means, atol=0, rtol=0)
