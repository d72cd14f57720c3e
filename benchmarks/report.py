"""What the figures of a report say of worlds whose faults are known, and what a report costs.

Claim: an exact world scores as high as a point cache of its resolution allows, and each fault moves the
figures that are about it. Run from the root of the repository: ``python -m benchmarks.report [--frames 96]
[--side 128]``. A procedural world is walked there and back; its exact views are committed as they are, or
spoilt: *noise* adds 5% to the colours of every third frame, *depth* makes every third frame 3% too deep,
*fading* takes half of the contrast on the way. Time is CPU time of a report, one thread, kernels compiled.

On 2 cores with bfloat16, 96 frames of 128x128:

    fault        returns    revisits        SSIM       depth       worst    contrast  ms a frame
    none            59.7        35.0       0.918       0.25%       0.34%        1.00          61
    noise           37.4        25.8       0.501       0.25%       0.34%        1.00          65
    depth           59.7        34.3       0.903       0.34%       3.05%        1.00          64
    fading          25.2        24.4       0.874       0.25%       0.34%        0.60          65
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import torch

from memory.world import SceneInfo, World
from render.frames import Frames, median_depth
from render.paths import path_named
from worldgen.report import Report, page_of, report_on
from worldgen.worlds import random_scene, random_walk_cameras, render

SEED = 7
EVERY = 3
NOISE, SHIFT, FADED = 0.05, 1.03, 0.5
FAULTS = ("none", "noise", "depth", "fading")
SHOWN = {
    "return_psnr": "{:.1f}",
    "revisit_psnr": "{:.1f}",
    "revisit_ssim": "{:.3f}",
    "depth_error": "{:.2%}",
    "depth_error_worst": "{:.2%}",
    "contrast_drift": "{:.2f}",
}


def spoilt(frames: Frames, fault: str) -> Frames:
    """The frames of a walk with one fault."""
    every = torch.zeros(len(frames), 1, 1, 1, dtype=torch.bool)
    every[::EVERY] = True
    if fault == "noise":
        noise = NOISE * torch.randn(frames.rgb.shape, generator=torch.Generator().manual_seed(0))
        return dataclasses.replace(
            frames, rgb=torch.where(every, frames.rgb + noise, frames.rgb).clamp(0.0, 1.0)
        )
    if fault == "depth":
        return dataclasses.replace(frames, depth=torch.where(every, SHIFT * frames.depth, frames.depth))
    if fault == "fading":
        strength = torch.linspace(1.0, FADED, len(frames))[:, None, None, None]
        mean = frames.rgb.mean(dim=(1, 2), keepdim=True)
        return dataclasses.replace(frames, rgb=torch.lerp(mean, frames.rgb, strength))
    return frames


def paged(folder: Path) -> Report:
    """Measure a world, page and all."""
    with World.open(folder) as world:
        report = report_on(world, machine="a benchmark")
    page_of(report)
    return report


def main() -> None:
    """Print a row a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--side", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    scene = random_scene(SEED)
    camera = random_walk_cameras(scene, n=1, seed=1, width=options.side, height=options.side)
    scale = median_depth(render(scene, camera))
    frames = render(scene, path_named("there-and-back", camera, n=options.frames, scale=scale))
    info = SceneInfo(units="metres", scale=scale, up=(0.0, -1.0, 0.0))
    print(f"{'fault':<8}" + "".join(f"{name:>18}" for name in SHOWN) + f"{'ms a frame':>12}")
    with tempfile.TemporaryDirectory() as place:
        for fault in ("warm-up", *FAULTS):
            folder = Path(place) / fault
            with World.create(folder, info) as world:
                for i, frame in enumerate(torch.arange(len(frames))[:, None]):
                    one = spoilt(frames, fault)[frame]
                    world.commit(one, given=False, generator="exact", seed=i, settings={})
            start = time.process_time()
            figures = paged(folder).figures
            cost = 1e3 * (time.process_time() - start) / len(frames)
            if fault != "warm-up":
                row = "".join(f"{form.format(figures[name]):>18}" for name, form in SHOWN.items())
                print(f"{fault:<8}{row}{cost:>12.0f}")


if __name__ == "__main__":
    main()
