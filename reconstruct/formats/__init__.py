"""Formats: splats and pictures as files that other programs read, one module a format.

Room: reconstruct; the viewer and the command line may import this. ``export_splats`` picks the format by
the end of the file name, ``read_splats`` by what is in the file; a new format is one more entry in
``WRITERS`` and ``READERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reconstruct.formats.atomic import check_parent
from reconstruct.formats.compressed_ply import read_compressed_ply, write_compressed_ply
from reconstruct.formats.glb import read_glb, write_glb
from reconstruct.formats.ksplat import read_ksplat, write_ksplat
from reconstruct.formats.ply import read_ply, write_ply
from reconstruct.formats.sog import read_sog, write_sog
from reconstruct.formats.soundness import SplatFileWarning, opened
from reconstruct.formats.splat import read_splat, write_splat
from reconstruct.formats.spz import read_spz, write_spz
from reconstruct.formats.video import write_mp4
from render.gaussians import Gaussians

__all__ = [
    "READERS",
    "WRITERS",
    "SplatFileWarning",
    "check_splat_file",
    "export_splats",
    "read_ply",
    "read_splats",
    "write_mp4",
    "write_ply",
]

WRITERS: dict[str, Callable[[Gaussians, Path], None]] = {
    ".ply": write_ply,
    ".compressed.ply": write_compressed_ply,
    ".splat": write_splat,
    ".spz": write_spz,
    ".glb": write_glb,
    ".sog": write_sog,
    ".ksplat": write_ksplat,
}
"""File-name ending to the function that writes it; the longest ending that fits wins."""

READERS: dict[str, Callable[[Path], Gaussians]] = {
    ".ply": read_ply,
    ".compressed.ply": read_compressed_ply,
    ".splat": read_splat,
    ".spz": read_spz,
    ".glb": read_glb,
    ".sog": read_sog,
    ".ksplat": read_ksplat,
}
"""File-name ending to the function that reads it."""

BEGINNINGS = {
    b"ply": ".ply",
    b"\x1f\x8b\x08": ".spz",
    b"NGSP": ".spz",
    b"glTF": ".glb",
    b"PK\3\4": ".sog",
}
"""First bytes of a file to the ending that it should have; .splat and .ksplat have none of their own."""


def export_splats(gaussians: Gaussians, path: Path | str) -> None:
    """Write splats in the format that the file name asks for.

    Raises:
        ValueError: if the ending is unknown, or the splats cannot be written.
    """
    file = Path(path)
    WRITERS[_ending(file)](gaussians, file)


def read_splats(path: Path | str) -> Gaussians:
    """Read splats of any format: told by what is in the file, and where that says nothing, by its name.

    What is odd about the file but can be passed over is told as a ``SplatFileWarning``.

    Raises:
        ValueError: if it is no file of splats, damaged, or larger than what is read; the sentence names it.
        OSError: if it is missing or may not be read.
    """
    file = Path(path)
    try:
        return READERS[_kind(file)](file)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def check_splat_file(path: Path) -> None:
    """Refuse what ``export_splats`` would refuse, before the work is done.

    Raises:
        ValueError: if the ending is unknown, or there is no folder for the file.
    """
    _ending(path)
    check_parent(path)


def _ending(path: Path) -> str:
    endings = [ending for ending in WRITERS if path.name.lower().endswith(ending)]
    if not endings:
        raise ValueError(
            f"splats are written as {', '.join(sorted(WRITERS))}; {path.name!r} ends in none of these"
        )
    return max(endings, key=len)


def _kind(path: Path) -> str:
    """The ending that the file should have."""
    with opened(path) as file:
        head = file.read(1 << 10)
    for beginning, ending in BEGINNINGS.items():
        if head.startswith(beginning):
            is_compressed = ending == ".ply" and b"\nelement chunk " in head
            return ".compressed.ply" if is_compressed else ending
    endings = [ending for ending in READERS if path.name.lower().endswith(ending)]
    if not endings:
        raise ValueError(
            f"this is no file of splats that is known here; {', '.join(sorted(READERS))} are read"
        )
    return max(endings, key=len)
