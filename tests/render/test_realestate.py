"""RealEstate10K's text files: what they say, where they are carried to, and liars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from render.cameras import Cameras, project
from render.json_files import MAX_TEXT_BYTES
from render.realestate import carried, load_realestate
from tests.oracles.box_room import room_cameras

REAL = Path(__file__).parents[2] / "../shared/data/trajectories/re10k_relative"
COUNT = 5


def motion() -> np.ndarray:
    """World-to-camera matrices that turn and move in every direction; the first is no identity."""
    w2c = np.tile(np.eye(4), (COUNT, 1, 1))
    for i in range(COUNT):
        w2c[i, :3, :3] = Rotation.from_euler("YXZ", (0.3 + 0.1 * i, 0.2 - 0.05 * i, 0.1)).as_matrix()
        w2c[i, :3, 3] = (0.5 + 0.2 * i, -0.1 * i, 1.0 + 0.3 * i)
    return w2c


def lines(*, times: bool = False) -> list[str]:
    lens = "0.48 0.85 0.51 0.49 0 0"
    poses = [" ".join(f"{x:.9f}" for x in matrix[:3].ravel()) for matrix in motion()]
    return [f"{33_000 * i} {lens} {pose}" if times else f"{lens} {pose}" for i, pose in enumerate(poses)]


def written(folder: Path, text: list[str]) -> Path:
    (folder / "path.txt").write_text("\n".join(text) + "\n")
    return folder / "path.txt"


@pytest.mark.parametrize(
    "text", [lines(), ["https://www.youtube.com/watch?v=x", *lines(times=True)]], ids=["relative", "original"]
)
def test_a_camera_shows_a_place_where_the_file_says(tmp_path: Path, text: list[str]):
    cameras = load_realestate(written(tmp_path, text))
    place = np.array([0.3, -0.2, 4.0])
    uv, depth = project(torch.from_numpy(place)[None].float(), cameras)
    for i, matrix in enumerate(motion()):
        x, y, z = matrix[:3, :3] @ place + matrix[:3, 3]
        assert float(depth[i, 0, 0]) == pytest.approx(z, abs=1e-5)
        u, v = 0.48 * x / z + 0.51, 0.85 * y / z + 0.49  # shares of the picture
        assert uv[i, 0].tolist() == pytest.approx([u * cameras.width, v * cameras.height], abs=1e-3)


def test_a_motion_is_carried_to_another_place_and_scale(tmp_path: Path):
    start = room_cameras()[1:2]
    found = carried(load_realestate(written(tmp_path, lines())), start, scale=2.5)
    assert torch.equal(found.c2w[0], start.c2w[0])
    assert torch.equal(found.K, start.K.expand(COUNT, 3, 3))
    assert (found.width, found.height) == (start.width, start.height)
    true = motion()
    for i in range(COUNT):
        step = true[0] @ np.linalg.inv(true[i])  # the camera i as the first sees it
        mine = np.linalg.inv(start.c2w[0].double().numpy()) @ found.c2w[i].double().numpy()
        np.testing.assert_allclose(mine[:3, :3], step[:3, :3], atol=1e-6)
        np.testing.assert_allclose(mine[:3, 3], 2.5 * step[:3, 3], atol=1e-5)


def spoilt(at: int, word: int, text: str) -> list[str]:
    found = [line.split() for line in lines()]
    found[at][word] = text
    return [" ".join(words) for words in found]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ([], "1 to 100000 cameras, got 0"),
        (["https://www.youtube.com/watch?v=x"], "1 to 100000 cameras, got 0"),
        (["a path of mine", *lines()], "camera 0 should have 18 or 19 numbers, got 4"),
        ([*lines(), "1 2 3"], "camera 5 should have 18 or 19 numbers, got 3"),
        ([lines()[0] + " 1 2"], "got 20"),
        (spoilt(2, 9, "nan"), "finite numbers"),
        (spoilt(2, 9, "-inf"), "finite numbers"),
        (spoilt(2, 9, "1e300"), "finite numbers"),
        (spoilt(2, 9, "west"), "finite numbers"),
        (spoilt(2, 6, "2.0"), "rigid"),
        (spoilt(2, 4, "0.1"), "a lens that bends"),
        (spoilt(2, 0, "0"), "focal lengths must be positive"),
        (["0.5 0.8 0.5 0.5 0 0 " + "0 " * 12], "rigid"),
        (["0.5 0.8 0.5 0.5 0 0 -1 0 0 0 0 1 0 0 0 0 1 0"], "rigid"),
    ],
)
def test_hostile_files_are_refused_in_one_sentence(tmp_path: Path, text: list[str], complaint: str):
    with pytest.raises(ValueError, match=complaint) as refusal:
        load_realestate(written(tmp_path, text))
    assert str(refusal.value).startswith("path.txt is no usable camera path: ")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 220


def test_what_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / "path.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="it is not text"):
        load_realestate(tmp_path / "path.txt")
    with (tmp_path / "path.txt").open("wb") as file:
        file.truncate(MAX_TEXT_BYTES + 1)
    with pytest.raises(ValueError, match="larger than 16 MiB"):
        load_realestate(tmp_path / "path.txt")
    with pytest.raises(ValueError, match="no such file"):
        load_realestate(tmp_path / "none.txt")


@pytest.mark.skipif(not REAL.is_dir(), reason="the paths re10k_relative are not here")
def test_real_paths_are_read_and_move_as_far_as_a_room_lets_them():
    files = sorted(REAL.glob("*.txt"))
    assert len(files) == 12
    for file in files:
        cameras: Cameras = load_realestate(file)
        assert len(cameras) == 49
        torch.testing.assert_close(cameras.c2w[0], torch.eye(4), atol=1e-6, rtol=0)
        assert 0.2 < float(cameras.origins.diff(dim=0).norm(dim=1).sum()) < 3.0
