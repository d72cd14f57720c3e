"""What growing a world costs, frame by frame, and where the time goes.

Run: ``python benchmarks/grow.py [--frames 24] [--steps 4]``. Claim: at most 0.35 s a frame at 128x128
with 4 steps on 2 CPU cores, after warm-up.

The claim holds where the cores multiply bfloat16 matrices (2 cores of an Intel Xeon with AMX), and not where
they only have AVX2 (2 cores of a server EPYC, Zen 3, with an earlier sampler):

                   AMX       AVX2
      render       1.5 ms    1.9 ms
      retrieve     2.4 ms    3.7 ms
      recall       4.2 ms    5.4 ms
      sample     217.5 ms  570.3 ms
      commit      11.9 ms   16.8 ms
      insert       7.9 ms   10.9 ms
      total      245.4 ms  609.0 ms a frame
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import fields
from pathlib import Path
from statistics import median

os.environ.setdefault("GOMP_SPINCOUNT", "4000")  # as the command line does


from memory.world import SceneInfo, World
from render.paths import path_named
from worldgen.cli.inputs import first_view
from worldgen.generator import RGBDGenerator
from worldgen.rollout import Growth, StepTimes

WARM_UP = 3


def main() -> None:
    """Grow a world from a seed and print the median time of each part of a frame."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--model", default="tiny")
    options = parser.parse_args()
    generator = RGBDGenerator(options.model, steps=options.steps)
    camera = first_view(None, None, fov_deg=70.0, depth_units_per_metre=1000.0, size=generator.size)
    cameras = path_named("walk", camera, n=options.frames + WARM_UP + 1)
    info = SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))
    with tempfile.TemporaryDirectory() as folder, World.create(Path(folder) / "world", info) as world:
        growth = Growth(world, generator)
        growth.begin(camera, seed=0)
        growth.plan(cameras[1:], seed=0, name="walk")
        times = [grown.times for grown in growth.follow()][WARM_UP:]
        points = len(growth.cache)

    print(f"{generator.size} px, {options.steps} steps, {points:,} points")
    total = 0.0
    for field in fields(StepTimes):
        spent = median(getattr(step, field.name) for step in times)
        total += spent
        print(f"  {field.name.removesuffix('_ms'):<8}{spent:8.1f} ms")
    print(f"  {'total':<8}{total:8.1f} ms a frame (claim: 350 ms)")


if __name__ == "__main__":
    main()
