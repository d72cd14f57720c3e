"""Page: a report as one HTML file that needs nothing else, no network and no script.

Room: worldgen. Names come from worlds, and worlds from anybody: every text is escaped. Pictures stand inside
the page as base64.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from importlib import resources

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from memory.world import Chunk
from render.plans import Plan
from worldgen.evaluation.loops import SAME_DB, WINDOW
from worldgen.report.measures import MIN_SHARE, MOST_FRAMES, Measured
from worldgen.report.plots import Series, lines, stacked
from worldgen.report.summary import Picture, Report

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser lets the page load: nothing but what is in it."""

PICTURE_SIDE = 128
"""Most pixels along a side of a small picture."""

JPEG_QUALITY = 85
MOST_NAMED = 12
"""Edits and generators that the head of the page names."""

UNITS = {"metres": "m", "scene": "scene units"}
FRAME = "frame, in the order of the head"


def page_of(report: Report) -> str:
    """The whole page."""
    style = resources.files("worldgen.report").joinpath("style.css").read_text(encoding="utf-8")
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(report.name)} - worldgen report</title><style>{style}</style></head><body>",
        _head(report),
        _tiles(report),
        _missing(report),
        _section("Does it agree with itself?", _agreement(report)),
        _returns(report),
        _section("What was known, and what was added", _growth(report)),
        _section("From above", _maps(report)),
        _section("Does it drift, and what does it cost?", _drift(report)),
        _pictures(report),
        _table(report),
        "</body></html>\n",
    ]
    return "".join(parts)


def _text(text: object, *, most: int = 120) -> str:
    """Text from a world, harmless: escaped, cut off, nothing in it that does not print."""
    printed = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))
    return escape(printed if len(printed) <= most else f"{printed[:most]}\N{HORIZONTAL ELLIPSIS}")


def _head(report: Report) -> str:
    sizes = ", ".join(f"{width} x {height}" for width, height in report.sizes[:MOST_NAMED])
    facts = [
        f"head {_text(report.head)}",
        f"{_counted(len(report.frames), 'frame')} of {sizes} pixels in {_counted(len(report.chunks), 'chunk')}",
        f"{report.points:,} points",
        f"lengths in {UNITS[report.units]}, scene scale {report.scale:.3g}",
        *(_text(name) for name in report.generators[:MOST_NAMED]),
        *(_edit(chunk) for chunk in report.edits[:MOST_NAMED]),
    ]
    if len(report.edits) > MOST_NAMED:
        facts.append(f"{len(report.edits) - MOST_NAMED} more edits")
    return f'<h1>{_text(report.name)}</h1><div class="facts soft">{" &middot; ".join(facts)}</div>'


def _edit(chunk: Chunk) -> str:
    assert chunk.edit is not None
    mesh = chunk.settings.get("mesh")
    what = f"placed {_text(mesh)}" if isinstance(mesh, str) else _text(chunk.edit.kind)
    return f"edit at chunk {chunk.id}: {what}"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _tiles(report: Report) -> str:
    figures = report.figures
    shown = [
        ("return_psnr", "{:.1f} dB", "where the camera comes back (loop closure, PSNR)"),
        ("revisit_psnr", "{:.1f} dB", "frames against what old frames show (PSNR)"),
        ("revisit_ssim", "{:.3f}", "the same, structural similarity"),
        ("depth_error", "{:.2%}", "depth against all other frames (median error)"),
        ("known_before", "{:.0%}", "of a frame was known before it came"),
        ("mean_drift", "{:+.3f}", "change of brightness, first to last quarter"),
        ("contrast_drift", "{:.2f}", "contrast of the last quarter over the first's"),
        ("seconds_a_frame", "{:.2f} s", "a frame, median"),
    ]
    tiles = []
    for key, form, meaning in shown:
        value = figures[key]
        text = "&ndash;" if value is None else form.format(value)
        tiles.append(f'<div class="tile"><b>{text}</b><span>{escape(meaning)}</span></div>')
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _missing(report: Report) -> str:
    sentences = list(report.missing)
    notes = ""
    if len(report.measured) < len(report.frames):
        notes = (
            f"<p>Returns, revisits and depth were measured on {len(report.measured)} of "
            f"{len(report.frames):,} frames, an even choice (at most {MOST_FRAMES}); the plots show these.</p>"
        )
    if not sentences:
        return notes
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'{notes}<div class="missing"><p>Not measured:</p><ul>{items}</ul></div>'


