"""Costs: recorded with every chunk, told again, and never part of what is compared."""

from __future__ import annotations

import dataclasses
import getpass
import platform
import re
from pathlib import Path

import numpy as np
import pytest

from memory import costs
from memory.boxes import Box
from memory.costs import Cost, Machine, cost_now, machine_here
from memory.world import World
from render.splats import available_threads
from tests.memory.test_world import SCENE, commit

ELSEWHERE = Cost(memory_bytes=5 << 30, machine=Machine(cpu="Z80", cores=1, gpu="Voodoo 2"))


def test_the_machine_is_named_by_its_parts_and_not_by_its_owner():
    machine = machine_here()
    assert machine.cpu
    assert machine.cores == available_threads()
    words = re.split(r"[^\w.-]+", str(machine))
    assert platform.node() not in words
    assert getpass.getuser() not in words
    assert str(ELSEWHERE.machine) == "Z80, 1 core, Voodoo 2"
    assert str(Machine(cpu="Z80", cores=2, gpu=None)) == "Z80, 2 cores"


def test_a_gpu_is_named_where_it_is_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA  H100\n80GB")
    assert machine_here().gpu == "NVIDIA H100 80GB"
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: False)
    assert machine_here().gpu is None


def test_memory_is_the_most_that_was_resident():
    before = cost_now().memory_bytes
    assert before > 20 << 20  # Python with torch is larger than that
    held = np.ones(before + (64 << 20), np.uint8)
    after = cost_now().memory_bytes
    assert after > before + (60 << 20)
    del held
    # the system counts in bunches of pages
    assert cost_now().memory_bytes == pytest.approx(after, abs=8 << 20)


def test_costs_are_kept_with_chunks_and_edits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with World.create(tmp_path / "w", SCENE) as world:
        first, _ = commit(world, 1)
        monkeypatch.setattr("memory.world.cost_now", lambda: ELSEWHERE)
        second, _ = commit(world, 2)
        third = world.remove(Box(low=(0.0,) * 3, high=(1.0,) * 3), settings={})
        assert first.cost is not None
        assert first.cost.machine == machine_here()
        assert (second.cost, third.cost) == (ELSEWHERE, ELSEWHERE)
        assert [chunk.cost for chunk in world.chunks()] == [first.cost, ELSEWHERE, ELSEWHERE]
        world.tree.undo(2)
        world.tree.collect()
    with World.open(tmp_path / "w") as world:
        assert [chunk.cost for chunk in world.tree.chunks()] == [first.cost]
        assert world.verify() == []


def test_chunks_that_differ_in_nothing_else_are_equal(tmp_path: Path):
    with World.create(tmp_path / "w", SCENE) as world:
        chunk, _ = commit(world, 1)
    assert dataclasses.replace(chunk, cost=ELSEWHERE) == chunk == dataclasses.replace(chunk, cost=None)


def test_systems_that_do_not_say_are_asked_in_another_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(costs, "Path", lambda _: tmp_path / "nothing")
    costs._cpu.cache_clear()
    try:
        assert machine_here().cpu
        assert cost_now().memory_bytes > 20 << 20
    finally:
        costs._cpu.cache_clear()
