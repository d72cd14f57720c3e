"""How fast splats learn on a CPU: a step beside the torch twin, and what a preview gains.

Claims: forward and backward of the kernels are 100 times faster than those of the twin by C++, 30 times by
numba; the loss is eight times faster than in torch; a preview of a world of 48 frames at 128x128 takes less
than 20 s of two cores and gains more than 2 dB on frames that it never saw; worlds gain nothing by more
splats than points. Run from the root of the repository: ``python -m benchmarks.fit [--twin | --growth]``;
``--twin`` takes a minute and 2 GB more, ``--growth`` prints the last table alone. Milliseconds are CPU time
of one thread, medians, in turns; the preview is wall time on all cores, so let nothing else run.

2 cores of an Intel Xeon (AVX-512), torch 2.13.0+cpu, numba 0.68.1, by C++ (g++ 12.2). Forward is also part of
both:

    one view       forward     both     loss  torch's     adam  step ms  steps/s twin
      50k 256x256      9.2     23.6      3.2     27.2      3.6     30.4     32.9   120x
     200k 640x480     36.1     96.3     12.2    124.1     11.2    119.7      8.4

    world   splats  before   after   gain      s
        0   97,519   25.49   31.36   5.86    3.4
        1   86,529   25.53   30.19   4.66    3.4
        2   98,239   19.75   26.49   6.74    3.6

By numba, on 2 shared virtual cores of an AMD EPYC (Zen 3, AVX2):

    20 frames of 64x64, 900 steps: held-out PSNR at the end
    world    first        none  relocation with prices     cloning   half more
        0   19,497       30.71       30.67       30.63       30.68       30.28
        1   13,883       30.19       30.24       30.09       30.37       30.11
        2   14,597       27.90       27.86       27.78       27.35       27.21
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.splats import both_ways, camera, room_splats
from benchmarks.timing import cpu_ms
from memory.cache import WorldCache
from reconstruct.adam import SelectiveAdam
from reconstruct.densify import Cloning, Relocation
from reconstruct.fit import QUALITIES, Fit, FitSettings, fitted, held_out_frames
from reconstruct.init import gaussians_from_points
from reconstruct.photometric import photometric_loss, ssim_map
from render.frames import Frames, median_depth
from render.gaussians import Gaussians
from render.splats import render_splats
from worldgen.training.clips import FIRST_HELD_OUT_SEED
from worldgen.worlds import random_scene, random_walk_cameras, render

CASES = ((50_000, (256, 256)), (200_000, (640, 480)))
ROUNDS = 7
FRAMES, SIZE, WORLDS = 48, 128, 3
NAMES = [field.name for field in dataclasses.fields(Gaussians)]
GROWTH: dict[str, dict[str, Any]] = {
    "none": {},
    "relocation": {"strategy": Relocation(start=150, every=50)},
    "with prices": {
        "strategy": Relocation(start=150, every=50),
        "opacity_weight": 0.01,
        "scale_weight": 0.01,
    },
    "cloning": {"strategy": Cloning(start=150, every=50)},
    "half more": {"strategy": Cloning(start=150, every=50), "cap": 1.5},
}
"""Settings by the name of a column; all may end with a fifth more splats but the last."""


def losses(size: tuple[int, int]) -> dict[str, Callable[[], None]]:
    """Value and gradient of the loss, by our kernels and by torch."""
    width, height = size
    a, b, weight = torch.rand(height, width, 3), torch.rand(height, width, 3), torch.ones(height, width, 1)
    a.requires_grad_()

    def ours() -> None:
        photometric_loss(a, b, weight=weight).backward()

    def torchs() -> None:
        (0.8 * (a - b).abs().mean() + 0.2 * (1.0 - ssim_map(a, b)).mean()).backward()

    return {"loss": ours, "torch's": torchs}


def moved(splats: Gaussians) -> Callable[[], None]:
    """A step of the optimiser that has seen everything."""
    leaves = {name: getattr(splats, name).clone().requires_grad_() for name in NAMES}
    for leaf in leaves.values():
        leaf.grad = torch.randn_like(leaf)
    adam, every = SelectiveAdam(leaves), torch.arange(len(splats))
    return lambda: adam.step(leaves, seen=every, rates=dict.fromkeys(NAMES, 1e-4))


def step_line(g: int, size: tuple[int, int], *, twin: bool) -> str:
    """One line of the first table."""
    width, height = size
    splats, cameras = room_splats(g, views=1, aspect=width / height), camera(width, height)
    slope = torch.randn(1, height, width, 3)
    jobs = {
        "forward": (lambda: render_splats(splats, cameras, threads=1), ROUNDS),
        "both": (both_ways(splats, cameras, slope, backend="numba"), ROUNDS),
        "adam": (moved(splats), ROUNDS),
        **{name: (job, ROUNDS) for name, job in losses(size).items()},
    }
    if twin:
        jobs["twin"] = (both_ways(splats, cameras, slope, backend="torch"), 1)
    ms = cpu_ms(jobs)
    step = ms["both"] + ms["loss"] + ms["adam"]
    ratio = f"{ms['twin'] / ms['both']:5.0f}x" if twin else ""
    parts = "".join(f"{ms[name]:9.1f}" for name in ("forward", "both", "loss", "torch's", "adam"))
    return f"{g // 1000:4}k {width}x{height}{parts}{step:9.1f}{1e3 / step:9.1f} {ratio}"


def preview(index: int) -> tuple[float, float, float, int]:
    """Seconds, score before and after, and splats of a preview of an exactly known world."""
    start, frames, scale = world(index, count=FRAMES, size=SIZE)
    began = time.perf_counter()
    fit = Fit(start, frames, held_out=held_out_frames(FRAMES), settings=QUALITIES["preview"], scale=scale)
    scores = [score for _, score in fitted(fit)]
    return time.perf_counter() - began, scores[0], fit.best_score, len(start)


def world(index: int, *, count: int, size: int) -> tuple[Gaussians, Frames, float]:
    """First splats, frames and scale of an exactly known world."""
    scene = random_scene(FIRST_HELD_OUT_SEED + 300 + index)
    frames = render(scene, random_walk_cameras(scene, n=count, seed=index, width=size, height=size))
    cache = WorldCache()
    for i in range(count):
        cache.remember(frames[[i]], cache.render(frames[[i]].cameras), ids=[i], given=True)
    return gaussians_from_points(cache.points), frames, median_depth(frames[:1])


def growth_line(index: int) -> str:
    """One line of the table of strategies."""
    start, frames, scale = world(index, count=20, size=64)
    scores = []
    for more in GROWTH.values():
        settings = FitSettings(steps=900, **more)
        fit = Fit(start, frames, held_out=held_out_frames(20), settings=settings, scale=scale, threads=1)
        for _ in fitted(fit):
            pass
        scores.append(fit.best_score)
    return f"{index:5}{len(start):9,}" + "".join(f"{score:12.2f}" for score in scores)


def main() -> None:
    """Print the tables that the docstring keeps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--twin", action="store_true", help="compare with the torch twin too")
    parser.add_argument("--growth", action="store_true", help="compare strategies that add splats, instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.growth:
        print(f"{'world':>5}{'first':>9}" + "".join(f"{name:>12}" for name in GROWTH))
        for index in range(WORLDS):
            print(growth_line(index), flush=True)
        return
    names = ("forward", "both", "loss", "torch's", "adam", "step ms", "steps/s")
    print(f"{'one view':13}" + "".join(f"{name:>9}" for name in names) + " twin")
    for g, size in CASES:
        print(step_line(g, size, twin=options.twin and g == CASES[0][0]), flush=True)
    print(f"{'world':>5}{'splats':>9}{'before':>8}{'after':>8}{'gain':>7}{'s':>7}")
    for index in range(WORLDS):
        seconds, before, after, count = preview(index)
        print(f"{index:5}{count:9,}{before:8.2f}{after:8.2f}{after - before:7.2f}{seconds:7.1f}", flush=True)


if __name__ == "__main__":
    main()
