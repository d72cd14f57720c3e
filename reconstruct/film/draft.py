"""Draft: what is finished of a film that is not, in a hidden folder beside it.

Room: reconstruct. Private to its folder. A draft outlives whoever was filming, even one that was killed, and
the same film goes on from it; another film of the same name throws it away.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from memory.locks import taken
from reconstruct.formats.atomic import check_parent, replacing

PLAN = "plan"
"""The file in a draft that says which film it is of."""

PARTS = "parts"
"""The folder in a draft where finished parts lie."""

MAX_NAME_BYTES = 240
"""Of the name of a film, in that of its draft: names have 255 at most."""


@contextmanager
def draft_of(path: Path, *, plan: str, names: re.Pattern[str]) -> Iterator[Path]:
    """Lend the folder of parts of the film ``path``, with those that are finished of the same ``plan``.

    It is gone when the block succeeds. Where it does not, it stays if there is anything worth keeping.
    Nothing is in it but plain files whose names match ``names``.

    Raises:
        ValueError: if somebody else is making this film, something else has the name of the draft, or there
            are no locks there.
        OSError: if the disk refuses; it names ``path``.
    """
    check_parent(path)
    folder = draft_folder(path)
    try:
        handle = _taken(folder, path)
        try:
            yield _begun(folder, plan, names)
            shutil.rmtree(folder)
        except ValueError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except BaseException:
            if not has_parts(path):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def draft_folder(path: Path) -> Path:
    """Where the draft of the film ``path`` lies."""
    place = path.absolute()
    name = os.fsdecode(os.fsencode(place.name)[:MAX_NAME_BYTES])
    return place.with_name(f".{name}.part")


def has_parts(path: Path) -> bool:
    """Whether anything is finished of the film ``path``, itself not being so."""
    with suppress(OSError):
        return any(not file.name.startswith(".") for file in (draft_folder(path) / PARTS).iterdir())
    return False


def _taken(folder: Path, path: Path) -> int:
    """Become the one who works on a draft, until the handle is closed; the folder is made if need be.

    Raises:
        ValueError: if somebody else is, nobody can be, or something else has the name of the folder.
    """
    with suppress(FileExistsError):
        folder.mkdir()
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise ValueError(f"{folder} should be a folder that an unfinished film left there; move it away")
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        is_mine = taken(handle, folder)
    except OSError as error:
        os.close(handle)
        with suppress(OSError):
            folder.rmdir()
        raise ValueError(
            f"{folder.parent} cannot be locked ({error.strerror}), so two processes could make "
            f"{path.name} at once; write it to another disk"
        ) from error
    if not is_mine:
        os.close(handle)
        raise ValueError(f"another process is making {path}; wait until it ends, or name another file")
    return handle


def _begun(folder: Path, plan: str, names: re.Pattern[str]) -> Path:
    """The folder of parts: those that there are if they are of this plan, else none."""
    parts, note = folder / PARTS, folder / PLAN
    if _text_of(note) == plan and not parts.is_symlink() and parts.is_dir():
        _sweep(folder, keep=lambda file: file in (note, parts))
        _sweep(parts, keep=lambda file: names.fullmatch(file.name) is not None and _is_plain(file))
        return parts
    _sweep(folder, keep=lambda file: False)
    parts.mkdir()
    with replacing(note) as temporary:
        temporary.write_text(plan)
    return parts


def _text_of(file: Path) -> str | None:
    """What a file says, if it is a plain file of text."""
    try:
        return file.read_text() if _is_plain(file) else None
    except (OSError, UnicodeError):
        return None


def _is_plain(file: Path) -> bool:
    return stat.S_ISREG(file.lstat().st_mode)


def _sweep(folder: Path, *, keep: Callable[[Path], bool]) -> None:
    """Delete what lies in a folder and is not to be kept; links are deleted, not followed."""
    for file in folder.iterdir():
        if keep(file):
            continue
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink()
