"""Path panel: a camera path drawn in the scene, played, saved, and filmed.

Room: viewer. Keyframes are views; they are dragged by gizmos that all browsers share. The line shows where
the film will go, not the browser's idea of a spline.
"""

from __future__ import annotations

import dataclasses
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import viser
from viser import GuiUploadButtonHandle, UploadedFile

from reconstruct.formats.nerfstudio_path import save_nerfstudio_path
from render.cameras import Cameras
from render.path_files import save_path
from render.paths import PRESETS, path_named
from viewer.asks import Abilities
from viewer.browser import Gizmo
from viewer.conventions import ViserPose, poses_from_cameras
from viewer.film_panel import FilmPanel
from viewer.key_panel import FOV_LIMITS_DEG, LEG_LIMITS_S, KeyPanel
from viewer.keyframes import Drawn, read_drawn
from viewer.live import one_sentence
from viewer.stage import Stage
from viewer.uploads import kept

PRESET_CAMERAS, PRESET_KEYS = 97, 9
"""Cameras that a preset is asked for, and the keyframes that are taken of them."""

KEY_DEPTH, GIZMO = 0.08, 0.15
"""Length of a drawn keyframe, and of its gizmo, in world scales."""

LINE, KEY = (90, 200, 250), (90, 200, 250)

UNTURNED = np.array([1.0, 0.0, 0.0, 0.0])
"""Where a keyframe's camera stands in its gizmo, as wxyz."""

MOST_SPANS = 3
"""Places at which a broken clearance is told; of more, how many there are."""


