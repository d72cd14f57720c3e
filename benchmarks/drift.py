"""What becomes of a world that is imagined from what was imagined.

Claim: with four steps what is imagined has nearly the contrast of the truth, eight frames on as well; a
single step, which takes the mean of all that is possible as it is, ends in grey. Run from the root of the
repository: ``python -m benchmarks.drift [--scenes 16] [--weights tiny]``. Two exact views of a held-out
procedural world enter a cache, then eight are imagined one after the other, each from what the cache shows
of the ones before. *Contrast*: the standard deviation of colour where the two exact views show nothing,
over the truth's there, median over views. *Clipped*: share of those pixels with a channel at its end.
*Frechet*: as in ``worldgen evaluate``. *Kept*: share of those pixels that the cache takes in; the rest is
imagined anew in the next view.

Weights of 159,712 frames, 16 worlds:

    steps   frames   contrast   clipped   frechet   kept
        1    1 to 4       0.65      0.0%    0.2797    76%
        1    5 to 8       0.53      0.0%    0.2869    86%
        2    1 to 4       0.85      0.9%    0.1749    76%
        2    5 to 8       0.76      0.7%    0.1758    85%
        4    1 to 4       0.97      2.3%    0.0716    76%
        4    5 to 8       0.88      2.9%    0.0737    85%
"""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memory.cache import NEARER, WorldCache
from render.frames import Frames, concatenated, median_depth
from worldgen.conditions import SceneUnits, known_from_cache
from worldgen.depth import range_of
from worldgen.evaluation.features import frechet_distance, hole_features
from worldgen.generator import Generator, RGBDGenerator
from worldgen.model.weights import DEFAULT_WEIGHTS
from worldgen.training.clips import FIRST_HELD_OUT_SEED
from worldgen.worlds import random_scene, random_walk_cameras, render

FIRST_SEED = FIRST_HELD_OUT_SEED + 5000
EXACT, IMAGINED, REMEMBERED = 2, 8, 2
TRUST = 0.5
FEWEST_PIXELS = 50
STEPS = (1, 2, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An imagined view, the truth, where the exact views show something of it, and where the cache does."""

    frame: Frames
    truth: Frames
    known: Bool[Tensor, "1 h w 1"]
    kept: Bool[Tensor, "1 h w 1"]
    """Where the cache shows something once the view is in it."""

    @property
    def unseen(self) -> Bool[Tensor, "1 h w"]:
        """What had to be imagined."""
        return ~self.known[..., 0]


def imagined(generator: Generator, scene: int, *, count: int = IMAGINED) -> list[View]:
    """Views of one world, each imagined from those before it."""
    world = random_scene(FIRST_SEED + scene)
    size = generator.size
    truth = render(world, random_walk_cameras(world, n=EXACT + count, seed=scene, width=size, height=size))
    exact, caches = truth[:EXACT], (WorldCache(), WorldCache())
    for cache in caches:
        cache.insert(exact, ids=list(range(EXACT)), nearer=NEARER)
    grown, untouched = caches
    scale = median_depth(exact[:1])
    units = SceneUnits(scale=scale, span=range_of(exact.depth / scale, exact.valid))
    frames, views = [exact[[i]] for i in range(EXACT)], []
    for i in range(EXACT, EXACT + count):
        target = truth[[i]]
        shown = known_from_cache(grown.render(target.cameras))
        frame = generator(shown, concatenated(frames[-REMEMBERED:]), units=units, seed=1000 * scene + i)
        frame = dataclasses.replace(frame, confidence=TRUST * frame.confidence)
        grown.insert(frame, ids=[i])
        frames.append(frame)
        known, kept = (cache.render(target.cameras).mask for cache in (untouched, grown))
        views.append(View(frame=frame, truth=target, known=known, kept=kept))
    return views


def contrast(view: View) -> float:
    """Standard deviation of the imagined colours over that of the true ones."""
    made, true = (frame.rgb[view.unseen].std(dim=0).mean() for frame in (view.frame, view.truth))
    return float(made / true.clamp_min(1e-3))


def clipped(colours: Float[Tensor, "p 3"]) -> float:
    """Share of pixels with a channel at either end."""
    return float(((colours < 0.02) | (colours > 0.98)).any(dim=-1).float().mean())


def row(views: list[View]) -> str:
    """One line of the table."""
    known, truth = [view.known for view in views], [view.truth for view in views]
    made, true = (
        hole_features([frame.rgb for frame in frames], known, truth)
        for frames in ([view.frame for view in views], truth)
    )
    large = [view for view in views if view.unseen.sum() >= FEWEST_PIXELS]
    ends = np.mean([clipped(view.frame.rgb[view.unseen]) for view in large])
    ratio = np.median([contrast(view) for view in large])
    kept = np.mean([float(view.kept[..., 0][view.unseen].float().mean()) for view in large])
    return f"{ratio:10.2f} {ends:9.1%} {frechet_distance(made, true):9.4f} {kept:6.0%}"


def main() -> None:
    """Print the table that the docstring keeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'steps':>5} {'frames':>8} {'contrast':>10} {'clipped':>9} {'frechet':>9} {'kept':>6}")
    for steps in STEPS:
        generator = RGBDGenerator(options.weights, steps=steps)
        worlds = [imagined(generator, scene) for scene in range(options.scenes)]
        half = IMAGINED // 2
        for start in (0, half):
            views = [view for world in worlds for view in world[start : start + half]]
            print(f"{steps:5} {start + 1:4} to {start + half} {row(views)}", flush=True)


if __name__ == "__main__":
    main()
