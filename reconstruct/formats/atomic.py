"""Atomic: a file on disk is either whole or absent.

Room: reconstruct; only modules that write files import this. A reader never meets half a file under
the final name, and a crash leaves no file behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
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
