"""Who holds what: one at a time, and a file system without locks is no holder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memory.locks import taken


def without_locks(handle: int, operation: int) -> None:
    """What ``fcntl.flock`` does on a network disk that nobody keeps locks for."""
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@contextmanager
def opened(place: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    handle = os.open(place, flags)
    try:
        yield handle
    finally:
        os.close(handle)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_at_a_time_until_it_is_closed(tmp_path: Path, kind: str):
    place = tmp_path / "place"
    place.touch() if kind == "file" else place.mkdir()
    with opened(place) as first, opened(place) as second:
        assert taken(first, place)
        assert not taken(second, place)
        assert taken(first, place), "again, by who has it"
    with opened(place) as third:
        assert taken(third, place)


def test_what_lies_elsewhere_by_now_is_not_ours(tmp_path: Path):
    place = tmp_path / "place"
    place.touch()
    with opened(place) as handle:
        place.rename(tmp_path / "elsewhere")
        assert not taken(handle, place), "nothing is there"
        place.touch()
        assert not taken(handle, place), "something else is there"


def test_what_cannot_be_locked_is_nobodys(tmp_path: Path):
    with opened(tmp_path, os.O_PATH) as handle, pytest.raises(OSError, match="Bad file descriptor"):
        taken(handle, tmp_path)
