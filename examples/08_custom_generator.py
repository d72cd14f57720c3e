"""Swap the generator: a class of your own, which fills holes by their nearest pixel, against the model.

Run it as it is: ``python examples/08_custom_generator.py [--places N] [--frames N] [--out FOLDER]``. In a few
procedural rooms both grow a world from the same first view along the same turn. Every view of such a room is
known exactly, so both are scored against the truth. PSNR forgives what is plain and wrong: look at the sheet,
too. ``worldgen evaluate`` does the same for weights of yours.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

import worldgen as wg
from worldgen.worlds import render

FIRST_PLACE = 1_000_000_000
"""Of the procedural rooms; any number is one. The model was trained on none from here on."""

STEP_DEG = 6.0
"""How far the camera turns from frame to frame."""


class NearestFill:
    """Imagines nothing: where something is not known, it is what it is at the nearest pixel where it is."""

    name = "nearest-fill:1"  # other frames need another name: worlds record who made theirs
    size = 128

    def __call__(
        self, known: wg.Known, recall: wg.Frames | None, *, units: wg.SceneUnits, seed: int
    ) -> wg.Frames:
        """See :class:`worldgen.Generator`; ``recall`` and ``seed`` are of no use to it."""
        rgb, _ = filled(known.rgb, known.has_rgb)
        depth, valid = filled(known.depth, known.has_depth)
        return wg.Frames(rgb=rgb, depth=depth, valid=valid, confidence=valid.float(), cameras=known.cameras)


def filled(image: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """A batch of images without holes, and where they have a value now: nowhere if nothing is known."""
    images = []
    for one, mask in zip(image, known[..., 0], strict=True):
        holes = ~mask.numpy()
        rows, columns = distance_transform_edt(holes, return_distances=False, return_indices=True)
        images.append(one[rows, columns] if mask.any() else torch.zeros_like(one))
    anywhere = known.any(dim=(1, 2), keepdim=True)
    return torch.stack(images), anywhere.expand_as(known).clone()


def grow(path: Path, generator: wg.Generator, truth: wg.Frames) -> tuple[wg.Frames, Tensor]:
    """Grow a world from the first true view along the rest; its new frames, and what was known of each."""
    info = wg.SceneInfo(units="metres", scale=wg.median_depth(truth[:1]), up=(0.0, -1.0, 0.0))
    shutil.rmtree(path, ignore_errors=True)
    wg.start(path, info, truth[:1], cameras=truth.cameras, generator=generator, seed=0, name="walk")
    with wg.World.open(path, writable=True) as world:
        steps = list(wg.Growth(world, generator).follow())
    return wg.concatenated([step.frames for step in steps]), torch.cat([step.known for step in steps])


def scores(made: wg.Frames, known: Tensor, truth: wg.Frames) -> list[float]:
    """Share that was known, PSNR there and elsewhere (dB), and how far depth is off elsewhere; means."""
    there, elsewhere = (wg.psnr(made.rgb, truth.rgb, mask=mask).nanmean() for mask in (known, ~known))
    off = ((made.depth - truth.depth).abs() / truth.depth)[~known & truth.valid].mean()
    return [float(known.float().mean()), float(there), float(elsewhere), float(off)]


def main() -> None:
    """Grow in every place with both, and score them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--places", type=int, default=4, help="procedural rooms to grow in")
    parser.add_argument("--frames", type=int, default=8, help="frames of each world")
    parser.add_argument("--out", type=Path, default=Path("demo/generators"), help="folder for everything")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    generators: dict[str, wg.Generator] = {"ours": wg.RGBDGenerator(steps=4), "nearest-fill": NearestFill()}
    table: dict[str, list[list[float]]] = {name: [] for name in generators}
    rows: list[wg.Frames] = []
    for place in range(options.places):
        scene = wg.random_scene(FIRST_PLACE + place, kinds={"room": 1.0})
        first = wg.random_walk_cameras(scene, n=1, seed=0, width=128, height=128)
        truth = render(scene, wg.turn(first, n=options.frames, degrees=STEP_DEG * options.frames))
        rows += [truth[1:]] if place == 0 else []
        for name, generator in generators.items():
            made, known = grow(options.out / f"{name}-{place}", generator, truth)
            table[name].append(scores(made, known, truth[1:]))
            rows += [made] if place == 0 else []

    print("generator     known before  PSNR there  PSNR elsewhere  depth elsewhere off by")
    for name, scored in table.items():
        share, there, elsewhere, off = np.mean(scored, axis=0)
        print(f"{name:12}  {share:12.0%}  {there:7.2f} dB  {elsewhere:11.2f} dB  {off:22.1%}")
    sheet = options.out / "generators.png"
    wg.write_png(sheet, wg.contact_sheet(wg.concatenated(rows), columns=len(rows[0])))
    print(f"made {sheet}: the truth, {', '.join(generators)}, each colour above depth")


if __name__ == "__main__":
    main()
