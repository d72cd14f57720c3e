"""What tests of the generator share: the weights of a model small enough for them."""

from pathlib import Path

import pytest

from tests.oracles.small_models import SIDE, perturbed_model
from worldgen.model.weights import save_model


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights, none of which is zero."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(perturbed_model(), path, size=SIDE)
    return path
