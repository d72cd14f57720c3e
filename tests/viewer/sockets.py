"""A visitor without a browser: speaks to the viewer as viser's page does, as far as the tests need it."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec
import viser
import zstandard
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

PATIENCE_S = 60.0

FAREWELL_S = 0.1
"""Behind what it was told and has not read, a visitor hears no farewell."""

CAMERA = {
    "type": "ViewerCameraMessage",
    "wxyz": (1.0, 0.0, 0.0, 0.0),
    "position": (0.0, 0.0, 0.0),
    "fov": 1.0,
    "near": 0.1,
    "far": 100.0,
    "image_height": 320,
    "image_width": 480,
    "look_at": (0.0, 0.0, 1.0),
    "up_direction": (0.0, -1.0, 0.0),
}


def visiting(url: str) -> ClientConnection:
    """A connection that has said where it looks from, and so counts as a visitor.

    It reads at most one message ahead of whoever asks for them.
    """
    socket = connect(
        f"ws://{urlsplit(url).netloc}",
        subprotocols=[Subprotocol(f"viser-v{viser.__version__}")],
        max_size=None,
        max_queue=1,
        compression=None,
        close_timeout=FAREWELL_S,
    )
    socket.send(msgspec.msgpack.encode(CAMERA))
    return socket


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something holds on this side."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def read_until(socket: ClientConnection, words: bytes, *, timeout_s: float) -> int:
    """Read until something says these words; how many bytes that took."""
    count = 0
    while True:
        data = socket.recv(timeout=timeout_s)
        assert isinstance(data, bytes)
        count += len(data)
        size = int.from_bytes(data[8:16], "little")
        if words in zstandard.ZstdDecompressor().decompress(data[16 : 16 + size]):
            return count
