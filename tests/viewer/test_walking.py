"""Where a visitor stands after flights, and what may follow at once on what is said to be done."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from viser._messages import ViewerCameraMessage
from websockets.sync.client import ClientConnection

from memory.world import SceneInfo, World
from tests.viewer.box_room import cast, look, scene_of
from tests.viewer.sockets import CAMERA, visiting, wait_until
from viewer import Viewer
from viewer.asks import History
from viewer.changes import Changes
from viewer.visitor import Visitor
from viewer.walker import LATE_S


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    viewer = Viewer(scene_of(cast(look(2))), up=torch.tensor([0.0, -1.0, 0.0]), scale=2.0, port=0)
    yield viewer
    viewer.close()


@pytest.fixture
def socket(viewer: Viewer) -> Iterator[ClientConnection]:
    with visiting(viewer.url) as socket:
        wait_until(lambda: len(viewer._stage.visitors) == 1)
        yield socket
        socket.close_timeout = 0.1  # nobody reads what it was sent


def visitor_of(viewer: Viewer) -> Visitor:
    (visitor,) = viewer._stage.visitors.values()
    return visitor


def say(viewer: Viewer, socket: ClientConnection, place: np.ndarray) -> None:
    """Say where in the world the browser is, and wait until the viewer has made of it what it does."""
    (client,) = viewer._server.get_clients().values()
    heard: list[ViewerCameraMessage] = []

    def hear(_client_id: int, message: ViewerCameraMessage) -> None:
        heard.append(message)

    client._websock_connection.register_handler(ViewerCameraMessage, hear)
    place = place / visitor_of(viewer).camera.unit
    ahead = place + np.array([0.0, 0.0, 1.0])
    socket.send(msgspec.msgpack.encode({**CAMERA, "position": place.tolist(), "look_at": ahead.tolist()}))
    wait_until(lambda: bool(heard))
    client._websock_connection.unregister_handler(ViewerCameraMessage, hear)


def test_what_a_browser_says_late_of_a_flight_through_a_wall_is_no_step(
    viewer: Viewer, socket: ClientConnection
):
    visitor = visitor_of(viewer)
    visitor._walker._inside.value = True
    outside = np.array([-0.3, 0.0, 30.0])
    say(viewer, socket, outside)
    visitor.fly_to(0)
    landed = visitor.pose().position
    say(viewer, socket, outside)  # from before the flight; the wall is between
    np.testing.assert_allclose(visitor.camera.position, outside, err_msg="nobody puts it back")
    say(viewer, socket, landed)
    say(viewer, socket, outside)
    held = visitor.camera.position
    assert np.linalg.norm(held - landed) < 8.0, "now it is a step, and the wall is in the way"


def test_a_browser_that_never_says_it_arrived_is_held_after_a_while(viewer: Viewer, socket: ClientConnection):
    visitor = visitor_of(viewer)
    visitor._walker._inside.value = True
    visitor.fly_to(0)
    visitor._walker._put_at -= LATE_S
    say(viewer, socket, np.array([-0.3, 0.0, 30.0]))
    assert visitor.camera.position[2] < 8.0


def test_a_flight_that_was_cut_short_moves_nobody_any_more(viewer: Viewer, socket: ClientConnection):
    visitor = visitor_of(viewer)
    goal = viewer._stage.shots[1].pose
    first = visitor._take_off()
    second = visitor._take_off()
    assert visitor._fly(second, goal)
    assert not visitor._fly(first, dataclasses.replace(goal, position=goal.position + 1.0))
    np.testing.assert_array_equal(visitor.pose().position, goal.position)
    visitor._land(first)
    assert visitor._walker.is_flying, "the second one still does"
    visitor._land(second)
    assert not visitor._walker.is_flying


@pytest.mark.parametrize("fails", [False, True])
def test_who_reads_the_outcome_of_a_change_can_make_the_next_one_at_once(
    viewer: Viewer, tmp_path: Path, *, fails: bool
):
    stage, said = viewer._stage, list[tuple[str, bool]]()

    def act() -> str:
        assert stage.pen.locked()
        if fails:
            raise ValueError("it is not to be")
        return "Done."

    with World.create(tmp_path / "w", SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))) as world:
        changes = Changes(stage, History(tree=world.tree, scene=lambda: pytest.fail("nothing changed")))
        assert changes.ask(act, lambda text: said.append((text, stage.pen.locked()))) == (not fails)
    assert said == [("Working.", True), ("It is not to be." if fails else "Done.", False)]
