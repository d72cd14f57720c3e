"""Draw the README's moving picture from what ``make demo`` made: both flythroughs, side by side.

Run: ``python scripts/readme_picture.py [demo] [docs/images/flythrough.webp]``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
from PIL import Image

WIDTH = 288
FPS = 12


def frames_of(path: Path) -> list[np.ndarray]:
    """All pictures of a video."""
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def main() -> None:
    """Write the picture."""
    source = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    target = Path(sys.argv[2] if len(sys.argv) > 2 else "docs/images/flythrough.webp")
    videos = [frames_of(source / f"{name}.mp4")[::2] for name in ("from-seed", "from-rgbd")]
    pictures = [
        Image.fromarray(np.concatenate(pair, axis=1)).resize((2 * WIDTH, WIDTH), Image.Resampling.LANCZOS)
        for pair in zip(*videos, strict=False)
    ]
    there_and_back = pictures + pictures[-2:0:-1]
    target.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = there_and_back
    first.save(target, save_all=True, append_images=rest, duration=1000 // FPS, loop=0, quality=70)


if __name__ == "__main__":
    main()
