"""The door before a viewer: raw requests, as a browser, a stranger and a scoundrel would send them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
import torch

from tests.viewer.box_room import cast, look, scene_of
from viewer import Viewer
from viewer.door import LONGEST_HEAD, Door, checked_token

TOKEN = "open-sesame_42"


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    scene = scene_of(cast(look(1, width=32, height=24)))
    viewer = Viewer(scene, up=torch.tensor([0.0, -1.0, 0.0]), scale=2.0, port=0, token=TOKEN)
    yield viewer
    viewer.close()


def door(viewer: Viewer) -> Door:
    assert viewer._door is not None
    return viewer._door


def said(viewer: Viewer, request: str) -> str:
    """All that comes back for one request, up to its first 4,000 bytes."""
    with socket.create_connection(("127.0.0.1", door(viewer).port), timeout=30) as connection:
        answer = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # who sends too much is cut off
            connection.sendall(request.encode("latin-1"))
            while len(answer) < 4000 and (more := connection.recv(4096)):
                answer += more
                if b"101 Switching" in answer:
                    break
    return answer.decode("latin-1")


def asked(path: str = "/", **fields: str) -> str:
    lines = [f"GET {path} HTTP/1.1", "Host: here", *(f"{k}: {v}" for k, v in fields.items())]
    return "\r\n".join([*lines, "", ""])


def cookie(viewer: Viewer, token: str = TOKEN) -> str:
    return f"other=1; worldgen-{door(viewer).port}={token}"


SOCKET = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=open-sesame_43", "/index.html", "/?token=%00"])
def test_who_does_not_know_the_token_is_refused(viewer: Viewer, path: str):
    answer = said(viewer, asked(path))
    assert answer.startswith("HTTP/1.1 403 ")
    assert "asks for a token" in answer
    assert TOKEN not in answer


def test_the_token_gets_a_cookie_and_the_cookie_gets_the_page(viewer: Viewer):
    answer = said(viewer, asked(f"/?token={TOKEN}"))
    assert answer.startswith("HTTP/1.1 303 ")
    assert f"worldgen-{door(viewer).port}={TOKEN}" in answer
    assert "HttpOnly; SameSite=Strict" in answer
    page = said(viewer, asked(Cookie=cookie(viewer)))
    assert page.startswith("HTTP/1.1 200 ")
    assert viewer.url.endswith(f"/?token={TOKEN}")


def test_websockets_are_judged_too(viewer: Viewer):
    refused = said(viewer, asked(**SOCKET))
    assert refused.startswith("HTTP/1.1 403 ")
    from_elsewhere = said(viewer, asked(Cookie=cookie(viewer), Origin="http://evil.example", **SOCKET))
    assert from_elsewhere.startswith("HTTP/1.1 403 ")
    welcome = said(viewer, asked(Cookie=cookie(viewer), Origin="http://here", **SOCKET))
    assert welcome.startswith("HTTP/1.1 101 ")


def test_a_wrong_cookie_is_no_cookie(viewer: Viewer):
    assert said(viewer, asked(Cookie=cookie(viewer, "open-sesame_43"))).startswith("HTTP/1.1 403 ")
    assert said(viewer, asked(Cookie=f"worldgen-1={TOKEN}")).startswith("HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "request_", ["nonsense\r\n\r\n", "GET http://[ HTTP/1.1\r\n\r\n", "\r\n\r\n"], ids=range(3)
)
def test_what_is_no_request_is_told_so(viewer: Viewer, request_: str):
    assert said(viewer, request_).startswith("HTTP/1.1 400 ")


def test_endless_heads_are_cut_off_and_hold_nobody_up(viewer: Viewer):
    with socket.create_connection(("127.0.0.1", door(viewer).port), timeout=30) as silent:
        silent.sendall(b"GET / HT")
        assert said(viewer, "GET / HTTP/1.1\r\n" + "x: y\r\n" * LONGEST_HEAD) == ""
        assert said(viewer, asked(Cookie=cookie(viewer))).startswith("HTTP/1.1 200 ")


def test_viser_itself_listens_on_this_machine_only(viewer: Viewer):
    assert viewer._server.get_host() == "127.0.0.1"
    assert viewer._server.get_port() != door(viewer).port


def test_a_closed_door_lets_go_of_its_port():
    standing = Door(host="127.0.0.1", port=0, inner_port=1, token=TOKEN)
    with socket.create_connection(("127.0.0.1", standing.port), timeout=10):
        began = time.monotonic()
        standing.close()
        assert time.monotonic() - began < 10
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", standing.port), timeout=10)


def test_who_comes_while_the_door_closes_is_let_go_too():
    standing = Door(host="127.0.0.1", port=0, inner_port=1, token=TOKEN)
    standing._loop.call_soon_threadsafe(time.sleep, 0.5)  # in which the visitor knocks and the door is closed
    with socket.create_connection(("127.0.0.1", standing.port), timeout=10) as visitor:
        standing.close()
        with contextlib.suppress(ConnectionResetError):  # or nobody had come to the door yet
            assert visitor.recv(1) == b""


@pytest.mark.parametrize("token", ["", "short", "with space", "naïve-token", "x" * 129, "a=b;c=d;e"])
def test_tokens_that_are_guessed_or_break_addresses_are_refused(token: str):
    with pytest.raises(ValueError, match="a token is 8 to 128"):
        checked_token(token)
