"""What noise that moves with the camera does for what is imagined.

Claim: views of one place that are imagined each by itself flicker half as much with noise that moves with the
camera as with noise of their own, and look no worse. Run from the root of the repository:
``python -m benchmarks.noise [--worlds 6]``. Two exact views of a held-out procedural world enter a cache, and
six views from the second one to a third are imagined, each from what the cache shows of the exact ones.
*Fresh*: each view has noise of its own. *Fixed*: all views have the same. *Warped*: a view's noise is that of
the last one, moved along the flow that the last one's imagined depth says; *finer*: on a grid twice as fine.
*Flicker*: mean absolute difference in colour of two neighbouring views where both imagined the same point,
by the true flow, in hundredths of the range (*truth*: what resampling alone makes of it). *Holes* and
*Frechet*: as in ``worldgen evaluate``.

Weights of 159,712 frames, 6 worlds, 4 steps:

       noise  flicker   holes   frechet
       truth     1.66
       fresh    10.38   18.75    0.0195
       fixed     7.35   18.68    0.0185
      warped     5.13   18.72    0.0166
       finer     5.11   18.40    0.0144

``grow`` draws fresh noise: there a view enters the cache before the next one is imagined, so less is left to
flicker. What moving noise would gain there is not measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from benchmarks.clips import Task, cache_of, difference, frechet, task_of
from render.frames import Frames, concatenated
from render.keyframes import interpolated
from render.metrics import psnr
from worldgen.conditions import known_from_cache
from worldgen.generator import RGBDGenerator
from worldgen.model.weights import DEFAULT_WEIGHTS
from worldgen.sampling.warped_noise import flow_between, fresh, reduced, warped
from worldgen.training.clips import FIRST_HELD_OUT_SEED
from worldgen.worlds import random_scene, random_walk_cameras, render

FIRST_SEED = FIRST_HELD_OUT_SEED + 7000
EXACT, VIEWS = 2, 6
PAIRS = list(pairwise(range(VIEWS)))

NoiseOf = Callable[[Frames | None, Frames], Tensor]
"""The last view that was imagined (None before the first) and the next one, whose camera alone counts."""


def held_out(index: int, *, size: int) -> Task:
    """The ``index``-th world."""
    world = random_scene(FIRST_SEED + index)
    cameras = random_walk_cameras(world, n=EXACT + 1, seed=index, width=size, height=size)
    ahead = interpolated(cameras[EXACT - 1 :], VIEWS + 1)[1:]
    return task_of(render(world, cameras[:EXACT]), render(world, ahead))


def noise_kind(kind: str, *, size: int, seed: int) -> NoiseOf:
    """What noise the views have; see the module's docstring."""
    rng = torch.Generator().manual_seed(seed)
    if kind == "fresh":
        return lambda last, view: torch.randn(1, 1, 4, size, size, generator=rng)
    if kind == "fixed":
        same = torch.randn(1, 1, 4, size, size, generator=rng)
        return lambda last, view: same
    factor = 2 if kind == "finer" else 1
    state = fresh((4, factor * size, factor * size), rng=rng)

    def moved(last: Frames | None, view: Frames) -> Float[Tensor, "1 1 4 h w"]:
        nonlocal state
        if last is not None:
            flow, visible = flow_between(last.depth, last.cameras, view.cameras)
            fine = F.interpolate(flow.permute(2, 0, 1)[None], scale_factor=factor)[0].permute(1, 2, 0)
            seen = visible.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
            state = warped(state, factor * fine, visible=seen, rng=rng)
        return reduced(state, factor)[None, None]

    return moved


def imagined(generator: RGBDGenerator, task: Task, noise_of: NoiseOf) -> Iterator[Frames]:
    """The views of one world."""
    cache, last = cache_of(task.exact), None
    for i in range(VIEWS):
        view = task.truth[[i]]
        known = known_from_cache(cache.render(view.cameras))
        last = generator.imagine(known, task.exact, units=task.units, noise=noise_of(last, view))
        yield last


def main() -> None:
    """Print the table that the docstring keeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=6)
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = RGBDGenerator(options.weights)
    tasks = [held_out(index, size=generator.size) for index in range(options.worlds)]
    print(f"{'noise':>8} {'flicker':>8} {'holes':>7} {'frechet':>9}")
    print(f"{'truth':>8} {difference([task.truth for task in tasks], tasks, PAIRS):8.2f}")
    for kind in ("fresh", "fixed", "warped", "finer"):
        made = [
            concatenated(list(imagined(generator, task, noise_kind(kind, size=generator.size, seed=index))))
            for index, task in enumerate(tasks)
        ]
        scores = [psnr(f.rgb, t.truth.rgb, mask=~t.known) for f, t in zip(made, tasks, strict=True)]
        holes = torch.cat(scores).nanmean()
        print(
            f"{kind:>8} {difference(made, tasks, PAIRS):8.2f} {holes:7.2f} {frechet(made, tasks):9.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