class PathPanel:
    """The one path that is being drawn."""

    def __init__(self, stage: Stage, abilities: Abilities) -> None:
        self._stage, self._setting, self._drawn = stage, abilities.setting, Drawn()
        self._gizmos: list[Gizmo] = []
        self._lock = threading.RLock()
        self._folder = tempfile.TemporaryDirectory(prefix="worldgen-path-")
        gui = stage.server.gui
        gui.add_button("Add keyframe", color="orange", hint="The view you see now.").on_click(self._add)
        self._fov = gui.add_slider(
            "Field of view",
            min=FOV_LIMITS_DEG[0],
            max=FOV_LIMITS_DEG[1],
            step=1.0,
            initial_value=60.0,
            hint="Degrees from top to bottom: of your view now, and of the keyframes you add.",
        )
        gui.add_button("Remove last", color="gray", hint="The newest keyframe.").on_click(
            lambda _: self._change(lambda drawn: drawn.without_last())
        )
        gui.add_button("Clear", color="gray", hint="All keyframes.").on_click(
            lambda _: self._change(lambda drawn: drawn.through((), leg_s=0.0))
        )
        low, high = LEG_LIMITS_S
        self._leg = gui.add_number(
            "Seconds a leg", 2.0, min=low, max=high, step=0.1, hint="Of all of them, and of those to come."
        )
        self._fps = gui.add_number("Pictures a second", 24, min=1, max=120, step=1)
        self._key = KeyPanel(stage.server, change=self._change, pose_of=self._pose_of)
        self._preset = gui.add_dropdown("Preset", sorted(PRESETS))
        gui.add_button("Use preset", color="gray", hint="From your view.").on_click(self._use_preset)
        gui.add_button("Play", color="gray", hint="Fly along it.").on_click(self._play)
        self._kind = gui.add_dropdown("File", ["worldgen", "nerfstudio"], hint="What Save writes.")
        gui.add_button("Save", color="gray", hint="One camera a picture, as JSON.").on_click(self._save)
        load = gui.add_upload_button(
            "Load", color="gray", mime_type=".json", hint="Either kind of file, or a tour."
        )
        load.on_upload(self._load)
        self._note = gui.add_markdown("No keyframes yet.")
        self._fov.on_update(self._widen)
        self._leg.on_update(lambda _: self._change(lambda d: d.through(d.keys, leg_s=self._leg_s())))
        self._fps.on_update(lambda _: self._change(lambda drawn: drawn))
        self._film = None
        if abilities.splats is not None:
            self._film = FilmPanel(stage, abilities.splats, path=self.drawn)

    def close(self) -> None:
        """Stop filming, and forget what was uploaded."""
        if self._film is not None:
            self._film.close()
        self._folder.cleanup()

    def drawn(self) -> Drawn:
        """The path as it is."""
        return self._drawn

    def cameras(self) -> Cameras | None:
        """One camera a picture, at the size of the world's own."""
        width, height = self._stage.size
        return self._drawn.cameras(width=width, height=height)

    def load(self, upload: UploadedFile) -> None:
        """Draw the path or the tour in a file that a browser sent; the panel says what is wrong with it."""
        try:
            file = kept(upload, Path(self._folder.name), endings=(".json",))
            drawn = read_drawn(file, fps=self._drawn.fps, leg_s=self._leg_s(), setting=self._setting)
        except ValueError as error:
            self._note.content = one_sentence(error)
            return
        self._change(lambda _: drawn)

    def _change(self, change: Callable[[Drawn], Drawn]) -> None:
        """Draw what becomes of the path; changes come one after another, each from what the last one left."""
        with self._lock:
            drawn = change(self._drawn)
            moved = drawn.keys is not self._drawn.keys
            self._drawn = dataclasses.replace(drawn, fps=float(min(max(1.0, self._fps.value), 120.0)))
            if moved:
                self._draw_keys()
            self._draw_line()
            self._describe()

    def _describe(self) -> None:
        self._key.show(self._drawn)
        cameras = self.cameras()
        way = np.zeros((0, 3)) if cameras is None else cameras.origins.double().numpy()
        broken = [
            (begin / self._drawn.fps, end / self._drawn.fps) for begin, end in self._stage.walls.crossed(way)
        ]
        self._note.content = described(self._drawn) + clearance(broken)

    def _leg_s(self) -> float:
        low, high = LEG_LIMITS_S
        return float(min(max(low, self._leg.value), high))

    def _add(self, event: viser.GuiEvent) -> None:
        pose = self._pose_of(event)
        if pose is None:
            return
        try:
            self._change(lambda drawn: drawn.with_key(pose, leg_s=self._leg_s()))
        except ValueError as error:
            self._note.content = one_sentence(error)

    def _pose_of(self, event: viser.GuiEvent) -> ViserPose | None:
        visitor = None if event.client is None else self._stage.visitors.get(event.client.client_id)
        return None if visitor is None else visitor.pose()

    def _widen(self, event: viser.GuiEvent) -> None:
        if event.client is not None:
            low, high = FOV_LIMITS_DEG
            event.client.camera.fov = float(np.deg2rad(min(max(low, self._fov.value), high)))

    def _use_preset(self, event: viser.GuiEvent) -> None:
        here = None if event.client is None else self._stage.camera_of(event.client)
        if here is None or self._preset.value not in PRESETS:
            return
        stage = self._stage
        cameras = path_named(self._preset.value, here, n=PRESET_CAMERAS, up=stage.up, scale=stage.scale)
        chosen = np.linspace(0, len(cameras) - 1, PRESET_KEYS).round().astype(int).tolist()
        keys = tuple(poses_from_cameras(cameras[chosen]))
        self._change(lambda drawn: drawn.through(keys, leg_s=self._leg_s()))

    def _play(self, event: viser.GuiEvent) -> None:
        visitor = None if event.client is None else self._stage.visitors.get(event.client.client_id)
        cameras = self.cameras()
        if visitor is not None and cameras is not None:
            visitor.play(poses_from_cameras(cameras), fps=self._drawn.fps)

    def _save(self, event: viser.GuiEvent) -> None:
        cameras = self.cameras()
        if cameras is None or event.client is None:
            self._note.content = "There is no path to save yet."
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "camera_path.json"
            save = save_nerfstudio_path if self._kind.value == "nerfstudio" else save_path
            save(file, cameras, fps=self._drawn.fps)
            event.client.send_file_download(file.name, file.read_bytes(), save_immediately=True)

    def _load(self, event: viser.GuiEvent[GuiUploadButtonHandle]) -> None:
        self.load(event.target.value)

    def _draw_keys(self) -> None:
        """One gizmo and one camera a keyframe."""
        browser, scale = self._stage.browser, self._stage.scale
        with browser.atomic():
            for gizmo in self._gizmos:
                gizmo.remove()
            self._gizmos = []
            for i, key in enumerate(self._drawn.keys):
                name = f"/path/key-{i:03d}"
                gizmo = browser.add_gizmo(name, key.position, size=GIZMO * scale, wxyz=key.wxyz)
                within = dataclasses.replace(key, position=np.zeros(3), wxyz=UNTURNED)
                camera = browser.add_camera(f"{name}/camera", within, depth=KEY_DEPTH * scale, color=KEY)
                camera.on_click(lambda _, i=i: self._key.pick(i))
                gizmo.on_drag(lambda is_over, i=i, gizmo=gizmo: self._dragged(i, gizmo, is_over=is_over))
                self._gizmos.append(gizmo)

    def _dragged(self, number: int, gizmo: Gizmo, *, is_over: bool) -> None:
        with self._lock:
            if number >= len(self._gizmos) or self._gizmos[number] is not gizmo:
                return
            moved = dataclasses.replace(self._drawn.keys[number], wxyz=gizmo.wxyz, position=gizmo.position)
            self._drawn = self._drawn.with_pose(number, moved)
            self._draw_line()
            if is_over:
                self._describe()

    def _draw_line(self) -> None:
        cameras = self.cameras()
        if cameras is None or len(cameras) < 2:
            self._stage.browser.remove("/path/line")
            return
        places = cameras.origins.float().numpy()
        ends = np.stack([places[:-1], places[1:]], axis=1)
        self._stage.browser.add_lines("/path/line", ends, color=LINE, thickness=0.006 * self._stage.scale)


def described(drawn: Drawn) -> str:
    """How long a path is, in words."""
    count = len(drawn.keys)
    if not count:
        return "No keyframes yet."
    keys = "1 keyframe" if count == 1 else f"{count} keyframes"
    return f"{keys}, {drawn.pictures} pictures, {drawn.pictures / drawn.fps:.1f} s."


def clearance(broken: list[tuple[float, float]]) -> str:
    """Where a path comes too close to what is known, seconds from and to, in words; nothing if nowhere."""
    if not broken:
        return ""
    spans = ", ".join(f"{begin:.1f} to {end:.1f} s" for begin, end in broken[:MOST_SPANS])
    more = len(broken) - MOST_SPANS
    spans += f" and {more} more" if more > 0 else ""
    return f"\n\n**Clearance is broken**: it passes through what is known ({spans})."
