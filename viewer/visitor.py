"""Visitors: what belongs to one open browser: its walk through the frames, and where it stands.

Room: viewer. A visitor is made when a browser connects and forgotten when it leaves; writing to one that
has left does nothing.
"""

from __future__ import annotations

import threading
import time

import numpy as np
from jaxtyping import Float
from torch import Tensor
from viser import ClientHandle, GuiEvent, GuiSliderHandle

from render.walls import Walls
from viewer.browser import BrowserCamera
from viewer.conventions import ViserPose, between
from viewer.minimap import Plan, with_visitor
from viewer.pictures import Shot, caption, side_by_side
from viewer.renderer import Renderer
from viewer.walker import Walker

FLIGHT_S = 0.8
FLIGHT_STEPS = 20
SHORTEST_STEP_S = 1.0 / 30.0

ORDER = 3
"""Where the frames stand in the window: below what every browser shares."""


class Visitor:
    """One browser. ``shots`` is the app's own list, which grows."""

    def __init__(
        self,
        client: ClientHandle,
        camera: BrowserCamera,
        *,
        shots: list[Shot],
        world_up: Float[Tensor, " 3"],
        walls: Walls,
    ) -> None:
        self.client, self.camera = client, camera
        self.renderer: Renderer | None = None
        """What it draws with, as soon and if it has said so."""

        self._shots, self._up = shots, world_up
        self._flight = 0
        self._flying = threading.Lock()
        """Held by whoever flies the visitor: a flight that was cut short must not move it once more."""

        self._number = 0
        self._plan: Plan | None = None
        self._place: tuple[float, ...] = ()
        with client.gui.add_folder("Frames", order=ORDER):
            self._slider = client.gui.add_slider(
                "Frame",
                min=0,
                max=len(shots) - 1,
                step=1,
                initial_value=0,
                hint="Stand where this frame was seen from, and see what was seen.",
            )
            self._picture = client.gui.add_image(side_by_side(shots[0]), label=caption(shots[0]))
            self._map = client.gui.add_image(np.zeros((2, 2, 3), np.uint8), label="From above", visible=False)
            self._goes_along = client.gui.add_checkbox(
                "Go along", initial_value=False, hint="Glide to every new frame while the world grows."
            )
        self._walker = Walker(client, camera, walls=walls)
        self._slider.on_update(self._slid)

    def pose(self) -> ViserPose:
        """Where this browser looks from now."""
        return self.camera.pose()

    def extend(self) -> None:
        """Let the slider reach the frames that there are now, and no others."""
        last = len(self._shots) - 1
        self._slider.max = last
        if self._slider.value > last:
            self._slider.value = last
            self._show(last)

    def leave(self) -> None:
        """It is gone, or will be: no flight goes on."""
        with self._flying:
            self._flight += 1

    def show_plan(self, plan: Plan) -> None:
        """Draw this browser on the map, if it has moved or the map is another one."""
        pose = self.pose()
        place = (*pose.position.round(4).tolist(), *pose.wxyz.round(3).tolist())
        if plan is not self._plan or place != self._place:
            self._plan, self._place = plan, place
            self._map.image, self._map.visible = with_visitor(plan, pose), True

    def tag_along(self) -> None:
        """Glide to the newest frame, if this browser wants to."""
        if self._goes_along.value:
            newest = len(self._shots) - 1
            threading.Thread(target=self.fly_to, args=(newest,), name="viewer-flight", daemon=True).start()

    def fly_to(self, number: int) -> None:
        """Glide to a frame's camera; a later flight cuts this one short. Takes ``FLIGHT_S`` seconds."""
        if not 0 <= number < len(self._shots):
            return
        flight, start, goal = self._take_off(), self.pose(), self._shots[number].pose
        self._show(number)
        self._slider.value = number
        for i in range(1, FLIGHT_STEPS + 1):
            share = i / FLIGHT_STEPS
            pose = between(start, goal, share=share * share * (3.0 - 2.0 * share))
            if not self._fly(flight, pose):
                return
            time.sleep(FLIGHT_S / FLIGHT_STEPS)
        self._land(flight)

    def play(self, poses: list[ViserPose], *, fps: float) -> None:
        """Go through views at a steady pace, leaving out those that come too late; a later flight ends it."""
        flight, began = self._take_off(), time.monotonic()
        number = 0
        while self._fly(flight, poses[min(number, len(poses) - 1)]) and number < len(poses) - 1:
            time.sleep(max(1.0 / fps, SHORTEST_STEP_S))
            number = int((time.monotonic() - began) * fps)
        self._land(flight)

    def _take_off(self) -> int:
        """Begin a flight, and end the one before it; its number."""
        with self._flying:
            self._flight += 1
            self._walker.is_flying = True
            return self._flight

    def _fly(self, flight: int, pose: ViserPose) -> bool:
        """One step of a flight; False if something later has cut it short."""
        with self._flying:
            if self._flight == flight:
                self._stand(pose)
            return self._flight == flight

    def _land(self, flight: int) -> None:
        with self._flying:
            if self._flight == flight:
                self._walker.is_flying = False

    async def _slid(self, event: GuiEvent[GuiSliderHandle[int]]) -> None:
        """Runs on the server's own loop, so that a quick drag arrives in order."""
        number = event.target.value
        if number != self._number and 0 <= number < len(self._shots):
            self._show(number)
            flight = self._take_off()
            self._fly(flight, self._shots[number].pose)
            self._land(flight)

    def _show(self, number: int) -> None:
        shot = self._shots[number]
        self._number = number
        self._picture.image, self._picture.label = side_by_side(shot), caption(shot)

    def _stand(self, pose: ViserPose) -> None:
        self._walker.stand(pose.position)
        self.camera.stand(pose, up=self._up, focus=self._walker.focus)
