"""Key panel: one keyframe of the path that is drawn: how long to the next one, how much it sees, from where.

Room: viewer. Widgets; what they ask for is done by the path panel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import viser

from viewer.conventions import ViserPose
from viewer.keyframes import MOST_KEYS, Drawn

LEG_LIMITS_S = (0.1, 60.0)
FOV_LIMITS_DEG = (10.0, 140.0)

Change = Callable[[Callable[[Drawn], Drawn]], None]
"""Makes another path of the one that is drawn."""


class KeyPanel:
    """Which keyframe, and what can be said of it."""

    def __init__(
        self,
        server: viser.ViserServer,
        *,
        change: Change,
        pose_of: Callable[[viser.GuiEvent], ViserPose | None],
    ) -> None:
        """``pose_of`` says where whoever clicked looks from."""
        self._change, self._pose_of = change, pose_of
        self._drawn = Drawn()
        gui = server.gui
        with gui.add_folder("Keyframe", visible=False) as self._folder:
            self._which = gui.add_number(
                "Which", 1, min=1, max=MOST_KEYS, step=1, hint="1 is the first; a click on one picks it."
            )
            low, high = LEG_LIMITS_S
            self._leg = gui.add_number("Seconds to the next", 2.0, min=low, max=high, step=0.1)
            low, high = FOV_LIMITS_DEG
            self._fov = gui.add_number(
                "It sees", 60.0, min=low, max=high, step=0.1, hint="Degrees from top to bottom."
            )
            take = gui.add_button("Take my view", color="gray", hint="Put it where you look from.")
        self._which.on_update(lambda _: self._fill())
        self._leg.on_update(self._retimed)
        self._fov.on_update(self._widened)
        take.on_click(self._taken)

    def show(self, drawn: Drawn) -> None:
        """The path is this now."""
        self._drawn = drawn
        self._folder.visible = bool(drawn.keys)
        if drawn.keys and self._which.value > len(drawn.keys):
            self._which.value = len(drawn.keys)
        self._fill()

    def pick(self, number: int) -> None:
        """Show keyframe ``number``, from 0."""
        self._which.value = number + 1

    @property
    def _number(self) -> int:
        return int(min(max(1, self._which.value), max(1, len(self._drawn.keys)))) - 1

    def _fill(self) -> None:
        """Say what is so of the keyframe; what is set here and not by a browser asks for nothing."""
        drawn, number = self._drawn, self._number
        if number < len(drawn.keys):
            self._fov.value = round(float(np.rad2deg(drawn.keys[number].fov)), 1)
        if number < len(drawn.legs_s):
            self._leg.value = drawn.legs_s[number]
        self._leg.disabled = number >= len(drawn.legs_s)

    def _retimed(self, event: viser.GuiEvent) -> None:
        if event.client is not None:
            low, high = LEG_LIMITS_S
            number, leg = self._number, float(min(max(low, self._leg.value), high))
            self._change(lambda drawn: drawn.with_leg(number, leg))

    def _widened(self, event: viser.GuiEvent) -> None:
        if event.client is not None:
            low, high = FOV_LIMITS_DEG
            number, fov = self._number, float(np.deg2rad(min(max(low, self._fov.value), high)))
            self._change(
                lambda drawn: (
                    drawn.with_pose(number, dataclasses.replace(drawn.keys[number], fov=fov))
                    if number < len(drawn.keys)
                    else drawn
                )
            )

    def _taken(self, event: viser.GuiEvent) -> None:
        pose = self._pose_of(event)
        if pose is not None:
            number = self._number
            self._change(lambda drawn: drawn.with_pose(number, pose))
