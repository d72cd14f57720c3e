"""Recipes: what a TOML file says is what is trained, and what it cannot say is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from worldgen.model.rgbd import ModelConfig
from worldgen.training.config import CONFIGS, Stage, TrainConfig, load_config
from worldgen.training.run import begun
from worldgen.worlds import DEFAULT_KINDS

RECIPE = """
seed = 7
clip_frames = 3
learning_rate = 5e-4

[model]
name = "small"
levels = [8, 16]
width = 64
depth = 4
head_width = 16

[[stages]]
size = 32
frames = 100
batch_clips = 2

[[stages]]
size = 64
frames = 50
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def test_a_recipe_says_what_it_says(tmp_path: Path):
    assert load_config(written(tmp_path, RECIPE)) == TrainConfig(
        model=ModelConfig(name="small", levels=(8, 16), width=64, depth=4, head_width=16),
        stages=(Stage(size=32, frames=100, batch_clips=2), Stage(size=64, frames=50, batch_clips=4)),
        seed=7,
        clip_frames=3,
        learning_rate=5e-4,
    )


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_load_by_name(path: Path):
    assert load_config(Path(path.stem)) == load_config(path)
    assert load_config(path).model.name == path.stem


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (RECIPE.replace("seed", "sede"), "unknown key 'sede'"),
        (RECIPE.replace("width = 64\n", "witdh = 64\n", 1), "unknown key 'witdh'"),
        (RECIPE.replace("batch_clips", "batch"), "unknown key 'batch'"),
        (RECIPE.replace("frames = 50\n", ""), "missing .* 'frames'"),
        (RECIPE.split("[[stages]]", maxsplit=1)[0], "at least one stage"),
        (RECIPE.replace("clip_frames = 3", "clip_frames = 0"), "one frame a clip"),
        (RECIPE.replace("size = 32", "size = 30"), "a size that 8 divides"),
        (RECIPE.replace("frames = 100", "frames = 0"), "a stage needs frames"),
        (RECIPE.replace("head_width = 16", "head_width = 12"), "whole heads"),
        (RECIPE.replace("5e-4", "0.0"), "learning_rate must be positive"),
        (RECIPE.replace("5e-4", '"fast"'), "is no training configuration"),
        (RECIPE.replace("seed = 7", "ema = 1.0"), "ema in"),
        (RECIPE.replace("seed = 7", "cooldown = 1.5"), "cooldown must lie in"),
        (RECIPE.replace("seed = 7", "time_shift = 0.0"), "time_shift must be positive"),
        (RECIPE.replace("seed = 7", 'corruption = "some"'), "one of base, full, got 'some'"),
        (RECIPE.replace("seed = 7", "corruption = 1"), "is no training configuration"),
        (RECIPE.replace("seed = 7", "shortcut = 0.25"), r"shortcut = true in \[model\]"),
        (RECIPE.replace("width = 64\n", "width = 64\nshortcut = true\n", 1), "got 0.0 and true"),
        (RECIPE.replace("width = 64\n", 'width = 64\nshortcut = "no"\n', 1), "is no training configuration"),
        (RECIPE.replace("seed = 7", "shortcut = 1.5"), "shortcut must lie in"),
        (RECIPE.replace("seed = 7", "seed = "), "is no training configuration"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(tmp_path: Path, wrong: str, complaint: str):
    assert wrong != RECIPE
    with pytest.raises(ValueError, match=complaint) as refusal:
        load_config(written(tmp_path, wrong))
    assert "recipe.toml is no training configuration" in str(refusal.value)


def test_a_recipe_may_ask_for_shortcuts(tmp_path: Path):
    told = RECIPE.replace("width = 64\n", "width = 64\nshortcut = true\n", 1)
    config = load_config(written(tmp_path, told.replace("seed = 7", 'shortcut = 0.25\nstart_from = "tiny"')))
    assert (config.shortcut, config.model.shortcut, config.start_from) == (0.25, True, "tiny")


def test_the_shipped_shortcut_recipe_takes_a_quarter_of_the_steps_from_the_shipped_weights():
    def steps(name: str) -> float:
        return sum(
            stage.frames / stage.batch_clips / config.clip_frames
            for config in [load_config(Path(name))]
            for stage in config.stages
        )

    assert 0.2 <= steps("tiny-shortcut") / steps("tiny") <= 0.3
    config = load_config(Path("tiny-shortcut"))
    run = begun(config, device=torch.device("cpu"), start_from=config.start_from)
    assert run.model.config == config.model


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xff\xfe\x00seed")
    with pytest.raises(ValueError, match="is no training configuration"):
        load_config(path)


def test_a_recipe_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match=r"no training configuration at nonesuch; give .* tiny"):
        load_config(Path("nonesuch"))


def test_training_walks_through_the_stages(tmp_path: Path):
    config = load_config(written(tmp_path, RECIPE))
    assert config.total_frames == 150
    assert [config.stage_at(frames).size for frames in (0, 99, 100, 149, 150, 999)] == [
        32,
        32,
        64,
        64,
        64,
        64,
    ]


def test_configurations_are_values(tmp_path: Path):
    config = load_config(written(tmp_path, RECIPE))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3  # type: ignore[misc]


def test_a_recipe_may_choose_its_kinds_of_worlds(tmp_path: Path):
    assert load_config(written(tmp_path, RECIPE)).kinds == DEFAULT_KINDS
    chosen = load_config(written(tmp_path, RECIPE + "[kinds]\nstreet = 2\nroom = 0.5\n")).kinds
    assert chosen == {"street": 2.0, "room": 0.5}


@pytest.mark.parametrize(
    ("kinds", "complaint"),
    [
        ("castle = 1.0", "no kind of place 'castle'"),
        ("room = -1", "from 0 up"),
        ('room = "much"', "is no training"),
    ],
)
def test_kinds_that_make_no_sense_are_refused(tmp_path: Path, kinds: str, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        load_config(written(tmp_path, f"{RECIPE}[kinds]\n{kinds}\n"))
