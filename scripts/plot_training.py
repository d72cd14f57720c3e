"""Draw how a training run went: loss and errors against frames, each with its running median.

    python scripts/plot_training.py runs/tiny/log.jsonl training.png

Needs matplotlib, which is in the ``dev`` extra. A log that holds several runs of one folder, because
training was interrupted, is drawn once: of steps that were taken twice, the later attempt counts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib import pyplot
from matplotlib.axes import Axes
from scipy.ndimage import median_filter

CURVES = {
    "loss": "loss (weighted velocity error)",
    "rgb_error": "squared error of colour",
    "depth_error": "absolute error of the depth code",
}
WINDOW_SHARE = 0.02
"""Length of the running median, as a share of the steps."""

MIN_WINDOW = 25


def steps_in(log: Path) -> list[dict]:
    """The steps of a log, in order; a line that was cut short by an interruption is left out."""
    steps: dict[int, dict] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            step = json.loads(line)
        except json.JSONDecodeError:
            continue
        steps[step["progress"]["step"]] = step
    return [steps[number] for number in sorted(steps)]


def running_median(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The median around every step; at both ends over what there is of the window, mirrored."""
    window = min(len(values), max(MIN_WINDOW, int(WINDOW_SHARE * len(values))))
    return median_filter(values, size=window, mode="reflect")


def draw(axes: Axes, steps: list[dict], name: str) -> None:
    """One curve: every step faintly, the running median on top, stages set apart."""
    frames = np.array([step["progress"]["frames"] for step in steps]) / 1e3
    values = np.array([step[name] for step in steps])
    axes.plot(frames, values, color="#9ec5e8", linewidth=0.4)
    axes.plot(frames, running_median(values), color="#14497a", linewidth=1.6)
    sizes = [step["size"] for step in steps]
    for i in [0, *(i for i in range(1, len(sizes)) if sizes[i] != sizes[i - 1])]:
        axes.axvline(frames[i], color="#888888", linewidth=0.8, linestyle=":")
        axes.text(
            frames[i], 0.97, f" {sizes[i]} px", transform=axes.get_xaxis_transform(), va="top", fontsize=8
        )
    axes.set_yscale("log")
    axes.set_xlabel("frames (thousands)")
    axes.set_title(CURVES[name], fontsize=10)
    axes.grid(visible=True, which="both", linewidth=0.3)


def main(log: Path, picture: Path) -> None:
    """Draw ``log`` into ``picture``."""
    steps = steps_in(log)
    if len(steps) < 2:
        raise ValueError(f"{log} holds {len(steps)} steps of training; there is nothing to draw before 2")
    mpl.use("Agg")
    figure, row = pyplot.subplots(1, len(CURVES), figsize=(13, 3.6), layout="constrained")
    for axes, name in zip(row, CURVES, strict=True):
        draw(axes, steps, name)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: plot_training.py LOG.jsonl PICTURE.png")
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{error}")
