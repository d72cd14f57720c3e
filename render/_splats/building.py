"""Building: the C++ kernels, compiled when they are first wanted and kept in a folder of the user's own.

The file's name says what it was made from: source, flags, and all that the compiler tells a program of itself
and of this CPU. So another compiler, another CPU that shares the folder and another version have their own.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("splats.cpp")
COMPILERS = ("c++", "g++", "clang++")
# Not -ffast-math: NaN keeps its meaning, and rounding by adding and taking away a number is not undone.
FLAGS = (
    *("-x", "c++", "-std=c++17", "-O3", "-march=native"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)
SHARED = ("-shared", "-fPIC", "-fvisibility=hidden")
ENDING = ".dll" if sys.platform == "win32" else ".so"
PATIENCE_S = 60.0
"""Building takes a second; a compiler that takes this long is none."""


class BuildError(Exception):
    """Why there are no C++ kernels."""


def cache_folder() -> Path:
    """Where what is built is kept: ``worldgen`` in ``XDG_CACHE_HOME``, or in ``~/.cache``."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if os.path.isabs(given) else Path.home() / ".cache") / "worldgen"


def library() -> Path:
    """The C++ kernels as a file that loads, built unless it was before.

    Raises:
        BuildError: if there is no compiler, it fails, or what it made cannot be kept or loaded.
    """
    compiler = next((path for path in map(shutil.which, COMPILERS) if path), None)
    if compiler is None:
        raise BuildError(f"there is no C++ compiler ({', '.join(COMPILERS)})")
    try:
        folder = _private(cache_folder())
        file = folder / f"splats-{_key(compiler)}{ENDING}"
        if not _loads(file):
            _build(compiler, file)
            ctypes.CDLL(str(file))
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        raise BuildError(" ".join(str(error).split())) from error
    return file


def _loads(file: Path) -> bool:
    """Whether there is a library, undamaged."""
    try:
        ctypes.CDLL(str(file))
    except OSError:
        return False
    return True


def _private(folder: Path) -> Path:
    """The folder, made if it is not there. What others may write is not loaded."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid"):
        found = folder.stat()
        if found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise BuildError(f"{folder} may be written by others")
    return folder


def _key(compiler: str) -> str:
    """What sets one build apart from another, as a number; predefined macros name compiler and CPU."""
    macros = _said(compiler, *FLAGS, "-dM", "-E", os.devnull)
    parts = SOURCE.read_bytes(), " ".join((*FLAGS, *SHARED)).encode(), macros
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _build(compiler: str, file: Path) -> None:
    """Compile to one side, then put in place: whoever builds at the same time puts the same there."""
    with tempfile.TemporaryDirectory(dir=file.parent, prefix="building-") as aside:
        made = Path(aside) / file.name
        _said(compiler, *FLAGS, *SHARED, "-o", str(made), str(SOURCE))
        made.replace(file)


def _said(compiler: str, *arguments: str) -> bytes:
    """What the compiler prints.

    Raises:
        BuildError: if it fails or takes too long.
    """
    try:
        done = subprocess.run(
            [compiler, *arguments],
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{compiler} took longer than {PATIENCE_S:.0f} s") from error
    if done.returncode != 0:
        reason = " ".join(done.stderr.decode(errors="replace").split())[:200]
        raise BuildError(f"{compiler} failed with status {done.returncode}: {reason}")
    return done.stdout
