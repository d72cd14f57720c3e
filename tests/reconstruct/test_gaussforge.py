"""GaussForge as a second reader and writer of splat files: C++ that shares no code with us."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reconstruct.formats import WRITERS, export_splats, read_ply, read_splats, write_ply
from reconstruct.formats.axes import half_turned
from render.gaussians import Gaussians
from tests.reconstruct.splat_files import assert_sound, degrees_apart, matched, tame

Convert = Callable[..., None]

KNOWN = sorted(set(WRITERS) - {".glb"})
TURNED = {".spz"}
"""It takes and leaves the axes of a file as they are; those of SPZ are half a turn from those of PLY."""


@pytest.fixture
def convert() -> Convert:
    """Have it turn one file into another, told by their endings."""
    if importlib.util.find_spec("gaussforge") is None:
        reason = "gaussforge is missing; install it with: pip install gaussforge"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    tool = importlib.import_module("gaussforge").GaussForge()

    def run(source: Path, dest: Path, **options: int) -> None:
        formats = [path.name.partition(".")[2] for path in (source, dest)]
        done = tool.convert(source.read_bytes(), *formats, **options)
        assert "error" not in done, done
        dest.write_bytes(done["data"])

    return run


@pytest.fixture
def splats(make_gaussians: Callable[..., Gaussians]) -> Callable[[int], Gaussians]:
    """200 splats of a degree that every format can hold."""
    return lambda degree: tame(make_gaussians(200, degree=degree))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("ending", KNOWN)
def test_it_reads_the_same_as_we_do(tmp_path: Path, splats, convert: Convert, ending: str, degree: int):
    export_splats(splats(degree), tmp_path / f"a{ending}")
    convert(tmp_path / f"a{ending}", tmp_path / "theirs.ply")
    ours, theirs = read_splats(tmp_path / f"a{ending}"), read_ply(tmp_path / "theirs.ply")
    theirs = half_turned(theirs) if ending in TURNED else theirs
    assert len(theirs) == len(ours) == 200
    for name in ("means", "log_scales", "logit_opacities"):
        torch.testing.assert_close(getattr(theirs, name), getattr(ours, name), atol=1e-5, rtol=1e-5)
    assert degrees_apart(theirs, ours).max() < 1e-3
    # It takes harmonics of .ksplat colour by colour, where degree 1 comes before degree 2 in all colours.
    alike = slice(0, 1) if ending == ".ksplat" and degree >= 2 else slice(None)
    torch.testing.assert_close(theirs.sh[:, alike], ours.sh[:, alike], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("degree", [0, 3])
@pytest.mark.parametrize("version", [2, 3, 4])
def test_we_read_every_version_of_spz_that_it_writes(
    tmp_path: Path, splats, convert: Convert, version: int, degree: int
):
    gaussians = splats(degree)
    write_ply(gaussians, tmp_path / "a.ply")
    convert(tmp_path / "a.ply", tmp_path / "b.spz", spz_version=version)
    data = (tmp_path / "b.spz").read_bytes()
    assert data.startswith(b"NGSP\4" if version == 4 else b"\x1f\x8b")
    read = matched(half_turned(read_splats(tmp_path / "b.spz")), gaussians)
    assert_sound(read)
    torch.testing.assert_close(read.means, gaussians.means, atol=1.3e-4, rtol=0)  # in steps of 1/4096
    torch.testing.assert_close(read.log_scales, gaussians.log_scales, atol=1 / 32 + 1e-6, rtol=0)
    torch.testing.assert_close(read.opacities, gaussians.opacities, atol=0.5 / 255 + 1e-6, rtol=0)
    torch.testing.assert_close(read.sh[:, :1], gaussians.sh[:, :1], atol=0.014, rtol=0)
    torch.testing.assert_close(read.sh[:, 1:], gaussians.sh[:, 1:], atol=0.07, rtol=0)
    assert degrees_apart(read, gaussians).max() < (12.0 if version == 2 else 0.2)  # w is left out in 2
    assert degrees_apart(read, gaussians).median() < (1.0 if version == 2 else 0.1)


@pytest.mark.parametrize("ending", [".sog", ".ksplat", ".splat", ".ply"])
def test_we_read_what_it_writes_as_it_does(tmp_path: Path, splats, convert: Convert, ending: str):
    write_ply(splats(1), tmp_path / "a.ply")
    convert(tmp_path / "a.ply", tmp_path / f"b{ending}")
    convert(tmp_path / f"b{ending}", tmp_path / "theirs.ply")
    ours, theirs = read_splats(tmp_path / f"b{ending}"), read_ply(tmp_path / "theirs.ply")
    for name in ("means", "log_scales", "sh"):
        torch.testing.assert_close(getattr(theirs, name), getattr(ours, name), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(theirs.opacities, ours.opacities, atol=1e-3, rtol=0)  # 0 and 1 have no logit
    assert degrees_apart(theirs, ours).max() < 1e-3
