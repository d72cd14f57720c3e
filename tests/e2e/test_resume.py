"""A world survives SIGKILL at any moment, and grows on to the same frames, bit for bit."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import torch

from memory.world import SceneInfo, World
from render.cameras import Cameras, intrinsics_from_fov
from render.paths import path_named
from tests.e2e.conftest import SIZE
from worldgen.generator import RGBDGenerator
from worldgen.rollout import Growth, start

FRAMES = 24
KILLS = 20


def _grow_or_resume(path: Path, weights: Path) -> None:
    torch.set_num_threads(1)
    generator = RGBDGenerator(weights, steps=2)
    if not path.exists():
        camera = Cameras(
            c2w=torch.eye(4)[None],
            K=intrinsics_from_fov(1.2, width=SIZE, height=SIZE),
            width=SIZE,
            height=SIZE,
        )
        cameras = path_named("orbit", camera, n=FRAMES)
        info = SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))
        start(path, info, camera, cameras=cameras, generator=generator, seed=5, name="orbit")
    with World.open(path, writable=True) as world:
        for _ in Growth(world, generator).follow():
            pass


def test_a_world_killed_twenty_times_ends_as_the_one_that_was_left_alone(tmp_path: Path, small_weights: Path):
    workers = multiprocessing.get_context("forkserver")
    workers.set_forkserver_preload(["worldgen.rollout", "worldgen.generator"])
    alone = workers.Process(target=_grow_or_resume, args=(tmp_path / "alone", small_weights))
    began = time.monotonic()
    alone.start()
    alone.join()
    took = time.monotonic() - began
    assert alone.exitcode == 0

    moments, killed, held = random.Random(3), 0, 0
    path = tmp_path / "killed"
    while killed < KILLS:
        worker = workers.Process(target=_grow_or_resume, args=(path, small_weights))
        worker.start()
        worker.join(moments.uniform(0.0, took / 4))
        if worker.exitcode is None:
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            killed += 1
        worker.join()
        if path.exists():
            with World.open(path) as world:
                count = len(world.frame_ids())
                assert count >= held, "a committed frame is gone"
                assert world.verify() == []
            held = count
        if held == FRAMES:
            break
    _grow_or_resume(path, small_weights)

    with World.open(path) as world, World.open(tmp_path / "alone") as other:
        assert len(world.frame_ids()) == FRAMES
        assert torch.equal(world.frames().rgb, other.frames().rgb)
        assert torch.equal(world.frames().depth, other.frames().depth)
        assert torch.equal(world.cameras().c2w, other.cameras().c2w)
    assert killed >= KILLS // 4, "the kills came too late to mean anything"