def _section(title: str, cards: Sequence[str]) -> str:
    shown = [card for card in cards if card]
    return f'<h2>{escape(title)}</h2><div class="cards">{"".join(shown)}</div>' if shown else ""


def _card(title: str, meaning: str, content: str) -> str:
    return f'<div class="card"><h3>{escape(title)}</h3><p>{escape(meaning)}</p>{content}</div>'


def _series(name: str, frames: Sequence[Measured], values: Sequence[float | None], style: int = 0) -> Series:
    return Series(name=name, x=[one.position for one in frames], y=values, style=style)


def _plot(series: Sequence[Series], *, y_label: str, x_label: str = FRAME, zero: bool = True) -> str:
    """A chart, or nothing where no value is known."""
    shown = [one for one in series if any(value is not None for value in one.y)]
    return lines(shown, x_label=x_label, y_label=y_label, zero=zero) if shown else ""


def _agreement(report: Report) -> list[str]:
    frames = report.measured
    errors = [None if one.depth_error is None else 100.0 * one.depth_error for one in frames]
    revisits = [None if one.revisit is None else one.revisit.psnr for one in frames]
    returns = [None if one.came_back is None else one.came_back.psnr for one in frames]
    likeness = [None if one.revisit is None else one.revisit.ssim for one in frames]
    old = f"what frames show of it that are {WINDOW} or more frames older, where that is {MIN_SHARE:.0%} or more"
    cards = [
        (
            "Revisits and returns",
            f"Revisit: a frame against {old}. Return: against one earlier frame from nearly the same place. "
            f"Higher is more alike; {SAME_DB:.0f} dB is equal.",
            _plot(
                [_series("revisit", frames, revisits), _series("return", frames, returns, 1)],
                y_label="PSNR (dB)",
                zero=False,
            ),
        ),
        (
            "Structure of revisits",
            "The same comparison by structural similarity: 1 is equal.",
            _plot([_series("revisit", frames, likeness)], y_label="SSIM", zero=False),
        ),
        (
            "Depth agreement",
            "Median difference between the depth of a frame and what all other frames together show there.",
            _plot([_series("depth", frames, errors)], y_label="relative error (%)"),
        ),
    ]
    return [_card(*card) for card in cards if card[2]]


def _growth(report: Report) -> list[str]:
    frames = report.measured
    kept = [report.kept[one.id] for one in frames]
    ranks = range(max((len(one.recalled) for one in frames), default=0))
    names = ("first choice", "second choice", "further choices")

    def recalled(field: str, scale: float) -> list[Series]:
        return [
            _series(
                names[min(rank, 2)],
                frames,
                [scale * getattr(one.recalled[rank], field) if rank < len(one.recalled) else None for one in frames],
                min(rank, 2),
            )
            for rank in ranks
        ]

    known = [_series("known", frames, [100.0 * one.known for one in frames])]
    points = [
        _series("kept", frames, [each.points for each in kept]),
        _series("culled", frames, [each.culled for each in kept], 1),
    ]
    cards = [
        ("Known before", "Share of a frame that the cache showed before it was made.", _plot(known, y_label="known (%)")),
        (
            "Points kept and culled",
            "Pixels with a depth: those that are points of the cache now, and those that showed nothing new.",
            stacked(points, x_label=FRAME, y_label="pixels"),
        ),
        (
            "Recalled views: overlap",
            "Share of a frame that each of the views shows which the generator was reminded of.",
            _plot(recalled("overlap", 100.0), y_label="overlap (%)"),
        ),
        (
            "Recalled views: age",
            "How long before a frame they came.",
            _plot(recalled("age", 1.0), y_label="age (frames and edits)"),
        ),
    ]
    return [_card(*card) for card in cards if card[2]]


