"""Camera paths as NumPy archives: what they say, and liars."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from render.pose_arrays import MOST_BYTES, load_pose_arrays

COUNT = 4


def poses() -> np.ndarray:
    """Camera-to-world matrices that turn and move in every direction."""
    c2w = np.tile(np.eye(4), (COUNT, 1, 1))
    for i in range(COUNT):
        c2w[i, :3, :3] = Rotation.from_euler("YXZ", (0.3 + 0.1 * i, 0.2 - 0.05 * i, 0.1)).as_matrix()
        c2w[i, :3, 3] = (0.5 + 0.2 * i, -0.1 * i, 1.0 + 0.3 * i)
    return c2w


@pytest.mark.parametrize(
    "arrays",
    [
        {"w2c": np.linalg.inv(poses()), "intrinsics": np.zeros((COUNT, 3, 3))},
        {"c2w": poses()[:, :3].astype(np.float32)},
        {"c2w": np.asfortranarray(poses())},
        {"c2w": poses() * 7.0, "w2c": np.linalg.inv(poses())},
    ],
    ids=["w2c", "without the last row", "by column", "w2c counts"],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_cameras_stand_where_the_archive_says(tmp_path: Path, arrays: dict, save):
    save(tmp_path / "path.npz", **arrays)
    cameras = load_pose_arrays(tmp_path / "path.npz")
    torch.testing.assert_close(cameras.c2w, torch.from_numpy(poses()).float(), atol=1e-6, rtol=0)


def npy(array: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


SCALED = poses()
SCALED[0, :3, :3] *= 2.0
NAN = poses()
NAN[1, 0, 3] = np.nan
LIES = npy(poses()).replace(b"(4, 4, 4)", b"(9, 4, 4)")
ENDLESS = npy(poses()).replace(b"(4, 4, 4), }      ", b"(99999999999, 4, 4)")

HOSTILE = {
    "pickled": (npy(np.array([{}], dtype=object)), "should be numbers"),
    "too many": (bytes(MOST_BYTES + 1), "holds more than"),
    "no array": (b"MZ", "is no array"),
    "cut off": (npy(poses())[:-8], "ends before its last pose"),
    "a lie": (LIES, "ends before its last pose"),
    "endless": (ENDLESS, "cameras|no array|ends before"),
    "flat": (npy(np.zeros(16)), "shape"),
    "empty": (npy(np.zeros((0, 4, 4))), "1 to"),
    "scaled": (npy(SCALED), "rigid"),
    "NaN": (npy(NAN), "NaN"),
    "zeros": (npy(np.zeros((2, 4, 4))), "rigid"),
}


@pytest.mark.parametrize("name", ["c2w", "w2c"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_makes_no_path_is_refused_in_one_sentence(tmp_path: Path, name: str, kind: str):
    data, about = HOSTILE[kind]
    with zipfile.ZipFile(tmp_path / "path.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", data)
    with pytest.raises(ValueError, match=about) as caught:
        load_pose_arrays(tmp_path / "path.npz")
    assert str(caught.value).startswith("path.npz is no usable camera path: ")
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path):
    file = tmp_path / "path.npz"
    np.savez(file, poses=poses())
    with pytest.raises(ValueError, match="an array named w2c or c2w"):
        load_pose_arrays(file)
    whole = (np.savez(file, w2c=poses()), file.read_bytes())[1]
    for data in (b"", b"PK", whole[: len(whole) // 2], whole.replace(b"\x93NUMPY", b"\x93NUMPX")):
        file.write_bytes(data)
        with pytest.raises(ValueError, match="cannot be read as a NumPy archive"):
            load_pose_arrays(file)
    with pytest.raises(ValueError, match="cannot be read"):
        load_pose_arrays(tmp_path / "none.npz")
