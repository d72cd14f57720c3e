"""What the first picture costs, what the first picture of a later run costs, and memory while training.

Claims: from nothing, forward and backward are compiled in 3 s of one core where there is a C++ compiler, in
12 to 35 s by numba alone; from then on a program draws 0.3 to 0.7 s after it has been imported; training
200,000 splats at 640x480 stays below 0.6 GB. Run from the root of the repository: ``python -m
benchmarks.splat_start``; ``WORLDGEN_SPLAT_KERNELS=numba`` leaves C++ out. CPU time of one thread, each in its
own process.

torch 2.13.0+cpu, numba 0.68.1, g++ 12.2, on an Intel Xeon (AVX-512):

                  imports     forward    backward
    first call     1.32 s      2.59 s      0.17 s
    cached         1.39 s      0.30 s      0.01 s
    peak memory  0.51 GiB

By numba alone, there and on a shared core of an AMD EPYC (Zen 3):

                  imports     forward    backward       imports     forward    backward
    first call     1.22 s      6.67 s      5.75 s        3.31 s     18.81 s     15.11 s
    cached         1.21 s      0.27 s      0.02 s        2.44 s      0.66 s      0.06 s
    peak memory  0.53 GiB                              0.53 GiB
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

FIRST = """
import time
began = time.process_time()
import torch
from benchmarks.splats import both_ways, camera, room_splats
from render.splats import render_splats
torch.set_num_threads(1)
splats, cameras = room_splats(2_000, views=1, aspect=1.0), camera(64, 64)
at = [began, time.process_time()]
render_splats(splats, cameras, threads=1)
at.append(time.process_time())
both_ways(splats, cameras, torch.ones(1, 64, 64, 3), backend="numba")()
at.append(time.process_time())
print(*(f"{after - before:9.2f} s" for before, after in zip(at, at[1:])))
"""

TRAINING = """
import resource, torch
from benchmarks.splats import camera, room_splats, training_step
torch.set_num_threads(1)
step = training_step(room_splats(200_000, views=1, aspect=4 / 3), camera(640, 480))
for _ in range(5):
    step()
print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2:9.2f} GiB")
"""


def output(program: str, cache: str) -> str:
    """What a program prints that finds its compiled kernels, or leaves them, in the folder ``cache``."""
    settings = {**os.environ, "NUMBA_CACHE_DIR": cache, "XDG_CACHE_HOME": cache, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=settings).stdout.rstrip()


def main() -> None:
    """Print the table that the docstring keeps."""
    with tempfile.TemporaryDirectory() as cache:
        print(f"{'':14}{'imports':>11} {'forward':>11} {'backward':>11}")
        print(f"{'first call':14}{output(FIRST, cache)}", flush=True)
        print(f"{'cached':14}{output(FIRST, cache)}", flush=True)
        output(TRAINING, cache)
        print(f"{'peak memory':14}{output(TRAINING, cache)}", flush=True)


if __name__ == "__main__":
    main()
