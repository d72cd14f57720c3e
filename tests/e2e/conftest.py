"""Weights small enough to grow a world in a test: the real model, untrained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.e2e.faults import Words
from worldgen.generator import save_model
from worldgen.model.rgbd import ModelConfig, RGBDModel

SIZE = 32


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A safetensors file with a small model whose every layer does something."""
    rng = torch.Generator().manual_seed(7)
    model = RGBDModel(ModelConfig(name="small", levels=(16, 32), width=64, depth=4, head_width=16))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=rng))
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(model, path, size=SIZE)
    return path


@pytest.fixture(scope="session")
def model(small_weights: Path) -> Words:
    """What makes a verb that grows use the small model, as quickly as it can."""
    return ("--model", small_weights, "--steps", 1)
