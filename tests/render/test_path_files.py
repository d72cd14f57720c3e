"""Path files against their readers and attackers."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from render._poses import MAX_CAMERAS
from render.json_files import MAX_FILE_BYTES
from render.path_files import load_path, save_path
from render.paths import orbit
from tests.oracles.box_room import room_cameras


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_file_gives_back_the_same_single_precision_cameras(tmp_path: Path, dtype: torch.dtype):
    path = orbit(room_cameras()[1:2], n=50, scale=1.234567)
    stored = dataclasses.replace(path, c2w=path.c2w.to(dtype), K=path.K.to(dtype))
    save_path(tmp_path / "path.json", stored, fps=23.976)
    read = load_path(tmp_path / "path.json")
    assert torch.equal(read.c2w, path.c2w)
    assert torch.equal(read.K, path.K)
    assert (read.width, read.height) == (60, 44)


def test_a_file_says_what_it_is(tmp_path: Path):
    save_path(tmp_path / "path.json", room_cameras(), fps=24)
    data = json.loads((tmp_path / "path.json").read_text())
    assert {name: data[name] for name in ("format", "version", "width", "height", "fps")} == {
        "format": "worldgen-path",
        "version": 1,
        "width": 60,
        "height": 44,
        "fps": 24,
    }
    assert [sorted(frame) for frame in data["frames"]] == [["K", "c2w"]] * 3


def test_the_longest_path_fits_into_a_file(tmp_path: Path):
    save_path(tmp_path / "path.json", orbit(room_cameras()[1:2], n=1000, scale=1.234567), fps=30)
    assert (tmp_path / "path.json").stat().st_size * MAX_CAMERAS / 1000 < MAX_FILE_BYTES / 2


def _data() -> dict:
    identity = [[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    frame = {"c2w": identity, "K": [[50, 0, 30], [0, 50, 20], [0, 0, 1]]}
    return {"format": "worldgen-path", "version": 1, "width": 60, "height": 44, "fps": 30, "frames": [frame]}


def test_a_file_written_by_hand_may_use_whole_numbers(tmp_path: Path):
    (tmp_path / "path.json").write_text(json.dumps(_data()))
    assert load_path(tmp_path / "path.json").origins.tolist() == [[0.5, 0.0, 0.0]]


def _matrix_with(name: str, row: int, column: int, *, value: object) -> dict:
    data = _data()
    data["frames"][0][name][row][column] = value
    return data


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ([], '"format"'),
        (_data() | {"format": "nerfstudio"}, '"format"'),
        (_data() | {"version": 2}, '"version"'),
        (_data() | {"version": True}, '"version"'),
        (_data() | {"width": 0}, '"width"'),
        (_data() | {"width": 60.0}, '"width"'),
        (_data() | {"height": 10**9}, '"height"'),
        (_data() | {"height": "44"}, '"height"'),
        (_data() | {"fps": math.nan}, '"fps"'),
        (_data() | {"fps": -1}, '"fps"'),
        (_data() | {"frames": []}, '"frames"'),
        (_data() | {"frames": {}}, '"frames"'),
        (_data() | {"frames": [0] * (MAX_CAMERAS + 1)}, '"frames"'),
        (_data() | {"frames": [None]}, 'frame 0 has no "c2w"'),
        (_data() | {"frames": [{"c2w": [[1]]}]}, 'frame 0 has no "c2w" of 4 rows'),
        (_data() | {"frames": [{"c2w": _data()["frames"][0]["c2w"]}]}, 'frame 0 has no "K"'),
        (_matrix_with("c2w", 1, 2, value="0"), '"c2w" of frame 0 must hold 4 finite numbers'),
        (_matrix_with("c2w", 1, 2, value=None), '"c2w" of frame 0'),
        (_matrix_with("c2w", 1, 2, value=True), '"c2w" of frame 0'),
        (_matrix_with("c2w", 0, 3, value=math.nan), '"c2w" of frame 0'),
        (_matrix_with("c2w", 0, 3, value=math.inf), '"c2w" of frame 0'),
        (_matrix_with("c2w", 0, 3, value=1e300), '"c2w" of frame 0'),
        (_matrix_with("c2w", 0, 3, value=10**400), '"c2w" of frame 0'),
        (_matrix_with("c2w", 0, 0, value=2.0), "rigid"),
        (_matrix_with("K", 0, 0, value=0), "positive"),
        (_matrix_with("K", 0, 1, value=3), "skew"),
        (_matrix_with("K", 2, 2, value=[1]), '"K" of frame 0'),
    ],
)
def test_hostile_files_are_refused_in_one_sentence(tmp_path: Path, data: object, complaint: str):
    (tmp_path / "path.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=complaint) as refusal:
        load_path(tmp_path / "path.json")
    assert str(refusal.value).startswith("path.json is no usable camera path: ")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b'{"format": ', b"[" * 1_000_000, b"9" * 10_000, b"\x00" * 100]
)
def test_what_is_not_json_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "path.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"path\.json is no usable camera path: it is not JSON"):
        load_path(tmp_path / "path.json")


def test_a_file_too_large_is_refused_before_it_is_parsed(tmp_path: Path):
    with (tmp_path / "path.json").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ValueError, match="larger than 64 MiB"):
        load_path(tmp_path / "path.json")


def test_what_is_no_file_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file"):
        load_path(tmp_path / "missing.json")
    with pytest.raises(ValueError, match="no such file"):
        load_path(tmp_path)


@pytest.mark.parametrize("fps", [0.0, -24.0, math.nan, math.inf, 1e9])
def test_senseless_frame_rates_are_not_written(tmp_path: Path, fps: float):
    with pytest.raises(ValueError, match="fps must be positive"):
        save_path(tmp_path / "path.json", room_cameras(), fps=fps)
    assert not (tmp_path / "path.json").exists()


def test_names_of_files_may_be_text(tmp_path: Path):
    save_path(str(tmp_path / "path.json"), room_cameras(), fps=24)
    assert torch.equal(load_path(str(tmp_path / "path.json")).c2w, room_cameras().c2w)
    with pytest.raises(ValueError, match=r"^no\.json is no usable camera path"):
        load_path(str(tmp_path / "no.json"))
