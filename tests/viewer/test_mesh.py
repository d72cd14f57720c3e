"""The mesh of the room, shown on a server that nobody visits, while the room changes or does not."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
import torch
import trimesh
import viser

from reconstruct.meshed import MeshSettings, meshed
from reconstruct.surface import Surface
from tests.viewer.box_room import HIGH, LOW, cast, look, scene_of
from viewer.export_panel import ExportPanel
from viewer.mesh_switch import FUSING, HIDE, OUTDATED, SHOW, MeshSwitch
from viewer.meshing import Meshing
from viewer.stage import Stage

SCENE = scene_of(cast(look(3)))
PATIENCE_S = 60.0


class Room:
    """Fuses the frames of the room; not before the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.count = 0
        self.fails = False

    def __call__(self, *, watertight: bool) -> Surface:
        self.begun.set()
        assert self.gate.wait(PATIENCE_S)
        self.count += 1
        if self.fails:
            raise ValueError("the frames show nothing")
        return meshed([SCENE.frames], MeshSettings(watertight=watertight)).surface


@pytest.fixture
def stage(server: viser.ViserServer) -> Stage:
    server.scene.reset()
    server.gui.reset()
    return Stage(server, SCENE, up=torch.tensor([0.0, -2.0, 0.0]), scale=2.0)


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def switch(stage: Stage, room: Room) -> MeshSwitch:
    return MeshSwitch(stage, Meshing(stage, room), most=1000)


def ended(switch: MeshSwitch) -> None:
    """Wait until nothing is fused."""
    for thread in threading.enumerate():
        if thread.name == "viewer-mesh":
            thread.join(PATIENCE_S)
    assert not switch._is_busy


def drawn(stage: Stage) -> trimesh.Trimesh:
    """What browsers are sent."""
    handle = stage.layers._mesh
    assert handle is not None
    (mesh,) = trimesh.load_scene(io.BytesIO(handle.glb_data), file_type="glb").geometry.values()
    return mesh


def test_a_mesh_is_drawn_where_the_room_is_with_as_many_faces_as_the_browser_bears(
    stage: Stage, switch: MeshSwitch, room: Room
):
    switch._pressed()
    ended(switch)
    mesh = drawn(stage)
    assert 500 < len(mesh.faces) <= 1000
    # Decimated and voxels of a few centimetres: near the walls, not turned upright as files are.
    np.testing.assert_allclose(mesh.bounds[1], HIGH, atol=0.15)
    assert mesh.bounds[0][1] == pytest.approx(LOW[1], abs=0.15)
    assert np.ptp(mesh.visual.vertex_attributes["color"][:, :3].astype(float), axis=0).min() > 0, (
        "it has colours"
    )
    assert switch._note.content.startswith(f"{len(mesh.faces):,} of ")
    assert switch._button.label == HIDE
    switch.limit(200)
    ended(switch)
    assert 50 < len(drawn(stage).faces) <= 200
    assert room.count == 1, "fewer faces ask for no new fusion"
    switch._pressed()
    assert stage.layers._mesh is None
    assert (switch._button.label, switch._button.disabled, switch._note.visible) == (SHOW, False, False)


def test_the_button_cannot_be_pressed_twice(stage: Stage, switch: MeshSwitch, room: Room):
    room.gate.clear()
    switch._pressed()
    assert room.begun.wait(PATIENCE_S)
    assert (switch._button.label, switch._button.disabled) == (FUSING, True)
    switch._pressed()
    switch.limit(300)  # what is drawn is what is asked for by then
    room.gate.set()
    ended(switch)
    assert room.count == 1
    assert len(drawn(stage).faces) <= 300
    assert not switch._button.disabled


def test_a_mesh_goes_when_the_world_changes(stage: Stage, switch: MeshSwitch, room: Room):
    switch._pressed()
    ended(switch)
    stage.replace(SCENE)
    assert stage.layers._mesh is None
    assert (switch._note.content, switch._button.label) == (OUTDATED, SHOW)
    switch._pressed()
    ended(switch)
    assert room.count == 2
    assert len(drawn(stage).faces) > 500


def test_a_mesh_of_a_world_that_changed_meanwhile_is_not_shown(stage: Stage, switch: MeshSwitch, room: Room):
    room.gate.clear()
    switch._pressed()
    assert room.begun.wait(PATIENCE_S)
    stage.replace(SCENE)
    room.gate.set()
    ended(switch)
    assert stage.layers._mesh is None
    assert (switch._note.content, switch._button.label) == (OUTDATED, SHOW)


def test_what_cannot_be_fused_is_said_and_can_be_tried_again(stage: Stage, switch: MeshSwitch, room: Room):
    room.fails = True
    switch._pressed()
    ended(switch)
    assert switch._note.content == "The frames show nothing."
    room.fails = False
    switch._pressed()
    ended(switch)
    assert len(drawn(stage).faces) > 500


def test_files_hold_the_mesh_upright_and_are_fused_once(stage: Stage, room: Room):
    meshing = Meshing(stage, room)
    panel = ExportPanel(stage, lambda: pytest.fail("no splats were asked for"), meshing)
    whole, told = panel._mesh_file(meshing, ".glb", 0, watertight=False)
    (mesh,) = trimesh.load_scene(io.BytesIO(whole), file_type="glb").geometry.values()
    assert told == f"{len(mesh.faces):,} faces"
    assert mesh.bounds[1][1] == pytest.approx(-LOW[1], abs=0.15), "+y is up in files, and down in the room"
    few, told = panel._mesh_file(meshing, ".obj", 400, watertight=False)
    assert few.startswith(b"v ")
    assert told == f"{few.count(b'f '):,} faces"
    assert few.count(b"f ") <= 400
    assert room.count == 1
    with pytest.raises(ValueError, match="4 faces or more"):
        panel._mesh_file(meshing, ".obj", 3, watertight=False)


def test_files_hold_a_closed_solid_where_that_is_asked_for(stage: Stage, room: Room):
    meshing = Meshing(stage, room)
    panel = ExportPanel(stage, lambda: pytest.fail("no splats were asked for"), meshing)
    for most in (0, 2000):
        whole, told = panel._mesh_file(meshing, ".stl", most, watertight=True)
        mesh = trimesh.load_mesh(io.BytesIO(whole), file_type="stl")
        assert mesh.is_watertight
        assert mesh.volume > 0
        assert told == f"{len(mesh.faces):,} faces, watertight"
    assert room.count == 1, "fewer faces ask for no new fusion"
    panel._mesh_file(meshing, ".stl", 0, watertight=False)
    assert room.count == 2, "what was seen is not the solid"
