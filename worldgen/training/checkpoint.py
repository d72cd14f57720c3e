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
from torch import Tensor, nn

from worldgen.training.config import TrainConfig


class CheckpointMismatch(ValueError):
    """A checkpoint that belongs to another configuration, or is no checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run has come."""

    step: int = 0
    frames: int = 0
    clips: int = 0


def save_checkpoint(
    path: Path,
    *,
    model: nn.Module,
    average: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    progress: Progress,
    config: TrainConfig,
) -> None:
    """Write the state of a run; a crash leaves the previous file."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    for index, optimizer in enumerate(optimizers):
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


def load_checkpoint(
    path: Path,
    *,
    model: nn.Module,
    average: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    config: TrainConfig,
) -> Progress:
    """Restore a run in place and return how far it had come.

    Raises:
        CheckpointMismatch: if the file is no checkpoint or holds another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        saved = json.loads(header["config"])
        progress = Progress(**json.loads(header["progress"]))
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise CheckpointMismatch(f"{path} is no training checkpoint: {error}") from error
    if saved["model"] != json.loads(json.dumps(dataclasses.asdict(config.model))):
        raise CheckpointMismatch(f"{path} belongs to another model; give its configuration or a new folder")
    model.load_state_dict(_below(tensors, "model."))
    average.load_state_dict(_below(tensors, "average."))
    for index, optimizer in enumerate(optimizers):
        _restore(optimizer, _below(tensors, f"optimizer.{index}."))
    return progress


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        slot, key = name.split(".", 1)
        state.setdefault(int(slot), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