def _maps(report: Report) -> list[str]:
    def shown(plan: Plan) -> str:
        return _image(plan.image, "the world from above", form="PNG")

    across = f"The map is {report.plan.width:.3g} {UNITS[report.units]} wide; orange is the way of the camera"
    return [
        _card("Coverage", f"{across}. What is higher than the cameras is left out.", shown(report.plan)),
        _card("Age", "The same points: from the oldest frames blue, from the newest orange.", shown(report.ages)),
    ]


def _drift(report: Report) -> list[str]:
    stride = -(-len(report.chunks) // MOST_FRAMES)
    looks = report.chunks[::stride]

    def over(name: str, values: Sequence[float | None], style: int = 0) -> Series:
        return Series(name=name, x=[i * stride for i in range(len(looks))], y=values, style=style)

    colours = [
        over("brightness", [sum(look.mean) / 3.0 for look in looks]),
        over("contrast", [look.contrast for look in looks], 1),
    ]
    seconds = _plot(
        [over("time", [look.seconds for look in looks])], y_label="seconds a frame", x_label="chunk, in order"
    )
    cost = (
        f"From one commit to the next, pauses left out. {report.bytes_on_disk / 1e6:.1f} MB on disk "
        f"({report.bytes_on_disk / len(report.frames) / 1e3:.0f} kB a frame), {report.cache_bytes / 1e6:.1f} MB of "
        f"points. Where the world grew is not recorded; this report was made on {report.machine}."
    )
    return [
        _card(
            "Colour",
            "Mean colour and contrast of each chunk. Views differ, so look for a trend.",
            _plot(colours, y_label="colour in [0, 1]", x_label="chunk, in order"),
        ),
        _card("Cost", cost, seconds),
    ]


def _returns(report: Report) -> str:
    if not report.returns:
        return ""
    pairs = [
        f'<figure>{_small(earlier)}{_small(later)}<figcaption>frame {earlier.id}, then {later.id}: '
        f"{score:.1f} dB</figcaption></figure>"
        for earlier, later, score in report.returns
    ]
    return f'<h2>The least alike returns</h2><div class="pairs">{"".join(pairs)}</div>'


def _pictures(report: Report) -> str:
    shown = [
        f"<figure>{_small(picture)}<figcaption>{picture.id}</figcaption></figure>" for picture in report.pictures
    ]
    some = "" if len(shown) == len(report.frames) else f", {len(shown)} of {len(report.frames):,}"
    return f'<h2>Frames{some}</h2><div class="pictures">{"".join(shown)}</div>'


def _small(picture: Picture) -> str:
    image = Image.fromarray(picture.rgb)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    return _image(np.asarray(image), f"frame {picture.id}", form="JPEG")


def _image(pixels: UInt8[np.ndarray, "h w 3"], name: str, *, form: str) -> str:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, form, quality=JPEG_QUALITY)
    code = base64.b64encode(data.getvalue()).decode("ascii")
    return f'<img alt="{escape(name)}" src="data:image/{form.lower()};base64,{code}">'


def _table(report: Report) -> str:
    titles = ("frame", "chunk", "path", "known", "points", "culled", "recalled (overlap, age)", "depth error")
    titles += ("revisit PSNR", "SSIM", "return PSNR")
    rows = "".join(_row(report, one) for one in report.measured)
    head = "".join(f"<th>{title}</th>" for title in titles)
    return (
        f'<details><summary>All figures, frame by frame</summary><div class="wide"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div></details>"
    )


def _row(report: Report, one: Measured) -> str:
    kept, revisit, back = report.kept[one.id], one.revisit, one.came_back
    cells = (
        str(one.id),
        str(one.chunk.id),
        "given" if one.chunk.given else _number(one.chunk.path, "d"),
        f"{one.known:.0%}",
        f"{kept.points:,}",
        f"{kept.culled:,}",
        ", ".join(f"{view.frame_id} ({view.overlap:.0%}, {view.age})" for view in one.recalled),
        _number(one.depth_error, ".2%"),
        _number(revisit and revisit.psnr, ".1f"),
        _number(revisit and revisit.ssim, ".3f"),
        "" if back is None else f"{back.psnr:.1f} (to {back.earlier})",
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


