"""Stage: what all browsers are shown, and who is watching.

Room: viewer; the panels write to it. It owns the layers, the small pictures of the frames and the visitors;
who may change the world is decided by its pen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import torch
import viser
from jaxtyping import Float, Float32
from scipy.spatial import KDTree
from torch import Tensor

from memory.points import Points
from reconstruct.init import gaussians_from_points
from render.cameras import Cameras
from render.gaussians import Gaussians
from render.plans import MOST_POINTS
from render.walls import Walls
from viewer.asks import Grown, Scene
from viewer.browser import BrowserScene
from viewer.clouds import Cloud, cloud_from_gaussians
from viewer.conventions import ViserPose, camera_from_pose
from viewer.layers import NEAR, Layers
from viewer.live import Chunk
from viewer.minimap import Plan, plan_of
from viewer.pictures import Shot, shots_from_frames
from viewer.renderer import renderer_of
from viewer.visitor import Visitor

FAR = 1000.0
"""Far plane, in world scales."""

SECONDS_BETWEEN_LOOKS = 1.0
"""How often the viewer checks how far its visitors have gone."""

PATIENCE_S = 5.0
"""How long closing waits for the look in progress."""

BUSY = "Somebody else is changing the world; try again when that is done."


class Stage:
    """One world on one server. Any thread may call."""

    def __init__(
        self, server: viser.ViserServer, scene: Scene, *, up: Float[Tensor, " 3"], scale: float
    ) -> None:
        self.server, self.up, self.scale = server, up, scale
        self.browser = BrowserScene(server, scale=scale)
        self.pen = threading.Lock()
        """Held by whoever changes the world: a growth, an edit, a step through its history."""

        self.point_count = shown_points(scene)
        """Points of the world that anything is claimed of, drawn or not."""

        self.walls = Walls(side=NEAR * scale)
        """What nobody shall walk through; free places are further away than the browser's near plane."""

        self._version = 0
        self._changed: list[Callable[[], None]] = []
        self._arrived: list[Callable[[Visitor], None]] = []
        self.size = scene.frames.cameras.width, scene.frames.cameras.height
        """Width and height of the world's pictures, in pixels."""

        self.shots: list[Shot] = []
        self.visitors: dict[int, Visitor] = {}
        self._closed = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="viewer-watch", daemon=True)
        self.shots += shots_from_frames(scene.frames)
        look_from(self.browser, self.shots[0].pose, up=up)
        # What is drawn of the world is chosen when it is known who looks at it.
        self.layers = Layers(self.browser, on_camera=self._camera_clicked, shown=frozenset())
        self._status = server.gui.add_markdown("", order=0)
        self.layers.add(clouds_of(scene), self.shots, is_new=False)
        self.walls.add(shown_places(scene))
        self.tell_change()

    def open(self) -> None:
        """Let visitors in; everything that they shall see is there."""
        self.server.on_client_connect(self._arrive)
        self.server.on_client_disconnect(self._leave)
        self._watching.start()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    @property
    def version(self) -> int:
        """Rises with each change of what is shown, before anybody is told of it."""
        return self._version

    def close(self) -> None:
        """Show nothing any more: the server may be stopped afterwards, and nobody writes to it."""
        self._closed.set()
        for visitor in list(self.visitors.values()):
            visitor.leave()
        if self._watching.is_alive():
            self._watching.join(PATIENCE_S)

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` now, and whenever the stage shows something else."""
        self._changed.append(tell)
        tell()

    def on_arrival(self, tell: Callable[[Visitor], None]) -> None:
        """Call ``tell`` with every visitor who comes, when it has said what it draws with, or will not."""
        self._arrived.append(tell)

    def add(self, chunks: list[Chunk]) -> None:
        """Show chunks that have grown."""
        shots = [shot for chunk in chunks for shot in chunk.shots]
        self.shots += shots
        self.point_count += sum(len(chunk.cloud) for chunk in chunks)
        for chunk in chunks:
            self.walls.add(chunk.cloud.centers)
        self.layers.add([chunk.cloud for chunk in chunks], shots, is_new=True)
        self.tell_change()
        if shots:
            for visitor in list(self.visitors.values()):
                visitor.tag_along()

    def replace(self, scene: Scene) -> None:
        """Show another state of the world in place of this one."""
        shots, clouds = shots_from_frames(scene.frames), clouds_of(scene)
        self.shots[:] = shots
        self.point_count = shown_points(scene)
        self.walls.replace(shown_places(scene))
        self.layers.replace(clouds, shots)
        self.tell_change()

    def camera_of(self, client: viser.ClientHandle) -> Cameras | None:
        """Where a browser looks from, as a camera of the world; ``None`` if it has left."""
        visitor = self.visitors.get(client.client_id)
        if visitor is None:
            return None
        return camera_from_pose(visitor.pose(), width=self.size[0], height=self.size[1])

    def warn(self, title: str, message: str) -> None:
        """Tell everybody that something went wrong."""
        for client in self.server.get_clients().values():
            client.add_notification(title, message, color="red", auto_close_seconds=20.0)

    def say_counts(self) -> None:
        """How much is drawn, on top of the window."""
        layers = self.layers
        drawn = "" if layers.one_in == 1 else f" (one for {layers.one_in})"
        self._status.content = f"### Frames: {layers.frame_count}\n{layers.splat_count:,} splats{drawn}"

    def tell_change(self) -> None:
        """Everybody who shows something of the world shows it anew."""
        self._version += 1
        self.say_counts()
        for visitor in list(self.visitors.values()):
            visitor.extend()
        for tell in self._changed:
            tell()

    def _arrive(self, client: viser.ClientHandle) -> None:
        camera = self.browser.camera_of(client)
        visitor = Visitor(client, camera, shots=self.shots, world_up=self.up, walls=self.walls)
        self.visitors[client.client_id] = visitor
        visitor.extend()  # frames may have come between the two lines above
        # On a thread of its own: viser has few, and whoever never answers would keep clicks waiting.
        threading.Thread(target=self._meet, args=(visitor,), name="viewer-meet", daemon=True).start()

    def _meet(self, visitor: Visitor) -> None:
        """Ask a visitor what it draws with, and tell of it unless it leaves before it answers."""
        visitor.renderer = renderer_of(visitor.client)
        if self.visitors.get(visitor.client.client_id) is visitor:
            for tell in self._arrived:
                tell(visitor)

    def _leave(self, client: viser.ClientHandle) -> None:
        visitor = self.visitors.pop(client.client_id, None)
        if visitor is not None:
            visitor.leave()

    def _watch(self) -> None:
        """Follow the visitors: with what splats need to stay visible to them, and on their maps."""
        plan: Plan | None = None
        drawn_version = 0
        while not self._closed.wait(SECONDS_BETWEEN_LOOKS):
            visitors = list(self.visitors.values())
            if not visitors:
                continue
            self.layers.keep_in_sight(np.stack([visitor.pose().position for visitor in visitors]))
            version = self._version  # read before the map is drawn: a change meanwhile asks for another
            if plan is None or version != drawn_version:
                plan, drawn_version = self._drawn_plan(), version
            for visitor in visitors:
                visitor.show_plan(plan)

    def _drawn_plan(self) -> Plan:
        centers, rgbs = self.layers.places(MOST_POINTS)
        track = [shot.pose for shot in list(self.shots)]
        return plan_of(centers, rgbs, track=track, up=self.up.double().numpy())

    def _camera_clicked(self, client_id: int, number: int) -> None:
        visitor = self.visitors.get(client_id)
        if visitor is not None:
            visitor.fly_to(number)


def look_from(browser: BrowserScene, pose: ViserPose, *, up: Float[Tensor, " 3"]) -> None:
    """Where browsers start, and where viser's reset button leads."""
    browser.begin_at(pose, up=up, near=NEAR * browser.scale, far=FAR * browser.scale)


def shown_points(scene: Scene) -> int:
    """How many points say what is there, and do not just hide what is behind them."""
    return int((scene.points.confidence > 0).sum())


def shown_places(scene: Scene) -> Float32[np.ndarray, "p 3"]:
    """Where they are, world units."""
    return scene.points.positions[scene.points.confidence > 0].numpy()


def clouds_of(scene: Scene) -> list[Cloud]:
    """What is drawn of a scene: its fitted splats, else its points."""
    if scene.splats is None:
        return [cloud_of(scene.points)]
    with torch.no_grad():
        return [cloud_from_gaussians(scene.splats, _trust_near(scene.splats, scene.points))]


def prepared(grown: Grown) -> Chunk:
    """A grown chunk as it is drawn."""
    return Chunk(
        shots=shots_from_frames(grown.frames, grown.known),
        cloud=cloud_of(grown.points),
        remembered=grown.remembered,
        is_ahead=grown.is_ahead,
    )


def cloud_of(points: Points) -> Cloud:
    """What is drawn of points: those that only hide what is behind them are not."""
    return cloud_from_gaussians(gaussians_from_points(points), points.confidence[points.confidence > 0])


def _trust_near(splats: Gaussians, points: Points) -> Float[Tensor, " g"]:
    """The confidence of the point that is nearest to each splat."""
    claimed = points[points.confidence > 0]
    if not len(claimed):
        return torch.ones(len(splats))
    _, nearest = KDTree(claimed.positions.numpy()).query(splats.means.detach().numpy())
    return claimed.confidence[torch.from_numpy(nearest)]
