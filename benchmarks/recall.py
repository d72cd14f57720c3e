"""What remembered views are worth to the model, and what they cost.

Claims: attending to remembered views brings back part of what the cache does not show; a few of them are as
good as all; routing at 75% sparsity loses at most 0.2 dB, and is cheaper than attending to everything where
very much is remembered. Run from the root of the repository: ``python -m benchmarks.recall [--scenes 16]
[--weights tiny]``. Ten views of a walk through a held-out procedural world are exact. The cache knows the
first one alone, the model recalls some of the next eight, and imagines the tenth. *Known*: PSNR where the
cache shows something. *Recalled*: where it does not, but one of the eight views does. *Unseen*: where none
does. *Cost*: CPU time of a picture over that without recall; for 32 views the eight are recalled four times
over.

A cache of all nine views shows what is recalled already: there, remembered views add next to nothing. That
is why growing recalls two of them.

Weights of 159,712 frames, 16 walks, one thread of an AMD EPYC (Zen 3, float32):

    cache of views routed   known recalled  unseen
         one     0          30.43    13.83   13.27
         one     1          30.66    14.52   13.96
         one     2          30.69    14.58   14.07
         one     4          30.70    14.49   14.12
         one     8          30.61    14.44   14.02
         one     8      2   30.57    14.38   13.85
         all     0          32.03      nan   17.15
         all     2          32.02      nan   17.24
         all     8          31.99      nan   17.19

       views routed   cost
           0          1.00
           2          1.04
           8          1.16
          32          2.78
           8      2   1.41
          32      2   1.89
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from benchmarks.timing import cpu_ms
from memory.bank import MemoryBank
from memory.cache import NEARER, Seen, WorldCache
from memory.retrieval import retrieve
from render.frames import Frames, median_depth
from render.metrics import psnr
from worldgen.conditions import SceneUnits, known_from_cache
from worldgen.depth import range_of
from worldgen.generator import RGBDGenerator
from worldgen.model.weights import DEFAULT_WEIGHTS
from worldgen.training.clips import FIRST_HELD_OUT_SEED
from worldgen.worlds import random_scene, random_walk_cameras, render

FIRST_SEED = FIRST_HELD_OUT_SEED + 50_000
PAST = 8
TIMED_ROUNDS = 5
ALONE = (0, None)
POOR, RICH = (ALONE, (1, None), (2, None), (4, None), (8, None), (8, 2)), (ALONE, (2, None), (8, None))
"""Views that are recalled, and how many of them a token attends to: with a cache of one view, and of all."""

TIMED = (ALONE, (2, None), (8, None), (32, None), (8, 2), (32, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A view to imagine, the views before it, and what caches of one and of all of them show of it."""

    past: Frames
    truth: Frames
    one: Seen
    all: Seen
    units: SceneUnits
    best: list[int]
    """The views to recall, in the order of retrieval."""


def walks(count: int, *, size: int) -> Iterator[Walk]:
    """Walks through held-out worlds."""
    for index in range(count):
        scene = random_scene(FIRST_SEED + index)
        cameras = random_walk_cameras(scene, n=PAST + 2, seed=index, width=size, height=size)
        frames = render(scene, cameras)
        past, truth = frames[:-1], frames[-1:]
        one, every, bank = WorldCache(), WorldCache(), MemoryBank(scale=median_depth(past[:1]))
        one.insert(past[:1], ids=[0], nearer=NEARER)
        for i in range(len(past)):
            every.remember(past[[i]], every.render(past[[i]].cameras), ids=[i], given=True)
        bank.append(past[1:], ids=list(range(1, len(past))))
        seen = every.render(truth.cameras)
        yield Walk(
            past=past,
            truth=truth,
            one=one.render(truth.cameras),
            all=seen,
            units=SceneUnits(scale=bank.scale, span=range_of(past.depth / bank.scale, past.valid)),
            best=[view.frame_id for view in retrieve(bank, seen, k=PAST, seed=index)],
        )


def scores(generator: RGBDGenerator, walk: Walk, seen: Seen, *, recalled: int, seed: int) -> list[float]:
    """PSNR on what the cache shows, on what only remembered views show, and on the rest."""
    recall = walk.past[walk.best[:recalled]] if recalled else None
    made = generator(known_from_cache(seen), recall, units=walk.units, seed=seed).rgb
    parts = (seen.mask, walk.all.mask & ~seen.mask, ~walk.all.mask)
    return [float(psnr(made, walk.truth.rgb, mask=part)) for part in parts]


def costs(generators: dict[int | None, RGBDGenerator], walk: Walk) -> dict[tuple[int, int | None], float]:
    """CPU time of a picture, over that of one without recall."""
    known, last = known_from_cache(walk.one), walk.past[1:]

    def job(count: int, routed: int | None) -> Callable[[], Frames]:
        recall = last[[i % PAST for i in range(count)]] if count else None
        return lambda: generators[routed](known, recall, units=walk.units, seed=0)

    spent = cpu_ms({str(setting): (job(*setting), TIMED_ROUNDS) for setting in TIMED})
    return {setting: spent[str(setting)] / spent[str(ALONE)] for setting in TIMED}


def main() -> None:
    """Print the tables that the docstring keeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generators = {routed: RGBDGenerator(options.weights, routed=routed) for routed in (None, 2)}
    cases = list(walks(options.scenes, size=generators[None].size))
    print(f"{'cache of':>8} {'views':>5} {'routed':>6} {'known':>7} {'recalled':>8} {'unseen':>7}")
    for name, settings in (("one", POOR), ("all", RICH)):
        for count, routed in settings:
            rows = [
                scores(generators[routed], walk, getattr(walk, name), recalled=count, seed=i)
                for i, walk in enumerate(cases)
            ]
            known, back, unseen = torch.tensor(rows).nanmean(dim=0).tolist()
            line = f"{name:>8} {count:5} {routed or '':>6} {known:7.2f} {back:8.2f} {unseen:7.2f}"
            print(line, flush=True)
    print(f"{'views':>8} {'routed':>6} {'cost':>6}")
    for (count, routed), ratio in costs(generators, cases[0]).items():
        print(f"{count:8} {routed or '':>6} {ratio:6.2f}")


if __name__ == "__main__":
    main()
