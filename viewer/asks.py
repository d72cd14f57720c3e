"""Asks: what the viewer wants done by whoever opened it, as plain callables and data.

Room: viewer. Knows neither viser nor any generator; the command line hands in what a world can do, and what
it leaves out is off in the browser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from jaxtyping import Bool
from torch import Tensor

from memory.boxes import Box, Corner
from memory.points import Points
from memory.world import Tree
from reconstruct.surface import Surface
from render.cameras import Cameras
from render.frames import Frames
from render.gaussians import Gaussians
from render.tours import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A frame that was looked up before a new one was imagined."""

    number: int
    """Its place among the frames that the viewer shows, from 0."""

    overlap: float
    """Share of the new view that it shows."""

    age: int
    """How long ago it came; 1 for the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """One committed chunk: what was imagined, and the points it added to the world."""

    frames: Frames
    points: Points

    known: Bool[Tensor, "n h w 1"] | None = None
    """Where the world was known before the frames were imagined; ``None`` if nobody says."""

    remembered: tuple[Remembered, ...] = ()

    is_ahead: bool = False
    """Whether these are views of places farther along, imagined first and in addition to those asked for."""


@runtime_checkable
class GrowFn(Protocol):
    """Anything that can imagine what cameras would see, chunk after chunk."""

    def __call__(self, cameras: Cameras, *, seed: int) -> Iterator[Grown]:
        """Yield what was committed, in the order of the cameras; views ahead may come before them."""
        ...


@runtime_checkable
class ExploreFn(Protocol):
    """Anything that can find its own way."""

    def __call__(self, camera: Cameras, *, frames: int, seed: int) -> Iterator[Grown]:
        """Yield up to ``frames`` frames that begin at one camera; fewer where nothing new is in reach."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that a world shows at its head."""

    frames: Frames
    """At least one."""

    points: Points

    splats: Gaussians | None = None
    """Fitted splats, drawn in place of the points."""


@runtime_checkable
class Editor(Protocol):
    """Anything that can change what a world holds; each change is one chunk that undo takes back."""

    def remove(self, box: Box) -> str:
        """Take all that is known inside a box out of the world, and say what was done.

        Raises:
            ValueError: if nothing is known there.
        """
        ...

    def place(self, mesh: Path, *, at: Corner, yaw_deg: float, scale: float) -> str:
        """Stand a mesh in the world, and say what was done.

        Raises:
            ValueError: if the file is no mesh that can be placed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The branches of a world, and what it shows where they lead."""

    tree: Tree

    scene: Callable[[], Scene]
    """What the world shows at its head now; asked after the head was moved, and after an edit."""


@runtime_checkable
class MeshFn(Protocol):
    """Fuses all frames of now into one surface with colours at its vertices, every face of it."""

    def __call__(self, *, watertight: bool) -> Surface:
        """Return the surface as it was seen, or a closed solid; takes seconds to minutes.

        Raises:
            ValueError: if the frames show no surface.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What can be done with a world besides looking at it; ``None`` is off.

    Only one of them runs at a time, but for ``setting``, ``splats`` and ``mesh``, which may be asked for at
    any time.
    """

    grow: GrowFn | None = None

    explore: ExploreFn | None = None
    """Goes to what is unknown."""

    wander: ExploreFn | None = None
    """Goes straight on, and round what is in the way."""

    history: History | None = None

    edit: Editor | None = None
    """Needs ``history``."""

    replay: Callable[[], str] | None = None
    """Imagines the newest frame again, and says whether it came out the same bit for bit; changes nothing."""

    setting: Callable[[], Setting] | None = None
    """Where tours are flown: the world of now, from its first view."""

    splats: Callable[[], Gaussians] | None = None
    """The splats of now, for films and exports."""

    mesh: MeshFn | None = None
    """The frames of now as a mesh, to show and for exports."""
