"""What tests of the generator share: the weights of a model small enough for them, and a place to walk in."""

from pathlib import Path

import pytest

from render.cameras import Cameras
from tests.oracles.small_models import SIDE, perturbed_model
from worldgen.model.weights import save_model
from worldgen.worlds import Scene, random_scene, random_walk_cameras

SIZE = 48
"""Pixels a side of the views of the place."""


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights, none of which is zero."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(perturbed_model(), path, size=SIDE)
    return path


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A room."""
    return random_scene(11)


@pytest.fixture(scope="session")
def camera(scene: Scene) -> Cameras:
    """Where somebody stands in it."""
    return random_walk_cameras(scene, n=1, seed=2, width=SIZE, height=SIZE)
