"""STL: triangles from binary and text files, strictly.

Room: reconstruct. Private to ``reconstruct.meshes``. A binary file may begin with any 80 bytes, ``solid``
too, so its length decides what it is. Colours, which programs hide in spare bits in several ways, are not
read.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float64

HEAD_BYTES = 84
"""Of a binary file: 80 of anything, and how many faces follow."""

FACE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("spare", "<u2")])

TEXT_FACE = re.compile(
    rb"\bfacet\s+normal\s+\S+\s+\S+\s+\S+\s+outer\s+loop"
    rb"((?:\s+vertex\s+\S+\s+\S+\s+\S+){3})\s+endloop\s+endfacet\b",
    re.IGNORECASE,
)
TEXT_FACES = re.compile(rb"\bfacet\s+normal\b", re.IGNORECASE)
"""Where faces begin, whole or not."""

TEXT_SOLIDS = re.compile(rb"^[ \t]*(end)?solid\b", re.IGNORECASE | re.MULTILINE)
"""Where bodies begin and end; a file may hold several."""


def read_stl(file: Path) -> Float64[np.ndarray, "f 3 3"]:
    """The corners of all faces, as the file has them; none if it has none.

    Raises:
        ValueError: if the file is cut short, goes on behind its faces, or is no STL.
    """
    data = file.read_bytes()
    is_text = data.lstrip()[:5].lower() == b"solid"
    if len(data) < HEAD_BYTES:
        if is_text:
            return _from_text(data)
        raise ValueError(f"an STL has {HEAD_BYTES} bytes or more, this one {len(data)}")
    count = int.from_bytes(data[HEAD_BYTES - 4 : HEAD_BYTES], "little")
    needed = HEAD_BYTES + count * FACE.itemsize
    if len(data) == needed:
        return np.frombuffer(data, FACE, offset=HEAD_BYTES)["corners"].astype(np.float64)
    if is_text and b"\0" not in data:
        return _from_text(data)
    raise ValueError(f"{count:,} faces make {needed:,} bytes, and it has {len(data):,}")


def _from_text(data: bytes) -> Float64[np.ndarray, "f 3 3"]:
    ends = [match[1] is not None for match in TEXT_SOLIDS.finditer(data)]
    if ends != [False, True] * (len(ends) // 2):
        raise ValueError("a solid does not end")
    numbers = np.fromiter(
        (
            float(word)
            for match in TEXT_FACE.finditer(data)
            for i, word in enumerate(match[1].split())
            if i % 4  # the first of four is "vertex"
        ),
        np.float64,
    )
    begun, whole = sum(1 for _ in TEXT_FACES.finditer(data)), len(numbers) // 9
    if whole != begun:
        raise ValueError(f"of {begun:,} faces {whole:,} have three corners")
    return numbers.reshape(-1, 3, 3)
