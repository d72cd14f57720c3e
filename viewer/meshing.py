"""Meshing: the mesh of what the stage shows, fused when somebody first asks for it.

Room: viewer. Knows no widgets. The Look and the Export panel share one, so a world is fused once for both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from reconstruct.surface import Surface
from viewer.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Every face there is."""

    surface: Surface

    version: int
    """What the stage showed when it was asked for."""


class Meshing:
    """Fuses a world, and remembers the mesh until the world changes. Any thread may call."""

    def __init__(self, stage: Stage, fuse: Callable[[], Surface]) -> None:
        self._stage, self._fuse = stage, fuse
        self._turn = threading.Lock()
        self._kept: Whole | None = None
        stage.on_change(self._forget)

    def whole(self) -> Whole:
        """The mesh of now. Whoever asks while it is fused waits for it.

        Raises:
            ValueError: if the world has none.
        """
        with self._turn:
            version, kept = self._stage.version, self._kept  # the version is read before the frames are
            if kept is None or kept.version != version:
                kept = self._kept = Whole(surface=self._fuse(), version=version)
            return kept

    def _forget(self) -> None:
        self._kept = None
