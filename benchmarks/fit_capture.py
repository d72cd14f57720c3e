"""How well splats show a capture after so many seconds: held-out PSNR, splats and memory.

Run from the root of the repository: ``python -m benchmarks.fit_capture CAPTURE [--seconds 10 60]
[--longest 384] [--strategy cloning]``. Seconds are CPU time of one thread from when the photographs are read,
finding the first splats included and looking excluded; a score is of the first fair look after them.

fountain_p11 (Strecha et al. 2008) at 384x256, no points given, one of 11 photographs held out, 700 steps;
one thread of a shared virtual core of an AMD EPYC (Zen 3, AVX2) on which other work ran: a quiet one does
more in a second; torch 2.13.0+cpu, numba 0.68.1:

    strategy    seconds   steps    splats      dB     GiB
    cloning          15     200    11,421   23.68    0.51
    cloning          31     400    22,381   25.29    0.51
    cloning          60     686    30,100   27.54    0.52
    relocation       10     108     8,590   20.83    0.50
    relocation       49     700    10,439   25.87    0.50
    none             10     113     8,181   21.08    0.49
    none             44     700     8,181   26.01    0.49
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import time
from pathlib import Path

import torch

from reconstruct.captured import CAPTURE_QUALITIES, MOST, fit_of_capture
from reconstruct.densify import Cloning, Relocation
from reconstruct.fit import Fit, FitSettings
from reconstruct.formats.captures import read_capture

STRATEGIES = {
    "cloning": {"strategy": Cloning(start=100, stop=0.7)},
    "relocation": {"strategy": Relocation(start=100), "opacity_weight": 0.01, "scale_weight": 0.01},
    "none": {"strategy": None},
}


def settings_for(strategy: str, steps: int) -> FitSettings:
    """The standard recipe for captures at another length."""
    standard = CAPTURE_QUALITIES["standard"]
    return dataclasses.replace(standard, steps=steps, degree_every=max(1, steps // 4), **STRATEGIES[strategy])


def report(fit: Fit, *, seconds: float) -> str:
    """One line of the table."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{seconds:7.0f}{fit.steps:8,}{len(fit):10,}{fit.look():8.2f}{peak:8.2f}"


def main() -> None:
    """Print the table that the docstring keeps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0])
    parser.add_argument("--longest", type=int, default=384)
    parser.add_argument("--strategy", choices=sorted(STRATEGIES), default="cloning")
    parser.add_argument("--most", type=int, default=MOST)
    parser.add_argument("--steps", type=int, default=700, help="steps that the last of the seconds allow")
    options = parser.parse_args()
    torch.set_num_threads(1)
    capture = read_capture(options.capture, longest=options.longest)
    cameras = capture.frames.cameras
    began, looking = time.process_time(), 0.0
    settings = settings_for(options.strategy, options.steps)
    fit = fit_of_capture(capture, settings=settings, most=options.most, threads=1)
    size = f"{len(cameras)} photographs of {cameras.width}x{cameras.height}"
    print(f"{size}, {len(fit):,} splats, {options.strategy}")
    print(f"{'seconds':>7}{'steps':>8}{'splats':>10}{'dB':>8}{'GiB':>8}", flush=True)
    waiting = sorted(options.seconds)
    while waiting and fit.steps < settings.steps:
        fit.step()
        spent = time.process_time() - began - looking
        if spent >= waiting[0] and fit.is_settled:
            print(report(fit, seconds=spent), flush=True)
            looking = time.process_time() - began - spent
            waiting.pop(0)
    print(report(fit, seconds=time.process_time() - began - looking))


if __name__ == "__main__":
    main()
