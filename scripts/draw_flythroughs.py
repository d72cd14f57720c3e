"""Draw docs/images/flythroughs.webp: colour, depth and normals of one flight through a world.

Run: ``python -m scripts.draw_flythroughs WORLD``, a world of ``make demo``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

OUT = Path("docs/images/flythroughs.webp")
SIDE, FPS, SECONDS = 192, 6, 2.5
SHOWS = ("rgb", "depth", "normals")


def flight(world: str, show: str, folder: Path) -> list[np.ndarray]:
    """The pictures of a film."""
    words = ["--show", show, "--size", f"{SIDE}x{SIDE}", "--fps", str(FPS), "--seconds", str(SECONDS)]
    command = [sys.executable, "-m", "worldgen.cli", "fly", world, str(folder / show), *words]
    subprocess.run(command, check=True)
    return [np.asarray(Image.open(file)) for file in sorted((folder / show).iterdir())]


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        films = [flight(sys.argv[1], show, Path(folder)) for show in SHOWS]
    rows = [Image.fromarray(np.concatenate(panels, axis=1)) for panels in zip(*films, strict=True)]
    first, *rest = rows + rows[-2:0:-1]
    first.save(OUT, save_all=True, append_images=rest, duration=1000 // FPS, loop=0, quality=45)


if __name__ == "__main__":
    main()
