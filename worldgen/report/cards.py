"""Cards: the plots, maps and small pictures of a report, each with a title and what it means.

Room: worldgen. What cannot be measured has no card.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from memory.retrieval import Recalled
from worldgen.evaluation.loops import SAME_DB, WINDOW
from worldgen.report.measures import MIN_SHARE, MOST_FRAMES, Measured
from worldgen.report.plots import Series, lines, stacked
from worldgen.report.summary import ChunkLook, Picture, Report

PICTURE_SIDE = 128
"""Most pixels along a side of a small picture."""

JPEG_QUALITY = 85

LEAST_ERROR = 1e-4
"""Relative depth error that is drawn as the smallest: rounding is not worth a decade of the axis."""

Card = tuple[str, str, str]
"""Title, what it means, and what it shows; nothing shown, no card."""

UNITS = {"metres": "m", "scene": "scene units"}
FRAME, CHUNK = "frame, in the order of the head", "chunk, in the order of the head"


RANKS = ("first choice", "second choice", "further choices")


def text(text: object, *, most: int = 120) -> str:
    """Text from a world, harmless: escaped, cut off, nothing in it that does not print."""
    printed = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))
    return escape(printed if len(printed) <= most else f"{printed[:most]}\N{HORIZONTAL ELLIPSIS}")


def agreement(report: Report) -> list[str]:
    """Whether the frames agree with each other, in colour and in depth."""
    return _cards(_likeness(report), _structure(report), _depth(report), _compared(report))


def growth(report: Report) -> list[str]:
    """What was known of each frame, what it added, and what was recalled for it."""
    known = [_series("known", report, lambda one: 100.0 * one.known)]
    return _cards(
        (
            "Known before",
            "Share of a frame that the cache showed before it was made.",
            _plot(known, y_label="known (%)"),
        ),
        _points(report),
        (
            "Recalled views: overlap",
            "Share of a frame that each of the views shows which the generator was reminded of.",
            _plot(_recalled(report, lambda view: 100.0 * view.overlap), y_label="overlap (%)"),
        ),
        (
            "Recalled views: age",
            "How long before a frame they came.",
            _plot(_recalled(report, lambda view: float(view.age)), y_label="age (frames and edits)"),
        ),
    )


def maps(report: Report) -> list[str]:
    """The world from above, in its colours and by age."""
    width = f"{report.plan.width:.3g} {UNITS[report.units]}"
    return _cards(
        (
            "Coverage",
            f"The map is {width} wide; orange is the way of the camera. What is higher than it is left out.",
            _image(report.plan.image, "the world from above", form="PNG"),
        ),
        (
            "Age",
            "The same points: those that the oldest frames brought are blue, those of the newest orange.",
            _image(report.ages.image, "the age of points, from above", form="PNG"),
        ),
    )


def drift(report: Report) -> list[str]:
    """How colours, time and memory change from chunk to chunk."""
    stride = -(-len(report.chunks) // MOST_FRAMES)
    looks = report.chunks[::stride]

    def over(name: str, value: Callable[[ChunkLook], float | None], style: int = 0) -> Series:
        return Series(
            name=name,
            x=[float(i * stride) for i in range(len(looks))],
            y=[value(look) for look in looks],
            style=style,
        )

    colours = [
        over("brightness", lambda look: sum(look.mean) / 3.0),
        over("contrast", lambda look: look.contrast, 1),
    ]
    seconds = [over("time", lambda look: look.seconds)]
    memory = [over("memory", lambda look: look.memory_bytes and look.memory_bytes / 1e6)]
    return _cards(
        (
            "Colour",
            "Mean colour and contrast of each chunk. Views differ, so look for a trend.",
            _plot(colours, y_label="colour in [0, 1]", x_label=CHUNK),
        ),
        (
            "Time",
            "From one commit to the next, pauses left out.",
            _plot(seconds, y_label="s a frame", x_label=CHUNK),
        ),
        (
            "Memory",
            "The most that was resident until a chunk was committed, since its process began.",
            _plot(memory, y_label="MB", x_label=CHUNK),
        ),
    )


def small(picture: Picture) -> str:
    """A small picture of a frame."""
    image = Image.fromarray(picture.rgb)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    return _image(np.asarray(image), f"frame {picture.id}", form="JPEG")


def _likeness(report: Report) -> Card:
    return (
        "Revisits and returns",
        f"Revisit: a frame against what frames that are {WINDOW} or more older show of it, where that is "
        f"{MIN_SHARE:.0%} or more. Return: against one earlier frame from nearly the same place. Higher is "
        f"more alike; {SAME_DB:.0f} dB is equal.",
        _plot(
            [
                _series("revisit", report, lambda one: one.revisit and one.revisit.psnr),
                _series("return", report, lambda one: one.came_back and one.came_back.psnr, 1),
            ],
            y_label="PSNR (dB)",
            zero=False,
        ),
    )


def _structure(report: Report) -> Card:
    structure = [_series("revisit", report, lambda one: one.revisit and one.revisit.ssim)]
    return (
        "Structure of revisits",
        "The same comparison by structural similarity: 1 is equal.",
        _plot(structure, y_label="SSIM", zero=False),
    )


def _depth(report: Report) -> Card:
    def percent(one: Measured) -> float | None:
        return None if one.depth_error is None else 100.0 * max(one.depth_error, LEAST_ERROR)

    return (
        "Depth agreement",
        "Median difference between the depth of a frame and what all other frames together show there.",
        _plot([_series("depth", report, percent)], y_label="relative error (%)", log=True),
    )


def _compared(report: Report) -> Card:
    return (
        "How much could be compared",
        "Share of a frame that old frames, the earlier frame, and all other frames show.",
        _plot(
            [
                _series("revisit", report, lambda one: one.revisit and 100.0 * one.revisit.share),
                _series("return", report, lambda one: one.came_back and 100.0 * one.came_back.share, 1),
                _series("depth", report, lambda one: 100.0 * one.depth_share, 2),
            ],
            y_label="share (%)",
        ),
    )


def _points(report: Report) -> Card:
    kept = [
        _series("kept", report, lambda one: float(report.kept[one.id].points)),
        _series("culled", report, lambda one: float(report.kept[one.id].culled), 1),
    ]
    return (
        "Points kept and culled",
        "Pixels with a depth: those that are points of the cache now, and those that showed nothing new.",
        stacked(kept, x_label=FRAME, y_label="pixels"),
    )


def _recalled(report: Report, value: Callable[[Recalled], float]) -> list[Series]:
    """A value of the views recalled for each frame: of the first choice, of the second, of the others."""
    most = max((len(one.recalled) for one in report.measured), default=0)

    def of_rank(rank: int) -> Callable[[Measured], float | None]:
        return lambda one: value(one.recalled[rank]) if rank < len(one.recalled) else None

    last = len(RANKS) - 1
    return [_series(RANKS[min(rank, last)], report, of_rank(rank), min(rank, last)) for rank in range(most)]


def _series(name: str, report: Report, value: Callable[[Measured], float | None], style: int = 0) -> Series:
    """A value of every frame that was measured in full."""
    frames = report.measured
    return Series(
        name=name, x=[float(one.position) for one in frames], y=[value(one) for one in frames], style=style
    )


def _plot(
    series: Sequence[Series], *, y_label: str, x_label: str = FRAME, zero: bool = True, log: bool = False
) -> str:
    """A chart, or nothing where no value is known."""
    shown = [one for one in series if any(value is not None for value in one.y)]
    return lines(shown, x_label=x_label, y_label=y_label, zero=zero, log=log) if shown else ""


def _cards(*cards: Card) -> list[str]:
    """Those cards that have something to show."""
    return [
        f'<div class="card"><h3>{escape(title)}</h3><p>{escape(meaning)}</p>{content}</div>'
        for title, meaning, content in cards
        if content
    ]


def _image(pixels: UInt8[np.ndarray, "h w 3"], name: str, *, form: str) -> str:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, form, quality=JPEG_QUALITY)
    code = base64.b64encode(data.getvalue()).decode("ascii")
    return f'<img alt="{escape(name)}" src="data:image/{form.lower()};base64,{code}">'
