"""Rehearsals: a few steps of a recipe, to see that it runs, what it needs and how fast it is.

Room: worldgen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from memory import costs
from worldgen.model.weights import load_model
from worldgen.training.config import Stage, TrainConfig
from worldgen.training.ranks import ALONE, Ranks
from worldgen.training.throughput import Machine, Throughput
from worldgen.training.trainer import CHECKPOINT, TRAINED, Step

MIN_STEPS = 3
CPU_SIZE = 64
CPU_CLIPS = 2
"""Pixels a side and clips a rank to which a rehearsal on a CPU is reduced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a rehearsal showed."""

    parameters: int
    """Of the model, read back from the weights that were written."""

    stage: Stage
    """What was rehearsed."""

    first_loss: float
    last_loss: float
    peak_bytes: int
    """Most memory in use by this rank: of the GPU if there is one, else of the process."""

    checkpoint_bytes: int
    weights_bytes: int
    throughput: Throughput
    """Of all steps but the first, which also compiles and starts what the others need, and the last, which
    also writes the checkpoint."""


def rehearsed(config: TrainConfig, *, steps: int, device: torch.device, ranks: Ranks = ALONE) -> TrainConfig:
    """The recipe cut to ``steps`` steps of one stage: on a GPU its largest, on a CPU its first, made small.

    Raises:
        ValueError: if there are fewer than three steps, for the first and the last are not timed.
    """
    if steps < MIN_STEPS:
        raise ValueError(
            f"a rehearsal needs at least {MIN_STEPS} steps, got {steps}: the first warms up, the last saves"
        )
    if device.type == "cpu":
        first, clips = config.stages[0], CPU_CLIPS * ranks.count
        size, clips = min(CPU_SIZE, first.size), min(clips, first.batch_clips)
    else:
        largest = max(config.stages, key=lambda stage: stage.size**2 * stage.batch_clips)
        size, clips = largest.size, largest.batch_clips
    stage = Stage(size=size, batch_clips=clips, frames=steps * clips * config.clip_frames)
    return dataclasses.replace(config, stages=(stage,))


def rehearsal_of(
    steps: Sequence[Step], folder: Path, *, stage: Stage, machine: Machine, device: torch.device
) -> Rehearsal:
    """What the steps of a rehearsal and the files that they left in ``folder`` show."""
    model, _ = load_model(folder / TRAINED)
    return Rehearsal(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        stage=stage,
        first_loss=steps[0].loss,
        last_loss=steps[-1].loss,
        peak_bytes=peak_bytes(device),
        checkpoint_bytes=(folder / CHECKPOINT).stat().st_size,
        weights_bytes=(folder / TRAINED).stat().st_size,
        throughput=machine.throughput(steps[1:-1]),
    )


def peak_bytes(device: torch.device) -> int:
    """Most memory that this process has had in use so far, on the GPU if it trains on one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return costs.peak_bytes()
