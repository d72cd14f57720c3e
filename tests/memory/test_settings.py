"""Worlds as settings of tours."""

from pathlib import Path

import pytest
import torch

from memory.settings import setting_in
from memory.world import SceneInfo, World
from render.frames import Frames
from render.paths import turn
from render.tours import Tour
from tests.oracles.box_room import raycast, room_cameras, room_mesh


@pytest.fixture(scope="module")
def seen() -> Frames:
    return raycast(room_mesh(), turn(room_cameras()[:1], n=3, degrees=60.0)).frames


def test_a_tour_begins_at_the_first_frame_and_knows_all_of_them(tmp_path: Path, seen: Frames):
    with World.create(tmp_path / "w", SceneInfo(units="metres", scale=1.5, up=(0.6, -0.8, 0.0))) as world:
        with pytest.raises(ValueError, match="has no frames yet, so no tour can begin there"):
            setting_in(world)
        world.commit(seen, generator="camera", seed=0, settings={}, given=True)
        setting = setting_in(world)
        assert torch.equal(setting.start.c2w, world.cameras().c2w[:1])
        assert setting.ids == tuple(world.frame_ids())
        assert (setting.scale, setting.up.tolist()) == (1.5, pytest.approx([0.6, -0.8, 0.0]))
        path = Tour().through(setting.ids[2], frames=4).cameras(setting)
        torch.testing.assert_close(path.c2w[-1], world.cameras().c2w[2], atol=1e-6, rtol=0)
        last = setting_in(world, world.cameras()[2:])
        assert torch.equal(last.start.c2w, world.cameras().c2w[2:])
