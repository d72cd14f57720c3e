"""COLMAP models as camera paths: what was written is followed, in order."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from reconstruct.formats.colmap import Lens, Photograph, SparseModel, write_model
from reconstruct.formats.colmap_path import is_colmap, load_colmap_path
from render.cameras import Cameras
from render.paths import spiral
from tests.oracles.box_room import room_cameras

LENS = Lens(model="OPENCV", width=320, height=240, params=(200.0, 210.0, 150.0, 130.0, 0.1, 0.0, 0.0, 0.0))
COUNT = 12


@pytest.fixture
def walk() -> Cameras:
    return spiral(room_cameras(torch.float64)[:1], n=COUNT)


def written(folder: Path, cameras: Cameras, names: list[str], lens: Lens = LENS) -> Path:
    """A model whose photographs have these names."""
    folder.mkdir(parents=True)
    w2c = cameras.w2c.double().numpy()
    photographs = [
        Photograph(name=name, lens=lens, w2c=matrix) for name, matrix in zip(names, w2c, strict=True)
    ]
    points = np.zeros((0, 3))
    write_model(SparseModel(photographs=photographs, points=points, rgb=points.astype(np.uint8)), folder)
    return folder


def test_a_model_is_followed_in_the_order_of_the_numbers_in_its_names(tmp_path: Path, walk: Cameras):
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    names = [f"left/frame_{number}.jpg" for number in order.tolist()]
    written(tmp_path / "capture" / "sparse" / "0", walk[order], names)
    for place in ("capture", "capture/sparse/0", "capture/sparse/0/images.bin"):
        assert is_colmap(tmp_path / place)
        path = load_colmap_path(tmp_path / place)
        torch.testing.assert_close(path.c2w, walk.c2w.float(), atol=1e-5, rtol=0)
    assert (path.width, path.height) == (320, 240)
    assert path.K[0].tolist() == [[200.0, 0.0, 160.0], [0.0, 200.0, 120.0], [0.0, 0.0, 1.0]]


def test_names_without_numbers_are_in_the_order_of_letters(tmp_path: Path, walk: Cameras):
    model = written(tmp_path / "m", walk[:3], ["b.png", "a2.png", "c"])
    torch.testing.assert_close(load_colmap_path(model).c2w, walk.c2w[[1, 0, 2]].float(), atol=1e-5, rtol=0)


def test_what_is_no_model_is_refused(tmp_path: Path, walk: Cameras):
    assert not is_colmap(tmp_path)
    assert not is_colmap(tmp_path / "images.txt")
    with pytest.raises(ValueError, match="holds no COLMAP model"):
        load_colmap_path(tmp_path)
    (tmp_path / "images.txt").write_text("1 1 0 0 0 0 0 0 1 a.png\n\n")
    assert is_colmap(tmp_path / "images.txt")
    with pytest.raises(ValueError, match=r"holds no cameras.bin and no cameras.txt"):
        load_colmap_path(tmp_path / "images.txt")
    empty = written(tmp_path / "none", walk[:0], [])
    with pytest.raises(ValueError, match="no usable camera path: it should have 1 to"):
        load_colmap_path(empty)
    flat = Lens(model="SIMPLE_PINHOLE", width=320, height=240, params=(0.0, 160.0, 120.0))
    with pytest.raises(ValueError, match="focal lengths must be positive"):
        load_colmap_path(written(tmp_path / "flat", walk[:2], ["a", "b"], flat))


def test_files_that_end_too_early_are_refused_in_one_sentence(tmp_path: Path, walk: Cameras):
    model = written(tmp_path / "m", walk, [f"{i}.png" for i in range(COUNT)])
    whole = (model / "images.bin").read_bytes()
    for length in range(0, len(whole), 37):
        broken = Path(shutil.copytree(model, tmp_path / f"cut-{length}"))
        (broken / "images.bin").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"images.bin: [^\n]*$"):
            load_colmap_path(broken)
