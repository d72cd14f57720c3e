"""What a part of the model or of its training is worth: train with and without it, at equal cost.

Run from the root of the repository: ``python -m benchmarks.ablations cameras [--only prope] [--out
out/ablations]``. An ablation is a TOML file beside this one: what to measure, and variants as changes to
``base.toml``. Every variant is trained on the same clips for the same number of frames, by one thread, and
measured on the same held-out worlds; one that is interrupted goes on when the command is given again.

*recall*: PSNR where the cache shows something, where only two remembered views do, and where nothing does
(``benchmarks/recall.py``). *rollout*: sixteen views imagined one from the other; PSNR of all pixels in the
first and in the last four, what is lost a frame, and the contrast of the last four over that of the truth
(``benchmarks/drift.py``). *views*: ``worldgen evaluate`` with 80 scenes.

These models are small and hardly trained: what counts is the difference between lines, not their height.
Measured on 2 cores of an Intel Xeon with AMX, five minutes a variant (``docs/generator.md`` says what of it):

    cameras      known  recalled    unseen
     prope       30.54     13.48     13.23
      cape       30.53     13.53     13.26
  absolute       30.44     13.47     13.21

    streams      known  recalled    unseen
     noisy       30.54     13.48     13.23
  finished       30.50     13.23     13.06

    history    first 4    last 4   a frame  contrast
   teacher       19.26     15.04    -0.349     0.946
 augmented       19.48     15.36    -0.344     0.892
 resampled       19.31     14.83    -0.373     0.971
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.drift import contrast, imagined
from benchmarks.recall import scores, walks
from render.metrics import psnr
from worldgen.cli.progress import bar
from worldgen.evaluation.views import answers, scores_of
from worldgen.generator import RGBDGenerator
from worldgen.training.config import TrainConfig, config_from
from worldgen.training.trainer import TRAINED, train

FOLDER = Path(__file__).parent
WALKS, ROLLOUTS, ROLLOUT_FRAMES, SCENES = 48, 24, 16, 80

Row = dict[str, float]


def recalled(generator: RGBDGenerator) -> Row:
    """PSNR with a cache of one view and two views to attend to."""
    rows = [
        scores(generator, walk, walk.one, recalled=2, seed=i)
        for i, walk in enumerate(walks(WALKS, size=generator.size))
    ]
    means = torch.tensor(rows).nanmean(dim=0).tolist()
    return dict(zip(("known", "recalled", "unseen"), means, strict=True))


def rolled_out(generator: RGBDGenerator) -> Row:
    """What becomes of views that are imagined one from the other."""
    worlds = [imagined(generator, i, count=ROLLOUT_FRAMES) for i in range(ROLLOUTS)]
    quality = np.array([[float(psnr(view.frame.rgb, view.truth.rgb)) for view in views] for views in worlds])
    mean = quality.mean(axis=0)
    slope = np.polyfit(np.arange(ROLLOUT_FRAMES), mean, 1)[0]
    late = [contrast(view) for views in worlds for view in views[-4:] if view.unseen.sum() > 50]
    return {
        "first 4": mean[:4].mean(),
        "last 4": mean[-4:].mean(),
        "a frame": slope,
        "contrast": float(np.median(late)),
    }


def viewed(generator: RGBDGenerator) -> Row:
    """Scores of single views."""
    found = scores_of(list(answers(generator, scenes=SCENES)))
    return {
        "known": found.psnr_known,
        "depth": found.depth_known,
        "holes": found.psnr_holes,
        "frechet": found.frechet_holes,
    }


MEASURES: dict[str, Callable[[RGBDGenerator], Row]] = {
    "recall": recalled,
    "rollout": rolled_out,
    "views": viewed,
}


def recipe(changes: dict[str, Any]) -> TrainConfig:
    """The base recipe with a variant's changes."""
    base = tomllib.loads((FOLDER / "base.toml").read_text())
    return config_from({**base, **changes, "model": {**base["model"], **changes.get("model", {})}})


def trained(config: TrainConfig, folder: Path, *, name: str) -> Path:
    """The weights of a recipe; what is in the folder is gone on from."""
    folder.mkdir(parents=True, exist_ok=True)
    with bar(f"training {name}", total=config.total_frames) as progress:
        for step in train(config, folder, device=torch.device("cpu")):
            progress.to(step.progress.frames, f"loss {step.loss:.3f}")
    return folder / TRAINED


def main() -> None:
    """Train the variants of one ablation and print its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem != "base")
    parser.add_argument("ablation", choices=names)
    parser.add_argument("--only", help="one of its variants")
    parser.add_argument("--out", type=Path, default=Path("out/ablations"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    ablation = tomllib.loads((FOLDER / f"{options.ablation}.toml").read_text())
    chosen = {k: v for k, v in ablation["variants"].items() if options.only in (None, k)}
    if not chosen:
        parser.error(f"{options.ablation} has the variants {', '.join(ablation['variants'])}")
    for i, (name, changes) in enumerate(chosen.items()):
        weights = trained(recipe(changes), options.out / options.ablation / name, name=name)
        row = MEASURES[ablation["measure"]](RGBDGenerator(weights, device="cpu"))
        if not i:
            print(f"{'variant':>10}" + "".join(f"{column:>10}" for column in row))
        print(f"{name:>10}" + "".join(f"{value:10.4g}" for value in row.values()), flush=True)


if __name__ == "__main__":
    main()
