"""Making: a film from pictures that are drawn one at a time, into any kind of file.

Room: reconstruct. A film is of one of four kinds: .mp4, .webm, .gif, or "" for a folder of PNG files.
Memory holds one picture and what an encoder looks ahead. What is finished lies in a draft beside the film
(``reconstruct.film.draft``), from which the same film goes on, to the same file bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import PIL
from PIL import Image

from reconstruct.film.containers import Container, Gif, Video, palette_of
from reconstruct.film.draft import draft_of
from reconstruct.formats.atomic import check_free, check_parent, replacing
from reconstruct.formats.video import CODECS, VP9, Picture, check_fps, first_available

PART = 120
"""Pictures of a part: what is drawn again, at most, after an interruption."""

SAMPLES = 16
"""Pictures that are looked at before a film is made."""

PACKING = 3
"""How hard PNG files are packed: an eighth larger than at the usual 6, in a third of the time."""

GIF_FPS = 50.0
"""The fastest GIF that browsers show as fast as it is; faster ones they slow down to 10 a second."""

FOLDER = ""
KINDS = (".mp4", ".webm", ".gif", FOLDER)
PART_NAME, PICTURE_NAME = re.compile(r"\d{8,}-[0-9a-f]{32}"), re.compile(r"frame_\d{5,}\.png")

Tell = Callable[[int], None]
"""Gets how many pictures there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """Pictures of one size, by number."""

    count: int
    width: int
    height: int
    fps: float

    draw: Callable[[int], Picture]
    """The picture of a number below ``count``; the same whenever it is asked for."""

    fingerprint: str
    """Another one for other pictures."""


def kind_of(name: str) -> str:
    """Which kind of film a name asks for; a folder has no ending, or a slash at the end.

    Raises:
        ValueError: if the name has another ending.
    """
    kind = FOLDER if name.endswith("/") else Path(name).suffix.lower()
    if kind not in KINDS:
        kinds = ", ".join(KINDS[:-1])
        raise ValueError(f"a film ends in {kinds}, or in / for a folder of PNG files, got {name}")
    return kind


def check_target(path: Path, *, kind: str, fps: float) -> None:
    """Refuse where no film of a kind can be written, before it is made.

    Raises:
        ValueError: if something else is in the way, or the frame rate is none.
    """
    check_fps(fps)
    if kind == ".gif" and fps > GIF_FPS:
        raise ValueError(f"browsers slow down a GIF of more than {GIF_FPS:g} pictures a second, got {fps:g}")
    if kind == FOLDER:
        check_free(path)
        if path.is_symlink():
            raise ValueError(f"{path} is a link, and a new folder would take its name; name another one")
        return
    check_parent(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, and a film of that name would be a file; name another one")


def sample(count: int) -> list[int]:
    """Numbers of pictures that stand for a film of so many: evenly spread, the first and the last too."""
    return sorted({round(i * (count - 1) / (SAMPLES - 1)) for i in range(SAMPLES)})


def write_film(film: Film, path: Path, *, kind: str, tell: Tell) -> tuple[int, int]:
    """Write a film, whole or not at all; returns the width and height that it has.

    Killed at any moment it leaves no file, or a whole one; asked for again, it goes on. H.264 needs even
    sides: odd ones grow by one row or column, a copy of the last.

    Raises:
        ValueError: if there is no picture, the frame rate is none, something else is in the way, or pictures
            cannot be drawn.
        OSError: if the disk refuses; it names ``path``, and what is finished stays for another attempt.
    """
    check_target(path, kind=kind, fps=film.fps)
    if film.count < 1:
        raise ValueError("a film needs at least one picture")
    if kind == FOLDER:
        _write_pictures(film, path, tell)
        return film.width, film.height
    with draft_of(path, plan=_plan(film, kind), names=PART_NAME) as folder:
        container = _container(film, kind)
        parts = [_part(film, folder, begin, container, tell) for begin in range(0, film.count, PART)]
        whole = folder.parent / "whole"
        container.join(parts, whole)
        with whole.open("rb+") as written:
            os.fsync(written.fileno())
        whole.replace(path)
    return container.shown_size(film.width, film.height)


def _container(film: Film, kind: str) -> Container:
    if kind == ".gif":
        return Gif(palette=palette_of(map(film.draw, sample(film.count))), fps=film.fps)
    if kind == ".webm":
        return Video(format="webm", options={}, codec=first_available(VP9), fps=film.fps)
    codec = first_available(CODECS)
    return Video(format="mp4", options={"movflags": "+faststart"}, codec=codec, fps=film.fps)


def _plan(film: Film, kind: str) -> str:
    """All that decides the file, in words."""
    rows = {
        "pictures": [film.count, film.width, film.height, film.fps, PART],
        "of": film.fingerprint,
        "as": [kind, av.__version__, PIL.__version__, repr(CODECS), repr(VP9)],
    }
    return json.dumps(rows, indent=1)


def _part(film: Film, folder: Path, begin: int, container: Container, tell: Tell) -> Path:
    """The file of the part that begins at a picture, written unless it is there already, and sound."""
    end = min(begin + PART, film.count)
    for file in folder.glob(f"{begin:08d}-*"):
        if file.name == f"{begin:08d}-{_digest(file)}":
            tell(end)
            return file
        file.unlink()

    def pictures() -> Iterator[Picture]:
        for number in range(begin, end):
            yield film.draw(number)
            tell(number + 1)

    unfinished = folder / ".unfinished"
    container.write_part(unfinished, pictures())
    finished = folder / f"{begin:08d}-{_digest(unfinished)}"
    with unfinished.open("rb+") as written:
        os.fsync(written.fileno())
    return unfinished.replace(finished)


def _digest(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()[:32]


def _write_pictures(film: Film, path: Path, tell: Tell) -> None:
    """A folder of PNG files, frame_00000.png and so on."""
    with draft_of(path, plan=_plan(film, FOLDER), names=PICTURE_NAME) as folder:
        for number in range(film.count):
            file = folder / f"frame_{number:05d}.png"
            if not _is_sound(file, size=(film.width, film.height)):
                with replacing(file) as temporary:
                    Image.fromarray(film.draw(number)).save(temporary, format="PNG", compress_level=PACKING)
            tell(number + 1)
        folder.replace(path.absolute())


def _is_sound(file: Path, *, size: tuple[int, int]) -> bool:
    """Whether a file is a whole PNG of colours, of this size."""
    try:
        with Image.open(file, formats=("PNG",)) as image:
            fits = image.size == size and image.mode == "RGB"
            image.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return fits
