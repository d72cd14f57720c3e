"""Formats: splats and pictures as files that other programs read, one module a format.

Room: reconstruct; the viewer and the command line may import this. ``export_splats`` picks the
format by the end of the file name; a new format is one more entry in ``WRITERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reconstruct.formats.ply import read_ply, write_ply
from reconstruct.formats.video import write_mp4
from render.gaussians import Gaussians

__all__ = ["WRITERS", "check_splat_file", "export_splats", "read_ply", "write_mp4", "write_ply"]

WRITERS: dict[str, Callable[[Gaussians, Path], None]] = {".ply": write_ply}
"""File-name ending to the function that writes it; the longest ending that fits wins."""


def export_splats(gaussians: Gaussians, path: Path) -> None:
    """Write splats in the format that the file name asks for.

    Raises:
        ValueError: if the ending is unknown, or the splats cannot be written.
    """
    WRITERS[_ending(path)](gaussians, path)


def check_splat_file(path: Path) -> None:
    """Refuse what ``export_splats`` would refuse, before the work is done.

    Raises:
        ValueError: if the ending is unknown, or there is no folder for the file.
    """
    _ending(path)
    if not path.absolute().parent.is_dir():
        raise ValueError(
            f"there is no folder {path.absolute().parent} to write {path.name} to; create it first"
        )


def _ending(path: Path) -> str:
    endings = [ending for ending in WRITERS if path.name.lower().endswith(ending)]
    if not endings:
        raise ValueError(
            f"splats are written as {', '.join(sorted(WRITERS))}; {path.name!r} ends in none of these"
        )
    return max(endings, key=len)
