"""Costs: what a chunk took of the machine that it was committed on.

Room: memory; every room above may import this. Like times, costs are told and never compared: nothing that
decides a frame knows them, and two chunks that differ in nothing else are equal. A machine is named by its
parts, and never by the name that its owner gave it.
"""

from __future__ import annotations

import importlib
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from render.splats import available_threads

LONGEST_NAME = 80
"""Letters of a CPU's or a GPU's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What computes."""

    cpu: str
    """Its model, as the system calls it."""

    cores: int
    """That the process may use."""

    gpu: str | None
    """Its model, if the process uses one."""

    def __str__(self) -> str:
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        return f"{self.cpu}, {cores}" + ("" if self.gpu is None else f", {self.gpu}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the process had taken when it committed a chunk."""

    memory_bytes: int
    """Most memory that was resident at any time since it began; 0 where the system does not say."""

    machine: Machine


def cost_now() -> Cost:
    """What this process has taken so far, and of which machine."""
    return Cost(memory_bytes=peak_bytes(), machine=machine_here())


def machine_here() -> Machine:
    """The machine that this process runs on."""
    is_used = torch.cuda.is_initialized()
    gpu = _plain(torch.cuda.get_device_name()) if is_used else None
    return Machine(cpu=_cpu(), cores=available_threads(), gpu=gpu)


@cache
def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    models = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return _plain(models[0] if models else platform.processor() or platform.machine())


def _plain(name: str) -> str:
    """A name that fits into a line, and may be shown."""
    return " ".join(name.split())[:LONGEST_NAME] or "unknown"


def peak_bytes() -> int:
    """Most memory that was resident at any time since this process began; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    peaks = [int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")]
    if peaks:
        return peaks[0]
    try:
        resource = importlib.import_module("resource")
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10  # bytes there, KiB elsewhere
