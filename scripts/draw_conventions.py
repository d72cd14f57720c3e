"""Draws docs/images/conventions.png: the axes of the world, of pixels and of the files that we write.

    python scripts/draw_conventions.py [docs/images]

Needs matplotlib, which is in the ``dev`` extra.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from PIL import Image

mpl.use("agg")

AXES = {"x": "#d8572a", "y": "#3a8f4c", "z": "#2f6fbd"}
INK, PALE = "#333333", "#9aa4ad"
OBLIQUE = np.array([[1.0, 0.0], [0.0, -1.0], [0.74, 0.3]])
"""Where right, down and forward point on paper."""

OURS = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
UPRIGHT = ((1, 0, 0), (0, -1, 0), (0, 0, -1))


def on_paper(*places: tuple[float, float, float]) -> np.ndarray:
    """Places that are told by right, down and forward."""
    return np.array(places, dtype=float) @ OBLIQUE


def arrow(axes: Axes, start: np.ndarray, end: np.ndarray, colour: str, label: str) -> None:
    """An arrow with its name beyond its head."""
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2.0})
    away = (end - start) / np.linalg.norm(end - start)
    axes.text(*(end + 0.14 * away), label, color=colour, ha="center", va="center", fontweight="bold")


def triad(
    axes: Axes, at: tuple[float, float, float], directions: tuple[tuple[int, ...], ...], long: float
) -> None:
    """Three arrows, named x, y and z."""
    origin = on_paper(at)[0]
    for (name, colour), direction in zip(AXES.items(), directions, strict=True):
        arrow(axes, origin, origin + long * on_paper(tuple(map(float, direction)))[0], colour, name)


def draw_camera(axes: Axes) -> None:
    """A camera, what it sees, and what depth is."""
    axes.set_title("World and cameras")
    far, across, down = 2.6, 0.95, 0.7
    corners = [(s * across, t * down, far) for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    paper, eye = on_paper(*corners), on_paper((0, 0, 0))[0]
    axes.fill(*paper.T, facecolor="#f1f3f5", edgecolor=PALE)
    for corner in paper:
        axes.plot(*np.array([eye, corner]).T, color=PALE, lw=0.8)
    point, foot = on_paper((0.1, -0.45, far))[0], on_paper((0, 0, far))[0]
    axes.plot(*np.array([eye, foot]).T, color=AXES["z"], lw=1.4, ls=":")
    axes.plot(*np.array([foot, point]).T, color=PALE, lw=1.0, ls=":")
    axes.plot(*np.array([eye, point]).T, color=INK, lw=1.0, ls="--")
    axes.plot(*point, "o", color=INK, ms=5)
    below, above = 1.03 * foot + np.array([0.1, -0.3]), point + np.array([0.0, 0.4])
    axes.text(*below, "depth: along z", color=AXES["z"], ha="center", fontsize=8)
    axes.text(*above, "distance: along the ray", color=INK, ha="center", fontsize=8)
    triad(axes, (0, 0, 0), OURS, 0.9)
    axes.text(
        0.25, -0.8, "x right, y down, z forward;\nright-handed, up is -y", color=INK, fontsize=8, va="top"
    )
    axes.set(xlim=(-0.3, 3.3), ylim=(-1.35, 1.75))


def draw_pixels(axes: Axes) -> None:
    """A picture of 4 x 3 pixels."""
    axes.set_title("Pixels")
    for i in range(3):
        for j in range(4):
            axes.add_patch(pyplot.Rectangle((j, i), 1, 1, facecolor="white", edgecolor=PALE))
            axes.plot(j + 0.5, i + 0.5, "o", ms=3, color=PALE)
    axes.plot(0.5, 0.5, "o", ms=5, color=INK)
    axes.text(0.5, 0.86, "(0.5, 0.5)", ha="center", va="center", fontsize=8)
    axes.plot(0, 0, "s", ms=4, color=INK)
    axes.text(-0.08, -0.1, "(0, 0)", ha="right", va="bottom", fontsize=8)
    arrow(axes, np.array([0.0, -0.35]), np.array([1.6, -0.35]), AXES["x"], "u")
    arrow(axes, np.array([-0.35, 0.2]), np.array([-0.35, 1.6]), AXES["y"], "v")
    axes.text(
        2,
        3.25,
        "rows i, columns j: pixel [i, j]\nhas its centre at u = j + 0.5, v = i + 0.5",
        fontsize=8,
        ha="center",
        va="top",
    )
    axes.set(xlim=(-0.9, 4.4), ylim=(4.1, -0.8))


def draw_files(axes: Axes) -> None:
    """The axes of files, seen by the first camera."""
    axes.set_title("Files, as the first camera sees them")
    triad(axes, (0.0, -0.1, 0.0), OURS, 0.6)
    axes.text(
        -0.25,
        -0.85,
        "as the world is:\n.ply .compressed.ply .splat\n.ksplat .sog, COLMAP",
        fontsize=8,
        va="top",
    )
    triad(axes, (2.6, 0.2, 0.0), UPRIGHT, 0.6)
    axes.text(
        1.9, -0.85, "half a turn about x:\n.spz, splats in .glb,\nnerfstudio's cameras", fontsize=8, va="top"
    )
    axes.set(xlim=(-0.5, 3.9), ylim=(-1.7, 1.05))


def draw(path: Path) -> None:
    """All three, side by side, in few colours."""
    mpl.rcParams.update({"font.size": 9, "axes.titlesize": 10})
    figure, columns = pyplot.subplots(1, 3, figsize=(10.0, 3.0), width_ratios=(1.25, 1.0, 1.3))
    for axes, fill in zip(columns, (draw_camera, draw_pixels, draw_files), strict=True):
        axes.set_aspect("equal")
        axes.axis("off")
        fill(axes)
    figure.tight_layout()
    data = io.BytesIO()
    figure.savefig(data, dpi=110, facecolor="white", bbox_inches="tight")
    Image.open(data).convert("RGB").quantize(64).save(path, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images") / "conventions.png")
