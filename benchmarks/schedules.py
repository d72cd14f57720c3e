"""Four frames at once, or one after the other through the cache?

Claim: through the cache. Frames that enter the cache one by one show the same surface in nearly the same
colours; frames of one clip do not, in whatever order they lose their noise, and no more than frames that do
not see each other at all: these weights take where something is from the cache, and next to nothing from
attention. Guidance by history gains nothing either, at twice the price. Both stay off.

Run from the root of the repository: ``python -m benchmarks.schedules [--worlds 5]``. Two exact views of a
held-out procedural world enter a cache, and four more views along the walk are imagined: one at a time, each
entering the cache (*cache*, as ``grow`` does), or as one clip of which the cache shows only the exact views
(the others; *apart*: the frames do not see each other). *Guidance*: weight of vanilla history guidance.
*Known*: PSNR on pixels that the exact views show. *Holes*: PSNR on the others. *Frechet*: as in ``worldgen
evaluate``, in the holes. *Differ*: mean absolute difference in colour of what two of the four frames
imagined of the same point, in hundredths of the range (*truth*: what resampling alone makes of it).
*Evaluations*: of the model, a frame.

Weights of 159,712 frames, 5 worlds, 4 steps:

        frames guidance  known  holes  frechet  differ evaluations
         truth                                    1.78
         cache      1.0  33.53  14.66   0.0937    5.54          4.0
         apart      1.0  33.65  14.70   0.1079   14.37          4.0
          full      1.0  33.65  14.74   0.0985   14.61          4.0
     pyramid 1      1.0  33.64  14.76   0.1059   14.51          4.0
     pyramid 2      1.0  33.64  14.77   0.1063   14.51          4.0
    one by one      1.0  33.64  14.75   0.1037   14.52          4.0
         cache      1.5  33.52  14.64   0.0923    5.54          8.0
         apart      1.5  33.63  14.60   0.1158   14.34          8.0
          full      1.5  33.61  14.64   0.1000   14.75          8.0
     pyramid 1      1.5  33.62  14.66   0.1142   14.63          8.0
     pyramid 2      1.5  33.61  14.67   0.1118   14.61          8.0
    one by one      1.5  33.61  14.64   0.1093   14.66          8.0
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from itertools import combinations

import torch

from benchmarks.clips import Task, cache_of, difference, frechet, task_of
from render.frames import Frames, concatenated
from render.metrics import psnr
from worldgen.conditions import known_from_cache
from worldgen.generator import RGBDGenerator
from worldgen.model.weights import DEFAULT_WEIGHTS
from worldgen.sampling.history import CONDITIONAL, vanilla
from worldgen.sampling.schedules import Schedule
from worldgen.training.clips import FIRST_HELD_OUT_SEED
from worldgen.worlds import random_scene, random_walk_cameras, render

FIRST_SEED = FIRST_HELD_OUT_SEED + 6000
EXACT, CLIP, REMEMBERED = 2, 4, 2
TRUST = 0.5
WEIGHT = 1.5
PAIRS = list(combinations(range(CLIP), 2))

SCHEDULES = {
    "apart": None,
    "full": Schedule("full"),
    "pyramid 1": Schedule("pyramid", 1.0),
    "pyramid 2": Schedule("pyramid", 2.0),
    "one by one": Schedule("autoregressive"),
}


def held_out(index: int, *, size: int) -> Task:
    """The ``index``-th world."""
    world = random_scene(FIRST_SEED + index)
    frames = render(world, random_walk_cameras(world, n=EXACT + CLIP, seed=index, width=size, height=size))
    return task_of(frames[:EXACT], frames[EXACT:])


def through_the_cache(generator: RGBDGenerator, task: Task, *, seed: int) -> Frames:
    """One frame at a time, each from what the cache shows of all before it."""
    cache, frames = cache_of(task.exact), [task.exact[[i]] for i in range(EXACT)]
    for i in range(CLIP):
        known = known_from_cache(cache.render(task.truth.cameras[[i]]))
        recall = concatenated(frames[-REMEMBERED:])
        frame = generator(known, recall, units=task.units, seed=CLIP * seed + i)
        cache.insert(dataclasses.replace(frame, confidence=TRUST * frame.confidence), ids=[EXACT + i])
        frames.append(frame)
    return concatenated(frames[EXACT:])


def at_once(generator: RGBDGenerator, task: Task, *, seed: int) -> Frames:
    """All frames in one call, from what the cache shows of the exact views."""
    known = known_from_cache(cache_of(task.exact).render(task.truth.cameras))
    return generator(known, task.exact, units=task.units, seed=seed)


def row(made: list[Frames], tasks: list[Task]) -> str:
    """One line of the table."""
    pairs = list(zip(made, tasks, strict=True))
    known = torch.cat([psnr(f.rgb, t.truth.rgb, mask=t.known) for f, t in pairs]).nanmean()
    holes = torch.cat([psnr(f.rgb, t.truth.rgb, mask=~t.known) for f, t in pairs]).nanmean()
    return f"{known:6.2f} {holes:6.2f} {frechet(made, tasks):8.4f} {difference(made, tasks, PAIRS):7.2f}"


def measured(
    label: str, generator: RGBDGenerator, tasks: list[Task], way: Callable[..., Frames], *, weight: float
) -> None:
    """Print one line of the table."""
    calls: list[int] = []
    hook = generator._model.register_forward_hook(lambda _, inputs, __: calls.append(inputs[1].numel()))
    made = [way(generator, task, seed=index) for index, task in enumerate(tasks)]
    hook.remove()
    cost = sum(calls) / (CLIP * len(tasks))
    print(f"{label:>10} {weight:8.1f} {row(made, tasks)} {cost:12.1f}", flush=True)


def main() -> None:
    """Print the table that the docstring keeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = RGBDGenerator(options.weights).size
    tasks = [held_out(index, size=size) for index in range(options.worlds)]
    print(
        f"{'frames':>10} {'guidance':>8} {'known':>6} {'holes':>6} {'frechet':>8} {'differ':>7} evaluations"
    )
    floor = difference([task.truth for task in tasks], tasks, PAIRS)
    print(f"{'truth':>10} {floor:40.2f}")
    for weight, guidance in ((1.0, CONDITIONAL), (WEIGHT, vanilla(WEIGHT))):
        generator = RGBDGenerator(options.weights, guidance=guidance)
        measured("cache", generator, tasks, through_the_cache, weight=weight)
        for label, schedule in SCHEDULES.items():
            generator = RGBDGenerator(options.weights, guidance=guidance, schedule=schedule)
            measured(label, generator, tasks, at_once, weight=weight)


if __name__ == "__main__":
    main()
