"""Visitors who come, go, and do not listen."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.viewer.box_room import cast, look, scene_of
from tests.viewer.sockets import PATIENCE_S, read_until, visiting, wait_until
from viewer import Viewer
from viewer.clouds import Cloud
from viewer.live import Chunk
from viewer.visitor import Visitor
from viewer.world_panel import memory_bytes

MOST_GROWN = 12 * 2**20
"""Bytes: the visitors are threads of this process too, and leave the allocator 6 MiB in pieces."""

CHUNKS, SPLATS = 40, 20_000
"""Each chunk fills a node and is a megabyte and more on the wire: all of them are more than sockets hold."""


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    scene = scene_of(cast(look(1)))
    viewer = Viewer(scene, up=torch.tensor([0.0, -1.0, 0.0]), scale=2.0, port=0)
    viewer._look.choose("splats")  # nobody here says what it draws with
    yield viewer
    viewer.close()


def chunk(viewer: Viewer, seed: int) -> Chunk:
    random = np.random.default_rng(seed)
    cloud = Cloud(
        centers=random.random((SPLATS, 3), dtype=np.float32),
        covariances=np.tile(np.float32(1e-4) * np.eye(3, dtype=np.float32), (SPLATS, 1, 1)),
        rgbs=random.integers(0, 256, (SPLATS, 3), dtype=np.uint8),
        opacities=np.full((SPLATS, 1), 200, dtype=np.uint8),
        normals=np.tile(np.float32([0.0, 0.0, 1.0]), (SPLATS, 1)),
        confidence=np.ones(SPLATS, dtype=np.float32),
    )
    return Chunk(shots=viewer._stage.shots[:1], cloud=cloud)


def come_and_go(viewer: Viewer, times: int) -> None:
    for _ in range(times):
        with visiting(viewer.url) as socket:
            wait_until(lambda: len(viewer._stage.visitors) == 1)
            read_until(socket, b"Frames: 1", timeout_s=PATIENCE_S)
        wait_until(lambda: not viewer._stage.visitors)


@pytest.mark.slow
def test_two_hundred_visits_leave_no_trace_in_memory(viewer: Viewer):
    come_and_go(viewer, 50)
    before = memory_bytes()
    if before is None:
        pytest.skip("this system does not say how much memory a process has")
    come_and_go(viewer, 200)
    grown = (memory_bytes() or 0) - before
    assert grown < MOST_GROWN, f"{grown / 2**20:.1f} MiB"
    assert not viewer._server.get_clients()
    wait_until(lambda: all(thread.name != "viewer-meet" for thread in threading.enumerate()))
    gc.collect()
    assert sum(type(thing) is Visitor for thing in gc.get_objects()) <= 1, "the last one may be on its way"


def seconds_to_see_growth(viewer: Viewer, *, first_seed: int) -> float:
    """How long it takes a visitor who listens to get many chunks, from the first on."""
    frames = viewer._stage.layers.frame_count
    with visiting(viewer.url) as socket:
        read_until(socket, f"Frames: {frames}".encode(), timeout_s=PATIENCE_S)
        begun = time.monotonic()
        for seed in range(first_seed, first_seed + CHUNKS):
            viewer._stage.add([chunk(viewer, seed)])
        count = read_until(socket, f"Frames: {frames + CHUNKS}".encode(), timeout_s=PATIENCE_S)
        assert count > 2**20
        return time.monotonic() - begun


def seconds_beside_a_deaf_one(viewer: Viewer, *, first_seed: int) -> float:
    """The same while somebody else never reads."""
    with visiting(viewer.url) as deaf:
        wait_until(lambda: len(viewer._stage.visitors) == 1)
        together = seconds_to_see_growth(viewer, first_seed=first_seed)
        told = viewer._server._websock_server._broadcast_buffer.generator_cursors
        assert len(told) >= 1, "the deaf one is still there"
        behind = viewer._server._websock_server._broadcast_buffer.message_counter - min(told.values())
        assert behind > CHUNKS, "and has not been sent all"
        deaf.close_timeout = 0.1  # it has megabytes to read before it would hear a farewell
    wait_until(lambda: not viewer._stage.visitors)
    return together


def test_a_visitor_who_never_reads_slows_nobody_else(viewer: Viewer):
    for seed in (0, 2000, 4000):  # a busy machine holds up one of two, but hardly the second one three times
        alone = seconds_to_see_growth(viewer, first_seed=seed)
        wait_until(lambda: not viewer._stage.visitors)
        together = seconds_beside_a_deaf_one(viewer, first_seed=seed + 1000)
        if together < 3.0 * alone + 1.0:
            return
    pytest.fail(f"{together:.1f} s instead of {alone:.1f} s")
