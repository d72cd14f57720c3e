"""Films small enough for a test, and how they are looked at afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from PIL import Image

from reconstruct.film import Film
from reconstruct.film.draft import draft_folder

Draw = Callable[[int], np.ndarray]


def picture(number: int, *, width: int, height: int) -> np.ndarray:
    """Three soft waves, one a channel, that move to the right at different speeds."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    phases = [0.05 * x + 0.02 * y * (c + 1) - 0.1 * (c + 1) * number for c in range(3)]
    return np.stack([(127.5 + 100 * np.sin(phase)).round() for phase in phases], axis=-1).astype(np.uint8)


def film(
    count: int, *, width: int = 64, height: int = 48, fps: float = 10.0, draw: Draw | None = None
) -> Film:
    """Waves as a film; ``draw`` draws others."""

    def waves(number: int) -> np.ndarray:
        return picture(number, width=width, height=height)

    chosen = waves if draw is None else draw
    return Film(count=count, width=width, height=height, fps=fps, draw=chosen, fingerprint="waves")


def decoded(path: Path) -> tuple[np.ndarray, list[float]]:
    """Every picture of a film, and the second at which each is shown; numbers, where it is a folder."""
    if path.is_dir():
        files = sorted(path.iterdir())
        assert [file.name for file in files] == [f"frame_{i:05d}.png" for i in range(len(files))]
        return np.stack([np.asarray(Image.open(file)) for file in files]), list(range(len(files)))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [float(frame.pts * stream.time_base) for frame in frames]
        return np.stack([frame.to_ndarray(format="rgb24") for frame in frames]), times


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of a film, file by file."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files}


def parts_of(path: Path) -> list[Path]:
    """Finished parts of a film that is not finished."""
    folder = draft_folder(path) / "parts"
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for file in found if not file.name.startswith(".")]
