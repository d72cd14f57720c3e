"""Tours: long flythroughs, written down in a few lines.

Room: render (ground floor). Imports cameras and paths; every other room may import this. A tour is a list of
segments, each a move or a curve through keyframes, at a pace, with a gaze. It knows no place: ``cameras``
takes one, so that one tour can be flown in any world. :mod:`render.tour_files` reads and writes tours.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from render._poses import MAX_CAMERAS, check_count
from render.cameras import Cameras, concatenated
from render.gazes import looking_at, turn_between, turned_from, zoomed
from render.moves import Move
from render.paths import WORLD_UP
from render.splines import ROUND, Shape, smooth, way
from render.timing import STEADY, Ease, Real, eased

FPS, SPEED = 24.0, 0.5
"""Pictures a second, and scene lengths a second, where nothing else is asked for."""

TURN_LENGTH = 2.0 / math.pi
"""Scene lengths that a turn by one radian counts as: one by 90 degrees takes as long as going one length."""

TURN_SPEED = math.radians(60.0)
"""At which a camera turns towards something new to look at, radians a second; half as much again at most."""

GENTLE = Ease(start=0.5, end=0.5)
"""How a lens zooms."""

ARRIVED = 1e-4
"""Scene lengths from the first camera within which a tour has come back to it."""

SAMPLES, FEWEST_SAMPLES = 1025, 64
"""Cameras that the length of a segment is measured with, and those through which an eased move goes."""

MAX_SEGMENTS, MAX_KEYS, MAX_ROUNDS, MAX_FPS, MAX_SECONDS = 1000, 1000, 1000, 1000.0, 36_000.0
SPEEDS = (1e-4, 1e4)
FOVS = (math.radians(1.0), math.radians(170.0))

Place = tuple[Real, Real, Real]
"""A point of the world, in world units."""

Target = Place | int
"""What is looked at: a point, or what is a scene length ahead of a frame of the world."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a tour is flown."""

    start: Cameras
    """One camera, which becomes the first of the tour; all others have its size and lens."""

    up: Float[Tensor, " 3"] = field(default_factory=WORLD_UP.clone)
    scale: float = 1.0
    """World units in a scene length."""

    frames: Cameras | None = None
    """The world's own cameras, if there is a world."""

    ids: tuple[int, ...] = ()
    """The numbers of its frames, one a camera."""

    def frame(self, number: int) -> Cameras:
        """The camera of one frame."""
        if self.frames is None or number not in self.ids:
            there = f"there are frames {self.ids[0]} to {self.ids[-1]}" if self.ids else "there are none here"
            raise ValueError(f"there is no frame {number} in the world; {there}")
        return self.frames[[self.ids.index(number)]]

    def place_of(self, target: Target) -> Float[Tensor, " 3"]:
        """The point that is looked at."""
        if isinstance(target, int):
            camera = self.frame(target)
            return (camera.origins[0] + self.scale * camera.forwards[0]).double().cpu()
        return torch.tensor(target, dtype=torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A keyframe: a frame of the world, a pose, or a place. Exactly one of the three is given."""

    frame: int | None = None
    c2w: Float[Tensor, "4 4"] | None = None
    place: Place | None = None
    """World units; the camera looks as it did at the keyframe before."""

    look_at: Target | None = None

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.frame, self.c2w, self.place)) != 1:
            raise ValueError("a keyframe has one of frame, c2w and place")

    def camera(self, setting: Setting, before: Cameras) -> Cameras:
        """The camera of the keyframe; ``before`` is the one that comes before it."""
        c2w = before.c2w.clone()
        if self.frame is not None:
            c2w = setting.frame(self.frame).c2w.to(c2w)
        elif self.c2w is not None:
            c2w = self.c2w[None].to(c2w)
        elif self.place is not None:
            c2w[0, :3, 3] = torch.tensor(self.place)
        camera = dataclasses.replace(before, c2w=c2w)
        if self.look_at is None:
            return camera
        return looking_at(camera, setting.place_of(self.look_at), up=setting.up)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A smooth way from wherever the camera is through keyframes."""

    keys: tuple[Key, ...]
    shape: Shape = ROUND

    def __post_init__(self) -> None:
        if not 1 <= len(self.keys) <= MAX_KEYS:
            raise ValueError(f"a curve goes through 1 to {MAX_KEYS} keyframes, got {len(self.keys)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a segment takes: at most one of the first three is given."""

    seconds: Real | None = None
    frames: int | None = None
    speed: Real | None = None
    """Top speed, scene lengths a second."""

    ease: Ease | None = None

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.seconds, self.frames, self.speed)) > 1:
            raise ValueError("a segment has one of seconds, frames and speed")
        if self.seconds is not None and not 0.0 < self.seconds <= MAX_SECONDS:
            raise ValueError(f"seconds are more than 0 and at most {MAX_SECONDS:g}, got {self.seconds:g}")
        if self.frames is not None and not 1 <= self.frames <= MAX_CAMERAS:
            raise ValueError(f"frames are 1 to {MAX_CAMERAS}, got {self.frames}")
        if self.speed is not None:
            check_speed(self.speed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a tour."""

    what: Move | Curve
    pace: Pace = field(default_factory=Pace)
    look_at: Target | None = None
    """What the camera looks at on the way, instead of where the move or the keyframes make it look."""

    fov: Real | None = None
    """Horizontal field of view at the end, radians; it is zoomed to on the way."""

    def __post_init__(self) -> None:
        if self.fov is not None and not FOVS[0] <= self.fov <= FOVS[1]:
            low, high, got = (math.degrees(angle) for angle in (*FOVS, self.fov))
            raise ValueError(f"fov lies between {low:g} and {high:g} degrees, got {got:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tour:
    """A flythrough; every segment begins where the one before it ended."""

    segments: tuple[Segment, ...] = ()
    fps: Real = FPS
    speed: Real = SPEED
    """Of segments that say nothing of their pace, scene lengths a second."""

    ease: Ease = STEADY
    """Of segments that say nothing of it."""

    rounds: int = 0
    """How often it is flown as a loop, with a curve from its end to its beginning; 0 ends where it ends."""

    def __post_init__(self) -> None:
        if not 0.0 < self.fps <= MAX_FPS:
            raise ValueError(f"fps is more than 0 and at most {MAX_FPS:g}, got {self.fps:g}")
        check_speed(self.speed)
        if len(self.segments) > MAX_SEGMENTS:
            raise ValueError(f"a tour has at most {MAX_SEGMENTS} segments, got {len(self.segments)}")
        if not 0 <= self.rounds <= MAX_ROUNDS:
            raise ValueError(f"a tour goes round up to {MAX_ROUNDS} times, got {self.rounds}")

    def then(
        self,
        move: str,
        *,
        seconds: Real | None = None,
        frames: int | None = None,
        speed: Real | None = None,
        ease: Ease | None = None,
        look_at: Target | None = None,
        fov_deg: Real | None = None,
        **numbers: Real,
    ) -> Tour:
        """One more segment: a move of :data:`render.moves.MOVES` with its numbers."""
        what = Move(name=move, numbers=tuple(numbers.items()))
        pace = Pace(seconds=seconds, frames=frames, speed=speed, ease=ease)
        return self.with_segment(what, pace=pace, look_at=look_at, fov_deg=fov_deg)

    def through(
        self,
        *keys: Key | int,
        seconds: Real | None = None,
        frames: int | None = None,
        speed: Real | None = None,
        ease: Ease | None = None,
        look_at: Target | None = None,
        fov_deg: Real | None = None,
        shape: Shape = ROUND,
    ) -> Tour:
        """One more segment: a curve through keyframes; a number is a frame of the world."""
        what = Curve(keys=tuple(Key(frame=k) if isinstance(k, int) else k for k in keys), shape=shape)
        pace = Pace(seconds=seconds, frames=frames, speed=speed, ease=ease)
        return self.with_segment(what, pace=pace, look_at=look_at, fov_deg=fov_deg)

    def hold(self, seconds: Real, *, look_at: Target | None = None, fov_deg: Real | None = None) -> Tour:
        """One more segment: stand still, or look or zoom somewhere else from where one stands."""
        return self.then("hold", seconds=seconds, look_at=look_at, fov_deg=fov_deg)

    def looped(self, rounds: int = 1) -> Tour:
        """The same tour, that comes back to where it began; the last picture is followed by the first."""
        return dataclasses.replace(self, rounds=rounds)

    def with_segment(
        self, what: Move | Curve, *, pace: Pace, look_at: Target | None, fov_deg: Real | None
    ) -> Tour:
        """One more segment."""
        fov = None if fov_deg is None else math.radians(fov_deg)
        segment = Segment(what=what, pace=pace, look_at=look_at, fov=fov)
        return dataclasses.replace(self, segments=(*self.segments, segment))

    def cameras(self, setting: Setting) -> Cameras:
        """One camera a picture; the first is the setting's, and every segment ends in a camera of its own.

        Raises:
            ValueError: which segment cannot be flown here, counted from 1, and why.
        """
        if not self.segments:
            raise ValueError("a tour has at least one segment, got none")
        parts = [setting.start]
        for number, segment in enumerate(self.segments, start=1):
            try:
                parts.append(self._flown(segment, setting, parts[-1][-1:], is_first=number == 1))
                _check_total(sum(map(len, parts)))
            except ValueError as error:
                raise ValueError(f"segment {number}: {error}") from None
        if not self.rounds:
            return concatenated(parts)
        once = concatenated([*parts, self._home(setting, parts[-1][-1:])])[:-1]
        _check_total(len(once) * self.rounds)
        return once[torch.arange(len(once) * self.rounds) % len(once)]

    def _flown(self, segment: Segment, setting: Setting, here: Cameras, *, is_first: bool) -> Cameras:
        """The pictures of a segment that begins at ``here``, which is no picture of its own but the first."""
        pace = segment.pace
        ease = self.ease if pace.ease is None else pace.ease
        steps = self._pictures(segment, setting, here, ease=ease) - is_first
        check_count(steps + 1)
        path = _path(segment.what, setting, here, n=steps + 1, ease=ease)
        if segment.look_at is not None:
            aimed = looking_at(path, setting.place_of(segment.look_at), up=setting.up)
            turning = math.ceil(turn_between(here, aimed) / TURN_SPEED * self.fps)
            path = turned_from(aimed, here, frames=min(turning, steps))
        if segment.fov is not None:
            path = zoomed(path, segment.fov, eased(np.linspace(0.0, 1.0, steps + 1), GENTLE))
        return path[1:]

    def _pictures(self, segment: Segment, setting: Setting, here: Cameras, *, ease: Ease) -> int:
        """How many pictures a segment has."""
        pace = segment.pace
        if pace.frames is not None:
            return pace.frames
        if pace.seconds is not None:
            return max(1, round(pace.seconds * self.fps))
        length = _length(_path(segment.what, setting, here, n=SAMPLES, ease=STEADY), setting)
        if not length > 0.0:
            raise ValueError("what goes nowhere needs seconds or frames")
        speed = self.speed if pace.speed is None else pace.speed
        return self._pictures_over(length, speed=speed, ease=ease)

    def _pictures_over(self, length: float, *, speed: Real, ease: Ease) -> int:
        """So many that the top speed is never passed; ``length`` is in scene lengths."""
        return max(1, math.ceil(length / (speed * ease.mean_speed) * self.fps - 1e-6))

    def _home(self, setting: Setting, here: Cameras) -> Cameras:
        """The way back from ``here`` to the first camera, which is its last; empty if that is ``here``.

        A lens takes a second to zoom back.
        """
        ends = concatenated([here, setting.start])
        length, is_zoomed = _length(ends, setting), not torch.allclose(ends.K[0], ends.K[1])
        if length < ARRIVED and not is_zoomed:
            return ends[:0]
        count = self._pictures_over(length, speed=self.speed, ease=self.ease)
        count = max(count, math.ceil(self.fps) if is_zoomed else 0)
        check_count(count + 1)
        return smooth(ends, count + 1, ease=self.ease, turn_length=TURN_LENGTH * setting.scale)[1:]


def check_speed(speed: Real) -> None:
    """Refuse what is no speed."""
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        low, high = SPEEDS
        raise ValueError(f"speed lies between {low:g} and {high:g} scene lengths a second, got {speed:g}")


def _path(what: Move | Curve, setting: Setting, here: Cameras, *, n: int, ease: Ease) -> Cameras:
    """``n`` cameras from ``here``, which is the first, to the end of a segment."""
    turn_length = TURN_LENGTH * setting.scale
    if isinstance(what, Curve):
        keys = [here]
        for key in what.keys:
            keys.append(key.camera(setting, keys[-1]))
        return smooth(concatenated(keys), n, shape=what.shape, ease=ease, turn_length=turn_length)
    if ease == STEADY:
        return what.cameras(here, n=n, up=setting.up, scale=setting.scale)
    steady = what.cameras(here, n=max(n, FEWEST_SAMPLES), up=setting.up, scale=setting.scale)
    return smooth(steady, n, ease=ease, turn_length=turn_length)


def _length(cameras: Cameras, setting: Setting) -> float:
    """How long a path is, in scene lengths; turns count too."""
    c2w = cameras.c2w.double().cpu().numpy()
    turn_length = TURN_LENGTH * setting.scale
    return float(way(c2w[:, :3, 3], c2w[:, :3, :3], turn_length=turn_length).sum()) / setting.scale


def _check_total(pictures: int) -> None:
    if pictures > MAX_CAMERAS:
        raise ValueError(f"with this the tour has {pictures:,} pictures, more than {MAX_CAMERAS:,}")
