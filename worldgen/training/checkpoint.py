"""Checkpoints: the whole state of a training run in one safetensors file, written atomically.

Room: worldgen. No pickle; numbers that are not tensors travel as JSON in the file's header.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from worldgen.model.rgbd import ModelConfig, RGBDModel
from worldgen.training.config import TrainConfig


class CheckpointMismatch(ValueError):  # noqa: N818 - says what is the matter, as our errors do
    """A checkpoint that belongs to another configuration, or is no checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run has come."""

    step: int = 0
    frames: int = 0
    clips: int = 0
    """Clips seen; the next one to see has this index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The things that training changes in place."""

    model: RGBDModel
    average: RGBDModel
    """The same network with averaged weights."""

    optimizers: list[torch.optim.Optimizer]


def save_checkpoint(path: Path, run: Run, *, progress: Progress, config: TrainConfig) -> None:
    """Write the state of a run; a crash leaves the previous file."""
    tensors = {f"model.{name}": tensor for name, tensor in run.model.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in run.average.state_dict().items()}
    for index, optimizer in enumerate(run.optimizers):
        for slot, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{slot}.{key}": value for key, value in state.items()}
    header = {
        "progress": json.dumps(dataclasses.asdict(progress)),
        "config": json.dumps(dataclasses.asdict(config)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, temporary, header)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path, run: Run, *, config: TrainConfig) -> Progress:
    """Restore a run in place and return how far it had come.

    Raises:
        CheckpointMismatch: if the file is no checkpoint or holds another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = json.loads(header["config"])["model"]
        model = json.dumps({**dataclasses.asdict(ModelConfig()), **model})  # older ones lack newer keys
        progress = Progress(**json.loads(header["progress"]))
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise CheckpointMismatch(f"{path} is no training checkpoint: {error!r}") from error
    if model != json.dumps(dataclasses.asdict(config.model)):
        raise CheckpointMismatch(f"{path} belongs to another model; give its configuration or a new folder")
    try:
        run.model.load_state_dict(_below(tensors, "model."))
        run.average.load_state_dict(_below(tensors, "average."))
        for index, optimizer in enumerate(run.optimizers):
            _restore(optimizer, _below(tensors, f"optimizer.{index}."))
    except (RuntimeError, ValueError) as error:
        raise CheckpointMismatch(f"{path} holds other weights than its configuration says") from error
    return progress


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Fill in an optimizer's state from tensors named "slot.key"."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        slot, key = name.split(".", 1)
        state.setdefault(int(slot), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
