"""Every splat format against strangers and its own promises: what is kept, how well, and what is refused."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reconstruct.formats import READERS, WRITERS, export_splats, read_ply, read_splats, write_ply
from reconstruct.formats.axes import moved
from reconstruct.formats.soundness import check_count
from render.gaussians import SH_C0, Gaussians
from tests.reconstruct.splat_files import (
    FIELDS,
    assert_identical,
    assert_sound,
    covariances,
    degrees_apart,
    matched,
    tame,
    told,
)

ENDINGS = sorted(WRITERS)
READ_BY_STRANGERS = [".compressed.ply", ".ksplat", ".ply", ".sog", ".splat", ".spz"]
NAMELESS = {".splat", ".ksplat"}
"""Formats whose files begin with nothing that tells what they are."""

KEPT_DEGREE = {".splat": 0, ".ksplat": 2}
"""The highest degree of harmonics that a format holds, where that is not 3."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Precision:
    """How far what is read may be from what was written."""

    extent: float
    """Of positions, relative to the extent of all of them."""

    log_scale: float
    opacity: float
    degrees: float
    rgb: float
    first: float
    """Of harmonics of degree 1."""

    rest: float


HALF_A_BYTE = 0.5 / 255.0 + 1e-6
PRECISION = {
    ".ply": Precision(extent=0.0, log_scale=0.0, opacity=0.0, degrees=0.0, rgb=0.0, first=0.0, rest=0.0),
    ".glb": Precision(extent=0.0, log_scale=1e-5, opacity=1e-6, degrees=0.0, rgb=0.0, first=0.0, rest=0.0),
    ".spz": Precision(
        extent=1e-6,
        log_scale=1 / 32 + 1e-6,
        opacity=HALF_A_BYTE,
        degrees=0.2,
        rgb=1 / 270,
        first=1 / 32 + 1e-6,
        rest=1 / 16 + 1e-6,
    ),
    ".splat": Precision(
        extent=0.0, log_scale=1e-6, opacity=HALF_A_BYTE, degrees=1.0, rgb=HALF_A_BYTE, first=9.0, rest=9.0
    ),
    ".ksplat": Precision(
        extent=0.0, log_scale=1e-6, opacity=HALF_A_BYTE, degrees=0.0, rgb=HALF_A_BYTE, first=0.0, rest=0.0
    ),
    # Here 1 + |x| is at most 1.05 times the extent, log scales span 7, colours 1.8 and harmonics 1.8.
    ".sog": Precision(
        extent=1.05 * 3.7 / 131070,
        log_scale=7 / 254,
        opacity=HALF_A_BYTE,
        degrees=1.2,
        rgb=1.8 / 254 * SH_C0 + 1e-6,
        first=1.8 / 254 + 1e-6,
        rest=1.8 / 254 + 1e-6,
    ),
    # Half a step of a chunk that here is the whole world: the range of log scales is 7, that of colours 0.5.
    ".compressed.ply": Precision(
        extent=1 / 2046 + 1e-6,
        log_scale=7 / 2046,
        opacity=HALF_A_BYTE,
        degrees=0.25,
        rgb=0.5 / 510 + 1e-6,
        first=1 / 64 + 1e-6,
        rest=1 / 64 + 1e-6,
    ),
}


def assert_close(read: Gaussians, gaussians: Gaussians, precision: Precision) -> None:
    read = matched(read, gaussians)
    assert_sound(read)
    extent = float((gaussians.means.amax(dim=0) - gaussians.means.amin(dim=0)).max())
    assert (read.means - gaussians.means).abs().max() <= precision.extent * extent
    assert (read.log_scales - gaussians.log_scales).abs().max() <= precision.log_scale
    assert (read.opacities - gaussians.opacities).abs().max() <= precision.opacity
    assert degrees_apart(read, gaussians).max() <= precision.degrees + 1e-5
    apart = (read.sh - gaussians.sh[:, : read.sh.shape[1]]).abs()
    assert apart[:, 0].max() * SH_C0 <= precision.rgb
    for coefficients, allowed in ((apart[:, 1:4], precision.first), (apart[:, 4:], precision.rest)):
        assert coefficients.numel() == 0 or coefficients.max() <= allowed


def vars_of(gaussians: Gaussians) -> list[torch.Tensor]:
    return [getattr(gaussians, name) for name in FIELDS]


