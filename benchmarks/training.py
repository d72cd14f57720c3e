"""What training costs: rendering a frame of a clip, and the operations of the passes over it.

Claim: on a CPU core the passes of a frame take longer than its clip; at 100 TFLOP/s its clip takes a worker
50 to 90 times longer than the passes of ``small``, so a GPU wants many workers. Run from the root of the
repository: ``python -m benchmarks.training``.

AMD EPYC, 1 core, torch 2.13, beside other work; time of the processor, mean of 8 clips of 4 frames:

    size    clips (ms a frame)    tiny (GFLOP a frame)    small (GFLOP a frame)
      64                  44.8                     6.6                     16.8
     128                  63.7                    28.2                     70.9
     256                 172.7                   143.1                    347.3
"""

from __future__ import annotations

import time
from pathlib import Path

import torch

from worldgen.training.clips import Clips
from worldgen.training.config import load_config
from worldgen.training.throughput import flops_a_frame

SIZES = (64, 128, 256)
RECIPES = ("tiny", "small")
CLIPS = 8


def milliseconds_a_frame(size: int, *, frames: int) -> float:
    """Time of the processor to render a frame of a training clip, once all is compiled."""
    clips = Clips(size=size, frames=frames, seed=0)
    clips[0]
    started = time.process_time()
    for i in range(1, CLIPS + 1):
        clips[i]
    return (time.process_time() - started) / (CLIPS * frames) * 1e3


if __name__ == "__main__":
    torch.set_num_threads(1)
    configs = [load_config(Path(name)) for name in RECIPES]
    print("size    clips (ms a frame)", *(f"{name} (GFLOP a frame)" for name in RECIPES), sep="    ")
    for size in SIZES:
        row = [milliseconds_a_frame(size, frames=configs[0].clip_frames)]
        row += [flops_a_frame(c.model, size=size, clip_frames=c.clip_frames) / 1e9 for c in configs]
        print(f"{size:4d}    {row[0]:18.1f}    {row[1]:20.1f}    {row[2]:21.1f}")
