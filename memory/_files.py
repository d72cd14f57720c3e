"""Files: what is under a name is whole, survives a power cut, and is what was put there.

Room: memory. Private to it. A file is written beside its place and renamed into it; what a killed
process left half-written is swept away by the next writer.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from memory._records import WorldError


def write_whole(file: Path, data: bytes) -> None:
    """Put a file on the disk: under its name is all of it, or nothing.

    It survives a power cut once :func:`sync_folder` has been called on its folder.
    """
    partial = partial_of(file)
    partial.unlink(missing_ok=True)
    with partial.open("xb") as sink:
        sink.write(data)
        sink.flush()
        os.fsync(sink.fileno())
    os.replace(partial, file)


def partial_of(file: Path) -> Path:
    """What a file is called while it is being written."""
    return file.with_name(f".{file.name}.tmp")


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_whole(file: Path, *, what: str, limit: int, sha256: bytes) -> bytes:
    """The bytes of a file of up to ``limit`` bytes, if they are the ones that were committed."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise WorldError(
            f"{what} is missing: {file} cannot be opened ({error.strerror}); restore it from a copy"
        ) from error
    with os.fdopen(handle, "rb") as source:
        is_usable = stat.S_ISREG(os.fstat(handle).st_mode)
        data = source.read(limit + 1) if is_usable else b""
    if hashlib.sha256(data).digest() != sha256:
        raise WorldError(
            f"{what} is damaged: {file} is not the file that was committed "
            "(its checksum differs); restore it from a copy"
        )
    return data


def discard(files: Iterable[Path]) -> None:
    """Delete files that were written, or begun, and that nothing refers to."""
    for file in files:
        with suppress(OSError):
            file.unlink(missing_ok=True)
            partial_of(file).unlink(missing_ok=True)


def sweep(place: Path, *, names: re.Pattern[str], keep: set[int]) -> int:
    """Delete the files of a folder that were never committed; how many there were.

    Args:
        place: the folder; it need not exist.
        names: what our files are called, with the groups ``id`` and, in those not finished, ``partial``.
            Other files are left alone.
        keep: the ids whose finished files stay.
    """
    orphans = []
    with suppress(FileNotFoundError), os.scandir(place) as entries:
        for entry in entries:
            name = names.fullmatch(entry.name)
            if name is None or entry.is_dir(follow_symlinks=False):
                continue
            if name["partial"] or int(name["id"]) not in keep:
                orphans.append(entry.path)
    for orphan in orphans:
        os.unlink(orphan)
    return len(orphans)
