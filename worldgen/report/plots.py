"""Plots: small line and bar charts as SVG text, to stand inside a page.

Room: worldgen. No library, no script, no font of our own: colours and letters come from the page's style
sheet, so that a plot is legible on a dark page too. Whatever is written into one is escaped.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

WIDTH, HEIGHT = 560, 210
LEFT, RIGHT, TOP, BOTTOM = 58, 18, 26, 40
TICKS = 5
"""About how many numbers an axis has."""

LARGEST_DOT, SMALLEST_DOT = 2.4, 0.9
"""Radius of the dots on a line through few values, and through many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values of one kind."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    """As long as ``x``; a line is broken where there is none."""

    style: int = 0
    """Which colour of the page it has."""


def lines(
    series: Sequence[Series], *, x_label: str, y_label: str, zero: bool = True, log: bool = False
) -> str:
    """A chart of values over a common axis.

    Args:
        series: what to draw; at least one value of one of them is known.
        x_label: below the chart, with a unit.
        y_label: above its axis, with a unit.
        zero: whether the axis begins at 0.
        log: whether the axis has a decade in every step instead; all values are above 0.
    """
    if log:
        series = [replace(one, y=[None if y is None else math.log10(y) for y in one.y]) for one in series]
    known = [y for one in series for y in one.y if y is not None]
    if log:
        known += [float(math.floor(min(known))), float(math.ceil(max(known)))]
    elif zero:
        known.append(0.0)
    chart = _Chart.around([x for one in series for x in one.x], known, log=log)
    drawn = [chart.frame(x_label=x_label, y_label=y_label)]
    for one in series:
        places = [None if y is None else chart.place(x, y) for x, y in zip(one.x, one.y, strict=True)]
        drawn.append(f'<path class="line c{one.style}" d="{_way(places)}"/>')
        drawn += [
            f'<circle class="c{one.style}" cx="{x:.1f}" cy="{y:.1f}" r="{_radius(places):.1f}"/>'
            for x, y in (place for place in places if place is not None)
        ]
    return _svg([*drawn, *_legend(series)])


def stacked(series: Sequence[Series], *, x_label: str, y_label: str) -> str:
    """Bars that stand on each other; all series share their ``x``, and every value is known."""
    xs = series[0].x
    totals = [sum(column) for column in zip(*([y or 0.0 for y in one.y] for one in series), strict=True)]
    step = min((b - a for a, b in itertools.pairwise(xs)), default=1.0)
    chart = _Chart.around([xs[0] - 0.5 * step, xs[-1] + 0.5 * step], [0.0, *totals])
    drawn, heights = [], [0.0] * len(xs)
    for one in series:
        for i, (x, y) in enumerate(zip(xs, one.y, strict=True)):
            left, bottom = chart.place(x - 0.42 * step, heights[i])
            heights[i] += y or 0.0
            right, top = chart.place(x + 0.42 * step, heights[i])
            drawn.append(
                f'<rect class="c{one.style}" x="{left:.2f}" y="{top:.2f}" width="{right - left:.2f}" '
                f'height="{bottom - top:.2f}"/>'
            )
    return _svg([chart.frame(x_label=x_label, y_label=y_label), *drawn, *_legend(series)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chart:
    """The place for values, and how they become places on the picture."""

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool = False
    """Whether ``y`` are powers of ten."""

    @classmethod
    def around(cls, xs: Sequence[float], ys: Sequence[float], *, log: bool = False) -> _Chart:
        """Just large enough for all values; what has no extent gets some."""
        (left, right), (low, high) = ((min(values), max(values)) for values in (xs, ys))
        if right - left < 1e-9:
            left, right = left - 0.5, right + 0.5
        if high - low < 1e-9:
            low, high = low - 0.05 * abs(low), high + max(0.05 * abs(high), 1e-3)
        room = 0.06 * (high - low)
        below, above = (0.0 if end == 0.0 and not log else room for end in (low, high))
        return cls(x=(left, right), y=(low - below, high + above), log=log)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a value stands, in the units of the picture."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def frame(self, *, x_label: str, y_label: str) -> str:
        """Axes, numbers and labels."""
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        parts = [f'<path class="axis" d="M{LEFT} {bottom}H{right}"/>']
        for value, text in decades(*self.y) if self.log else ticks(*self.y):
            y = self.place(self.x[0], value)[1]
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
        for value, text in ticks(*self.x, whole=True):
            x = self.place(value, self.y[0])[0]
            parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{text}</text>')
        middle = 0.5 * (LEFT + right)
        parts.append(
            f'<text class="label" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
        )
        parts.append(f'<text x="4" y="13">{escape(y_label)}</text>')
        return "".join(parts)


def ticks(low: float, high: float, *, whole: bool = False) -> list[tuple[float, str]]:
    """Round numbers between two values, with what is written beside them."""
    step = 10.0 ** math.floor(math.log10((high - low) / TICKS))
    step *= next((times for times in (1.0, 2.0, 5.0) if times * step * TICKS >= high - low), 10.0)
    step = max(step, 1.0) if whole else step
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(i * step, f"{i * step + 0.0:,.{digits}f}") for i in range(first, last + 1)]


def decades(low: float, high: float) -> list[tuple[float, str]]:
    """Whole powers of ten between two, with what is written beside them."""
    return [(float(power), f"{10.0**power:g}") for power in range(math.ceil(low), math.floor(high) + 1)]


def _radius(places: Sequence[object]) -> float:
    """Dots of many values do not hide each other."""
    return min(LARGEST_DOT, max(SMALLEST_DOT, 0.2 * (WIDTH - LEFT - RIGHT) / max(len(places), 1)))


def _way(places: Sequence[tuple[float, float] | None]) -> str:
    """A path through the places that are known; where one is not, the pen is lifted."""
    way, is_down = [], False
    for place in places:
        if place is not None:
            way.append(f"{'L' if is_down else 'M'}{place[0]:.1f} {place[1]:.1f}")
        is_down = place is not None
    return "".join(way)


def _legend(series: Sequence[Series]) -> list[str]:
    """Names beside their colours, at the top right; none where there is one series."""
    if len(series) < 2:
        return []
    parts, x = [], float(WIDTH - RIGHT)
    for one in reversed(series):
        x -= 6.2 * len(one.name) + 4
        parts.append(f'<text x="{x:.0f}" y="13">{escape(one.name)}</text>')
        x -= 13
        parts.append(f'<rect class="c{one.style}" x="{x:.0f}" y="5" width="9" height="9"/>')
        x -= 10
    return parts


def _svg(parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'
