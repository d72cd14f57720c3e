"""Grow a world from a seed and one from a real RGB-D picture; export, film and picture both.

Run it as it is: ``python examples/01_two_worlds.py [--frames N] [--out FOLDER]``. ``make demo`` does.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

DATA = Path(__file__).parent / "data"
BOX = ["--image", str(DATA / "box_interior/color.jpg"), "--depth", str(DATA / "box_interior/depth.png")]
WORLDS = {
    "from-seed": ["--seed", "2", "--path", "turn"],
    "from-rgbd": [*BOX, "--fov-deg", "55", "--path", "orbit"],
}


def worldgen(*arguments: str) -> None:
    """Run one verb of the command line, as a user would."""
    subprocess.run([sys.executable, "-m", "worldgen.cli", *arguments], check=True)


def main() -> None:
    """Make both worlds and say what was made."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=24, help="frames a world")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for everything")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, start in WORLDS.items():
        world = options.out / name
        shutil.rmtree(world, ignore_errors=True)
        worldgen("grow", str(world), *start, "--frames", str(options.frames))
        worldgen("export", str(world), f"{world}.ply")
        worldgen(
            "fly",
            str(world),
            f"{world}.mp4",
            "--seconds",
            str(min(4.0, options.frames / 6)),
            "--size",
            "384x384",
        )
        worldgen("info", str(world), "--sheet", f"{world}.png")
    print("\nmade:")
    for file in sorted(options.out.glob("from-*.*")):
        print(f"  {file}  ({file.stat().st_size / 1e6:.1f} MB)")
    print("\nwalk through them in a browser, and grow them from there:")
    for name in WORLDS:
        print(f"  {Path(sys.executable).parent / 'worldgen'} view {options.out / name}")


if __name__ == "__main__":
    main()
