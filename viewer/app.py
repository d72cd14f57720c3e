"""App: a world in the browser, with panels to walk through it and to grow it.

Room: viewer; the command line imports this. ``Viewer`` owns the server and wires the rest together:
layers draw, panels ask, the growth thread delivers, visitors look.
"""

from __future__ import annotations

import contextlib
import functools
import math
import threading
import warnings

import numpy as np
import torch
import viser
from jaxtyping import Float
from torch import Tensor

from memory.points import Points
from reconstruct.init import gaussians_from_points
from render.cameras import checked as checked_cameras
from render.frames import Frames
from render.gaussians import Gaussians
from viewer.clouds import Cloud, cloud_from_gaussians
from viewer.conventions import ViserPose, camera_from_pose, cameras_ahead, up_of
from viewer.layers import NEAR, Layers
from viewer.live import Chunk, Ending, GrowFn, Grown, Growth
from viewer.panels import GrowPanel, GrowSettings, LayerPanel, WorldPanel, add_growing_is_off
from viewer.pictures import Shot, shots_from_frames
from viewer.visitor import Visitor

FAR = 1000.0
"""Far plane, in world scales."""

STEP = 0.1
"""Step length the grow panel suggests, in world scales."""

SECONDS_BETWEEN_LOOKS = 1.0
"""How often the viewer checks how far its visitors have gone."""

PATIENCE_S = 5.0
"""How long closing waits for a chunk in progress. Past that it is dropped; the world folder loses nothing."""


