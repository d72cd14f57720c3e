"""Folder: where a world lies, who may write to it, and how one comes into being.

Room: memory. Private to it. A folder may come from anyone, so links and special files inside it are
refused: nothing in a world leads out of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from memory import _index, _schema
from memory._blobs import DERIVED_FOLDERS, FRAMES_FOLDER
from memory._files import sync_folder
from memory._records import WorldError
from memory._surfaces import EDITS_FOLDER
from memory.locks import taken

LOCK = "world.lock"
"""Held by the writer for as long as it lives; the system releases it however the writer ends."""

FILES = (_index.NAME, LOCK, *(_index.NAME + suffix for suffix in _index.LOG_SUFFIXES))


def resolved(path: Path | str) -> Path:
    """The absolute path, links outside the world followed."""
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise WorldError(f"{path!r:.200} is not a usable path ({error}); name another folder") from error


def owns(folder: Path, file: Path) -> bool:
    """Whether a file is part of the world in a folder, or where such parts are; or the folder itself."""
    folder, file = resolved(folder), resolved(file)
    if not file.is_relative_to(folder):
        return False
    own = (*FILES, FRAMES_FOLDER, EDITS_FOLDER, *DERIVED_FOLDERS)
    return file == folder or file.relative_to(folder).parts[0] in own


def check_place(folder: Path) -> None:
    """Refuse what is not the folder of a world, before anything in it is touched."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise WorldError(f"a world is a folder, but {folder} {what}; name the folder of a world")
    for name in FILES:
        _check_kind(folder / name, stat.S_ISREG, "a plain file")
    for name in (FRAMES_FOLDER, EDITS_FOLDER):
        _check_kind(folder / name, stat.S_ISDIR, "a plain folder")
    if not (folder / _index.NAME).exists():
        raise WorldError(f"{folder} holds no {_index.NAME}, so it is not a world; name the folder of a world")


def _check_kind(file: Path, is_kind: Callable[[int], bool], kind: str) -> None:
    with suppress(FileNotFoundError):
        if not is_kind(file.lstat().st_mode):
            raise WorldError(f"{file} should be {kind}, not a link or a device; replace it by a copy")


def locked(folder: Path) -> int:
    """Become the one writer; the handle is closed to stop being it.

    Raises:
        WorldError: if another process is, or nobody can be: no rights, or no locks.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        handle = os.open(folder / LOCK, flags, 0o666)
    except OSError as error:
        raise WorldError(
            f"{folder} cannot be written ({error.strerror}); check its permissions, or open it for reading"
        ) from error
    try:
        is_mine = taken(handle, folder / LOCK)
    except OSError as error:
        os.close(handle)
        raise WorldError(
            f"{folder} cannot be locked ({error.strerror}), so two processes could grow it at once; "
            "move it to another disk, or open it for reading"
        ) from error
    if not is_mine:
        os.close(handle)
        raise WorldError(
            f"another process is growing the world at {folder}; wait until it ends, or open it for reading"
        )
    return handle


def check_free(folder: Path) -> None:
    """Refuse a place where something is already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorldError(
            f"{folder} already exists and is not an empty folder; name another one, or open it to grow on"
        )


def create(folder: Path, meta: dict[str, str]) -> int:
    """Make the folder of an empty world and become its writer, in one step for any onlooker.

    It is built beside its place and renamed into it. What a killed process leaves there is named
    after the world, is locked while someone is building, and is replaced by the next attempt.
    """
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".{folder.name}.creating")
    building.mkdir(exist_ok=True)
    _check_kind(building, stat.S_ISDIR, "a plain folder")
    handle = locked(building)
    try:
        _empty(building)
        _schema.create(building / _index.NAME, meta)
        (building / FRAMES_FOLDER).mkdir()
        sync_folder(building)
        os.rename(building, folder)
        sync_folder(folder.parent)
    except BaseException:
        with suppress(OSError):
            _empty(building)
            (building / LOCK).unlink()
            building.rmdir()
        os.close(handle)
        raise
    return handle


def _empty(building: Path) -> None:
    for suffix in ("", *_index.LOG_SUFFIXES):
        (building / (_index.NAME + suffix)).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        (building / FRAMES_FOLDER).rmdir()


def bytes_below(folder: Path) -> int:
    """What the files in a folder take; those that a writer deletes meanwhile take nothing."""
    size = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            size += file.stat().st_size if file.is_file() else 0
    return size
