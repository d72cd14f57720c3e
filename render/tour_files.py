"""Tour files: tours as JSON that people write by hand; see ``docs/paths.md``.

Room: render (ground floor). Imports tours; every other room may import this. Files come from users: every
number is checked, what is not known is refused, and errors name the segment, counted from 1.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import torch

from render.cameras import Cameras, checked
from render.json_files import is_number, read_json
from render.moves import MOVES, Move
from render.splines import ROUND, Shape
from render.timing import STEADY, Ease
from render.tours import (
    FPS,
    MAX_KEYS,
    MAX_SEGMENTS,
    SPEED,
    Curve,
    Key,
    Pace,
    Place,
    Segment,
    Setting,
    Target,
    Tour,
)

FORMAT, VERSION = "worldgen-tour", 1

TOUR_KEYS = ("format", "version", "fps", "speed", "ease", "loop", "segments")
PACE_KEYS = ("seconds", "frames", "speed", "ease")
GAZE_KEYS = ("look_at", "fov")
SHAPE_KEYS = ("tension", "continuity", "bias")
KEY_KEYS = ("frame", "c2w", "place", "look_at")

T = TypeVar("T")


def is_tour(data: object) -> bool:
    """Whether a JSON file means to be a tour."""
    return isinstance(data, dict) and data.get("format") == FORMAT


def is_tour_file(path: Path) -> bool:
    """Whether a file means to be a tour; what cannot be read is left to the readers of camera paths."""
    try:
        return is_tour(read_json(path))
    except ValueError:
        return False


def flown_tour(path: Path, setting: Setting, *, fps: float | None = None) -> Cameras:
    """The cameras of the tour in a file, one a picture; see :meth:`render.tours.Tour.cameras`.

    Args:
        path: the file, whoever wrote it.
        setting: where the tour is flown.
        fps: pictures a second, in place of those that the file says.

    Raises:
        ValueError: one sentence about the first thing that is wrong with the file, or cannot be flown there.
    """
    tour = load_tour(path)
    try:
        return dataclasses.replace(tour, fps=tour.fps if fps is None else fps).cameras(setting)
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be flown here: {error}") from None


def load_tour(path: Path | str) -> Tour:
    """Read a tour, whoever wrote it.

    Raises:
        ValueError: one sentence about the first thing that is wrong with the file.
    """
    try:
        return parsed_tour(read_json(Path(path)))
    except ValueError as error:
        raise ValueError(f"{Path(path).name} is no usable tour: {error}") from None


def save_tour(path: Path | str, tour: Tour) -> None:
    """Write a tour as JSON that ``load_tour`` reads back as it was, a segment a line."""
    head = {"format": FORMAT, "version": VERSION, "fps": tour.fps, "speed": tour.speed}
    head |= {"ease": _ease_told(tour.ease), "loop": tour.rounds}
    lines = [f"  {json.dumps(name)}: {json.dumps(value, allow_nan=False)}," for name, value in head.items()]
    segments = [f"    {json.dumps(_told(segment), allow_nan=False)}" for segment in tour.segments]
    text = "\n".join(["{", *lines, '  "segments": [', ",\n".join(segments), "  ]", "}", ""])
    Path(path).write_text(text, encoding="utf-8")


def parsed_tour(data: object) -> Tour:
    """A tour from what a file said.

    Raises:
        ValueError: what is wrong with it, as the second half of a sentence.
    """
    if not is_tour(data) or not isinstance(data, dict):
        raise ValueError(f'its "format" is not "{FORMAT}"')
    if type(data.get("version", VERSION)) is not int or data.get("version", VERSION) != VERSION:
        raise ValueError(f'its "version" is not {VERSION}, the only one known')
    _only(data, TOUR_KEYS, "the tour")
    segments = data.get("segments")
    if not isinstance(segments, list) or not 1 <= len(segments) <= MAX_SEGMENTS:
        raise ValueError(f'"segments" must be a list of 1 to {MAX_SEGMENTS} segments')
    return Tour(
        segments=_numbered(segments, _segment, "segment"),
        fps=_number(data, "fps", FPS),
        speed=_number(data, "speed", SPEED),
        ease=_ease(data) or STEADY,
        rounds=_rounds(data),
    )


def _numbered(listed: list[Any], parsed: Callable[[object], T], what: str) -> tuple[T, ...]:
    """Every part of a list, parsed; what is wrong with one is said with its number, counted from 1."""
    parts = []
    for number, part in enumerate(listed, start=1):
        try:
            parts.append(parsed(part))
        except ValueError as error:
            raise ValueError(f"{what} {number}: {error}") from None
    return tuple(parts)


def _segment(data: object) -> Segment:
    if not isinstance(data, dict) or ("move" in data) == ("through" in data):
        raise ValueError('it must be an object with either "move" or "through"')
    what = _move(data) if "move" in data else _curve(data)
    fov = _maybe_number(data, "fov")
    return Segment(
        what=what,
        pace=Pace(
            seconds=_maybe_number(data, "seconds"),
            frames=_maybe_whole(data, "frames"),
            speed=_maybe_number(data, "speed"),
            ease=_ease(data),
        ),
        look_at=_target(data),
        fov=None if fov is None else math.radians(fov),
    )


def _move(data: dict[str, Any]) -> Move:
    name = data["move"]
    if not isinstance(name, str):
        raise ValueError(f'"move" must be a name, one of {", ".join(sorted(MOVES))}')
    known = MOVES[name].numbers if name in MOVES else ()
    if name in MOVES:
        _only(data, ("move", *known, *PACE_KEYS, *GAZE_KEYS), f"the move {name}")
    return Move(name=name, numbers=tuple((key, _number(data, key, 0.0)) for key in known if key in data))


def _curve(data: dict[str, Any]) -> Curve:
    _only(data, ("through", *SHAPE_KEYS, *PACE_KEYS, *GAZE_KEYS), "a curve")
    keys = data["through"]
    if not isinstance(keys, list) or not 1 <= len(keys) <= MAX_KEYS:
        raise ValueError(f'"through" must be a list of 1 to {MAX_KEYS} keyframes')
    shape = Shape(**{name: _number(data, name, 0.0) for name in SHAPE_KEYS})
    return Curve(keys=_numbered(keys, _key, "keyframe"), shape=shape)


def _key(data: object) -> Key:
    if _is_whole(data):
        return Key(frame=data)
    if not isinstance(data, dict):
        raise ValueError('it must be the number of a frame, or an object with "frame", "c2w" or "place"')
    _only(data, KEY_KEYS, "a keyframe")
    place = None if "place" not in data else _place(data["place"], "place")
    c2w = None if "c2w" not in data else _pose(data["c2w"])
    return Key(frame=_maybe_whole(data, "frame"), c2w=c2w, place=place, look_at=_target(data))


def _pose(rows: Any) -> torch.Tensor:
    are_rows = isinstance(rows, list) and all(isinstance(row, list) and len(row) == 4 for row in rows)
    if not are_rows or len(rows) != 4 or not all(is_number(value) for row in rows for value in row):
        raise ValueError('"c2w" must have 4 rows of 4 finite numbers')
    c2w = torch.tensor(rows, dtype=torch.float64)
    K = torch.tensor([[[16.0, 0.0, 8.0], [0.0, 16.0, 8.0], [0.0, 0.0, 1.0]]])
    checked(Cameras(c2w=c2w[None], K=K, width=16, height=16))
    return c2w


def _place(value: object, name: str) -> Place:
    if not isinstance(value, list) or len(value) != 3 or not all(map(is_number, value)):
        raise ValueError(f'"{name}" must be a point of 3 finite numbers')
    x, y, z = map(float, value)
    return x, y, z


def _target(data: dict[str, Any]) -> Target | None:
    value = data.get("look_at")
    if value is None or _is_whole(value):
        return value
    if isinstance(value, int | float | str | bool):
        raise ValueError('"look_at" must be a point of 3 numbers, or the number of a frame')
    return _place(value, "look_at")


def _ease(data: dict[str, Any]) -> Ease | None:
    value = data.get("ease")
    if value is None:
        return None
    both = value if isinstance(value, list) else [value, value]
    if len(both) != 2 or not all(map(is_number, both)):
        raise ValueError('"ease" must be a share of the time, or two: for the beginning and for the end')
    return Ease(start=float(both[0]), end=float(both[1]))


def _rounds(data: dict[str, Any]) -> int:
    value = data.get("loop", False)
    if isinstance(value, bool):
        return int(value)
    if not _is_whole(value):
        raise ValueError('"loop" must be true, false, or how many rounds')
    return value


def _number(data: dict[str, Any], name: str, otherwise: float) -> float:
    value = data.get(name, otherwise)
    if not is_number(value):
        raise ValueError(f'"{name}" must be a finite number')
    return float(value)


def _maybe_number(data: dict[str, Any], name: str) -> float | None:
    return None if data.get(name) is None else _number(data, name, 0.0)


def _maybe_whole(data: dict[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is not None and not _is_whole(value):
        raise ValueError(f'"{name}" must be a whole number')
    return value


def _is_whole(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 2**63


def _only(data: dict[str, Any], known: Iterable[str], what: str) -> None:
    for name in data:
        if name not in known:
            raise ValueError(f"{what} has no {name!r:.40}; it may have {', '.join(known)}")


def _told(segment: Segment) -> dict[str, Any]:
    """A segment as JSON; what is as usual is left out."""
    what, pace = segment.what, segment.pace
    if isinstance(what, Move):
        told: dict[str, Any] = {"move": what.name, **dict(what.numbers)}
    else:
        shape = {name: getattr(what.shape, name) for name in SHAPE_KEYS if what.shape != ROUND}
        told = {"through": [_key_told(key) for key in what.keys], **shape}
    for name in PACE_KEYS[:3]:
        told |= _given(name, getattr(pace, name), lambda value: value)
    told |= _given("ease", pace.ease, _ease_told)
    told |= _given("look_at", segment.look_at, _target_told)
    return told | _given("fov", segment.fov, math.degrees)


def _key_told(key: Key) -> int | dict[str, Any]:
    if key.frame is not None and key.look_at is None:
        return key.frame
    told = _given("frame", key.frame, lambda value: value) | _given("place", key.place, list)
    told |= _given("c2w", key.c2w, lambda c2w: c2w.double().tolist())
    return told | _given("look_at", key.look_at, _target_told)


def _target_told(target: Target) -> int | list[float]:
    return target if isinstance(target, int) else list(target)


def _ease_told(ease: Ease) -> list[float]:
    return [ease.start, ease.end]


def _given(name: str, value: Any, told: Callable[[Any], Any]) -> dict[str, Any]:
    return {} if value is None else {name: told(value)}
