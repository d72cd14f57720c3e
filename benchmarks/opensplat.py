"""Training steps beside those of OpenSplat's CPU build, with as many splats and pictures as large.

Claim: a step takes 12 times less time than OpenSplat's. Run from the root of the repository:
``python -m benchmarks.opensplat BINARY CAPTURE``. OpenSplat (AGPL-3, github.com/pierotofy/OpenSplat) is not
installed by anything here: BINARY is the program that you built, for a CPU. CAPTURE is any folder that it
reads, of nerfstudio or COLMAP, with pictures of one size. Without them the script says so and ends.

OpenSplat's step is the difference between two runs, so that what it loads does not count, and both end before
it adds splats. Ours learns as many splats, all in view, with the same 16 harmonics; OpenSplat sees only some
of its own in each view. Time on the clock, on all cores: let nothing else run.

No figures of this script yet. By hand, 2 cores of a Zen 5 with AVX-512, 12,079 splats at 262x476, 2026-11-20:
OpenSplat (commit 15b7e80) took 0.26 to 0.33 s a step, a prototype of these kernels 21 ms.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from benchmarks.splats import camera, fitted_splats, training_step
from benchmarks.timing import wall_ms
from render.splats import available_threads

STEPS = (40, 120)
"""Steps of the two runs; OpenSplat adds its first splats after 500."""

PICTURES = {".jpg", ".jpeg", ".png"}
ROUNDS = 20


def picture_size(capture: Path) -> tuple[int, int]:
    """Width and height of the pictures of a capture."""
    for path in sorted(capture.rglob("*")):
        if path.suffix.lower() in PICTURES:
            with Image.open(path) as picture:
                return picture.size
    raise ValueError(f"{capture} holds no pictures")


def opensplat_run(binary: Path, capture: Path, *, steps: int) -> tuple[float, int]:
    """Seconds of one run of OpenSplat at full size, and how many splats it ends with."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "splats.ply"
        command = [
            str(binary),
            str(capture),
            "--cpu",
            "-n",
            str(steps),
            "--num-downscales",
            "0",
            "-o",
            str(out),
        ]
        # Threads that spin while they wait take the cores from those that work.
        quiet = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(available_threads())}
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=quiet)
        return time.perf_counter() - began, vertex_count(out)


def vertex_count(ply: Path) -> int:
    """How many vertices a PLY file announces."""
    with ply.open("rb") as file:
        for line in file:
            words = line.split()
            if words[:2] == [b"element", b"vertex"]:
                return int(words[2])
            if words == [b"end_header"]:
                break
    raise ValueError(f"{ply} announces no vertices")


def compare(binary: Path, capture: Path) -> str:
    """The line that the script prints."""
    width, height = picture_size(capture)
    (few_s, _), (many_s, count) = (opensplat_run(binary, capture, steps=steps) for steps in STEPS)
    theirs = 1e3 * (many_s - few_s) / (STEPS[1] - STEPS[0])
    splats, cameras = fitted_splats(count, aspect=width / height), camera(width, height)
    step = training_step(splats, cameras, threads=available_threads())
    ours = wall_ms({"": (step, ROUNDS)})[""]
    return (
        f"{len(splats):,} splats (OpenSplat: {count:,}), {width}x{height}: "
        f"{ours:.1f} ms a step, OpenSplat {theirs:.1f} ms, {theirs / ours:.1f}x"
    )


def main() -> None:
    """Print the comparison, or why there is none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("binary", type=Path, nargs="?", help="OpenSplat's program, built for a CPU")
    parser.add_argument("capture", type=Path, nargs="?", help="folder of nerfstudio or COLMAP")
    options = parser.parse_args()
    if options.binary is None or options.capture is None or not options.binary.is_file():
        print("skipped: give the path of an OpenSplat program built for a CPU, and a capture it can read")
        return
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(compare(options.binary, options.capture))


if __name__ == "__main__":
    main()
