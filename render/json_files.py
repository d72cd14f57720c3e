"""JSON and text files from users: read within bounds, and the checks that every format of cameras shares.

Room: render (ground floor). Imports nothing; every other room may import this. Errors are the second half of
a sentence that begins with the name of the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

MAX_FILE_BYTES = 64 * 2**20
"""Larger files are refused unread; a path of 100,000 cameras needs less than half of it."""

MAX_TEXT_BYTES = 16 * 2**20
"""The same for lines of text, whose words take much more memory than their letters."""

MAX_SIDE = 16_384
"""Pixels along a side of a picture that a file may ask for."""

MAX_NUMBER = 1e12
"""Numbers beyond this are taken for damage."""


def read_json(path: Path) -> object:
    """What a file says.

    Raises:
        ValueError: if there is no such file, or it is too large or no JSON.
    """
    data = _read(path, limit=MAX_FILE_BYTES)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None


def read_lines(path: Path) -> list[list[str]]:
    """The words of every line that says something and does not begin with ``#``.

    Raises:
        ValueError: if there is no such file, or it is too large or no text.
    """
    try:
        text = _read(path, limit=MAX_TEXT_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not text") from None
    return [words for line in text.splitlines() if (words := line.split()) and not words[0].startswith("#")]


def _read(path: Path, *, limit: int) -> bytes:
    if not path.is_file():
        raise ValueError("there is no such file")
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it is larger than {limit // 2**20} MiB")
    return data


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether this is a finite number that a camera may hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def numbers_in(words: Sequence[str]) -> list[float]:
    """Finite numbers that cameras may hold.

    Raises:
        ValueError: if a word is none.
    """
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = [math.nan]
    if not all(map(is_number, numbers)):
        raise ValueError(f"there should be finite numbers, got {' '.join(words)!r:.60}")
    return numbers


def side_of(data: dict, name: str) -> int:
    """Pixels along a side of a picture.

    Raises:
        ValueError: if they are no whole number from 1 to ``MAX_SIDE``.
    """
    side = data.get(name)
    if type(side) is not int or not 1 <= side <= MAX_SIDE:
        raise ValueError(f'"{name}" must be a whole number of pixels from 1 to {MAX_SIDE}')
    return side
