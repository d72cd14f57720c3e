"""Checkpoints: everything comes back bit for bit, and nothing else is taken for one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.oracles.small_models import SMALL
from worldgen.training.checkpoint import CheckpointMismatch, Progress, Run, load_checkpoint, save_checkpoint
from worldgen.training.config import Stage, TrainConfig
from worldgen.training.run import begun

CONFIG = TrainConfig(model=SMALL, stages=(Stage(size=32, frames=8),))
PROGRESS = Progress(step=3, frames=48, clips=12)


def run_with_a_past(*, seed: int) -> Run:
    """A run whose optimisers have stepped twice on made-up gradients."""
    run = begun(dataclasses.replace(CONFIG, seed=seed), device=torch.device("cpu"))
    rng = torch.Generator().manual_seed(seed)
    for _ in range(2):
        for parameter in run.model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=rng)
        for optimizer in run.optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return run


def numbers(run: Run) -> dict[str, torch.Tensor]:
    """Every tensor of a run, by name."""
    found = {f"model.{name}": tensor for name, tensor in run.model.state_dict().items()}
    found |= {f"average.{name}": tensor for name, tensor in run.average.state_dict().items()}
    for index, optimizer in enumerate(run.optimizers):
        for slot, state in optimizer.state_dict()["state"].items():
            found |= {f"{index}.{slot}.{key}": value for key, value in state.items()}
    return found


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    path, run = tmp_path_factory.mktemp("run") / "deep" / "checkpoint.safetensors", run_with_a_past(seed=1)
    save_checkpoint(path, run, progress=PROGRESS, config=CONFIG)
    return path, run


def fresh() -> Run:
    return begun(dataclasses.replace(CONFIG, seed=2), device=torch.device("cpu"))


def test_a_run_comes_back_bit_for_bit(saved: tuple[Path, Run]):
    path, run = saved
    other = fresh()
    assert load_checkpoint(path, other, config=CONFIG) == PROGRESS
    before, after = numbers(run), numbers(other)
    assert before.keys() == after.keys()
    assert len([name for name in before if "momentum_buffer" in name]) == 4 * SMALL.depth
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name


def test_saving_again_writes_the_same_tensors(saved: tuple[Path, Run], tmp_path: Path):
    path, _ = saved
    other = fresh()
    load_checkpoint(path, other, config=CONFIG)
    save_checkpoint(tmp_path / "again.safetensors", other, progress=PROGRESS, config=CONFIG)
    before, after = load_file(path), load_file(tmp_path / "again.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_nothing_but_the_checkpoint_is_left_in_the_folder(saved: tuple[Path, Run]):
    assert [path.name for path in saved[0].parent.iterdir()] == ["checkpoint.safetensors"]


def test_the_header_holds_the_recipe(saved: tuple[Path, Run]):
    with safe_open(saved[0], framework="pt") as file:
        header = file.metadata()
    assert json.loads(header["config"])["stages"] == [{"size": 32, "frames": 8, "batch_clips": 4}]
    assert json.loads(header["progress"]) == {"step": 3, "frames": 48, "clips": 12}


def test_a_checkpoint_of_another_model_is_refused(saved: tuple[Path, Run]):
    wider = dataclasses.replace(CONFIG, model=dataclasses.replace(SMALL, width=128))
    with pytest.raises(CheckpointMismatch, match="belongs to another model"):
        load_checkpoint(saved[0], begun(wider, device=torch.device("cpu")), config=wider)


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path):
    text, weights = tmp_path / "text", tmp_path / "weights"
    text.write_text("not safetensors")
    save_file({"model.a": torch.zeros(2)}, weights)
    for path in (text, weights, tmp_path / "nothing", tmp_path):
        with pytest.raises(CheckpointMismatch, match="is no training checkpoint"):
            load_checkpoint(path, fresh(), config=CONFIG)


@pytest.mark.parametrize("header", ["[]", "{}", "{", '{"model": 3}', "null"])
def test_a_header_that_is_no_header_is_refused(saved: tuple[Path, Run], tmp_path: Path, header: str):
    path = tmp_path / "checkpoint.safetensors"
    save_file(load_file(saved[0]), path, {"config": header, "progress": "{}"})
    with pytest.raises(CheckpointMismatch):
        load_checkpoint(path, fresh(), config=CONFIG)


@pytest.mark.parametrize("lost", ["model.stem.weight", "average.last.bias"])
def test_a_checkpoint_that_lacks_weights_is_refused(saved: tuple[Path, Run], tmp_path: Path, lost: str):
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(saved[0], framework="pt") as file:
        header = file.metadata()
    tensors = load_file(saved[0])
    del tensors[lost]
    save_file(tensors, path, header)
    with pytest.raises(CheckpointMismatch, match="holds other weights"):
        load_checkpoint(path, fresh(), config=CONFIG)


def test_a_checkpoint_from_before_a_size_had_a_name_means_its_default(
    saved: tuple[Path, Run], tmp_path: Path
):
    path, run = saved[0], fresh()
    with safe_open(path, framework="pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    recipe = json.loads(header["config"])
    del recipe["model"]["cameras"]
    old = tmp_path / "old.safetensors"
    save_file(tensors, old, {**header, "config": json.dumps(recipe)})
    load_checkpoint(old, run, config=CONFIG)
    absolute = dataclasses.replace(CONFIG.model, cameras="absolute")
    with pytest.raises(CheckpointMismatch, match="another model"):
        load_checkpoint(old, run, config=dataclasses.replace(CONFIG, model=absolute))
