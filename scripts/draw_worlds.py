"""Draw the kinds of procedural worlds that training walks through, a row a kind.

python scripts/draw_worlds.py [docs/images/worlds.webp]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from worldgen.worlds import KINDS, random_scene, random_walk_cameras, render

SIZE, COLUMNS, GAP, FIRST_SEED = 144, 6, 4, 3_100_000_000


def row(kind: str) -> np.ndarray:
    """Views of different worlds of one kind, side by side."""
    pictures = []
    for seed in range(FIRST_SEED, FIRST_SEED + COLUMNS):
        scene = random_scene(seed, kinds={kind: 1.0})
        cameras = random_walk_cameras(scene, n=1, seed=seed, width=2 * SIZE, height=2 * SIZE)
        large = (render(scene, cameras).rgb[0].numpy() * 255.0).round().astype(np.uint8)
        small = Image.fromarray(large).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
        pictures.append(np.pad(np.asarray(small), ((0, GAP), (0, GAP), (0, 0)), constant_values=255))
    return np.concatenate(pictures, axis=1)


def main() -> None:
    """Write the sheet."""
    torch.set_num_threads(1)
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/worlds.webp")
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet = np.concatenate([row(kind) for kind in KINDS], axis=0)[:-GAP, :-GAP]
    Image.fromarray(sheet).save(target, quality=80, method=6)


if __name__ == "__main__":
    main()
