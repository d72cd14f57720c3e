"""Page: a report as one HTML file that needs nothing else, no network and no script.

Room: worldgen. Names come from worlds, and worlds from anybody: every text is escaped. Pictures stand inside
the page as base64.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources

from memory.world import Chunk
from worldgen.report.cards import UNITS, agreement, drift, growth, maps, small, text
from worldgen.report.measures import MOST_FRAMES, Measured
from worldgen.report.summary import ChunkLook, Report

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser lets the page load: nothing but what is in it."""

MOST_NAMED = 12
"""Edits and generators that the head of the page names."""


def page_of(report: Report) -> str:
    """The whole page."""
    style = resources.files("worldgen.report").joinpath("style.css").read_text(encoding="utf-8")
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{text(report.name)} - worldgen report</title><style>{style}</style></head><body>",
        _head(report),
        _tiles(report),
        _missing(report),
        _section("Does it agree with itself?", agreement(report)),
        _returns(report),
        _section("What was known, and what was added", growth(report)),
        _section("From above", maps(report)),
        _section("Does it drift, and what does it cost?", drift(report)),
        _pictures(report),
        _table(report),
        f'<p class="soft">Measured on {text(report.machine)}.</p>',
        "</body></html>\n",
    ]
    return "".join(parts)


def _head(report: Report) -> str:
    sizes = ", ".join(f"{width} x {height}" for width, height in report.sizes[:MOST_NAMED])
    facts = [
        f"head {text(report.head)}",
        f"{_counted(len(report.frames), 'frame')} of {sizes} pixels",
        _counted(len(report.chunks), "chunk"),
        f"{report.points:,} points ({report.cache_bytes / 1e6:.1f} MB)",
        f"{report.bytes_on_disk / 1e6:.1f} MB on disk",
        f"lengths in {UNITS[report.units]}, scene scale {report.scale:.3g}",
        f"grown on {_machines(report)}",
        *(text(name) for name in report.generators[:MOST_NAMED]),
        *(_edit(chunk) for chunk in report.edits[:MOST_NAMED]),
    ]
    if len(report.edits) > MOST_NAMED:
        facts.append(f"{len(report.edits) - MOST_NAMED} more edits")
    return f'<h1>{text(report.name)}</h1><div class="facts soft">{" &middot; ".join(facts)}</div>'


def _machines(report: Report) -> str:
    """Where the frames were grown."""
    counts = {text(machine): count for machine, count in report.grown_on.items()}
    if unknown := len(report.frames) - sum(counts.values()):
        counts["a machine that was not recorded"] = unknown
    named = [
        name if len(counts) == 1 else f"{name} ({_counted(count, 'frame')})" for name, count in counts.items()
    ]
    return ", ".join(named[:MOST_NAMED]) + (", and others" if len(named) > MOST_NAMED else "")


def _edit(chunk: Chunk) -> str:
    assert chunk.edit is not None
    mesh = chunk.settings.get("mesh")
    what = f"placed {text(mesh)}" if isinstance(mesh, str) else text(chunk.edit.kind)
    return f"edit at chunk {chunk.id}: {what}"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _tiles(report: Report) -> str:
    figures = report.figures
    if figures["memory_bytes"] is not None:
        figures["memory_bytes"] /= 1e6
    shown = [
        ("return_psnr", "{:.1f} dB", "where the camera comes back (loop closure, PSNR)"),
        ("revisit_psnr", "{:.1f} dB", "frames against what old frames show (PSNR)"),
        ("revisit_ssim", "{:.3f}", "the same, structural similarity"),
        ("depth_error", "{:.2%}", "depth against all other frames (median error)"),
        ("known_before", "{:.0%}", "of a frame was known before it came"),
        ("mean_drift", "{:+.3f}", "change of brightness, first to last quarter"),
        ("contrast_drift", "{:.2f}", "contrast of the last quarter over the first's"),
        ("seconds_a_frame", "{:.2f} s", "a frame, median"),
        ("memory_bytes", "{:,.0f} MB", "of memory at most, resident while it was grown"),
    ]
    tiles = []
    for key, form, meaning in shown:
        value = figures[key]
        shown_as = "&ndash;" if value is None else form.format(value)
        tiles.append(f'<div class="tile"><b>{shown_as}</b><span>{escape(meaning)}</span></div>')
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _missing(report: Report) -> str:
    sentences = list(report.missing)
    notes = ""
    if len(report.measured) < len(report.frames):
        notes = (
            f"<p>Returns, revisits and depth were measured on {len(report.measured)} of "
            f"{len(report.frames):,} frames, an even choice (at most {MOST_FRAMES}); the plots show only "
            "these.</p>"
        )
    if not sentences:
        return notes
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'{notes}<div class="missing"><p>Not measured:</p><ul>{items}</ul></div>'


def _section(title: str, cards: Sequence[str]) -> str:
    shown = [card for card in cards if card]
    return f'<h2>{escape(title)}</h2><div class="cards">{"".join(shown)}</div>' if shown else ""


def _returns(report: Report) -> str:
    if not report.returns:
        return ""
    pairs = [
        f"<figure>{small(earlier)}{small(later)}<figcaption>frame {earlier.id}, then {later.id}: "
        f"{score:.1f} dB</figcaption></figure>"
        for earlier, later, score in report.returns
    ]
    return f'<h2>The least alike returns</h2><div class="pairs">{"".join(pairs)}</div>'


def _pictures(report: Report) -> str:
    shown = [
        f"<figure>{small(picture)}<figcaption>{picture.id}</figcaption></figure>"
        for picture in report.pictures
    ]
    some = "" if len(shown) == len(report.frames) else f", {len(shown)} of {len(report.frames):,}"
    return f'<h2>Frames{some}</h2><div class="pictures">{"".join(shown)}</div>'


def _table(report: Report) -> str:
    titles = ("frame", "chunk", "path", "known", "points", "culled", "recalled (overlap, age)", "depth error")
    titles += ("revisit PSNR", "SSIM", "return PSNR", "seconds", "memory (MB)", "machine")
    looks = {look.chunk.id: look for look in report.chunks}
    rows = "".join(_row(report, one, looks[one.chunk.id]) for one in report.measured)
    head = "".join(f"<th>{each}</th>" for each in titles)
    return (
        '<details><summary>All figures, frame by frame</summary><div class="wide">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _row(report: Report, one: Measured, look: ChunkLook) -> str:
    kept, revisit, back = report.kept[one.id], one.revisit, one.came_back
    cells = (
        str(one.id),
        str(one.chunk.id),
        "given" if one.chunk.given else "" if one.chunk.path is None else str(one.chunk.path),
        f"{one.known:.0%}",
        f"{kept.points:,}",
        f"{kept.culled:,}",
        ", ".join(f"{view.frame_id} ({view.overlap:.0%}, {view.age})" for view in one.recalled),
        _number(one.depth_error, ".2%"),
        _number(revisit and revisit.psnr, ".1f"),
        _number(revisit and revisit.ssim, ".3f"),
        "" if back is None else f"{back.psnr:.1f} (to {back.earlier})",
        _number(look.seconds, ".2f"),
        _number(look.memory_bytes and look.memory_bytes / 1e6, ",.0f"),
        "not recorded" if one.chunk.cost is None else text(one.chunk.cost.machine),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
