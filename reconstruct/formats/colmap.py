"""COLMAP: the cameras, photographs and points of a sparse model, as text or as binary files.

Room: reconstruct; :mod:`reconstruct.formats.captures` and exports use this. The layout is that of COLMAP's
``cameras``, ``images`` and ``points3D`` (.bin or .txt): OpenCV axes, world to camera, quaternions wxyz, pixel
centres at halves. Tracks and features are skipped when read, and none are written. Files are not trusted:
every error is a ValueError of one sentence, and no count is believed before the bytes are there.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

MODELS: dict[str, tuple[int, int]] = {
    "SIMPLE_PINHOLE": (0, 3),
    "PINHOLE": (1, 4),
    "SIMPLE_RADIAL": (2, 4),
    "RADIAL": (3, 5),
    "OPENCV": (4, 8),
    "OPENCV_FISHEYE": (5, 8),
    "FULL_OPENCV": (6, 12),
    "FOV": (7, 5),
    "SIMPLE_RADIAL_FISHEYE": (8, 4),
    "RADIAL_FISHEYE": (9, 5),
    "THIN_PRISM_FISHEYE": (10, 12),
}
"""Names of camera models to their numbers in binary files, and to how many parameters they have."""

PARTS = ("cameras", "images", "points3D")
FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", "")
"""Where a model lies within a capture, by what writes it."""

MAX_BYTES = 1 << 30
LONGEST_NAME = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """One camera of a model."""

    model: str
    """A name of ``MODELS``."""

    width: int
    height: int
    params: tuple[float, ...]
    """Focal lengths, principal point, distortion, as the camera model orders them; pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """One image of a model."""

    name: str
    """Its file, within the folder of images; not checked."""

    lens: Lens
    w2c: Float[np.ndarray, "4 4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseModel:
    """Posed photographs, and points on what they show."""

    photographs: list[Photograph]
    points: Float[np.ndarray, "p 3"]
    rgb: UInt8[np.ndarray, "p 3"]


def model_in(folder: Path) -> Path | None:
    """The folder of the model that a capture holds, if it holds one."""
    return next((folder / name for name in FOLDERS if _part(folder / name, "images") is not None), None)


def read_model(folder: Path) -> SparseModel:
    """Read a model; binary files are taken where both kinds are there.

    Raises:
        ValueError: one sentence about the first thing that is wrong.
    """
    photographs, file = read_photographs(folder), _part(folder, "points3D")
    if file is None:
        return SparseModel(
            photographs=photographs, points=np.zeros((0, 3)), rgb=np.zeros((0, 3), dtype=np.uint8)
        )
    points, rgb = _read(file, _binary_points, _text_points)
    return SparseModel(photographs=photographs, points=points, rgb=rgb)


def read_photographs(folder: Path) -> list[Photograph]:
    """The photographs of a model, without its points; see :func:`read_model`."""
    cameras, images = (_part(folder, part) for part in PARTS[:2])
    for part, file in zip(PARTS[:2], (cameras, images), strict=True):
        if file is None:
            raise ValueError(f"{folder} holds no {part}.bin and no {part}.txt")
    lenses = _read(cameras, _binary_lenses, _text_lenses)
    return _read(
        images,
        lambda data: _binary_photographs(data, lenses),
        lambda lines: _text_photographs(lines, lenses),
    )


def write_model(model: SparseModel, folder: Path, *, as_text: bool = False) -> None:
    """Write ``cameras``, ``images`` and ``points3D`` (.bin or .txt) into a folder that exists."""
    lenses = list(dict.fromkeys(photograph.lens for photograph in model.photographs))
    numbers = {lens: i + 1 for i, lens in enumerate(lenses)}
    cameras = [(numbers[lens], lens) for lens in lenses]
    images = []
    for i, photograph in enumerate(model.photographs):
        x, y, z, w = Rotation.from_matrix(photograph.w2c[:3, :3]).as_quat().tolist()
        pose = (w, x, y, z, *photograph.w2c[:3, 3].tolist())
        images.append((i + 1, pose, numbers[photograph.lens], photograph.name))
    points = [
        (i + 1, place, colour)
        for i, (place, colour) in enumerate(zip(model.points.tolist(), model.rgb.tolist(), strict=True))
    ]
    if as_text:
        texts = (
            [f"{i} {lens.model} {lens.width} {lens.height} {_words(lens.params)}" for i, lens in cameras],
            [f"{i} {_words(pose)} {lens} {name}\n" for i, pose, lens, name in images],  # and no features
            [f"{i} {_words(place)} {_words(colour)} 0" for i, place, colour in points],
        )
        for part, lines in zip(PARTS, texts, strict=True):
            (folder / f"{part}.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
        return
    rows = (
        [
            struct.pack("<iiQQ", i, MODELS[lens.model][0], lens.width, lens.height)
            + struct.pack(f"<{len(lens.params)}d", *lens.params)
            for i, lens in cameras
        ],
        [
            struct.pack("<i7di", i, *pose, lens) + name.encode() + b"\0" + struct.pack("<Q", 0)
            for i, pose, lens, name in images
        ],
        [struct.pack("<Q3d3BdQ", i, *place, *colour, 0.0, 0) for i, place, colour in points],
    )
    for part, packed in zip(PARTS, rows, strict=True):
        (folder / f"{part}.bin").write_bytes(struct.pack("<Q", len(packed)) + b"".join(packed))


def _words(numbers: Sequence[float | int]) -> str:
    """Numbers as text that reads back as they are."""
    return " ".join(map(repr, numbers))


def _part(folder: Path, part: str) -> Path | None:
    files = (folder / f"{part}{ending}" for ending in (".bin", ".txt"))
    return next((file for file in files if file.is_file()), None)


def _read(file: Path | None, binary: Callable[[Cursor], Any], text: Callable[[Iterator[str]], Any]) -> Any:
    """What one file says, by the reader of its kind; errors name the file."""
    assert file is not None
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
        data = file.read_bytes()
        return binary(Cursor(data)) if file.suffix == ".bin" else text(_lines(data))
    except (OSError, ValueError, OverflowError) as error:
        raise ValueError(f"{file}: {error}") from None


class Cursor:
    """Bytes that are read from front to back."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def take(self, form: struct.Struct) -> tuple[Any, ...]:
        """The next numbers.

        Raises:
            ValueError: if the file ends before.
        """
        end = self._at + form.size
        if end > len(self._data):
            raise ValueError("it ends too early")
        numbers = form.unpack_from(self._data, self._at)
        self._at = end
        return numbers

    def skip(self, size: int) -> None:
        if size > len(self._data) - self._at:
            raise ValueError("it ends too early")
        self._at += size

    def text(self) -> str:
        """The next string, up to the byte 0 that ends it."""
        end = self._data.find(b"\0", self._at, self._at + LONGEST_NAME)
        if end < 0:
            raise ValueError("a name of a photograph has no end")
        name = self._data[self._at : end].decode("utf-8", errors="replace")
        self._at = end + 1
        return name


def _lines(data: bytes) -> Iterator[str]:
    """Lines of a text file but for comments; empty lines stay, because they say something in ``images``."""
    lines = data.decode("utf-8", errors="replace").splitlines()
    return (line.strip() for line in lines if not line.lstrip().startswith("#"))


COUNT = struct.Struct("<Q")
LENS = struct.Struct("<iiQQ")
POSE = struct.Struct("<i7di")
POINT = struct.Struct("<Q3d3BdQ")
FEATURE_BYTES, TRACK_BYTES = 24, 8


def _binary_lenses(data: Cursor) -> dict[int, Lens]:
    names = {number: (name, count) for name, (number, count) in MODELS.items()}
    lenses = {}
    for _ in range(data.take(COUNT)[0]):
        key, number, width, height = data.take(LENS)
        if number not in names:
            raise ValueError(f"there is no camera model {number}")
        name, count = names[number]
        lenses[key] = _lens(name, width, height, data.take(struct.Struct(f"<{count}d")))
    return lenses


def _text_lenses(lines: Iterator[str]) -> dict[int, Lens]:
    lenses = {}
    for line in filter(None, lines):
        words = line.split()
        if len(words) < 4:
            raise ValueError(
                f"a camera should be an id, a model, width, height and parameters, got {line!r:.60}"
            )
        key, name, width, height = int(words[0]), words[1], int(words[2]), int(words[3])
        if name not in MODELS:
            raise ValueError(f"there is no camera model {name!r:.40}")
        if len(words) != 4 + MODELS[name][1]:
            raise ValueError(f"a camera {name} has {MODELS[name][1]} parameters, got {len(words) - 4}")
        lenses[key] = _lens(name, width, height, tuple(map(float, words[4:])))
    return lenses


def _lens(model: str, width: int, height: int, params: tuple[float, ...]) -> Lens:
    if not (1 <= width < 1 << 20 and 1 <= height < 1 << 20):
        raise ValueError(f"a camera should have a size in pixels, got {width}x{height}")
    if not all(map(math.isfinite, params)):
        raise ValueError("parameters of cameras should be finite numbers")
    return Lens(model=model, width=width, height=height, params=params)


def _binary_photographs(data: Cursor, lenses: dict[int, Lens]) -> list[Photograph]:
    photographs = []
    for _ in range(data.take(COUNT)[0]):
        _, *pose, key = data.take(POSE)
        photographs.append(_photograph(data.text(), pose, key, lenses))
        data.skip(FEATURE_BYTES * data.take(COUNT)[0])
    return photographs


def _text_photographs(lines: Iterator[str], lenses: dict[int, Lens]) -> list[Photograph]:
    photographs = []
    for line in lines:
        if not line:
            continue
        words = line.split(maxsplit=9)
        if len(words) != 10:
            raise ValueError(
                f"an image should be an id, a pose of 7 numbers, a camera and a name, got {line!r:.60}"
            )
        photographs.append(_photograph(words[9], list(map(float, words[1:8])), int(words[8]), lenses))
        next(lines, None)  # its features, if only none
    return photographs


def _photograph(name: str, pose: list[float], key: int, lenses: dict[int, Lens]) -> Photograph:
    if key not in lenses:
        raise ValueError(f"{name!r:.60} was taken with a camera {key} that there is not")
    w, x, y, z = pose[:4]
    if not all(map(math.isfinite, pose)) or not math.hypot(w, x, y, z) > 1e-6:
        raise ValueError(f"the pose of {name!r:.60} is none")
    w2c = np.eye(4)
    w2c[:3, :3] = Rotation.from_quat((x, y, z, w)).as_matrix()
    w2c[:3, 3] = pose[4:]
    return Photograph(name=name, lens=lenses[key], w2c=w2c)


def _binary_points(data: Cursor) -> tuple[Float[np.ndarray, "p 3"], UInt8[np.ndarray, "p 3"]]:
    places, colours = [], []
    for _ in range(data.take(COUNT)[0]):
        _, x, y, z, red, green, blue, _, track = data.take(POINT)
        data.skip(TRACK_BYTES * track)
        places.append((x, y, z))
        colours.append((red, green, blue))
    return _points(places, colours)


def _text_points(lines: Iterator[str]) -> tuple[Float[np.ndarray, "p 3"], UInt8[np.ndarray, "p 3"]]:
    places, colours = [], []
    for line in filter(None, lines):
        words = line.split(maxsplit=7)
        if len(words) < 7:
            raise ValueError(f"a point should be an id, a place, a colour and more, got {line!r:.60}")
        places.append(tuple(map(float, words[1:4])))
        colours.append(tuple(min(max(int(word), 0), 255) for word in words[4:7]))
    return _points(places, colours)


def _points(
    places: list[tuple[float, ...]], colours: list[tuple[int, ...]]
) -> tuple[Float[np.ndarray, "p 3"], UInt8[np.ndarray, "p 3"]]:
    return np.array(places, dtype=np.float64).reshape(-1, 3), np.array(colours, dtype=np.uint8).reshape(-1, 3)
