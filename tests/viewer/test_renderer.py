"""What browsers say that they draw with, what is made of it, and that nobody's choice is undone by it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import msgspec
import pytest
import torch
import zstandard
from websockets.sync.client import ClientConnection

from tests.viewer.box_room import cast, look, scene_of
from tests.viewer.sockets import PATIENCE_S, visiting, wait_until
from viewer import Viewer, renderer
from viewer.look_panel import QUALITIES
from viewer.renderer import KEY, read

HOSTILE = ["", "Software", "software ", "hardware\n", "SwiftShader", "x" * 100_000]

SILENT = 40
"""Visitors; viser has 32 threads for all that they ask for."""


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    viewer = Viewer(scene_of(cast(look(2))), up=torch.tensor([0.0, -1.0, 0.0]), scale=2.0, port=0)
    yield viewer
    viewer.close()


@pytest.mark.parametrize("answer", ["software", "hardware"])
def test_two_answers_are_understood(answer: str):
    assert read(answer) == answer


@pytest.mark.parametrize("answer", [*HOSTILE, None, 1, True, b"software", ["software"], {"software": 1}])
def test_every_other_answer_is_none(answer: object):
    assert read(answer) is None


def asked(socket: ClientConnection) -> str:
    """Wait until the viewer asks for what the renderer's script leaves; which of its questions that is."""
    while True:
        data = socket.recv(timeout=PATIENCE_S)
        assert isinstance(data, bytes)
        size = int.from_bytes(data[8:16], "little")
        told = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(data[16 : 16 + size]))
        for message in told["messages"]:
            if message["type"] == "LocalStorageGetItemRequestMessage":
                assert message["key"] == KEY
                return message["request_uuid"]


@contextlib.contextmanager
def drawing(viewer: Viewer, answer: str | None, *, error: str | None = None) -> Iterator[ClientConnection]:
    """A visitor who says that it draws with something, until the viewer has heard it."""
    heard: list[object] = []
    viewer._stage.on_arrival(heard.append)
    with visiting(viewer.url) as socket:
        said = {
            "type": "LocalStorageGetItemResponseMessage",
            "request_uuid": asked(socket),
            "value": answer,
            "error": error,
        }
        socket.send(msgspec.msgpack.encode(said))
        wait_until(lambda: bool(heard))
        socket.close_timeout = 0.1  # nobody reads what it was sent
        yield socket


def shown(viewer: Viewer) -> tuple[set[str], int]:
    """The layers that everybody sees, and how many splats or points at most."""
    layers = viewer._stage.layers
    return set(layers._shown), layers._most


SPLATS, POINTS = ({"splats"}, QUALITIES["Full"]), ({"points"}, QUALITIES["Preview"])


@pytest.mark.parametrize("answer", ["software", "hardware", None, *HOSTILE])
def test_points_are_shown_to_whoever_draws_in_software_and_splats_to_all_others(
    viewer: Viewer, answer: str | None
):
    with drawing(viewer, answer):
        assert shown(viewer) == (POINTS if answer == "software" else SPLATS)


def test_who_keeps_no_storage_sees_splats(viewer: Viewer):
    with drawing(viewer, None, error="The operation is insecure."):
        assert shown(viewer) == SPLATS


def test_the_slowest_who_is_here_decides_what_all_see(viewer: Viewer):
    with drawing(viewer, "hardware"):
        assert shown(viewer) == SPLATS
        with drawing(viewer, "software"):
            assert shown(viewer) == POINTS
            with drawing(viewer, "hardware"):
                assert shown(viewer) == POINTS
    wait_until(lambda: not viewer._stage.visitors)
    with drawing(viewer, "hardware"):
        assert shown(viewer) == SPLATS


def test_who_leaves_without_an_answer_changes_nothing(viewer: Viewer):
    heard: list[object] = []
    viewer._stage.on_arrival(heard.append)
    with visiting(viewer.url) as socket:
        asked(socket)
        socket.close_timeout = 0.1
    wait_until(lambda: not viewer._stage.visitors)
    assert shown(viewer)[0] == set(), "nobody is here to be shown anything"
    with drawing(viewer, "software"):
        assert shown(viewer) == POINTS
        assert len(heard) == 1


def test_what_was_chosen_stays(viewer: Viewer):
    viewer._look.choose("splats", quality="Standard")
    with drawing(viewer, "software"):
        assert shown(viewer) == ({"splats"}, QUALITIES["Standard"])


def test_what_a_visitor_chose_stays(viewer: Viewer):
    box = viewer._look._layers["splats"]
    with drawing(viewer, "software") as socket:
        choice = {"type": "GuiUpdateMessage", "uuid": box._impl.uuid, "updates": {"value": True}}
        socket.send(msgspec.msgpack.encode(choice))
        wait_until(lambda: shown(viewer)[0] == {"splats", "points"})
        with drawing(viewer, "software"):
            assert shown(viewer) == ({"splats", "points"}, QUALITIES["Preview"])


def test_many_who_never_answer_keep_nobody_waiting(viewer: Viewer):
    with contextlib.ExitStack() as silent:
        for _ in range(SILENT):
            socket = silent.enter_context(visiting(viewer.url))
            socket.close_timeout = 0.1
        wait_until(lambda: len(viewer._stage.visitors) == SILENT)
        begun = time.monotonic()
        with drawing(viewer, "software"):
            assert shown(viewer) == POINTS
        assert time.monotonic() - begun < 0.5 * renderer.PATIENCE_S
