"""Layers: the world in the browser as splats, points, cameras and a mesh, each of which can be switched off.

Room: viewer. All writes to the scene happen here. A node holds at least ``NODE_SPLATS`` splats, and the
numbers of splats and cameras are bounded: the browser draws 10,000 frames as readily as 100.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from viser import (
    CameraFrustumHandle,
    FrameHandle,
    GaussianSplatHandle,
    GlbHandle,
    PointCloudHandle,
    SceneNodePointerEvent,
)

from memory.boxes import Box
from viewer.browser import BrowserScene
from viewer.clouds import (
    Cloud,
    as_sent,
    next_reach,
    packed,
    pixel_unit,
    reach_needed,
    thinned,
)
from viewer.paint import Paint, painted
from viewer.pictures import Shot

LayerName = Literal["splats", "points", "cameras"]

NODE_SPLATS = 20_000
"""A browser pays per node, so smaller chunks share one."""

MOST_SPLATS = 2_000_000
"""32 bytes each, sent to every browser. Beyond it every two become one."""

LEAST_REACH = 4.0
"""Every splat is drawn from at least so many world scales away."""

MOST_CAMERAS = 200
"""Beyond it every second camera goes."""

THUMBNAIL_SIDE = 96
"""About the longer side of a picture on a camera, in pixels."""

CAMERA_DEPTH = 0.045
"""Length of a drawn camera in world scales. Shorter than ``NEAR``, so that nobody who stands in a camera
has its picture in front of the eyes."""

NEAR = 0.05
"""Near plane of the browser, in world scales."""

OLD_COLOUR, NEW_COLOUR = (120, 130, 150), (255, 146, 43)
"""Cameras that came with the world, and cameras grown since."""


class Layers:
    """The scene nodes of one world. Any thread may call."""

    def __init__(
        self,
        browser: BrowserScene,
        *,
        on_camera: Callable[[int, int], None],
        shown: frozenset[LayerName] = frozenset({"splats"}),
    ) -> None:
        """``on_camera`` gets the client's id and the frame's number when a camera is clicked."""
        self._browser, self._scale = browser, browser.scale
        self._on_camera = on_camera
        self._reach = LEAST_REACH * self._scale
        self._unit = pixel_unit(self._reach)
        self._roots: dict[LayerName, FrameHandle] = {
            name: browser.add_group(f"/{name}", visible=name in shown)
            for name in ("splats", "points", "cameras")
        }
        self._shown: set[LayerName] = set(shown)
        self._clouds: list[Cloud] = []
        self._drawn: list[Cloud] = []
        self._kept_one_in = self._drawn_one_in = 1
        self._most = MOST_SPLATS
        self._paint: Paint = "Colours"
        self._place = np.zeros(3)
        self._splats: list[GaussianSplatHandle] = []
        self._points: list[PointCloudHandle] = []
        self._low, self._high = np.full(3, np.inf), np.full(3, -np.inf)
        self._cameras: dict[int, CameraFrustumHandle] = {}
        self._camera_stride = 1
        self._mesh: GlbHandle | None = None
        self._lock = threading.Lock()
        self.frame_count = 0

    @property
    def one_in(self) -> int:
        """One splat is drawn for so many."""
        return self._kept_one_in * self._drawn_one_in

    @property
    def splat_count(self) -> int:
        """How many splats the browser holds."""
        return sum(map(len, self._drawn))

    @property
    def node_count(self) -> int:
        """In how many parts they are drawn."""
        return len(self._clouds)

    def count_within(self, box: Box) -> int:
        """How many of the drawn splats have their centre in a box."""
        with self._lock:
            return sum(
                int(((cloud.centers >= box.low) & (cloud.centers <= box.high)).all(axis=1).sum())
                for cloud in self._clouds
            )

    def places(self, most: int) -> tuple[Float[np.ndarray, "g 3"], UInt8[np.ndarray, "g 3"]]:
        """Where about so many of the drawn splats are, an even choice, and their colours."""
        with self._lock:
            drawn = list(self._drawn)
        stride = max(1, sum(map(len, drawn)) // most)
        centers = [np.zeros((0, 3), np.float32), *(cloud.centers[::stride] for cloud in drawn)]
        rgbs = [np.zeros((0, 3), np.uint8), *(cloud.rgbs[::stride] for cloud in drawn)]
        return np.concatenate(centers), np.concatenate(rgbs)

    def switch(self, name: LayerName, *, visible: bool) -> None:
        """Show or hide one layer in every browser; splats and points that are hidden are not sent either."""
        with self._lock, self._browser.atomic():
            self._roots[name].visible = visible
            (self._shown.add if visible else self._shown.discard)(name)
            if name != "cameras":
                _keep_first(self._splats if name == "splats" else self._points, 0)
                for index in range(len(self._drawn) if visible else 0):
                    (self._draw_splats if name == "splats" else self._draw_points)(index)

    def show_mesh(self, glb: bytes | None) -> None:
        """Show a mesh, as binary glTF in the axes of the world, in place of any other; ``None`` hides it."""
        with self._lock, self._browser.atomic():
            if glb is not None:
                self._mesh = self._browser.add_glb("/mesh", glb)
            elif self._mesh is not None:
                self._mesh.remove()
                self._mesh = None

    def add(self, clouds: list[Cloud], shots: list[Shot], *, is_new: bool) -> None:
        """Put chunks into the scene, all at once."""
        with self._lock, self._browser.atomic():
            self._add_clouds([thinned(cloud, one_in=self._kept_one_in) for cloud in clouds])
            for shot in shots:
                self._add_camera(self.frame_count, shot, color=NEW_COLOUR if is_new else OLD_COLOUR)
                self.frame_count += 1

    def replace(self, clouds: list[Cloud], shots: list[Shot]) -> None:
        """Show other chunks in place of all there are."""
        with self._lock, self._browser.atomic():
            for camera in self._cameras.values():
                camera.remove()
            self._cameras, self._camera_stride, self.frame_count = {}, 1, 0
            self._clouds, self._kept_one_in = [], 1
            self._low, self._high = np.full(3, np.inf), np.full(3, -np.inf)
            self._add_clouds(clouds)
            for shot in shots:
                self._add_camera(self.frame_count, shot, color=OLD_COLOUR)
                self.frame_count += 1

    def limit(self, most: int) -> None:
        """Draw at most so many splats; what is not drawn is kept, and comes back with a higher limit."""
        with self._lock, self._browser.atomic():
            self._most = min(max(1, most), MOST_SPLATS)
            self._add_clouds([])

    def paint(self, paint: Paint, *, place: Float[np.ndarray, " 3"]) -> None:
        """Let colours say something else; nearness is measured from ``place``."""
        with self._lock, self._browser.atomic():
            self._paint, self._place = paint, place
            for index in range(len(self._drawn)):
                self._draw(index)

    def keep_in_sight(self, places: Float[np.ndarray, "n 3"]) -> None:
        """Widen splats that would vanish for a visitor far outside, and narrow them when all are back."""
        with self._lock:
            if not self._clouds:
                return
            needed = reach_needed(places, low=self._low, high=self._high)
            reach = next_reach(self._reach, needed=needed, least=LEAST_REACH * self._scale)
            if reach != self._reach:
                self._reach = reach
                with self._browser.atomic():
                    for index in range(len(self._clouds) if "splats" in self._shown else 0):
                        self._draw_splats(index)

    def _add_clouds(self, clouds: list[Cloud]) -> None:
        is_open = bool(self._clouds) and len(self._clouds[-1]) < NODE_SPLATS
        first = len(self._clouds) - int(is_open)
        self._clouds[first:] = packed([*self._clouds[first:], *clouds], least=NODE_SPLATS)
        while sum(map(len, self._clouds)) > MOST_SPLATS:
            self._kept_one_in, first = 2 * self._kept_one_in, 0
            self._clouds = packed([thinned(cloud, one_in=2) for cloud in self._clouds], least=NODE_SPLATS)
        stride = 1
        while sum(map(len, self._clouds)) > stride * self._most:
            stride *= 2
        if stride != self._drawn_one_in:
            self._drawn_one_in, first = stride, 0
        self._drawn[first:] = [thinned(cloud, one_in=stride) for cloud in self._clouds[first:]]
        for index in range(first, len(self._clouds)):
            low, high = np.quantile(self._clouds[index].centers, (0.01, 0.99), axis=0)
            self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
            self._draw(index)
        for nodes in (self._splats, self._points):
            _keep_first(nodes, len(self._clouds))

    def _draw(self, index: int) -> None:
        """Send one cloud, as whatever is looked at."""
        if "splats" in self._shown:
            self._draw_splats(index)
        if "points" in self._shown:
            self._draw_points(index)

    def _draw_splats(self, index: int) -> None:
        """Send one cloud. A node keeps its name, so that it changes without a flicker."""
        cloud = self._drawn[index]
        gaussians = as_sent(cloud, self._colours(cloud), reach=self._reach, unit=self._unit)
        if index < len(self._splats):
            self._splats[index].set_gaussians(**gaussians)
        else:
            node = self._browser.add_splats(f"/splats/{index:04d}", gaussians, unit=self._unit)
            self._splats.append(node)

    def _draw_points(self, index: int) -> None:
        cloud = self._drawn[index]
        node = self._browser.add_points(
            f"/points/{index:04d}", cloud.centers, self._colours(cloud), size=point_size(cloud)
        )
        self._points[index:] = [node, *self._points[index + 1 :]]

    def _colours(self, cloud: Cloud) -> UInt8[np.ndarray, "g 3"]:
        return painted(cloud, self._paint, place=self._place, scale=self._scale)

    def _add_camera(self, number: int, shot: Shot, *, color: tuple[int, int, int]) -> None:
        if number % self._camera_stride:
            return
        camera = self._browser.add_camera(
            f"/cameras/{number:06d}",
            shot.pose,
            depth=CAMERA_DEPTH * self._scale,
            color=color,
            image=thumbnail(shot.rgb),
        )
        camera.on_click(self._clicked(number))
        self._cameras[number] = camera
        if len(self._cameras) > MOST_CAMERAS:
            self._camera_stride *= 2
            for other in [n for n in self._cameras if n % self._camera_stride]:
                self._cameras.pop(other).remove()

    def _clicked(self, number: int) -> Callable[[SceneNodePointerEvent[CameraFrustumHandle]], None]:
        return lambda event: self._on_camera(event.client_id, number)


def _keep_first(nodes: list[GaussianSplatHandle] | list[PointCloudHandle], count: int) -> None:
    """Take all but so many out of the scene."""
    for node in nodes[count:]:
        node.remove()
    del nodes[count:]


def thumbnail(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "ht wt 3"]:
    """A picture as large as a drawn camera needs it."""
    stride = max(1, round(max(rgb.shape) / THUMBNAIL_SIDE))
    return np.ascontiguousarray(rgb[::stride, ::stride])


def point_size(cloud: Cloud) -> float:
    """Width of a point that just touches its neighbours, for the typical point of a cloud."""
    widest = np.sqrt(np.trace(cloud.covariances, axis1=1, axis2=2) / 2)
    return float(1.7 * np.median(widest))