class Viewer:
    """A running server. It answers from the moment it is made until ``close``."""

    def __init__(
        self,
        frames: Frames,
        points: list[Points],
        *,
        up: Float[Tensor, " 3"],
        scale: float,
        grow: GrowFn | None = None,
        splats: Gaussians | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
    ) -> None:
        """Show a world.

        Args:
            frames: what has been seen so far, at least one frame; the first is where visitors start.
            points: the world, a batch a frame or chunk.
            up: world up, any length.
            scale: a typical distance in world units, such as the median depth of the first frame.
            grow: imagines more of the world; without it the grow panel says that growing is off.
            splats: fitted splats, drawn in place of ``points``.
            host: address to listen on. Anyone who can reach it can look and grow.
            port: port to listen on; the next free one is taken if it is busy.
        """
        _check(frames, up=up, scale=scale)
        self._up, self._scale = up, scale
        self._width, self._height = frames.cameras.width, frames.cameras.height
        self._shots: list[Shot] = []
        # A browser may go between any two lines below; viser would say so each time.
        warnings.filterwarnings("ignore", message="Queued a .* on a closed connection")
        self._visitors: dict[int, Visitor] = {}
        self._asked_at = 0
        self._asking = threading.Lock()
        self._closing, self._closed = threading.Lock(), threading.Event()
        shots = shots_from_frames(frames)
        clouds = [_cloud(p) for p in points] if splats is None else [cloud_from_gaussians(splats)]
        self._server = _served(host=host, port=port)
        self._start_view(shots[0].pose)
        self._layers = Layers(self._server, scale=scale, on_camera=self._camera_clicked)
        self._world_panel = WorldPanel(self._server)
        LayerPanel(self._server, self._layers)
        self._growth = self._wire_growth(grow)
        self._add(clouds, shots, is_new=False)
        self._server.on_client_connect(self._arrive)
        self._server.on_client_disconnect(self._leave)
        threading.Thread(target=self._watch, name="viewer-watch", daemon=True).start()

    @property
    def url(self) -> str:
        """Where the browser finds this viewer."""
        return f"http://{self._server.get_host()}:{self._server.get_port()}"

    def run(self) -> None:
        """Serve until ``close`` is called elsewhere or the user presses Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            self._closed.wait()
        self.close()

    def close(self) -> None:
        """Stop growing and serving. Calling it twice does no harm."""
        with self._closing:
            if self._closed.is_set():
                return
            if self._growth is not None:
                self._growth.stop()
                self._growth.join(timeout_s=PATIENCE_S)
            self._closed.set()
            self._server.stop()

    def _start_view(self, pose: ViserPose) -> None:
        """Where browsers start, and where viser's reset button leads."""
        self._server.scene.set_up_direction(tuple(self._up.tolist()))
        camera = self._server.initial_camera
        camera.position, camera.look_at = pose.position, pose.look_at(self._scale)
        camera.up, camera.fov = up_of(pose, self._up), pose.fov
        camera.near, camera.far = NEAR * self._scale, FAR * self._scale

    def _add(self, clouds: list[Cloud], shots: list[Shot], *, is_new: bool) -> None:
        self._shots += shots
        self._layers.add(clouds, shots, is_new=is_new)
        self._world_panel.update(self._layers)
        for visitor in list(self._visitors.values()):
            visitor.extend()

    def _arrive(self, client: viser.ClientHandle) -> None:
        visitor = Visitor(client, self._shots, world_up=self._up, focus=self._scale)
        self._visitors[client.client_id] = visitor
        visitor.extend()  # frames may have come between the two lines above

    def _leave(self, client: viser.ClientHandle) -> None:
        self._visitors.pop(client.client_id, None)

    def _watch(self) -> None:
        """Follow the visitors with what splats need to stay visible to them."""
        while not self._closed.wait(SECONDS_BETWEEN_LOOKS):
            places = [visitor.pose().position for visitor in list(self._visitors.values())]
            if places:
                self._layers.keep_in_sight(np.stack(places))

    def _camera_clicked(self, client_id: int, number: int) -> None:
        visitor = self._visitors.get(client_id)
        if visitor is not None:
            visitor.fly_to(number)

    def _wire_growth(self, grow: GrowFn | None) -> Growth | None:
        if grow is None:
            add_growing_is_off(self._server)
            return None
        panel = GrowPanel(self._server, step=float(f"{STEP * self._scale:.1g}"))
        growth = Growth(
            grow,
            prepare=_prepared,
            show=functools.partial(self._show, panel),
            on_end=functools.partial(self._end, panel),
        )
        panel.on_grow(functools.partial(self._ask, panel, growth))
        panel.on_stop(growth.stop)
        return growth

    def _ask(self, panel: GrowPanel, growth: Growth, client: viser.ClientHandle, ask: GrowSettings) -> None:
        """Someone clicked Grow."""
        visitor = self._visitors.get(client.client_id)
        with self._asking:  # of two who click at once, one is heard
            if visitor is None or growth.is_running:
                return
            here = camera_from_pose(visitor.pose(), width=self._width, height=self._height)
            cameras = checked_cameras(cameras_ahead(here, n=ask.n, step=ask.step))
            self._asked_at = len(self._shots)
            panel.begin(ask.n)
            growth.start(cameras, seed=ask.seed)

    def _show(self, panel: GrowPanel, chunks: list[Chunk]) -> None:
        if self._closed.is_set():
            return
        self._add([c.cloud for c in chunks], [s for c in chunks for s in c.shots], is_new=True)
        panel.progress(len(self._shots) - self._asked_at)

    def _end(self, panel: GrowPanel, ending: Ending) -> None:
        if self._closed.is_set():
            return
        count = len(self._shots) - self._asked_at
        added = f"Added {count} frame{'' if count == 1 else 's'}."
        panel.end(added if ending.kind != "failed" else f"**Growing failed.** {ending.message} {added}")
        if ending.kind == "failed":
            for client in self._server.get_clients().values():
                client.add_notification(
                    "Growing failed", ending.message, color="red", auto_close_seconds=20.0
                )


def _served(*, host: str, port: int) -> viser.ViserServer:
    server = viser.ViserServer(host=host, port=port, verbose=False)
    server.gui.configure_theme(
        dark_mode=True, show_logo=False, show_share_button=False, brand_color=(255, 146, 43)
    )
    server.gui.set_panel_label("worldgen")
    server.gui.main_panel.dock_right()
    return server


def _cloud(points: Points) -> Cloud:
    return cloud_from_gaussians(gaussians_from_points(points))


def _prepared(grown: Grown) -> Chunk:
    return Chunk(shots=shots_from_frames(grown.frames), cloud=_cloud(grown.points))


def _check(frames: Frames, *, up: Float[Tensor, " 3"], scale: float) -> None:
    if len(frames) == 0:
        raise ValueError("a world needs at least one frame before it can be viewed; grow or import one first")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"the scale of a world must be a positive length, got {scale:g}")
    if not (bool(torch.isfinite(up).all()) and float(up.norm()) > 0):
        raise ValueError(f"up must be a direction, got {up.tolist()}")
