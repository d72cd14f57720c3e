"""Draws the pictures of docs/paths.md: curves through keyframes, and a tour of a procedural world.

Run from the root of the repository with the development tools: ``python -m scripts.draw_paths [FOLDER]``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot
from PIL import Image

from render.cameras import Cameras, intrinsics_from_fov, resized, unproject
from render.inspections import inspected
from render.keyframes import interpolated
from render.plans import plan_of, stroke
from render.splines import Shape, smooth
from render.timing import Ease
from render.tours import Setting, Tour
from render.walls import Walls
from worldgen.worlds import random_scene, random_walk_cameras, render

PLACES = ((0.0, 0.0), (1.0, 0.9), (1.22, 0.7), (2.4, 1.0), (2.5, 0.0))
"""Keyframes from above: a short gap between longer ones."""

SEED, FRAMES, SIDE, VIEW, FAR = 3_100_000_003, 48, 432, 140, 8.0
UP = (0.0, -1.0, 0.0)
THROUGH = (240, 62, 62)


def keys() -> Cameras:
    """The keyframes that the curves go through."""
    c2w = torch.eye(4, dtype=torch.float64).repeat(len(PLACES), 1, 1)
    c2w[:, [0, 2], 3] = torch.tensor(PLACES, dtype=torch.float64)
    return Cameras(c2w=c2w, K=intrinsics_from_fov(1.0, width=64, height=64, n=len(c2w)), width=64, height=64)


def draw_curves(path: Path) -> None:
    """What the curves look like, and how fast they are."""
    figure, panels = pyplot.subplots(1, 3, figsize=(11.0, 3.1))
    ways = {
        "equal time a gap": interpolated(keys(), 1201),
        "smooth": smooth(keys(), 1201),
        "smooth, ease 0.25": smooth(keys(), 1201, ease=Ease(start=0.25, end=0.25)),
    }
    shapes = {
        "tension 0.8": Shape(tension=0.8),
        "tension -0.6": Shape(tension=-0.6),
        "continuity -0.8": Shape(continuity=-0.8),
        "bias 0.8": Shape(bias=0.8),
    }
    for name, cameras in list(ways.items())[:2]:
        panels[0].plot(*cameras.origins[:, [0, 2]].T, label=name)
    for name, shape in shapes.items():
        panels[1].plot(*smooth(keys(), 1201, shape=shape).origins[:, [0, 2]].T, label=name)
    for name, cameras in ways.items():
        panels[2].plot(np.linspace(0, 1, 1200), 1200 * cameras.origins.diff(dim=0).norm(dim=1), label=name)
    for panel in panels[:2]:
        panel.plot(*np.array(PLACES).T, "ko", markersize=4)
        panel.set(aspect="equal", xticks=[], yticks=[], ylim=(-0.2, 1.5))
    panels[2].set(xlabel="share of the time", ylabel="speed", ylim=(0.0, 9.0))
    for panel in panels:
        panel.legend(fontsize=7, loc="upper center", ncols=2)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def draw_tour(path: Path) -> None:
    """A tour from above, red where it leads through something, and what is seen on the way."""
    scene = random_scene(SEED, kinds={"furnished": 1.0})
    own = random_walk_cameras(scene, n=FRAMES, seed=SEED, width=96, height=96)
    walk = render(scene, own)
    known = (walk.valid & (walk.depth < FAR))[..., 0]
    centers = unproject(walk.depth, own)[known].double().numpy()
    rgbs = (255.0 * walk.rgb[known]).round().to(torch.uint8).numpy()
    tour = (
        Tour(ease=Ease(start=0.15, end=0.15))
        .through(8, 16, 24, 32, 40, seconds=20)
        .then("turn", degrees=180, seconds=4)
        .then("walk", length=8, seconds=10)
    )
    setting = Setting(start=own[:1], up=torch.tensor(UP), scale=1.0, frames=own, ids=tuple(range(FRAMES)))
    cameras = tour.cameras(setting)
    walls = Walls(side=0.06)
    walls.add(centers)
    inspection = inspected(cameras, fps=tour.fps, walls=walls)
    c2w = cameras.c2w.double().numpy()
    plan = plan_of(centers, rgbs, c2w=c2w, up=np.array(UP), side=SIDE)
    for meeting in inspection.meetings:
        stroke(plan.image, plan.place(c2w[meeting.first : meeting.last + 1, :3, 3]), THROUGH)
    chosen = np.linspace(0, 0.72 * len(cameras), 9).astype(int).tolist()
    views = render(scene, resized(cameras[chosen], width=VIEW, height=VIEW)).rgb
    tiles = np.pad((255.0 * views.numpy()).round().astype(np.uint8), ((0, 0), (4, 0), (4, 0), (0, 0)))
    sheet = np.concatenate([np.concatenate(list(tiles[i : i + 3]), axis=1) for i in (0, 3, 6)], axis=0)
    Image.fromarray(np.concatenate([plan.image, sheet[:SIDE]], axis=1)).save(path, quality=82, method=6)
    print(inspection)  # noqa: T201


def main() -> None:
    """Draw both."""
    mpl.use("Agg")
    torch.set_num_threads(1)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    folder.mkdir(parents=True, exist_ok=True)
    draw_curves(folder / "paths-curves.png")
    draw_tour(folder / "paths-tour.webp")


if __name__ == "__main__":
    main()
