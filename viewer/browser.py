"""Browser: a world as viser's client shows it, and where its visitors say that they are.

Room: viewer; the one file that knows the client's unit of length. The client walks two of its units a second,
turns about points no nearer than a hundredth of one, and ends what it shows at ten thousand, whatever it
shows. So its unit follows a world's scale: all that is sent is divided by the unit, all that it says is
multiplied by it, and everybody else speaks in world units. Viser hands the scale of a node to nothing below
it, so there is no one node that could do this for all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8
from torch import Tensor
from viser import (
    CameraFrustumHandle,
    CameraHandle,
    ClientHandle,
    FrameHandle,
    GaussianSplatHandle,
    GlbHandle,
    PointCloudHandle,
    TransformControlsEvent,
    TransformControlsHandle,
    ViserServer,
)

from viewer.clouds import Sent
from viewer.conventions import ViserPose, up_of

Colour = tuple[int, int, int]

CLIENT_PACE, PACE = 2.0, 0.75
"""What a visitor walks in a second: in the client's units, and in scales of a world. At the scale of a room,
2 m, that is as fast as people walk."""

LINE_WIDTH = 0.02
"""Of a drawn camera, in its depth."""

AXIS_WIDTH = 0.02
"""Radius of an axis of the world, in its length; the ball at the origin has twice as much."""


def unit_of(scale: float) -> float:
    """The browser's unit of length in a world of some scale, world units."""
    return scale * PACE / CLIENT_PACE


