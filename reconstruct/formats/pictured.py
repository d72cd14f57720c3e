"""Pictured: zip files of WebP pictures, as SOG keeps splats in; those of strangers are opened with care.

Room: reconstruct; only the formats beside it import this. No picture is taken out before it is known how
large it may be.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from reconstruct.formats.atomic import replacing

END = struct.Struct("<4s4H2LH")
"""Last record of a zip file: its mark, numbers of discs and entries, bytes and place of the directory, bytes
of the comment."""

END_MARK = b"PK\5\6"
LONGEST_COMMENT = 1 << 16

MOST_DIRECTORY = 1 << 16
"""Bytes of a directory; ten entries take less than a thousand."""

MOST_JSON = 1 << 22
SPARE = 1 << 16
"""Pixels, and bytes, that a picture may have beyond what its splats need."""

LARGEST_SIDE = 16_383
"""Of a WebP picture."""

EFFORT = 2
"""Of WebP's lossless encoder, 0 to 6: on a grown world 4 saves 0.4 % and takes eight times as long."""

DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    EOFError,
    KeyError,
    ValueError,
    struct.error,
    SyntaxError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What damaged archives and pictures raise."""


def encoded(pixels: UInt8[np.ndarray, "p c"], *, width: int | None = None) -> bytes:
    """Pixels with 3 or 4 colours, row by row, as a lossless WebP picture."""
    count, colours = pixels.shape
    width = math.ceil(math.sqrt(count) / 4) * 4 if width is None else width
    height = math.ceil(count / width)
    if max(width, height) > LARGEST_SIDE:
        raise ValueError(f"{count:,} splats are more than a WebP picture has pixels; write another format")
    room = np.zeros((height * width, colours), np.uint8)
    room[:count] = pixels
    file = io.BytesIO()
    image = Image.fromarray(room.reshape(height, width, colours))
    image.save(file, "WEBP", lossless=True, exact=True, quality=100, method=EFFORT)
    return file.getvalue()


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    """Write files as one zip file to ``path``, whole or not at all; the same files give the same archive."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)  # dated 1980
            entry.create_system = 3  # on every machine
            archive.writestr(entry, data)


class Archive:
    """A zip file of a stranger, open for reading."""

    def __init__(self, file: BinaryIO) -> None:
        """Find the directory.

        Raises:
            ValueError: if there is none, or it is absurdly large.
        """
        self.trailing = _trailing(file)
        """Bytes that follow the archive."""

        try:
            self._archive = zipfile.ZipFile(file)
        except (*DAMAGED, OSError) as error:
            raise _told(error) from None

    def json(self, name: str) -> dict:
        """What a small file says.

        Raises:
            ValueError: if it is missing, damaged, or no JSON object.
        """
        data = self._read(name, MOST_JSON)
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            raise ValueError(f"its {name} is not JSON") from None
        if not isinstance(said, dict):
            raise ValueError(f"its {name} is no JSON object")
        return said

    def pixels(self, name: str, count: int, *, width: int | None = None) -> UInt8[np.ndarray, "p 4"]:
        """The first so many pixels of a picture, row by row.

        Raises:
            ValueError: if it is missing, damaged, smaller than that or far larger, or not of that width.
        """
        most = 2 * count + SPARE
        data = self._read(name, 4 * most + SPARE)
        short = name[:40]
        try:
            with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
                across, down = image.size
                if width is not None and across != width:
                    raise ValueError(f"its picture {short!r} is {across} pixels wide, not {width}")
                if not count <= across * down <= most:
                    raise ValueError(
                        f"its picture {short!r} has {across} x {down} pixels for {count:,} numbers"
                    )
                pixels = np.asarray(image.convert("RGBA"))
        except (*DAMAGED, OSError) as error:
            raise _told(error, f"its picture {short!r} is damaged or no WebP") from None
        return pixels.reshape(-1, 4)[:count]

    def _read(self, name: str, most: int) -> bytes:
        """One file of the archive; no more is inflated than it may have."""
        short = name[:40]
        try:
            entry = self._archive.getinfo(name)
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"its {short!r} is compressed in a way that is not read")
            if entry.file_size > most:
                raise ValueError(
                    f"its {short!r} says that it holds {entry.file_size:,} bytes, more than splats need"
                )
            with self._archive.open(entry) as file:
                data = file.read(most + 1)
        except (*DAMAGED, OSError) as error:
            raise _told(error, f"its {short!r} is missing or damaged") from None
        return data


def _told(error: Exception, what: str = "this is no .sog file: its zip directory is damaged") -> Exception:
    """The sentence for an error; a disk that fails speaks for itself, and so do our own."""
    if type(error) is OSError and error.errno not in (None, errno.EINVAL):
        return error
    return error if type(error) is ValueError and str(error).startswith("its ") else ValueError(what)


def _trailing(file: BinaryIO) -> int:
    """How many bytes follow a zip file."""
    length = os.fstat(file.fileno()).st_size
    begin = max(0, length - LONGEST_COMMENT - END.size)
    file.seek(begin)
    tail = file.read()
    place = tail.rfind(END_MARK)
    if not tail or place < 0 or len(tail) - place < END.size:
        raise ValueError("this is no .sog file, or the file is cut short: its zip directory is missing")
    *_, directory, _, comment = END.unpack_from(tail, place)
    if directory > MOST_DIRECTORY:
        raise ValueError(f"this is no .sog file: its zip directory has {directory:,} bytes")
    return max(0, len(tail) - place - END.size - comment)
