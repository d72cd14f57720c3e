"""PLY against strangers: splat-transform and trimesh read what we write; hostile files are refused."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from reconstruct.formats import export_splats, read_ply, write_ply
from reconstruct.formats.ply import read_own_ply
from tests.reconstruct.splat_files import FIELDS, assert_identical, assert_sound, told


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_round_trip_is_bit_exact(tmp_path: Path, make_gaussians, degree: int):
    gaussians = make_gaussians(257, degree=degree)
    export_splats(gaussians, tmp_path / "a.PLY")
    assert_identical(read_ply(tmp_path / "a.PLY"), gaussians)
    assert [file.name for file in tmp_path.iterdir()] == ["a.PLY"]


@pytest.mark.parametrize("degree", [0, 3])
def test_splat_transform_reads_every_number(
    tmp_path: Path, make_gaussians, splat_transform: Callable[..., str], degree: int
):
    gaussians = make_gaussians(100, degree=degree)
    write_ply(gaussians, tmp_path / "a.ply")
    summary = splat_transform(tmp_path / "a.ply", "-m", "null")
    assert "**Row Count:** 100" in summary
    rows = {
        cells[0]: cells[1:] for cells in re.findall(r"^\| (\w+) +" + r"\| +([^| ]+) +" * 7, summary, re.M)
    }
    assert len(rows) == 18 + 3 * ((degree + 1) ** 2 - 1)  # the heading is one of them, the normals are gone
    del rows["Column"]
    assert all(cells[5:] == ("0", "0") for cells in rows.values())  # NaN, infinite
    # It prints opacity and scale as they are meant, not as they are stored, to six digits.
    meant = [gaussians.opacities[:, None], gaussians.scales, gaussians.means, gaussians.quats]
    names = ["opacity", "scale_0", "scale_1", "scale_2", "x", "y", "z", "rot_0", "rot_1", "rot_2", "rot_3"]
    extremes = torch.stack(torch.cat(meant, dim=1).aminmax(dim=0), dim=1)
    np.testing.assert_allclose(
        [[float(cell) for cell in rows[name][:2]] for name in names], extremes, rtol=1e-5
    )


def test_splat_transform_keeps_the_bands_we_keep(tmp_path: Path, make_gaussians, splat_transform):
    gaussians = make_gaussians(20, degree=3)
    write_ply(gaussians, tmp_path / "a.ply")
    splat_transform(tmp_path / "a.ply", "--filter-harmonics", "1", tmp_path / "b.ply")
    assert_identical(read_ply(tmp_path / "b.ply"), dataclasses.replace(gaussians, sh=gaussians.sh[:, :4]))


def test_trimesh_reads_the_positions(tmp_path: Path, make_gaussians):
    gaussians = make_gaussians(50, degree=1)
    write_ply(gaussians, tmp_path / "a.ply")
    cloud = trimesh.load(tmp_path / "a.ply")
    np.testing.assert_array_equal(cloud.vertices, gaussians.means.double())


def test_the_layout_is_the_published_one(tmp_path: Path, make_gaussians):
    gaussians = make_gaussians(2, degree=1)
    write_ply(gaussians, tmp_path / "a.ply")
    header, body = (tmp_path / "a.ply").read_bytes().split(b"end_header\n", 1)
    assert re.findall(r"property float (\w+)", header.decode())[6:10] == [
        "f_dc_0",
        "f_dc_1",
        "f_dc_2",
        "f_rest_0",
    ]
    row = np.frombuffer(body, "<f4").reshape(2, 26)[1]
    np.testing.assert_array_equal(row[9:12], gaussians.sh[1, 1:, 0])  # all of red first
    np.testing.assert_array_equal(
        row[18:], [gaussians.logit_opacities[1], *gaussians.log_scales[1], *gaussians.quats[1]]
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("field", FIELDS)
def test_numbers_that_are_not_finite_are_never_written(
    tmp_path: Path, make_gaussians, field: str, value: float
):
    gaussians = make_gaussians(5, degree=1)
    getattr(gaussians, field)[3:] = value
    (tmp_path / "a.ply").write_text("the file from before")
    with pytest.raises(ValueError, match="NaN or infinite"):
        write_ply(gaussians, tmp_path / "a.ply")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["the file from before"]


def test_an_empty_world_is_refused(tmp_path: Path, make_gaussians):
    with pytest.raises(ValueError, match="no splats to write"):
        write_ply(make_gaussians(0, degree=0), tmp_path / "a.ply")
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, make_gaussians):
    (tmp_path / "a.ply").mkdir()  # all is written but the name cannot be taken
    with pytest.raises(OSError, match=r"a\.ply"):
        write_ply(make_gaussians(5, degree=0), tmp_path / "a.ply")
    assert [file.name for file in tmp_path.iterdir()] == ["a.ply"]


def test_an_unknown_ending_names_the_known_ones(tmp_path: Path, make_gaussians):
    with pytest.raises(ValueError, match=r"\.ply.*'a\.obj'"):
        export_splats(make_gaussians(1, degree=0), tmp_path / "a.obj")


def test_foreign_columns_types_and_lengths_are_understood(tmp_path: Path, make_gaussians):
    gaussians = make_gaussians(4, degree=0)
    write_ply(gaussians, tmp_path / "a.ply")
    header, body = (tmp_path / "a.ply").read_bytes().split(b"end_header\n", 1)
    table = np.frombuffer(body, "<f4").reshape(4, 17)
    record = [("red", "u1"), *((name, "<f8") for name in re.findall(r"float (\w+)", header.decode()))]
    rows = np.array([(7, *row[:13], *(3 * row[13:])) for row in table.astype(float)], dtype=record)
    header = header.replace(b"float", b"double").replace(b"property", b"property uchar red\r\nproperty", 1)
    header = (
        header.replace(b"\n", b"\r\n")
        .replace(b"\r\r", b"\r")
        .replace(b"ply\r\n", b"ply\r\ncomment hi\r\n", 1)
    )
    (tmp_path / "a.ply").write_bytes(header + b"end_header\r\n" + rows.tobytes())
    read = read_ply(tmp_path / "a.ply")
    assert_identical(dataclasses.replace(read, quats=gaussians.quats), gaussians)
    torch.testing.assert_close(read.quats, gaussians.quats)


HOSTILE = {
    "nothing": (lambda _: b"", "no PLY file"),
    "another format": (lambda _: b"\x89PNG\r\n\x1a\n" * 99, "no PLY file"),
    "endless header": (lambda ply: ply.replace(b"end_header\n", b"comment x\n" * 9999), "no PLY file"),
    "header cut short": (lambda ply: ply[:60], "no PLY file"),
    "ascii": (lambda ply: ply.replace(b"binary_little_endian", b"ascii"), "binary_little_endian"),
    "big endian": (lambda ply: ply.replace(b"little", b"big"), "binary_little_endian"),
    "no format": (lambda _: b"ply\nend_header\n", "binary_little_endian"),
    "no element": (lambda _: b"ply\nformat binary_little_endian 1.0\nend_header\n", "element vertex COUNT"),
    "other element": (lambda ply: ply.replace(b"vertex", b"face"), "element vertex COUNT"),
    "compressed": (lambda ply: ply.replace(b"vertex", b"chunk"), r"\.compressed\.ply"),
    "negative count": (lambda ply: ply.replace(b"vertex 3", b"vertex -3"), "element vertex COUNT"),
    "count is a word": (lambda ply: ply.replace(b"vertex 3", b"vertex many"), "element vertex COUNT"),
    "count of 5000 digits": (
        lambda ply: ply.replace(b"vertex 3", b"vertex " + b"9" * 5000),
        "element vertex",
    ),
    "count beyond the file": (lambda ply: ply.replace(b"vertex 3", b"vertex 4"), "cut short"),
    "count beyond reason": (lambda ply: ply.replace(b"vertex 3", b"vertex 999999999999999"), "GiB"),
    "one byte short": (lambda ply: ply[:-1], "cut short"),
    "unknown type": (lambda ply: ply.replace(b"float x", b"quad x"), "property TYPE NAME"),
    "list": (lambda ply: ply.replace(b"float x", b"list uchar int x"), "property TYPE NAME"),
    "name twice": (lambda ply: ply.replace(b"float y", b"float x"), "share a name"),
    "no rotation": (lambda ply: ply.replace(b"rot_3", b"spin"), "rot_3 is missing"),
    "odd SH": (lambda ply: ply.replace(b"nx", b"f_rest_0"), "0, 9, 24 or 45"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, make_gaussians, case: str):
    damage, message = HOSTILE[case]
    write_ply(make_gaussians(3, degree=0), tmp_path / "a.ply")
    damaged = damage((tmp_path / "a.ply").read_bytes())
    assert damaged != (tmp_path / "a.ply").read_bytes()
    (tmp_path / "a.ply").write_bytes(damaged)
    with pytest.raises(ValueError, match=message) as refusal:
        read_ply(tmp_path / "a.ply")
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("column", "value"), [("x", np.nan), ("f_rest_0", np.inf), ("rot", 0.0), ("rot", 1e-9)]
)
def test_senseless_splats_are_left_out_and_told(tmp_path: Path, make_gaussians, column: str, value: float):
    gaussians, file = make_gaussians(6, degree=1), tmp_path / "a.ply"
    write_ply(gaussians, file)
    header, body = file.read_bytes().split(b"end_header\n", 1)
    table = np.frombuffer(body, "<f4").reshape(6, 26).copy()
    columns = {"x": slice(0, 1), "f_rest_0": slice(9, 10), "rot": slice(22, 26)}[column]
    table[:2, columns] = value
    file.write_bytes(header + b"end_header\n" + table.tobytes())
    read, messages = told(read_ply, file)
    assert_identical(read, gaussians[2:])
    reason = "rotations have length zero in 2" if column == "rot" else "numbers are NaN or infinite in 2"
    assert len(messages) == 1
    assert messages[0].startswith("a.ply: 2 of 6 splats are left out: ")
    assert reason in messages[0]
    table[:, columns] = value
    file.write_bytes(header + b"end_header\n" + table.tobytes())
    with pytest.raises(ValueError, match="none of its 6 splats makes sense"):
        read_ply(file)


def test_in_files_of_our_own_whatever_is_odd_is_damage(tmp_path: Path, make_gaussians):
    gaussians, file = make_gaussians(6, degree=1), tmp_path / "a.ply"
    write_ply(gaussians, file)
    assert_identical(read_own_ply(file), gaussians)
    whole = file.read_bytes()
    for damaged, message in (
        (whole[:-1], "cut short"),
        (whole + b"more", "0 of its splats make no sense, and 4 bytes follow"),
        (whole[:-4] + np.float32(np.nan).tobytes(), "1 of its splats make no sense"),
        (whole[:-16] + bytes(16), "1 of its splats make no sense"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            read_own_ply(file)


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e30])
def test_rotations_of_any_length_are_read(tmp_path: Path, make_gaussians, factor: float):
    gaussians = make_gaussians(6, degree=0)
    stretched = dataclasses.replace(gaussians, quats=gaussians.quats * factor)
    write_ply(stretched, tmp_path / "a.ply")
    torch.testing.assert_close(read_ply(tmp_path / "a.ply").quats, gaussians.quats)


def test_what_follows_the_splats_may_be_another_table(tmp_path: Path, make_gaussians):
    gaussians, file = make_gaussians(6, degree=0), tmp_path / "a.ply"
    write_ply(gaussians, file)
    more = b"element face 1\nproperty list uchar int vertex_index\nend_header\n"
    file.write_bytes(file.read_bytes().replace(b"end_header\n", more) + b"\3" + bytes(12))
    assert_identical(read_ply(file), gaussians)


def test_damaged_headers_are_read_or_refused_and_nothing_else(tmp_path: Path, make_gaussians):
    write_ply(make_gaussians(3, degree=1), tmp_path / "a.ply")
    whole = (tmp_path / "a.ply").read_bytes()
    rng, refused = np.random.default_rng(0), 0
    for _ in range(500):
        damaged = bytearray(whole)
        for place in rng.integers(whole.index(b"end_header") + 11, size=rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        (tmp_path / "a.ply").write_bytes(damaged)
        try:
            assert_sound(told(read_ply, tmp_path / "a.ply")[0])
        except ValueError:
            refused += 1
    assert refused > 400
