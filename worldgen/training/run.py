"""A run before its first step: the model, its average and the optimisers.

Room: worldgen.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

from worldgen.model.rgbd import RGBDModel
from worldgen.model.weights import load_model
from worldgen.training.checkpoint import CheckpointMismatch, Run
from worldgen.training.config import TrainConfig
from worldgen.training.muon import Muon


def begun(config: TrainConfig, *, device: torch.device, start_from: Path | None = None) -> Run:
    """A run before its first step; the configuration's seed decides the weights, if no file does."""
    torch.manual_seed(config.seed)
    model = RGBDModel(config.model)
    if start_from is not None:
        weights, _ = load_model(start_from)
        if weights.config != config.model:
            raise CheckpointMismatch(f"{start_from} holds {weights.config}, the recipe wants {config.model}")
        model.load_state_dict(weights.state_dict())
    model = model.to(device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(model).requires_grad_(requires_grad=False)
    return Run(model=model, average=average, optimizers=optimizers_of(model, config))


def optimizers_of(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the trunk, AdamW for all else; both take the same learning rate."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim == 2 and ".blocks." in name and "modulation" not in name
        (matrices if is_matrix else others).append(parameter)
    rate, decay = config.learning_rate, config.weight_decay
    return [
        Muon(matrices, lr=rate, weight_decay=decay),
        torch.optim.AdamW(others, lr=rate, weight_decay=decay, betas=(0.9, 0.98)),
    ]
