"""What it is worth to imagine views far ahead first: long walks through places that are imagined.

Claim: a walk that is taken view by view ends in patterns, one that was surveyed first goes through rooms. Run
from the root of the repository: ``python -m benchmarks.survey [--loops 6] [--sheet FILE]``. From one exact
picture of a held-out procedural world the camera walks once round a circle of 100 poses, as in ``worldgen
evaluate --loops``. *Frechet*: distance of the views behind the first quarter to true views of the same
worlds, in random convolutional features, of all worlds together and of one (the median); lower is better.
*Contrast*: standard deviation of their colours over that of the true views. The sheet has two rows a world,
without and with views ahead, and ``COLUMNS`` views of the circle in each.

The weights that ship, six worlds, one thread of a busy Intel Xeon with AMX:

    views ahead   together   a world  contrast   s a lap
    without         0.0487    0.1719      1.06        56
    with            0.0092    0.0796      1.06        56
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from statistics import fmean, median

import torch
from jaxtyping import Float
from torch import Tensor

from memory.pictures import write_png
from render.frames import Frames, concatenated
from worldgen.evaluation.features import frechet_distance, hole_features
from worldgen.evaluation.loops import LAPS, contrast_of, true_views, walk
from worldgen.generator import Generator, RGBDGenerator
from worldgen.model.weights import DEFAULT_WEIGHTS

LAP, COLUMNS = 100, 12


def features(frames: Frames) -> Float[Tensor, "p d"]:
    """Of whole views."""
    views = [frames[[i]] for i in range(len(frames))]
    nowhere = torch.zeros_like(frames.valid[:1])
    return hole_features([view.rgb for view in views], [nowhere] * len(views), views)


def lap(generator: Generator, index: int, *, surveys: bool) -> Frames:
    """Once round the circle."""
    steps = walk(generator, index, frames=LAPS * LAP, surveys=surveys)
    return concatenated(list(itertools.islice(steps, LAP)))


def main() -> None:
    """Print a row a way of walking, and draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loops", type=int, default=6)
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    generator = RGBDGenerator(options.weights)
    true = [true_views(i, size=generator.size) for i in range(options.loops)]
    known = [features(views) for views in true]
    rows: list[list[Tensor]] = [[] for _ in true]
    print(f"{'views ahead':<12}{'together':>10}{'a world':>10}{'contrast':>10}{'s a lap':>10}")
    for surveys in (False, True):
        walked, begun = [], time.perf_counter()
        for i, row in enumerate(rows):
            frames = lap(generator, i, surveys=surveys)
            places = torch.linspace(0, LAP - 1, COLUMNS).round().long()
            row.append(torch.cat(list(frames.rgb[places]), dim=1))
            walked.append(frames[LAP // 4 :])
        seconds = (time.perf_counter() - begun) / options.loops
        found = [features(frames) for frames in walked]
        each = median(frechet_distance(a, b) for a, b in zip(found, known, strict=True))
        together = frechet_distance(torch.cat(found), torch.cat(known))
        ratios = (contrast_of(a) / contrast_of(b) for a, b in zip(walked, true, strict=True))
        cells = f"{together:>10.4f}{each:>10.4f}{fmean(ratios):>10.2f}{seconds:>10.0f}"
        print(f"{'with' if surveys else 'without':<12}{cells}", flush=True)
    if options.sheet is not None:
        write_png(options.sheet, torch.cat([picture for row in rows for picture in row], dim=0)[None])


if __name__ == "__main__":
    main()
