"""PLY headers: what a little-endian PLY file says it holds.

Room: reconstruct; only the formats beside it import this.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

HEADER_LIMIT = 1 << 16
"""Longest header read, in bytes; a degree-3 file needs 1,600."""

PROPERTY_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "<i2", "uint16": "<u2", "int32": "<i4", "uint32": "<u4"},
    **{"float": "<f4", "double": "<f8", "float32": "<f4", "float64": "<f8"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One table of a PLY file."""

    name: str
    count: int

    properties: tuple[tuple[str, ...], ...]
    """The words of its ``property`` lines."""

    @property
    def record(self) -> np.dtype:
        """The layout of one row.

        Raises:
            ValueError: if it has lists or unknown types.
        """
        for words in self.properties:
            if len(words) != 3 or words[0] != "property" or words[1] not in PROPERTY_TYPES:
                raise ValueError(
                    f"expected 'property TYPE NAME' with a plain number type, got {' '.join(words)!r:.80}"
                )
        names = [name for _, _, name in self.properties]
        if len(set(names)) < len(names):
            raise ValueError("two properties of this PLY share a name, so neither can be trusted")
        return np.dtype([(name, PROPERTY_TYPES[kind]) for _, kind, name in self.properties])


def read_elements(file: BinaryIO) -> list[Element]:
    """The tables of a PLY file, at least one; leaves ``file`` at the first row.

    Raises:
        ValueError: if this is no little-endian PLY file.
    """
    head = file.read(HEADER_LIMIT)
    end = re.search(rb"\nend_header\r?\n", head)
    if not re.match(rb"ply\r?\n", head) or end is None:
        raise ValueError(f"this is no PLY file: no header of at most {HEADER_LIMIT} bytes opens it")
    file.seek(end.end())
    lines = [tuple(line.split()) for line in head[: end.start()].decode("latin-1").split("\n")[1:]]
    lines = [words for words in lines if words and words[0] not in ("comment", "obj_info")]
    encoding = " ".join(lines[0]) if lines else ""
    if encoding != "format binary_little_endian 1.0":
        raise ValueError(
            f"expected a PLY of 'format binary_little_endian 1.0', got {encoding!r:.80}; convert it first"
        )
    return _elements(lines[1:])


def read_rows(file: BinaryIO, element: Element) -> np.ndarray:
    """The rows of one table, from where ``file`` stands.

    Raises:
        ValueError: if the file is cut short.
    """
    record = element.record
    needed, found = element.count * record.itemsize, os.fstat(file.fileno()).st_size - file.tell()
    if found < needed:
        raise ValueError(
            f"the PLY is cut short: {element.count} rows of its element {element.name!r:.40} take {needed} "
            f"bytes, but {found} follow"
        )
    return np.fromfile(file, dtype=record, count=element.count)


def _elements(lines: list[tuple[str, ...]]) -> list[Element]:
    starts = [i for i, words in enumerate(lines) if words[0] == "element"]
    if not starts or starts[0] != 0:
        first = " ".join(lines[0]) if lines else ""
        raise ValueError(f"expected 'element vertex COUNT' after the format, got {first!r:.80}")
    found = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        words = lines[start]
        if len(words) != 3 or not re.fullmatch(r"\d{1,15}", words[2], re.ASCII):
            raise ValueError(f"expected 'element vertex COUNT' with a count, got {' '.join(words)!r:.80}")
        found.append(Element(name=words[1], count=int(words[2]), properties=tuple(lines[start + 1 : end])))
    return found


def header(elements: list[Element]) -> bytes:
    """The header of a file that holds these tables."""
    lines = ["ply", "format binary_little_endian 1.0"]
    for element in elements:
        lines += [f"element {element.name} {element.count}"]
        lines += [" ".join(words) for words in element.properties]
    return "\n".join([*lines, "end_header", ""]).encode()


def columns_of(kind: str, names: list[str]) -> tuple[tuple[str, ...], ...]:
    """The ``property`` lines of columns of one type."""
    return tuple(("property", kind, name) for name in names)
