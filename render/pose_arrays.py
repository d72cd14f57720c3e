"""Pose arrays: camera paths as NumPy archives (``.npz``), as many generators of video take and write them.

Room: render (ground floor). Imports cameras; every other room may import this. An archive holds ``w2c`` or
``c2w``, OpenCV axes, in the shape (n, 4, 4) or (n, 3, 4); what else it holds is not read. Scale is arbitrary.
Files come from users and are not trusted.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch
from jaxtyping import Float
from numpy.lib import format as npy

from render._poses import MAX_CAMERAS, check_count, inverse
from render.cameras import Cameras, checked, intrinsics_from_fov

SUFFIX = ".npz"
NAMES = ("w2c", "c2w")
"""Arrays that are looked for; the first one counts."""

SIZE = 128
"""Of the cameras that are returned, with a lens that no file tells: only their poses mean something."""

MOST_BYTES = 16 * 8 * MAX_CAMERAS + 4096

DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    KeyError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    SyntaxError,
    TokenError,
)
"""What reading a broken archive or array may raise."""


def load_pose_arrays(path: Path) -> Cameras:
    """Read a path; poses stay in the world and the units of the file, the lens is any.

    Raises:
        ValueError: one sentence about the first thing that is wrong with the file.
    """
    try:
        name, array = _poses_in(path)
        poses = torch.eye(4, dtype=torch.float64).repeat(len(array), 1, 1)
        poses[:, : array.shape[1]] = torch.from_numpy(array)
        if name == "w2c":
            poses = inverse(poses)
        K = intrinsics_from_fov(1.0, width=SIZE, height=SIZE, n=len(poses))
        return checked(Cameras(c2w=poses.float(), K=K, width=SIZE, height=SIZE))
    except ValueError as error:
        raise ValueError(f"{path.name} is no usable camera path: {error}") from None


def _poses_in(path: Path) -> tuple[str, Float[np.ndarray, "n r 4"]]:
    """The name of the array that counts, and the array."""
    name, data = _member(path)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{name} holds more than {MAX_CAMERAS} poses")
    source = io.BytesIO(data)
    try:
        is_first = npy.read_magic(source) == (1, 0)
        read = npy.read_array_header_1_0 if is_first else npy.read_array_header_2_0
        shape, is_by_column, dtype = read(source)
    except DAMAGED as error:
        raise ValueError(f"{name} is no array ({str(error).splitlines()[0]:.100})") from None
    if len(shape) != 3 or shape[1:] not in ((3, 4), (4, 4)) or dtype.kind not in "fiu":
        raise ValueError(f"{name} should be numbers in the shape (n, 4, 4), but is {dtype} {shape}")
    check_count(shape[0])
    if len(data) - source.tell() < math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} ends before its last pose")
    values = np.frombuffer(data, dtype, count=math.prod(shape), offset=source.tell())
    return name, values.reshape(shape, order="F" if is_by_column else "C").astype(np.float64)


def _member(path: Path) -> tuple[str, bytes]:
    """The name of the array that counts, and its bytes, of which there may be one more than are allowed."""
    try:
        with zipfile.ZipFile(path) as archive:
            held = archive.namelist()
            name = next((name for name in NAMES if f"{name}.npy" in held), None)
            if name is not None:
                with archive.open(f"{name}.npy") as member:
                    return name, member.read(MOST_BYTES + 1)
    except DAMAGED as error:
        raise ValueError(f"it cannot be read as a NumPy archive ({error!s:.100})") from None
    raise ValueError(f"it should hold an array named {' or '.join(NAMES)}")
