"""A world survives SIGKILL at any moment, and grows on to the same frames, bit for bit."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from memory.world import SceneInfo, World
from render.cameras import Cameras, intrinsics_from_fov
from render.paths import path_named
from tests.e2e.conftest import SIZE
from worldgen.generator import RGBDGenerator
from worldgen.rollout import Growth, start

FRAMES = 24
KILLS = 20
FEW_KILLS = 6
"""Enough to meet a world before, at and after its first frames; all of them take minutes."""


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


@pytest.mark.parametrize("kills", [FEW_KILLS, pytest.param(KILLS, marks=pytest.mark.slow)])
def test_a_world_killed_again_and_again_ends_as_the_one_that_was_left_alone(
    tmp_path: Path, small_weights: Path, kills: int
):
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
    while killed < kills:
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
    assert killed >= min(kills, 5), "the kills came too late to mean anything"


@pytest.mark.slow
def test_the_command_line_killed_twenty_times_finishes_the_same_world(tmp_path: Path, small_weights: Path):
    def worldgen(verb: str, name: str, *more: object) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-m", "worldgen.cli", verb, str(tmp_path / name), *map(str, more)]
        settings = ("--model", str(small_weights), "--steps", "2")
        return subprocess.Popen([*arguments, *settings], stdout=subprocess.DEVNULL)

    grow = ("--seed", 3, "--frames", 400)
    began = time.monotonic()
    assert worldgen("grow", "alone", *grow).wait() == 0
    took = time.monotonic() - began

    moments, killed = random.Random(1), 0
    while killed < KILLS:
        is_there = (tmp_path / "killed").exists()
        worker = worldgen("extend", "killed", "--resume") if is_there else worldgen("grow", "killed", *grow)
        try:
            worker.wait(moments.uniform(0.1, 0.4) * took)
            break
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
            killed += 1
    assert worldgen("extend", "killed", "--resume").wait() == 0
    with World.open(tmp_path / "killed") as world, World.open(tmp_path / "alone") as other:
        assert world.verify() == []
        assert torch.equal(world.frames().rgb, other.frames().rgb)
        assert torch.equal(world.frames().depth, other.frames().depth)
    assert killed >= KILLS // 4, "the kills came too late to mean anything"
