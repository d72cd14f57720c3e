"""Weights small enough to grow a world in a test: the real model, untrained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.e2e.verbs import Words, forked
from tests.e2e.windows import FLAGS, PATIENCE_MS, chromium
from tests.oracles.small_models import perturbed_model
from worldgen.model.weights import save_model

SIZE = 32


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A safetensors file with a small model whose every layer does something."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(perturbed_model(), path, size=SIZE)
    return path


@pytest.fixture(scope="session")
def model(small_weights: Path) -> Words:
    """What makes a verb that grows use the small model, as quickly as it can."""
    return ("--model", small_weights, "--steps", 1)


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory, model: Words) -> Callable[[int], Path]:
    """Worlds of any number of frames, each grown along one path; copy one before changing it."""

    @cache
    def of(frames: int) -> Path:
        folder = tmp_path_factory.mktemp("worlds") / f"walked-{frames}"
        done = forked("grow", folder, "--frames", frames, "--seed", 3, "--no-survey", *model)
        assert done.returncode == 0, done.stderr
        return folder

    return of


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        path = chromium(playwright.chromium.executable_path)
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
