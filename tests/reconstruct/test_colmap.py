"""COLMAP models: what COLMAP's own library writes and reads, text and binary alike, and files that lie."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reconstruct.formats.captures import is_capture, read_capture
from reconstruct.formats.colmap import Lens, Photograph, SparseModel, model_in, read_model, write_model

COUNT, WIDTH, HEIGHT = 4, 40, 30
PINHOLE = Lens(model="PINHOLE", width=WIDTH, height=HEIGHT, params=(32.0, 33.0, 19.5, 15.25))

# In a process of its own: beside other libraries that write pictures it corrupts their memory.
LIBRARY = """
import json, sys
import pycolmap
source, target, as_text = sys.argv[1:]
model = pycolmap.Reconstruction(source)
(model.write_text if as_text == "text" else model.write_binary)(target)
print(json.dumps({
    "cameras": [[c.model.name, c.width, c.height, list(c.params)] for c in model.cameras.values()],
    "images": {i.name: i.cam_from_world().matrix().tolist() for i in model.images.values()},
    "points": [[*p.xyz, *map(int, p.color)] for p in model.points3D.values()],
}))
"""


def library(source: Path, target: Path, *, kind: str) -> dict:
    """What COLMAP reads, after it has written it to another folder."""
    pytest.importorskip("pycolmap", reason="pycolmap is missing; install the dev extra")
    target.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY, str(source), str(target), kind],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def poses() -> list[np.ndarray]:
    """A few places, each turned in a way of its own."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(COUNT):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        pose = np.eye(4)
        pose[:3, :3] = turn * np.sign(np.linalg.det(turn))
        pose[:3, 3] = rng.normal(size=3)
        found.append(pose)
    return found


def model_of(lens: Lens = PINHOLE) -> SparseModel:
    rng = np.random.default_rng(1)
    return SparseModel(
        photographs=[Photograph(name=f"{i}.png", lens=lens, w2c=pose) for i, pose in enumerate(poses())],
        points=rng.normal(size=(50, 3)),
        rgb=rng.integers(0, 256, size=(50, 3), dtype=np.uint8),
    )


