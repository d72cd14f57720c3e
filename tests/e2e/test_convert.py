"""``worldgen convert`` as a user meets it: splats of any program in any format, or a sentence and no file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reconstruct.formats import WRITERS, export_splats, read_splats
from render.gaussians import Gaussians
from tests.e2e.verbs import assert_one_sentence, forked, run

ENDINGS = sorted(WRITERS)


@pytest.fixture
def splats() -> Gaussians:
    """50 splats of degree 1."""
    generator = torch.Generator().manual_seed(0)
    means, log_scales, sh = (torch.randn(50, *shape, generator=generator) for shape in ((3,), (3,), (4, 3)))
    return Gaussians(
        means=means,
        quats=torch.tensor([[0.5, 0.5, -0.5, 0.5]]).repeat(50, 1),
        log_scales=log_scales - 3.0,
        logit_opacities=torch.zeros(50),
        sh=0.2 * sh,
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_becomes_every_other(
    tmp_path: Path, splats, ending: str, capsys: pytest.CaptureFixture[str]
):
    export_splats(splats, tmp_path / f"a{ending}")
    for other in ENDINGS:
        assert run("convert", tmp_path / f"a{ending}", tmp_path / f"b{other}") == 0
        said = capsys.readouterr()
        assert said.out == f"{tmp_path / f'b{other}'}: 50 splats\n"
        assert said.err == ""
        read = read_splats(tmp_path / f"b{other}").means
        torch.testing.assert_close(read.mean(dim=0), splats.means.mean(dim=0), atol=0.002, rtol=0)


def test_fewer_splats_are_written_where_fewer_are_asked_for(tmp_path: Path, splats):
    export_splats(splats, tmp_path / "a.ply")
    assert run("convert", tmp_path / "a.ply", tmp_path / "b.spz", "--max-splats", 20) == 0
    assert len(read_splats(tmp_path / "b.spz")) == 20
    assert run("convert", tmp_path / "a.ply", tmp_path / "c.spz", "--max-splats", 0) == 2
    assert not (tmp_path / "c.spz").exists()


def test_a_file_may_become_itself(tmp_path: Path, splats):
    export_splats(splats, tmp_path / "a.ply")
    before = (tmp_path / "a.ply").read_bytes()
    assert run("convert", tmp_path / "a.ply", tmp_path / "a.ply") == 0
    assert (tmp_path / "a.ply").read_bytes() == before


def test_what_is_passed_over_is_told(tmp_path: Path, splats):
    export_splats(splats, tmp_path / "a.ply")
    with (tmp_path / "a.ply").open("ab") as file:
        file.write(b"more")
    done = forked("convert", tmp_path / "a.ply", tmp_path / "b.splat")
    assert_one_sentence(done, status=0, about="a.ply: 4 bytes follow the splats and are passed over")
    assert len(read_splats(tmp_path / "b.splat")) == 50


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing there": (lambda file: file.unlink(), "No such file"),
    "a folder": (lambda file: (file.unlink(), file.mkdir()), "it is no file"),
    "an empty file": (lambda file: file.write_bytes(b""), "are read"),
    "another format": (lambda file: file.write_bytes(b"\x89PNG\r\n\x1a\n" * 99), "are read"),
    "cut short": (lambda file: file.write_bytes(file.read_bytes()[:-1]), "cut short"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_cannot_be_read_is_told_in_one_sentence(tmp_path: Path, splats, case: str):
    damage, message = HOSTILE[case]
    file = tmp_path / "a.bin"
    export_splats(splats, tmp_path / "a.ply")
    (tmp_path / "a.ply").rename(file)
    damage(file)
    done = forked("convert", file, tmp_path / "b.spz")
    assert_one_sentence(done, status=2, about=message)
    assert str(file) in done.stderr
    assert [entry for entry in tmp_path.iterdir() if entry != file] == []


@pytest.mark.parametrize(
    ("name", "message"), [("b.doc", ".compressed.ply"), ("gone/b.ply", "there is no folder")]
)
def test_what_cannot_be_written_is_told_before_anything_is_read(tmp_path: Path, name: str, message: str):
    assert_one_sentence(forked("convert", tmp_path / "a", tmp_path / name), status=2, about=message)


@pytest.mark.parametrize("ending", ENDINGS)
def test_worlds_are_exported_in_every_format(
    tmp_path: Path, walked: Callable[[int], Path], ending: str, capsys: pytest.CaptureFixture[str]
):
    world = Path(shutil.copytree(walked(3), tmp_path / "world"))
    assert run("export", world, tmp_path / f"w{ending}", "--format", "splats") == 0
    assert run("export", world, tmp_path / "whole.ply") == 0
    capsys.readouterr()
    read, whole = (read_splats(tmp_path / name).means for name in (f"w{ending}", "whole.ply"))
    assert len(read) == len(whole)
    extent = (whole.amax(dim=0) - whole.amin(dim=0)).max()
    assert (read.amax(dim=0) - whole.amax(dim=0)).abs().max() < 1e-4 * extent
    assert (read.amin(dim=0) - whole.amin(dim=0)).abs().max() < 1e-4 * extent
