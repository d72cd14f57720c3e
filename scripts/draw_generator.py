"""Draw the figure of docs/generator.md: the network as boxes, and one view on its way through it.

    python scripts/draw_generator.py [docs/images/generator.png]

Needs matplotlib, which is in the ``dev`` extra. The view is one of a held-out procedural world, imagined with
the weights that ship.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import torch
from jaxtyping import Float
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from memory.pictures import depth_colours
from render.frames import Frames
from worldgen.conditions import channels_of, frames_of, known_from_cache
from worldgen.evaluation.views import Case, held_out_case
from worldgen.generator import RGBDGenerator

SCENE = 12
INK, PLAIN, WARM, COOL = "#1f2933", "#eef1f4", "#f6d9c8", "#cfe3f1"

KNOWN = "what is known\nrender, 2 masks,\nconfidence, rays,\noffset of each point\n11 channels"
NOISY = "noisy frame\ncolour, depth code\n4 channels"
TRUNK = """trunk, 8 blocks
on 16 x 16 tokens
3 of 4: inside the frame
1 of 4: also to memory,
through cameras (PRoPE)"""

BOXES = {
    "known": (0.0, 1.15, 1.5, KNOWN, COOL),
    "noisy": (0.0, 0.0, 1.5, NOISY, PLAIN),
    "encode": (2.0, 0.45, 1.2, "encoder\n1/2: 64 channels\n1/4: 128\n1/8: 320", PLAIN),
    "trunk": (3.7, 0.45, 2.3, TRUNK, WARM),
    "decode": (6.5, 0.45, 1.2, "decoder\nwith skips", PLAIN),
    "finish": (8.2, 0.45, 1.6, "finish\nfull resolution:\nrepairs the render,\ngates the change", PLAIN),
    "clean": (10.3, 0.45, 1.3, "clean frame\n= filled render\n+ change", COOL),
    "memory": (3.7, -1.0, 2.3, "remembered views\nraw keys and values,\none noise-free pass each", WARM),
}
"""Left, bottom, width, text and colour of each box; all are as high."""

ARROWS = (
    ("known", "encode"),
    ("noisy", "encode"),
    ("encode", "trunk"),
    ("trunk", "decode"),
    ("decode", "finish"),
    ("finish", "clean"),
)


def draw_network(axes: Axes) -> None:
    """The parts of the model, and what flows between them."""
    for left, bottom, width, text, colour in BOXES.values():
        axes.add_patch(
            FancyBboxPatch((left, bottom), width, 0.95, boxstyle="round,pad=0.04", fc=colour, ec=INK, lw=0.8)
        )
        axes.text(left + width / 2, bottom + 0.475, text, ha="center", va="center", fontsize=7, color=INK)
    for start, end in ARROWS:
        (x, y, width, *_), (left, bottom, *_) = BOXES[start], BOXES[end]
        _arrow(axes, (x + width + 0.05, y + 0.475), (left - 0.05, bottom + 0.475))
    _arrow(axes, (4.85, -0.05), (4.85, 0.4))
    _route(axes, [(1.55, 1.85), (9.0, 1.85), (9.0, 1.45)], "what is known, at full resolution")
    _route(axes, [(10.95, 0.4), (10.95, -1.25), (0.75, -1.25), (0.75, -0.05)], "next step: less noise")
    axes.set(xlim=(-0.2, 11.8), ylim=(-1.7, 2.2))
    axes.axis("off")


def _route(axes: Axes, corners: list[tuple[float, float]], text: str) -> None:
    """A line round corners that ends in an arrow, with its name over the longest piece."""
    axes.plot(*zip(*corners, strict=True), color=INK, lw=0.8)
    _arrow(axes, corners[-2], corners[-1])
    (x, y), (end, _) = max(pairwise(corners), key=lambda piece: abs(piece[0][0] - piece[1][0]))
    axes.text(0.75 * max(x, end) + 0.25 * min(x, end), y + 0.06, text, ha="center", fontsize=7, color=INK)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 0.8})


def stations(case: Case) -> dict[str, Frames]:
    """A view as it goes through the sampler, by what to call it."""
    generator, known = RGBDGenerator(), known_from_cache(case.seen)
    predicted: list[Float[Tensor, "1 1 4 h w"]] = []
    generator.model.register_forward_hook(lambda _module, _inputs, output: predicted.append(output))
    made = generator(known, case.sources, units=case.units, seed=SCENE)
    condition, cameras = channels_of(known, case.units), case.truth.cameras
    render = Frames(
        rgb=case.seen.rgb * case.seen.mask,
        depth=case.seen.depth.clamp_min(1e-6),
        valid=case.seen.mask,
        confidence=case.seen.confidence,
        cameras=cameras,
    )
    steps = {
        f"prediction {i + 1}": frames_of(image, cameras, case.units) for i, image in enumerate(predicted)
    }
    filled = frames_of(condition[:, :, :4], cameras, case.units)
    return {
        "known view": case.sources[:1],
        "known view ": case.sources[1:],
        "cache render": render,
        "recentred, filled": filled,
        **steps,
        "settled": made,
        "truth": case.truth,
    }


def main() -> None:
    """Draw the network above the pictures."""
    mpl.use("Agg")
    torch.set_num_threads(1)
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/generator.png")
    pictures = stations(held_out_case(SCENE, size=128))
    figure = pyplot.figure(figsize=(11.5, 5.9))
    grid = figure.add_gridspec(3, len(pictures), height_ratios=(3.4, 1, 1), hspace=0.04, wspace=0.04)
    draw_network(figure.add_subplot(grid[0, :]))
    for column, (name, frames) in enumerate(pictures.items()):
        colours = (frames.rgb[0], depth_colours(frames)[0])
        for row, image in enumerate(colours):
            axes = figure.add_subplot(grid[1 + row, column])
            axes.imshow(image.clamp(0.0, 1.0))
            axes.axis("off")
            if not row:
                axes.set_title(name.strip(), fontsize=8, color=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    print(path)  # noqa: T201


if __name__ == "__main__":
    main()
