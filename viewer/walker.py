"""Walker: how one visitor moves: whether walls hold it back, and what dragging turns.

Room: viewer; a visitor has one. Browsers move by themselves and say where they are: who went too far is put
back. A flight to a frame or along a path is nobody's walk, and goes through everything.
"""

from __future__ import annotations

import math
import time

import numpy as np
from jaxtyping import Float
from viser import ClientHandle

from render.walls import Walls
from viewer.browser import BrowserCamera

ORDER = 4
"""Where it stands in the window: below the frames."""

EYE = 0.01
"""How far before the eyes the point lies about which a head turns, in world scales."""

GONE = 1e-4
"""Share of that distance by which it may be off."""

LATE_S = 1.0
"""How long after it was put somewhere a browser may go on saying where it was before."""


class Walker:
    """One browser's steps."""

    def __init__(self, client: ClientHandle, camera: BrowserCamera, *, walls: Walls) -> None:
        """Dragging goes round a point that lies a world scale ahead."""
        self._camera, self._walls, self._focus = camera, walls, camera.scale
        self._place: Float[np.ndarray, " 3"] | None = None
        self._put_at = -math.inf
        self.is_flying = False
        """Whether somebody else moves it; walls do not count then."""
        with client.gui.add_folder("Walk", order=ORDER):
            self._inside = client.gui.add_checkbox(
                "Stay inside", initial_value=False, hint="Do not walk through what is known."
            )
            self._head = client.gui.add_checkbox(
                "Turn my head",
                initial_value=False,
                hint="Dragging turns you; else you go round what you see.",
            )
        self._head.on_update(lambda _: self._look_ahead())
        camera.on_move(self._moved)

    @property
    def focus(self) -> float:
        """How far ahead the point lies that dragging goes round, world units."""
        return EYE * self._focus if self._head.value else self._focus

    def stand(self, place: Float[np.ndarray, " 3"]) -> None:
        """It was put here; until it says so itself, what it says is late and no step."""
        self._place, self._put_at = place, time.monotonic()

    def _look_ahead(self) -> None:
        camera = self._camera
        camera.turn_no_nearer_than(min(EYE * self._focus, 0.5 * self.focus))
        ahead = camera.look_at - camera.position
        camera.look_at = camera.position + self.focus * ahead / np.linalg.norm(ahead)

    async def _moved(self) -> None:
        """Runs on the server's own loop, so that steps arrive in order."""
        camera = self._camera
        place = camera.position
        if self.is_flying or not np.isfinite(place).all():
            return
        if time.monotonic() - self._put_at < LATE_S:
            off = 0.0 if self._place is None else float(np.abs(place - self._place).max())
            if off > GONE * self._focus:
                return
            self._put_at = -math.inf
        if self._inside.value and self._place is not None:
            held = self._walls.held(self._place, place)
            if held is not place:
                camera.position = place = held
        self._place = place
        if self._head.value:
            ahead = float(np.linalg.norm(camera.look_at - camera.position))
            if abs(ahead - self.focus) > GONE * self.focus:
                self._look_ahead()  # scrolling drew the eyes away from what they turn about
