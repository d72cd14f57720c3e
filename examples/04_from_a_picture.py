"""Grow two worlds from one picture: what it shows is kept, what lies beside it depends on the seed.

Run it as it is: ``python examples/04_from_a_picture.py [--image FILE] [--frames N] [--out FOLDER]``. No depth
is needed: it is imagined first, then the camera turns away from what the picture shows.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import worldgen as wg

PICTURE = Path(__file__).parent / "data/interior.jpg"
SEEDS = (1, 2)


def worldgen(*arguments: object) -> None:
    """Run one verb of the command line, as a user would."""
    subprocess.run([sys.executable, "-m", "worldgen.cli", *map(str, arguments)], check=True)


def frames_in(world: Path) -> wg.Frames:
    """All frames of a world."""
    with wg.World.open(world) as opened:
        return opened.frames()


def main() -> None:
    """Grow both worlds and compare them frame by frame."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, default=PICTURE, help="picture to start from")
    parser.add_argument("--fov-deg", type=float, default=80.0, help="its horizontal field of view")
    parser.add_argument("--frames", type=int, default=8, help="frames a world")
    parser.add_argument("--out", type=Path, default=Path("demo/from-a-picture"), help="folder for everything")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    worlds = [options.out / f"seed-{seed}" for seed in SEEDS]
    start = ("--image", options.image, "--fov-deg", options.fov_deg)
    for seed, world in zip(SEEDS, worlds, strict=True):
        shutil.rmtree(world, ignore_errors=True)
        way = ("--path", "turn:degrees=60", "--frames", options.frames)
        worldgen("grow", world, *start, *way, "--seed", seed)

    one, other = (frames_in(world) for world in worlds)
    print("\nframe  the two worlds agree by")
    for number, alike in enumerate(wg.psnr(one.rgb, other.rgb).tolist()):
        print(f"{number:5}  {'every bit of colour' if alike == float('inf') else f'{alike:.1f} dB'}")
    sheet = options.out / "both.png"
    wg.write_png(sheet, wg.contact_sheet(wg.concatenated([one, other]), columns=len(one)))
    print(f"made {worlds[0]}, {worlds[1]} and {sheet}: a world a row, colour above depth")


if __name__ == "__main__":
    main()
