"""Curves of a training run: its log read back, and drawn as a picture.

Room: worldgen. Drawing needs matplotlib, which is in the ``train`` extra and imported when a picture is asked
for. A log may hold several runs of one folder, because training was interrupted: of steps that were taken
twice, the later attempt counts. Steps logged by older versions lack some values; their curves begin later.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.ndimage import median_filter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = {
    "loss": "loss (weighted squared error)",
    "rgb_error": "squared error of colour",
    "depth_error": "absolute error of the depth code",
    "gradient_norm": "length of the gradient, unclipped",
    "semigroup_error": "one step against its two halves",
}
WINDOW_SHARE = 0.02
"""Length of the running median, as a share of the steps."""

MIN_WINDOW = 25


def steps_in(log: Path) -> list[dict[str, Any]]:
    """The steps of a log, in order; a line that was cut short by an interruption is left out."""
    steps: dict[int, dict[str, Any]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            step = json.loads(line)
        except json.JSONDecodeError:
            continue
        steps[step["progress"]["step"]] = step
    return [steps[number] for number in sorted(steps)]


def draw_curves(log: Path, picture: Path) -> None:
    """Draw the curves of ``log`` against frames into a PNG, which is replaced at once.

    Raises:
        ValueError: if the log holds fewer than two steps.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    steps = steps_in(log)
    if len(steps) < 2:
        raise ValueError(f"{log} holds {len(steps)} steps of training; there is nothing to draw before 2")
    names = [name for name in CURVES if sum(step.get(name) is not None for step in steps) > 1]
    figure = Figure(figsize=(4.35 * len(names), 3.6), layout="constrained")
    FigureCanvasAgg(figure)  # no display, and none of pyplot's state
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw(axes, [step for step in steps if step.get(name) is not None], name)
    picture.parent.mkdir(parents=True, exist_ok=True)
    temporary = picture.with_name(f"{picture.name}.tmp")
    figure.savefig(temporary, dpi=110, format="png")
    temporary.replace(picture)


def running_median(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The median around every step; at both ends over what there is of the window, mirrored."""
    window = min(len(values), max(MIN_WINDOW, int(WINDOW_SHARE * len(values))))
    return median_filter(values, size=window, mode="reflect")


def _draw(axes: Axes, steps: list[dict[str, Any]], name: str) -> None:
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
