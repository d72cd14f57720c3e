"""A run before its first step: the model, its average and the optimisers.

Room: worldgen.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import torch
from torch import nn

from worldgen.model.rgbd import RGBDModel
from worldgen.model.weights import load_model, weights_path
from worldgen.training.checkpoint import CheckpointMismatch, Run
from worldgen.training.config import TrainConfig
from worldgen.training.muon import Muon


def begun(config: TrainConfig, *, device: torch.device, start_from: Path | str | None = None) -> Run:
    """A run before its first step; the configuration's seed decides the weights, if no file does.

    Args:
        config: the recipe.
        device: where the run lives.
        start_from: a file of weights or the name of shipped ones. A shortcut model may start from a flow
            model, which it equals until it has learned that steps differ in length.

    Raises:
        CheckpointMismatch: if the weights belong to a model of other sizes.
        ValueError: if there are no such weights.
    """
    torch.manual_seed(config.seed)
    model = RGBDModel(config.model)
    if start_from:
        _fill(model, start_from)
    model = model.to(device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(model).requires_grad_(requires_grad=False)
    return Run(model=model, average=average, optimizers=optimizers_of(model, config))


def _fill(model: RGBDModel, start_from: Path | str) -> None:
    """Give a model the weights of a file; the vectors of step lengths stay zero if it has none."""
    weights, _ = load_model(weights_path(start_from))
    found, wanted = weights.config, model.config
    is_told = found.shortcut or wanted.shortcut
    if dataclasses.replace(found, name=wanted.name, shortcut=is_told) != wanted:
        raise CheckpointMismatch(f"{start_from} holds {found}, the recipe wants {wanted}")
    lengths = {} if model.embed_step is None else model.embed_step.state_dict(prefix="embed_step.")
    model.load_state_dict({**lengths, **weights.state_dict()})


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
