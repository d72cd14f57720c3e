"""Rehearsals: what is cut from a recipe and what is not, and figures that the model's sizes decide."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.oracles.small_models import SMALL
from worldgen.model.rgbd import RGBDModel
from worldgen.training.config import Stage, TrainConfig, load_config
from worldgen.training.ranks import Ranks
from worldgen.training.rehearsal import peak_bytes, rehearsal_of, rehearsed
from worldgen.training.throughput import Machine
from worldgen.training.trainer import train

CPU = torch.device("cpu")


def test_a_rehearsal_on_a_cpu_is_small_and_else_the_recipe():
    config = load_config(Path("small"))
    short = rehearsed(config, steps=5, device=CPU)
    assert short.stages == (Stage(size=64, frames=5 * 2 * 4, batch_clips=2),)
    assert dataclasses.replace(short, stages=config.stages) == config
    pair = rehearsed(config, steps=5, device=CPU, ranks=Ranks(index=1, count=2))
    assert pair.stages == (Stage(size=64, frames=5 * 4 * 4, batch_clips=4),)


def test_a_rehearsal_on_a_gpu_is_the_largest_stage():
    short = rehearsed(load_config(Path("small")), steps=3, device=torch.device("cuda"))
    assert short.stages == (Stage(size=256, frames=3 * 16 * 4, batch_clips=16),)


def test_a_rehearsal_never_enlarges_a_recipe():
    config = TrainConfig(model=SMALL, stages=(Stage(size=32, frames=100, batch_clips=1),))
    assert rehearsed(config, steps=3, device=CPU).stages == (Stage(size=32, frames=12, batch_clips=1),)


def test_too_short_a_rehearsal_is_refused():
    with pytest.raises(ValueError, match="at least 3 steps, got 2"):
        rehearsed(load_config(Path("tiny")), steps=2, device=CPU)


def test_a_rehearsal_tells_what_it_needed(tmp_path: Path):
    config = TrainConfig(model=SMALL, stages=(Stage(size=16, frames=10_000, batch_clips=1),), clip_frames=2)
    short = rehearsed(config, steps=4, device=CPU)
    steps = list(train(short, tmp_path, device=CPU, workers=0))
    machine = Machine(model=SMALL, clip_frames=2, matrix_rate=1e10)
    found = rehearsal_of(steps, tmp_path, stage=short.stages[0], machine=machine, device=CPU)
    parameters = sum(parameter.numel() for parameter in RGBDModel(SMALL).parameters())
    assert found.parameters == parameters
    assert (found.first_loss, found.last_loss) == (steps[0].loss, steps[3].loss)
    assert found.throughput == machine.throughput(steps[1:3])
    # bfloat16 weights; float32 weights, averages and at least one momentum.
    assert 2 * parameters < found.weights_bytes < 2 * parameters + 20_000
    assert found.checkpoint_bytes > 3 * 4 * parameters


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux has another witness")
def test_the_peak_of_memory_is_what_the_system_says():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    kib, unit = status["VmHWM"].split()
    assert unit == "kB"
    assert peak_bytes(CPU) == pytest.approx(1024 * int(kib), rel=0.05)
