"""Visitors: what belongs to one open browser: its walk through the frames, and where it stands.

Room: viewer. A visitor is made when a browser connects and forgotten when it leaves; writing to one that
has left does nothing.
"""

from __future__ import annotations

import time

from jaxtyping import Float
from torch import Tensor
from viser import ClientHandle, GuiEvent, GuiSliderHandle

from viewer.conventions import ViserPose, between, up_of
from viewer.panels import ORDER
from viewer.pictures import Shot, caption, side_by_side

FLIGHT_S = 0.8
FLIGHT_STEPS = 20


class Visitor:
    """One browser. ``shots`` is the app's own list, which grows."""

    def __init__(
        self, client: ClientHandle, shots: list[Shot], *, world_up: Float[Tensor, " 3"], focus: float
    ) -> None:
        self._client, self._shots, self._up, self._focus = client, shots, world_up, focus
        self._flight = 0
        self._number = 0
        with client.gui.add_folder("Frames", order=ORDER["frames"]):
            self._slider = client.gui.add_slider(
                "Frame",
                min=0,
                max=len(shots) - 1,
                step=1,
                initial_value=0,
                hint="Stand where this frame was seen from, and see what was seen.",
            )
            self._picture = client.gui.add_image(side_by_side(shots[0]), label=caption(shots[0]))
        self._slider.on_update(self._slid)

    def pose(self) -> ViserPose:
        """Where this browser looks from now."""
        camera = self._client.camera
        return ViserPose(
            wxyz=camera.wxyz, position=camera.position, fov=float(camera.fov), aspect=float(camera.aspect)
        )

    def extend(self) -> None:
        """Let the slider reach frames that have come since."""
        self._slider.max = len(self._shots) - 1

    def fly_to(self, number: int) -> None:
        """Glide to a frame's camera; a later flight cuts this one short. Takes ``FLIGHT_S`` seconds."""
        self._flight += 1
        flight, start, goal = self._flight, self.pose(), self._shots[number].pose
        self._show(number)
        self._slider.value = number
        for i in range(1, FLIGHT_STEPS + 1):
            if self._flight != flight:
                return
            share = i / FLIGHT_STEPS
            self._stand(between(start, goal, share=share * share * (3.0 - 2.0 * share)))
            time.sleep(FLIGHT_S / FLIGHT_STEPS)

    async def _slid(self, event: GuiEvent[GuiSliderHandle[int]]) -> None:
        """Runs on the server's own loop, so that a quick drag arrives in order."""
        number = event.target.value
        if number != self._number and number < len(self._shots):
            self._flight += 1
            self._show(number)
            self._stand(self._shots[number].pose)

    def _show(self, number: int) -> None:
        shot = self._shots[number]
        self._number = number
        self._picture.image, self._picture.label = side_by_side(shot), caption(shot)

    def _stand(self, pose: ViserPose) -> None:
        camera = self._client.camera
        with self._client.atomic():
            # Viser carries look_at along with position, so position goes first.
            camera.position = pose.position
            camera.look_at = pose.look_at(self._focus)
            camera.up_direction = up_of(pose, self._up)
            camera.fov = pose.fov
