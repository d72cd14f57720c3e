"""Records: the plain data that a world folder keeps, and the checks on what callers hand in.

Room: memory. Private to it; ``memory.world`` re-exports what is public.
"""

from __future__ import annotations

import errno
import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from memory.boxes import Box
from memory.costs import Cost
from render.cameras import Cameras

MAX_PATH_CAMERAS = 100_000
LARGEST_INTEGER = 2**63 - 1
MAX_NAME = 1000
HEAD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
UNITS = ("metres", "scene")
MAX_POINTS = 1 << 18
"""Most points of one edit: 10 MB."""

AHEAD = "ahead"
"""The key in the settings of paths and chunks that says which frames were imagined ahead."""

PLACE, REMOVE = "place", "remove"

DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a disk says that is full or broken: the request was a fair one."""


class WorldError(ValueError):
    """A world folder cannot do what was asked; one sentence says why and what to do."""


class NotWrittenError(WorldError):
    """The disk refused a change, and the world is as it was; the same request may succeed later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneInfo:
    """What the first view fixes for the whole world."""

    units: str
    """"metres" if the input was metric, else "scene"."""

    scale: float
    """Median depth of the first view, in world units."""

    up: tuple[float, float, float]
    """Unit vector, in the world."""

    def __post_init__(self) -> None:
        if self.units not in UNITS:
            raise WorldError(f"the units of a scene are one of {UNITS}, got {self.units!r}")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise WorldError(f"the scale of a scene is a finite length above 0, got {self.scale}")
        if not abs(math.hypot(*self.up) - 1.0) < 1e-3:
            raise WorldError(f"the up direction of a scene is a unit vector, got {self.up}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change that somebody made to what the world holds."""

    id: int
    kind: str
    """"place" or "remove"."""

    time: int
    """How many edits there are on the way to it, itself included: the world's time from then on."""

    box: Box
    """What changed lies inside."""

    points: int
    """How many points were placed; 0 where something was removed."""

    sha256: bytes | None
    """Of the file that holds them; ``None`` where something was removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A few frames that became part of the world together, or one edit; a node of its tree."""

    id: int
    parent: int | None
    created: str
    """ISO 8601, UTC."""

    given: bool
    """Whether the frames were measured (input) rather than imagined."""

    generator: str
    seed: int
    settings: dict[str, Any]
    """Plain JSON: everything else that decides the frames."""

    frame_ids: tuple[int, ...]
    path: int | None
    """Camera path that the frames follow, if any."""

    path_start: int
    """Index on the path of the first frame's camera."""

    edit: Edit | None = None
    """What was changed, on a chunk without frames."""

    cost: Cost | None = field(default=None, compare=False)
    """What it took; ``None`` if it is from before worlds recorded that."""

    @property
    def is_ahead(self) -> bool:
        """Whether its frames were imagined ahead of the others of their path, from far along it."""
        return self.settings.get(AHEAD) is True


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPath:
    """A camera path that is being followed."""

    id: int
    cameras: Cameras
    seed: int
    generator: str
    settings: dict[str, Any]
    done: int
    """How many of the cameras have frames at the head; the next one is ``cameras[done:]``."""

    @property
    def ahead(self) -> int:
        """How many of the cameras, the first ones, stand far along it and come again in their turn."""
        count = self.settings.get(AHEAD)
        return count if type(count) is int and 0 <= count <= len(self.cameras) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A named end of the tree of chunks."""

    name: str
    chunk: int | None
    """The newest chunk on it; ``None`` while the world is empty."""

    tip: int | None
    """Where it ended before undo, and can be taken back to; ``None`` if nothing was undone."""

    is_current: bool
    """Whether the world is looked at, and grows, here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """What was deleted for good, or would be."""

    chunks: int
    frames: int
    bytes: int
    """Of all files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """One row of the index: all of a frame but its pixels."""

    id: int
    width: int
    height: int
    c2w: bytes
    K: bytes
    near: float | None
    """Smallest and largest valid depth, in world units; ``None`` if no depth is valid."""

    far: float | None
    confidence: float
    """Mean over the picture, as the generator gave it."""

    rgb_sha256: bytes
    depth_sha256: bytes
    given: bool


def checked_origin(generator: str, *, seed: int, settings: object) -> dict[str, Any]:
    """The settings as they will be read back, if generator, seed and settings can all be stored."""
    if not generator or len(generator) > MAX_NAME or not generator.isprintable():
        raise WorldError(
            f"a generator is named by 1 to {MAX_NAME} printable characters, got {generator!r:.80}"
        )
    if not -LARGEST_INTEGER <= seed <= LARGEST_INTEGER:
        raise WorldError(f"a seed is a signed 64-bit integer, got {seed!r:.80}")
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise WorldError(f"settings are a dict with text keys, got {settings!r:.80}")
    try:
        return json.loads(json.dumps(settings, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise WorldError(
            f"settings are plain JSON (text, finite numbers, lists, dicts), but {error}"
        ) from error


def checked_head_name(name: str) -> str:
    """``name`` if a head can have it."""
    if not HEAD_NAME.fullmatch(name):
        raise WorldError(
            "a head is named by 1 to 64 letters, digits, dots, dashes and underscores, of which the first "
            f"is a letter or a digit, got {name!r:.80}"
        )
    return name


def checked_time(created: str) -> str:
    """``created`` if it is an ISO 8601 time in UTC."""
    try:
        offset = datetime.fromisoformat(created).utcoffset()
    except ValueError:
        offset = None
    if offset != timedelta(0):
        raise WorldError(f"times are ISO 8601 in UTC, such as 2026-01-31T12:00:00+00:00, got {created!r:.80}")
    return created