class BrowserCamera:
    """Where one browser looks from; lengths in world units. Any thread may call."""

    def __init__(self, client: ClientHandle, *, scale: float) -> None:
        self._client, self._camera = client, client.camera
        self.scale = scale
        """A typical distance in the world, world units."""

        self.unit = unit_of(scale)

    def pose(self) -> ViserPose:
        """Where it looks from now."""
        camera = self._camera
        return ViserPose(
            wxyz=camera.wxyz, position=self.position, fov=float(camera.fov), aspect=float(camera.aspect)
        )

    @property
    def position(self) -> Float64[np.ndarray, " 3"]:
        """Setting it carries ``look_at`` along."""
        return self.unit * np.asarray(self._camera.position, dtype=np.float64)

    @position.setter
    def position(self, place: Float[np.ndarray, " 3"]) -> None:
        self._camera.position = place / self.unit

    @property
    def look_at(self) -> Float64[np.ndarray, " 3"]:
        """What it turns about."""
        return self.unit * np.asarray(self._camera.look_at, dtype=np.float64)

    @look_at.setter
    def look_at(self, place: Float[np.ndarray, " 3"]) -> None:
        self._camera.look_at = place / self.unit

    @property
    def fov(self) -> float:
        """Vertical, in radians."""
        return float(self._camera.fov)

    @fov.setter
    def fov(self, fov: float) -> None:
        self._camera.fov = fov

    def stand(self, pose: ViserPose, *, up: Float[Tensor, " 3"], focus: float) -> None:
        """Look from elsewhere, and turn about what lies ``focus`` ahead; ``up`` is the world's."""
        with self._client.atomic():
            self.position = pose.position  # first: it carries look_at along
            self.look_at = pose.look_at(focus)
            self._camera.up_direction = up_of(pose, up)
            self.fov = pose.fov

    def turn_no_nearer_than(self, distance: float) -> None:
        """How close it may come to what it turns about, world units."""
        self._camera.min_orbit_distance = distance / self.unit

    def on_move(self, tell: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Call ``tell`` on the server's own loop whenever the browser says where it is, in order."""

        async def moved(_: CameraHandle) -> None:
            await tell()

        self._camera.on_update(moved)


@dataclass(frozen=True, slots=True)
class Gizmo:
    """Arrows that visitors drag; what is named below it moves along."""

    handle: TransformControlsHandle
    unit: float

    @property
    def position(self) -> Float64[np.ndarray, " 3"]:
        """World units."""
        return self.unit * np.asarray(self.handle.position, dtype=np.float64)

    def put(self, place: Float[np.ndarray, " 3"]) -> None:
        """Move it to another place, world units."""
        self.handle.position = place / self.unit

    @property
    def wxyz(self) -> Float64[np.ndarray, " 4"]:
        return np.asarray(self.handle.wxyz, dtype=np.float64)

    def on_drag(self, tell: Callable[[bool], None]) -> None:
        """Call ``tell`` with whether it was let go of, whenever somebody moves it."""

        def dragged(event: TransformControlsEvent) -> None:
            tell(event.phase == "end")

        self.handle.on_update(dragged)

    def remove(self) -> None:
        """Take it out of the scene, with what is below it."""
        self.handle.remove()


class BrowserScene:
    """What all browsers are shown; lengths in world units. Any thread may call."""

    def __init__(self, server: ViserServer, *, scale: float) -> None:
        """``scale`` is a typical distance in the world, world units."""
        self._server, self._scene = server, server.scene
        self.scale, self.unit = scale, unit_of(scale)

    def atomic(self) -> contextlib.AbstractContextManager[None]:
        """What is sent within is shown all at once."""
        return self._server.atomic()

    def begin_at(self, pose: ViserPose, *, up: Float[Tensor, " 3"], near: float, far: float) -> None:
        """Where browsers start, and where viser's reset button leads; between which distances they see."""
        self._scene.set_up_direction(tuple(up.tolist()))
        camera = self._server.initial_camera
        camera.position = pose.position / self.unit
        camera.look_at = pose.look_at(self.scale) / self.unit
        camera.up, camera.fov = up_of(pose, up), pose.fov
        camera.near, camera.far = near / self.unit, far / self.unit

    def camera_of(self, client: ClientHandle) -> BrowserCamera:
        """The camera of one browser."""
        return BrowserCamera(client, scale=self.scale)

    def size_axes(self, length: float) -> FrameHandle:
        """The axes of the world, hidden until somebody shows them, as long as this."""
        axes, length = self._scene.world_axes, length / self.unit
        axes.axes_length, axes.axes_radius = length, AXIS_WIDTH * length
        axes.origin_radius = 2.0 * AXIS_WIDTH * length
        return axes

    def add_group(self, name: str, *, visible: bool) -> FrameHandle:
        """A node that shows nothing; what is named below it is shown and hidden with it."""
        return self._scene.add_frame(name, show_axes=False, visible=visible)

    def add_splats(self, name: str, splats: Sent, *, unit: float) -> GaussianSplatHandle:
        """Splats in units of ``unit``, world units."""
        return self._scene.add_gaussian_splats(name, **splats, scale=unit / self.unit)

    def add_points(
        self, name: str, points: Float32[np.ndarray, "p 3"], colours: UInt8[np.ndarray, "p 3"], *, size: float
    ) -> PointCloudHandle:
        """Discs that face whoever looks, as wide as ``size``."""
        return self._scene.add_point_cloud(
            name,
            points=points,
            colors=colours,
            point_size=size,
            point_shape="circle",
            point_shading="flat",
            precision="float32",  # 16 bits would move points by a pixel a few units from the origin
            scale=1.0 / self.unit,
        )

    def add_glb(self, name: str, glb: bytes) -> GlbHandle:
        """A mesh in the axes of the world."""
        return self._scene.add_glb(name, glb, scale=1.0 / self.unit, cast_shadow=False, receive_shadow=False)

    def add_camera(
        self,
        name: str,
        pose: ViserPose,
        *,
        depth: float,
        color: Colour,
        image: UInt8[np.ndarray, "h w 3"] | None = None,
    ) -> CameraFrustumHandle:
        """A camera as a pyramid that is ``depth`` long, with what it saw on its base."""
        depth = depth / self.unit
        camera = self._scene.add_camera_frustum(
            name,
            fov=pose.fov,
            aspect=pose.aspect,
            thickness=LINE_WIDTH * depth,
            color=color,
            image=image,
            wxyz=pose.wxyz,
            position=pose.position / self.unit,
            cast_shadow=False,
            receive_shadow=False,
        )
        camera.scale = depth / camera.compute_canonical_frustum_size()[2]
        return camera

    def add_gizmo(
        self,
        name: str,
        place: Float[np.ndarray, " 3"],
        *,
        size: float,
        wxyz: Float[np.ndarray, " 4"] | None = None,
    ) -> Gizmo:
        """Arrows as long as ``size``, before everything else; without ``wxyz`` they do not turn."""
        handle = self._scene.add_transform_controls(
            name,
            scale=size / self.unit,
            disable_rotations=wxyz is None,
            depth_test=False,
            wxyz=(1.0, 0.0, 0.0, 0.0) if wxyz is None else wxyz,
            position=place / self.unit,
        )
        return Gizmo(handle, self.unit)

    def add_box(self, name: str, sides: Float[np.ndarray, " 3"], *, color: Colour) -> None:
        """The edges of a box about the node above it."""
        x, y, z = (sides / self.unit).tolist()
        self._scene.add_box(
            name,
            color=color,
            dimensions=(x, y, z),
            wireframe=True,
            cast_shadow=False,
            receive_shadow=False,
        )

    def add_mesh(self, name: str, corners: Float32[np.ndarray, "v 3"], *, color: Colour) -> None:
        """Triangles, three corners each, about the node above them."""
        self._scene.add_mesh_simple(
            name,
            vertices=corners,
            faces=np.arange(len(corners), dtype=np.uint32).reshape(-1, 3),
            color=color,
            flat_shading=True,
            side="double",
            scale=1.0 / self.unit,
        )

    def add_lines(
        self, name: str, points: Float32[np.ndarray, "n 2 3"], *, color: Colour, thickness: float
    ) -> None:
        """Straight lines, two ends each."""
        self._scene.add_line_segments(
            name,
            points=points / np.float32(self.unit),
            colors=color,
            thickness=thickness / self.unit,
        )

    def remove(self, name: str) -> None:
        """Take a node out, if it is there."""
        self._scene.remove_by_name(name)
