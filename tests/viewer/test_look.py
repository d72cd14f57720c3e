"""The Look panel, on a server that nobody visits."""

from __future__ import annotations

import pytest
import torch
import viser

from tests.viewer.box_room import cast, look, scene_of
from viewer.browser import unit_of
from viewer.look_panel import AXES, LookPanel
from viewer.stage import Stage

SCALE = 2.0


@pytest.fixture
def stage(server: viser.ViserServer) -> Stage:
    server.scene.reset()
    server.gui.reset()
    return Stage(server, scene_of(cast(look(3))), up=torch.tensor([0.0, -2.0, 0.0]), scale=SCALE)


def test_the_axes_of_the_world_are_shown_when_asked_for_at_a_size_that_suits_it(stage: Stage):
    LookPanel(stage, ground=lambda ground: None, meshing=None)
    axes = stage.server.scene.world_axes
    handles = stage.server.gui._gui_input_handle_from_uuid.values()
    (box,) = (handle for handle in handles if getattr(handle, "label", None) == "Axes")
    assert not axes.visible
    assert axes.axes_length == pytest.approx(AXES * SCALE / unit_of(SCALE)), "in the unit of the browser"
    for wanted in (True, False):
        box.value = wanted
        assert axes.visible is wanted
