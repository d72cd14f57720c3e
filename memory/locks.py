"""Locks: one process at a time works on a world, or on a film.

Room: memory. Everything above may import this. The system releases a lock however its holder ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def taken(handle: int, place: Path) -> bool:
    """Lock the file or folder that is open as ``handle``, until it is closed; nobody is waited for.

    Args:
        handle: of what lies, or lay, at ``place``.
        place: looked at again once it is locked, because it may have been replaced meanwhile.

    Returns:
        Whether it is ours: False if another process has it, or if it lies at ``place`` no more.

    Raises:
        OSError: if the file system has no locks, or refuses this one.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), os.stat(place))
    except (BlockingIOError, PermissionError, FileNotFoundError):  # network file systems forbid what is taken
        return False
