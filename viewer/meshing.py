"""Meshing: the mesh of what the stage shows, fused when somebody first asks for it.

Room: viewer. Knows no widgets. The Look and the Export panel share one, so a world is fused once for both.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from reconstruct.surface import Surface
from viewer.asks import MeshFn
from viewer.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Every face there is."""

    surface: Surface

    version: int
    """What the stage showed when it was asked for."""


class Meshing:
    """Fuses a world, and remembers its meshes until the world changes. Any thread may call."""

    def __init__(self, stage: Stage, fuse: MeshFn) -> None:
        self._stage, self._fuse = stage, fuse
        self._turn = threading.Lock()
        self._kept: dict[bool, Whole] = {}
        stage.on_change(self._forget)

    def whole(self, *, watertight: bool = False) -> Whole:
        """The mesh of now, or the solid. Whoever asks while it is fused waits for it.

        Raises:
            ValueError: if the world has none.
        """
        with self._turn:
            version, kept = self._stage.version, self._kept  # the version is read before the frames are
            if watertight not in kept or kept[watertight].version != version:
                kept[watertight] = Whole(surface=self._fuse(watertight=watertight), version=version)
            return kept[watertight]

    def _forget(self) -> None:
        self._kept = {}
