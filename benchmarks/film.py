"""What filming costs: seconds of computing a hundred pictures, and that memory does not grow with the film.

Claim: ten thousand pictures take the memory of three hundred. Run from the root of the repository:
``python -m benchmarks.film WORLD``, a world of a dozen frames (``worldgen grow WORLD --seed 3 --frames 12``).
Every row is a process of its own; the time of a film of 12 pictures is taken off, so that what is left is
that of drawing and encoding.

Two threads of a Xeon with other work beside it, PyAV 18.1, a world of 12 frames (50,333 splats):

                   size   kind  pictures  CPU s / 100  peak MiB
    splats      512x512   .mp4       312         3.07       497
    splats      512x512  .webm       312         3.66       502
    splats      512x512   .gif       312         4.44       444
    splats      512x512    PNG       312         4.37       446
    points      512x512   .mp4       312         4.69       505
    depth       512x512   .mp4       312         4.27       503
    normals     512x512   .mp4       312         5.99       508
    splats    3840x2160   .mp4        36        71.59      1512
    splats        64x48   .mp4       300         0.54       443
    splats        64x48   .mp4    10,000         0.61       443
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FPS = 10
FEW = 12

ROWS = (
    ("splats", "512x512", ".mp4", 312, ()),
    ("splats", "512x512", ".webm", 312, ()),
    ("splats", "512x512", ".gif", 312, ()),
    ("splats", "512x512", "", 312, ()),
    ("points", "512x512", ".mp4", 312, ("--render", "points")),
    ("depth", "512x512", ".mp4", 312, ("--show", "depth")),
    ("normals", "512x512", ".mp4", 312, ("--show", "normals")),
    ("splats", "3840x2160", ".mp4", 36, ()),
    ("splats", "64x48", ".mp4", 300, ()),
    ("splats", "64x48", ".mp4", 10_000, ()),
)


def filmed(world: Path, *, count: int, size: str, kind: str, more: tuple[str, ...]) -> tuple[float, int]:
    """Seconds that processors worked, and the most memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["fly", str(world), f"{folder}/film{kind}", "--seconds", str(count / FPS), "--fps", str(FPS)]
        command = [sys.executable, "-m", "worldgen.cli", *words, "--size", size, *more]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} failed")
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("world", type=Path)
    world = parser.parse_args().world
    print(f"{'':9}{'size':>10}{'kind':>7}{'pictures':>10}{'CPU s / 100':>13}{'peak MiB':>10}")
    for name, size, kind, count, more in ROWS:
        before, _ = filmed(world, count=FEW, size=size, kind=kind, more=more)
        seconds, peak = filmed(world, count=count, size=size, kind=kind, more=more)
        each = 100 * (seconds - before) / (count - FEW)
        print(f"{name:9}{size:>10}{kind or 'PNG':>7}{count:>10,}{each:>13.2f}{peak:>10}", flush=True)


if __name__ == "__main__":
    main()