def assert_same(found: SparseModel, expected: SparseModel) -> None:
    assert [image.name for image in found.photographs] == [image.name for image in expected.photographs]
    assert [image.lens for image in found.photographs] == [image.lens for image in expected.photographs]
    for a, b in zip(found.photographs, expected.photographs, strict=True):
        np.testing.assert_allclose(a.w2c, b.w2c, atol=1e-12)
    order = np.lexsort(found.points.T), np.lexsort(expected.points.T)
    np.testing.assert_allclose(found.points[order[0]], expected.points[order[1]], atol=1e-12)
    assert np.array_equal(found.rgb[order[0]], expected.rgb[order[1]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A capture with photographs and a binary model."""
    (tmp_path / "images").mkdir()
    (tmp_path / "sparse/0").mkdir(parents=True)
    for i in range(COUNT):
        Image.new("RGB", (WIDTH, HEIGHT), (40 * i, 90, 200)).save(tmp_path / f"images/{i}.png")
    write_model(model_of(), tmp_path / "sparse/0")
    return tmp_path


def test_what_is_written_is_read_back(folder: Path):
    assert_same(read_model(folder / "sparse/0"), model_of())


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_colmap_reads_what_we_write_and_we_read_what_it_writes(folder: Path, tmp_path: Path, kind: str):
    model = model_of()
    said = library(folder / "sparse/0", tmp_path / "again", kind=kind)
    assert said["cameras"] == [["PINHOLE", WIDTH, HEIGHT, list(PINHOLE.params)]]
    for photograph in model.photographs:
        np.testing.assert_allclose(said["images"][photograph.name], photograph.w2c[:3], atol=1e-12)
    rows = np.column_stack([model.points, model.rgb])
    np.testing.assert_allclose(sorted(said["points"]), sorted(rows.tolist()), atol=1e-12)
    if kind == "text":
        assert not list((tmp_path / "again").glob("*.bin"))
    assert_same(read_model(tmp_path / "again"), model)


def test_a_capture_of_colmap_has_its_cameras_photographs_and_points(folder: Path):
    assert is_capture(folder)
    found, model = read_capture(folder), model_of()
    cameras = found.frames.cameras
    for i, pose in enumerate(poses()):
        torch.testing.assert_close(cameras.w2c[i], torch.from_numpy(pose).float(), atol=1e-5, rtol=0)
    expected = torch.tensor([[32.0, 0.0, 19.5], [0.0, 33.0, 15.25], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(cameras.K, expected.expand(COUNT, 3, 3))
    assert [round(float(rgb) * 255) for rgb in found.frames.rgb[:, 0, 0, 0]] == [0, 40, 80, 120]
    torch.testing.assert_close(found.points, torch.from_numpy(model.points).float())
    torch.testing.assert_close(found.rgb, torch.from_numpy(model.rgb / 255.0).float())


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("SIMPLE_PINHOLE", (32.0, 20.0, 15.0)),
        ("SIMPLE_RADIAL", (32.0, 20.0, 15.0, 0.1)),
        ("RADIAL", (32.0, 20.0, 15.0, 0.0, 0.2)),
        ("OPENCV", (32.0, 32.0, 20.0, 15.0, 0.0, 0.0, 0.0, 0.05)),
        ("FULL_OPENCV", (32.0, 32.0, 20.0, 15.0, *(0.0,) * 8)),
    ],
)
def test_lenses_are_taken_out(folder: Path, model: str, params: tuple[float, ...]):
    write_model(model_of(Lens(model=model, width=WIDTH, height=HEIGHT, params=params)), folder / "sparse/0")
    squares = (np.indices((HEIGHT, WIDTH)).sum(axis=0) // 4 % 2 * 255).astype(np.uint8)
    for file in (folder / "images").iterdir():
        Image.fromarray(squares).convert("RGB").save(file)
    found = read_capture(folder).frames
    expected = torch.tensor([[32.0, 0.0, 20.0], [0.0, 32.0, 15.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(found.cameras.K[0], expected)
    same = torch.equal((found.rgb[0, :, :, 0] * 255).round().byte(), torch.from_numpy(squares))
    is_bent = any(0.0 < number < 1.0 for number in params)
    assert same != is_bent


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("OPENCV_FISHEYE", (32.0, 32.0, 20.0, 15.0, 0.1, 0.0, 0.0, 0.0)),
        ("FULL_OPENCV", (32.0, 32.0, 20.0, 15.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0)),
    ],
)
def test_lenses_that_are_none_of_ours_are_refused(folder: Path, model: str, params: tuple[float, ...]):
    write_model(model_of(Lens(model=model, width=WIDTH, height=HEIGHT, params=params)), folder / "sparse/0")
    with pytest.raises(ValueError, match="undistort the photographs first"):
        read_capture(folder)


@pytest.mark.parametrize("place", ["sparse/0", "sparse", "colmap/sparse/0", ""])
def test_models_are_found_where_tools_leave_them(folder: Path, place: str):
    shutil.move(folder / "sparse/0", folder / "model")
    shutil.rmtree(folder / "sparse")
    (folder / place).mkdir(parents=True, exist_ok=True)
    for file in (folder / "model").iterdir():
        file.rename(folder / place / file.name)
    assert model_in(folder) == folder / place


def shortened(data: bytes) -> bytes:
    return data[:-1]


def promised(data: bytes) -> bytes:
    return struct.pack("<Q", 2**62) + data[8:]


@pytest.mark.parametrize("part", ["cameras", "images", "points3D"])
@pytest.mark.parametrize("spoil", [shortened, promised, lambda _: b"", lambda data: data[:9]], ids=range(4))
def test_binary_files_that_lie_are_refused(folder: Path, part: str, spoil: Callable[[bytes], bytes]):
    file = folder / f"sparse/0/{part}.bin"
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ValueError, match=f"{part}.bin: .*(ends too early|has no end)"):
        read_capture(folder)


def spoilt(folder: Path, change: Callable[[SparseModel], SparseModel]) -> Path:
    write_model(change(model_of()), folder / "sparse/0")
    return folder


@pytest.mark.parametrize("name", ["/etc/passwd", "../../secret.png", ""])
def test_photographs_lie_within_their_folder(folder: Path, name: str):
    def change(model: SparseModel) -> SparseModel:
        first, *others = model.photographs
        return dataclasses.replace(model, photographs=[dataclasses.replace(first, name=name), *others])

    with pytest.raises(ValueError, match=r"should (name a file in the folder|be the name of a file)"):
        read_capture(spoilt(folder, change))


def test_points_that_are_nowhere_are_refused(folder: Path):
    def change(model: SparseModel) -> SparseModel:
        return dataclasses.replace(model, points=np.where(np.arange(50)[:, None] == 7, np.nan, model.points))

    with pytest.raises(ValueError, match="points that are NaN"):
        read_capture(spoilt(folder, change))


def test_poses_that_are_none_are_refused(folder: Path):
    file = folder / "sparse/0/images.bin"
    data = file.read_bytes()
    file.write_bytes(data[:12] + struct.pack("<4d", 0.0, 0.0, 0.0, 0.0) + data[44:])
    with pytest.raises(ValueError, match=r"the pose of '0\.png' is none"):
        read_capture(folder)


@pytest.mark.parametrize(
    ("part", "text", "error"),
    [
        ("cameras", "1 PINHOLE 40 30 32 33 19.5", "has 4 parameters, got 3"),
        ("cameras", "1 PINHOLE 40", "a camera should be"),
        ("cameras", "1 TELESCOPE 40 30 1", "no camera model"),
        ("cameras", "1 PINHOLE 0 30 32 33 20 15", "a size in pixels"),
        ("cameras", "1 PINHOLE 40 30 32 nan 20 15", "finite"),
        ("cameras", "one PINHOLE 40 30 32 33 20 15", "invalid literal"),
        ("images", "1 1 0 0 0 0 0 0 9 a.png\n", "a camera 9 that there is not"),
        ("images", "1 1 0 0 0 0 0\n", "an image should be"),
        ("points3D", "1 0 0", "a point should be"),
    ],
)
def test_text_files_that_lie_are_refused(folder: Path, part: str, text: str, error: str):
    (folder / f"sparse/0/{part}.bin").unlink()
    (folder / f"sparse/0/{part}.txt").write_text(f"# a comment\n{text}\n")
    with pytest.raises(ValueError, match=f"{part}.txt: .*{error}"):
        read_model(folder / "sparse/0")


def test_a_model_without_cameras_is_said_to_be_none(folder: Path):
    (folder / "sparse/0/cameras.bin").unlink()
    with pytest.raises(ValueError, match=r"holds no cameras\.bin and no cameras\.txt"):
        read_capture(folder)
