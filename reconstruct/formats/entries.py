"""Entries: what files of cameras say of photographs, taken out piece by piece and checked.

Room: reconstruct; only the formats beside it import this. Every error is a ValueError of one sentence, or the
second half of one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from render.json_files import is_number

Item = TypeVar("Item")


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many, from the first to the last in even steps."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / max(most - 1, 1))] for i in range(most)]


def needed_file(said: dict[str, Any], name: str, folder: Path) -> Path:
    """A file within the folder that has to be named."""
    path = file_within(said, name, folder)
    if path is None:
        raise ValueError(f'a frame names no photograph in "{name}"')
    return path


def file_within(said: dict[str, Any], name: str, folder: Path) -> Path | None:
    """A file within the folder, links followed; nothing where nothing is named."""
    text = said.get(name)
    if text is None:
        return None
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError(f'"{name}" should be the name of a file, got {text!r:.60}')
    if os.path.isabs(text) or ".." in Path(text).parts:
        raise ValueError(f'"{name}" should name a file in the folder of the capture, got {text!r:.60}')
    return folder / text


def size_of(said: dict[str, Any], across: str, down: str) -> tuple[int, int] | None:
    """Width and height in pixels, if both are said."""
    if across not in said or down not in said:
        return None
    width, height = number_of(said, across), number_of(said, down)
    if width < 1 or height < 1:
        raise ValueError(f'"{across}" and "{down}" should be positive numbers of pixels')
    return int(width), int(height)


def number_of(said: dict[str, Any], name: str) -> float:
    """A finite number that has to be there."""
    value = said.get(name)
    if not is_number(value):
        raise ValueError(f'"{name}" should be a finite number, got {value!r:.60}')
    return float(value)


def matrix_of(said: dict[str, Any], name: str, *, rows: int) -> Float[np.ndarray, "n n"]:
    """A square matrix of finite numbers that has to be there."""
    value = said.get(name)
    if not isinstance(value, list) or len(value) != rows:
        raise ValueError(f'a frame has no "{name}" of {rows} rows')
    for row in value:
        if not isinstance(row, list) or len(row) != rows:
            raise ValueError(f'"{name}" should hold {rows} numbers in every row')
    return np.array([[number_of({name: number}, name) for number in row] for row in value])
