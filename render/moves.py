"""Moves: presets with numbers, such as ``orbit:degrees=180``, that go a whole way in any number of frames.

Room: render (ground floor). Imports the presets; every other room may import this. A move begins at a camera
and has gone its whole way by the last one, however many there are; lengths are in scene lengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor

from render.cameras import Cameras
from render.paths import WORLD_UP, arc, dolly, orbit, spiral, there_and_back, turn, walk
from render.timing import Real

LENGTHS, DEGREES, MOST_LAPS = (-1e4, 1e4), (-36_000.0, 36_000.0), 1000.0
"""What numbers may be: scene lengths, degrees, and rounds either way."""

Maker = Callable[..., Cameras]
"""Makes ``n`` cameras from ``start``, ``up``, ``scale``, and the numbers of the move by their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number of a move."""

    usual: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A move that has a name."""

    make: Maker
    numbers: Mapping[str, Number]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move as it is asked for; numbers that are not given are the usual ones."""

    name: str
    numbers: tuple[tuple[str, Real], ...] = ()

    def __post_init__(self) -> None:
        kind = MOVES.get(self.name)
        if kind is None:
            raise ValueError(
                f"there is no move named {self.name!r:.40}; there are {', '.join(sorted(MOVES))}"
            )
        known = ", ".join(kind.numbers) or "none"
        for name, value in self.numbers:
            number = kind.numbers.get(name)
            if number is None:
                raise ValueError(f"{self.name} has no number {name!r:.40}; it has {known}")
            if not number.low <= value <= number.high:
                raise ValueError(
                    f"{name} of {self.name} lies between {number.low:g} and {number.high:g}, got {value:g}"
                )

    def cameras(
        self, start: Cameras, *, n: int, up: Float[Tensor, " 3"] = WORLD_UP, scale: float = 1.0
    ) -> Cameras:
        """``n`` cameras, the first of which is ``start``, bit for bit; the last has gone all of the way."""
        kind = MOVES[self.name]
        numbers = {name: number.usual for name, number in kind.numbers.items()}
        numbers |= {name: float(value) for name, value in self.numbers}
        return kind.make(start, n=n, up=up, scale=scale, **numbers)


def parsed_move(text: str) -> Move:
    """A move from words such as ``orbit:degrees=180`` or ``arc:degrees=90,length=2``.

    Raises:
        ValueError: what is wrong with them.
    """
    name, _, rest = text.partition(":")
    numbers = {}
    for word in filter(None, rest.split(",")):
        key, equals, value = word.partition("=")
        try:
            numbers[key.strip()] = float(value) if equals else math.nan
        except ValueError:
            numbers[key.strip()] = math.nan
        if not math.isfinite(numbers[key.strip()]):
            raise ValueError(f"a move is written like orbit:degrees=180,... with numbers; got {word!r:.40}")
    return Move(name=name.strip(), numbers=tuple(numbers.items()))


def _round(preset: Maker) -> Maker:
    """Goes all of its way; the preset stops a step before, so that a full turn does not double its camera."""

    def make(start: Cameras, *, n: int, up: Float[Tensor, " 3"], scale: float, degrees: float) -> Cameras:
        return preset(start, n=n, up=up, scale=scale, degrees=degrees * n / max(n - 1, 1))

    return make


def _walk(start: Cameras, *, n: int, up: Float[Tensor, " 3"], scale: float, length: float) -> Cameras:
    return walk(start, n=n, up=up, scale=scale, stride=length / max(n - 1, 1), sway=0.0)


def _out_and_back(start: Cameras, *, n: int, up: Float[Tensor, " 3"], scale: float, length: float) -> Cameras:
    return there_and_back(start, n=n, up=up, scale=scale, stride=length / max((n - 1) // 2, 1), sway=0.0)


def _loop(
    start: Cameras, *, n: int, up: Float[Tensor, " 3"], scale: float, radius: float, laps: float
) -> Cameras:
    return arc(start, n=n, up=up, scale=scale, degrees=360.0 * laps, length=2.0 * math.pi * radius * laps)


def _hold(start: Cameras, *, n: int, up: Float[Tensor, " 3"], scale: float) -> Cameras:
    return start[[0] * n]


def _length(usual: float) -> Number:
    return Number(usual=usual, low=LENGTHS[0], high=LENGTHS[1])


def _degrees(usual: float) -> Number:
    return Number(usual=usual, low=DEGREES[0], high=DEGREES[1])


MOVES: Mapping[str, Kind] = MappingProxyType(
    {
        "orbit": Kind(make=_round(orbit), numbers={"degrees": _degrees(360.0)}),
        "turn": Kind(make=_round(turn), numbers={"degrees": _degrees(360.0)}),
        "walk": Kind(make=_walk, numbers={"length": _length(1.0)}),
        "there-and-back": Kind(make=_out_and_back, numbers={"length": _length(1.0)}),
        "loop": Kind(
            make=_loop,
            numbers={
                "radius": Number(usual=0.5, low=1e-3, high=LENGTHS[1]),
                "laps": Number(usual=1.0, low=-MOST_LAPS, high=MOST_LAPS),
            },
        ),
        "arc": Kind(make=arc, numbers={"degrees": _degrees(90.0), "length": _length(1.0)}),
        "dolly": Kind(
            make=dolly, numbers={"ahead": _length(1.0), "right": _length(0.0), "rise": _length(0.0)}
        ),
        "spiral": Kind(
            make=spiral,
            numbers={
                "degrees": _degrees(360.0),
                "rise": _length(0.5),
                "closer": Number(usual=0.5, low=-100.0, high=0.99),
            },
        ),
        "hold": Kind(make=_hold, numbers={}),
    }
)
"""Moves by the names that tours and the command line use."""
