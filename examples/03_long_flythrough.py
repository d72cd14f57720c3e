"""Script a flythrough of 2,000 pictures in ten lines, look it over, and film it.

Run it as it is: ``python examples/03_long_flythrough.py [--fps N] [--size N] [--out FOLDER]``. The world is
grown first if it is not there; with fewer pictures a second the same 100 s are fewer pictures.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import worldgen as wg


def tour_of(middle: int, last: int) -> wg.Tour:
    """100 s through a world, 2,000 pictures at 20 a second; ``middle`` and ``last`` are frames of it."""
    return (
        wg.Tour(fps=20, ease=wg.Ease(start=0.2, end=0.2))
        .then("turn", degrees=50, seconds=8)
        .then("turn", degrees=-50, seconds=8, fov_deg=60)
        .through(middle, last, seconds=24, fov_deg=70)
        .hold(6, look_at=middle)
        .then("dolly", ahead=0.1, right=0.2, seconds=10, look_at=middle)
        .through(wg.Key(frame=middle, look_at=0), 0, seconds=24, shape=wg.Shape(tension=0.3))
        .then("spiral", degrees=25, rise=0.1, closer=0.2, seconds=20, fov_deg=50)
    )


def worldgen(*arguments: object) -> None:
    """Run one verb of the command line, as a user would; what a path leads through is told, not refused."""
    done = subprocess.run([sys.executable, "-m", "worldgen.cli", *map(str, arguments)], check=False)
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)


def main() -> None:
    """Grow, script, check and film."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fps", type=float, default=20.0, help="pictures a second, of 100 s")
    parser.add_argument("--size", type=int, default=256, help="pixels along a side of the film")
    parser.add_argument("--frames", type=int, default=16, help="frames of the world")
    parser.add_argument("--out", type=Path, default=Path("demo/flythrough"), help="folder for everything")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    world, tour = options.out / "world", options.out / "tour.json"
    if not world.exists():
        way = "arc:degrees=100,length=1.2"
        worldgen("grow", world, "--seed", 5, "--path", way, "--frames", options.frames)
    with wg.World.open(world) as opened:
        ids, setting = opened.frame_ids(), wg.setting_in(opened)
    script = tour_of(middle=ids[len(ids) // 2], last=ids[-1])
    wg.save_tour(tour, script)
    print(f"{tour}: {len(script.cameras(setting)):,} pictures")

    out, at = options.out, ("--fps", options.fps)
    drawn = ("--plan", out / "plan.png", "--out", out / "camera_path.json", "--format", "nerfstudio")
    worldgen("path", tour, "--world", world, *drawn, *at)
    size = f"{options.size}x{options.size}"
    worldgen("fly", world, out / "flythrough.mp4", "--path", tour, "--size", size, *at)


if __name__ == "__main__":
    main()
