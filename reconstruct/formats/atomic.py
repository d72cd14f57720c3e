"""Atomic: a file or a folder on disk is either whole or absent.

Room: reconstruct; what writes files imports this, the command line too. A reader never meets half a file
under the final name, and what fails leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a temporary name beside ``path`` that takes its place when the block succeeds.

    Raises:
        OSError: if the disk refuses; it names ``path``.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")  # same folder: a rename never copies
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Lend an empty folder beside ``path`` that gets its name when the block succeeds.

    Raises:
        ValueError: if something is there that is no empty folder, or there is no folder to put it into.
        OSError: if the disk refuses; it names ``path``.
    """
    target = path.resolve()
    check_free(target)
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            _sync(file)
        temporary.replace(target)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_free(path: Path) -> None:
    """Refuse a place where no new folder can be made.

    Raises:
        ValueError: if something is there that is no empty folder, or there is no folder to put it into.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ValueError(f"{path} already exists and is no empty folder; name another one")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write {path.name} to; create it first")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