@pytest.fixture
def splats(make_gaussians: Callable[..., Gaussians]) -> Callable[[int], Gaussians]:
    """200 splats of a degree that every format can hold."""
    return lambda degree: tame(make_gaussians(200, degree=degree))


def test_what_is_written_can_be_read():
    assert ENDINGS == sorted(READERS) == sorted(PRECISION)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trips_keep_what_is_promised(tmp_path: Path, splats, ending: str, degree: int):
    gaussians, file = splats(degree), tmp_path / f"a{ending}"
    export_splats(gaussians, file)
    read = read_splats(file)
    assert read.sh.shape[1] == (min(degree, KEPT_DEGREE.get(ending, 3)) + 1) ** 2
    assert_close(read, gaussians, PRECISION[ending])
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]


def test_names_of_files_may_be_text(tmp_path: Path, make_gaussians: Callable[..., Gaussians]):
    export_splats(make_gaussians(5, degree=0), str(tmp_path / "five.ply"))
    assert_identical(read_splats(str(tmp_path / "five.ply")), read_splats(tmp_path / "five.ply"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_splats_give_the_same_file(tmp_path: Path, splats, ending: str):
    for name in ("a", "b"):
        export_splats(splats(1), tmp_path / f"{name}{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_second_round_trip_changes_next_to_nothing(tmp_path: Path, splats, ending: str):
    file = tmp_path / f"a{ending}"
    export_splats(splats(3), file)
    once = read_splats(file)
    export_splats(once, file)
    again = matched(read_splats(file), once)
    for name in FIELDS:
        torch.testing.assert_close(getattr(again, name), getattr(once, name), atol=5e-3, rtol=0)
    torch.testing.assert_close(again.sh, once.sh, atol=0.02 if ending == ".sog" else 1e-4, rtol=0)


@pytest.mark.parametrize("degree", [0, 2, 3])
@pytest.mark.parametrize("ending", READ_BY_STRANGERS)
def test_strangers_read_the_same_as_we_do(
    tmp_path: Path, splats, splat_transform: Callable[..., str], ending: str, degree: int
):
    file = tmp_path / f"a{ending}"
    export_splats(splats(degree), file)
    summary = splat_transform(file, "-m", "null")
    assert "**Row Count:** 200" in summary
    cells = re.findall(r"^\| \w+ +" + r"\| +([^| ]+) +" * 7, summary, re.M)
    assert len(cells) >= 14
    assert all(row[5:] == ("0", "0") for row in cells[1:])  # NaN, infinite
    splat_transform(file, tmp_path / "theirs.ply")
    theirs, ours = read_ply(tmp_path / "theirs.ply"), read_splats(file)
    for name in ("means", "log_scales", "logit_opacities", "sh"):
        torch.testing.assert_close(getattr(theirs, name), getattr(ours, name), atol=1e-5, rtol=1e-5)
    # Of .splat they read a byte of 128 as 0.004, as the format's own viewer does not.
    assert degrees_apart(theirs, ours).max() < (1.0 if ending == ".splat" else 1e-3)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("ending", "options"),
    [(".compressed.ply", []), (".spz", ["--spz-version", "3"]), (".spz", ["--spz-version", "4"])],
    ids=["compressed ply", "spz 3", "spz 4"],
)
def test_we_read_what_strangers_write(
    tmp_path: Path, splats, splat_transform: Callable[..., str], ending: str, options: list, degree: int
):
    gaussians = splats(degree)
    write_ply(gaussians, tmp_path / "a.ply")
    splat_transform(*options, tmp_path / "a.ply", tmp_path / f"b{ending}")
    precision = PRECISION[ending]
    if ending == ".spz":  # positions in steps of 1/4096, harmonics cut off instead of rounded
        precision = dataclasses.replace(precision, extent=1e-5, first=0.04, rest=0.07)
    assert_close(read_splats(tmp_path / f"b{ending}"), gaussians, precision)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_we_read_gltf_that_strangers_write(tmp_path: Path, splats, splat_transform, degree: int):
    gaussians = splats(degree)
    write_ply(gaussians, tmp_path / "a.ply")
    splat_transform(tmp_path / "a.ply", tmp_path / "b.glb")
    # They turn PLY about z where we turn about x; what is between is half a turn about y.
    turned = moved(gaussians, np.diag([-1.0, 1.0, -1.0, 1.0]))
    read = read_splats(tmp_path / "b.glb")
    torch.testing.assert_close(read.means, turned.means, atol=0, rtol=0)
    torch.testing.assert_close(read.sh, turned.sh, atol=1e-5, rtol=0)
    torch.testing.assert_close(read.logit_opacities, turned.logit_opacities, atol=1e-5, rtol=0)
    torch.testing.assert_close(covariances(read), covariances(turned), atol=1e-5, rtol=0)


@pytest.mark.parametrize("ending", ENDINGS)
def test_extremes_are_kept_within_what_a_format_can_hold(tmp_path: Path, splats, ending: str):
    gaussians = splats(3)
    gaussians.logit_opacities[:2] = torch.tensor([-80.0, 80.0])
    gaussians.log_scales[2:4] = torch.tensor([[-60.0], [60.0]])
    gaussians.sh[4:6] = torch.tensor([[[-30.0]], [[30.0]]])
    gaussians.means[6] = torch.tensor([-2.0e4, 3.0e4, 1.0e5])
    file = tmp_path / f"a{ending}"
    export_splats(gaussians, file)
    read = read_splats(file)
    assert_sound(read)
    assert len(read) == len(gaussians)
    assert read.opacities.min() < 0.01
    assert read.opacities.max() > 0.99
    assert read.log_scales.min() <= -9.9
    assert read.log_scales.max() >= 5.9
    torch.testing.assert_close(read.means.amax(dim=0), gaussians.means.amax(dim=0), rtol=1e-6, atol=0.01)


@pytest.mark.parametrize("ending", ENDINGS)
def test_splats_that_are_being_fitted_are_written_as_they_are(tmp_path: Path, splats, ending: str):
    gaussians, file = splats(1), tmp_path / f"a{ending}"
    export_splats(gaussians, tmp_path / f"b{ending}")
    fitted = Gaussians(**{name: getattr(gaussians, name).requires_grad_() for name in FIELDS})
    export_splats(dataclasses.replace(fitted, quats=fitted.quats * 3.0), file)
    for read, whole in zip(*(vars_of(read_splats(f)) for f in (file, tmp_path / f"b{ending}")), strict=True):
        torch.testing.assert_close(read, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("count", [1, 2, 256, 257])
@pytest.mark.parametrize("ending", ENDINGS)
def test_worlds_of_any_size_and_of_one_place_are_kept(
    tmp_path: Path, make_gaussians, ending: str, count: int
):
    gaussians = make_gaussians(count, degree=0)
    gaussians.means[:] = gaussians.means[0].clone()
    export_splats(gaussians, tmp_path / f"a{ending}")
    read = read_splats(tmp_path / f"a{ending}")
    torch.testing.assert_close(read.means, gaussians.means, atol=1e-6, rtol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("ending", ENDINGS)
def test_what_cannot_be_written_leaves_the_file_from_before(
    tmp_path: Path, splats, ending: str, value: float
):
    file = tmp_path / f"a{ending}"
    file.write_text("the file from before")
    for name in FIELDS:
        gaussians = splats(1)
        getattr(gaussians, name)[3:] = value
        with pytest.raises(ValueError, match=f"NaN or infinite, most of them in {name}"):
            export_splats(gaussians, file)
    gaussians = splats(1)
    gaussians.quats[3:] = 0.0
    with pytest.raises(ValueError, match="length zero in 197 splats"):
        export_splats(gaussians, file)
    with pytest.raises(ValueError, match="no splats to write"):
        export_splats(gaussians[:0], file)
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["the file from before"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, splats, ending: str):
    (tmp_path / f"a{ending}").mkdir()
    with pytest.raises(OSError, match=f"a{ending}"):
        export_splats(splats(0), tmp_path / f"a{ending}")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_are_known_by_what_is_in_them(tmp_path: Path, splats, ending: str):
    gaussians = splats(1)
    export_splats(gaussians, tmp_path / f"a{ending}")
    name = f"b{ending}" if ending in NAMELESS else "b.bin"
    (tmp_path / f"a{ending}").rename(tmp_path / name)
    assert len(read_splats(tmp_path / name)) == len(gaussians)
    if ending not in NAMELESS:
        (tmp_path / name).rename(tmp_path / "c.splat")
        assert read_splats(tmp_path / "c.splat").sh.shape[1] == 4


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_of_every_other_format_are_refused(tmp_path: Path, splats, ending: str):
    # Other formats hold enough numbers to be taken for .splat, but ``read_splats`` never takes them for that.
    others = {"text"} if ending == ".splat" else {*ENDINGS, "zeros", "text"} - {ending}
    for other in others:
        file = tmp_path / "a"
        if other in WRITERS:
            WRITERS[other](splats(3), file)
        else:
            file.write_bytes(bytes(9000) if other == "zeros" else b"Colourless green ideas.\n" * 400)
        with pytest.raises(
            ValueError,
            match=r"no (PLY|gzip|\.glb|\.splat|\.sog|\.ksplat)|compressed PLY|compressed;|cut short",
        ) as refusal:
            told(READERS[ending], file)
        assert "\n" not in str(refusal.value)
        assert len(str(refusal.value)) < 250


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_no_file_of_splats_is_refused_by_name(tmp_path: Path, ending: str):
    file = tmp_path / f"a{ending}"
    with pytest.raises(FileNotFoundError):
        read_splats(file)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match=f"^{re.escape(str(file))}: "):
        read_splats(file)
    file.unlink()
    file.mkdir()
    for read in (read_splats, READERS[ending]):
        with pytest.raises(ValueError, match="no file"):
            read(file)


def test_unknown_files_are_refused_with_the_names_of_what_is_read(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" * 9)
    with pytest.raises(ValueError, match=r"\.compressed\.ply, \.glb, \.ksplat, \.ply, \.sog, \.splat, \.spz"):
        read_splats(tmp_path / "a.png")


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_that_are_cut_short_are_refused(tmp_path: Path, splats, ending: str):
    file = tmp_path / f"a{ending}"
    export_splats(splats(2), file)
    data = file.read_bytes()
    for length in {*range(0, len(data), 131), len(data) - 1, len(data) - 4, len(data) - 9}:
        file.write_bytes(data[:length])
        if ending == ".splat" and length >= 32:  # it has no length to compare with, but whole splats
            read, messages = told(read_splats, file)
            assert len(read) == length // 32
            assert [f"{length % 32} bytes follow" in message for message in messages] == [True] * (
                length % 32 > 0
            )
        else:
            with pytest.raises(ValueError, match=r"cut short|no PLY|is known here|bytes a splat"):
                told(read_splats, file)


@pytest.mark.parametrize("ending", ENDINGS)
def test_bytes_that_follow_are_passed_over_with_a_word(tmp_path: Path, splats, ending: str):
    file = tmp_path / f"a{ending}"
    export_splats(splats(2), file)
    whole = read_splats(file)
    file.write_bytes(file.read_bytes() + b"hello")
    read, messages = told(read_splats, file)
    assert_identical(read, whole)
    assert messages == [f"a{ending}: 5 bytes follow the splats and are passed over; the file may be damaged"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path, splats, ending: str):
    file = tmp_path / f"a{ending}"
    export_splats(splats(1)[:60], file)
    whole = file.read_bytes()
    rng, outcomes = np.random.default_rng(0), [0, 0]
    for trial in range(300):
        damaged = bytearray(whole)
        reach = len(damaged) if trial % 2 else min(len(damaged), 600)
        for place in rng.integers(reach, size=rng.integers(1, 5)):
            damaged[place] = rng.integers(256)
        file.write_bytes(damaged)
        try:
            assert_sound(told(READERS[ending], file)[0])
            outcomes[0] += 1
        except ValueError:
            outcomes[1] += 1
    assert outcomes[0] > (0 if ending in (".spz", ".sog") else 50)  # gzip and zip have checksums
    assert (outcomes[1] > 50) == (ending not in NAMELESS)  # every byte may be; most of long headers is unused


def test_as_many_splats_are_read_as_is_said():
    check_count((4 << 30) // 56, 1)
    for count, coefficients in (((4 << 30) // 56 + 1, 1), (1 << 31, 1), (20_000_000, 16)):
        with pytest.raises(ValueError, match=f"{count:,} splats.* 4 GiB that are read"):
            check_count(count, coefficients)
    with pytest.raises(ValueError, match="no splats"):
        check_count(0, 1)
