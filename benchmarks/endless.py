"""A world that grows on and on: what a frame costs, and what the process takes, early and late.

Claim: growing along a loop takes constant memory and constant time a frame. Resident memory at frame 400 is
within 5% of frame 100, and the last 50 frames take within 15% of the time of frames 51 to 100. Run from the
root of the repository: ``python -m benchmarks.endless [--frames 400]``.

One core of a server EPYC without AVX-512 (Zen 3); the wall time of frames 1 to 300 is that of a busy machine,
the CPU time is not:

  frames         wall          CPU   beside model     points     resident
      50      1305 ms       823 ms        65.8 ms    106,728       605 MB
     100      1353 ms       853 ms        71.9 ms    205,512       630 MB
     150      1401 ms       907 ms        89.8 ms    222,362       634 MB
     200      1309 ms       819 ms        79.8 ms    237,716       629 MB
     250      1573 ms       972 ms        99.9 ms    246,968       630 MB
     300      1380 ms       870 ms        89.9 ms    254,172       636 MB
     350       866 ms       846 ms        52.5 ms    260,913       629 MB
     400       848 ms       841 ms        47.0 ms    266,128       638 MB
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("GOMP_SPINCOUNT", "4000")  # as the command line does

from memory.world import SceneInfo, World
from render.paths import path_named
from worldgen.cli.inputs import first_view
from worldgen.generator import RGBDGenerator
from worldgen.rollout import Growth

EVERY = 50


def resident_mb() -> float:
    """What this process holds in memory (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Grow a loop from a seed and print a line for every 50 frames."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    generator = RGBDGenerator()
    camera = first_view(None, None, fov_deg=70.0, depth_units_per_metre=1000.0, size=generator.size)
    cameras = path_named("loop", camera, n=options.frames)
    info = SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))
    print(f"{'frames':>8} {'wall':>12} {'CPU':>12} {'beside model':>14} {'points':>10} {'resident':>12}")
    with tempfile.TemporaryDirectory() as folder, World.create(Path(folder) / "world", info) as world:
        growth = Growth(world, generator)
        growth.begin(camera, seed=options.seed)
        growth.plan(cameras[1:], seed=options.seed, name="loop")
        walls, cpus, others = [], [], []
        clock, cpu = time.perf_counter(), time.process_time()
        for number, grown in enumerate(growth.follow(), start=2):
            walls.append(1e3 * (time.perf_counter() - clock))
            cpus.append(1e3 * (time.process_time() - cpu))
            clock, cpu = time.perf_counter(), time.process_time()
            times = grown.times
            others.append(
                times.render_ms + times.retrieve_ms + times.recall_ms + times.commit_ms + times.insert_ms
            )
            if number % EVERY == 0:
                print(
                    f"{number:8} {median(walls):9.0f} ms {median(cpus):9.0f} ms {median(others):11.1f} ms "
                    f"{len(growth.cache):10,} {resident_mb():9.0f} MB",
                    flush=True,
                )
                walls, cpus, others = [], [], []


if __name__ == "__main__":
    main()
