"""What the viewer's tests share: a server that nobody visits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import viser


@pytest.fixture(scope="module")
def server() -> Iterator[viser.ViserServer]:
    server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
    yield server
    server.stop()
