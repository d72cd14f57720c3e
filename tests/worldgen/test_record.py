"""The record of a run: event files as TensorBoard's own reader sees them, the log, and the picture."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from worldgen.training.checkpoint import Progress
from worldgen.training.curves import draw_curves, running_median, steps_in
from worldgen.training.record import LOG, PICTURE, Record
from worldgen.training.throughput import Throughput
from worldgen.training.trainer import Step

SPEED = Throughput(frames_a_second=2.5, waiting=0.25, utilisation=0.5)


def step(number: int, *, loss: float, is_saved: bool = False) -> Step:
    return Step(
        progress=Progress(step=number, frames=8 * number, clips=2 * number),
        size=32 if number < 3 else 64,
        frames=8,
        loss=loss,
        rgb_error=loss / 2,
        depth_error=loss / 3,
        gradient_norm=loss / 4,
        learning_rate=1e-3,
        elapsed_s=1.0,
        waited_s=0.0,
        is_saved=is_saved,
    )


def recorded(folder: Path, steps: list[Step]) -> None:
    with Record(folder) as record:
        for one in steps:
            record.add(one, SPEED)


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_tensorboard_reads_every_scalar_of_every_step(tmp_path: Path):
    recorded(tmp_path, [step(1, loss=4.0), step(2, loss=2.0)])
    events = read(tmp_path)
    found = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }
    assert found.pop("learning_rate") == [(1, pytest.approx(1e-3)), (2, pytest.approx(1e-3))]
    assert found.pop("depth_error") == [(1, pytest.approx(4 / 3)), (2, pytest.approx(2 / 3))]
    assert found == {
        "loss": [(1, 4.0), (2, 2.0)],
        "rgb_error": [(1, 2.0), (2, 1.0)],
        "gradient_norm": [(1, 1.0), (2, 0.5)],
        "frames_a_second": [(1, 2.5), (2, 2.5)],
        "waiting": [(1, 0.25), (2, 0.25)],
        "utilisation": [(1, 0.5), (2, 0.5)],
    }


def test_a_value_that_only_some_steps_have_is_recorded_and_drawn_for_those(tmp_path: Path):
    steps = [
        dataclasses.replace(step(number, loss=1.0), semigroup_error=None if number % 2 else 0.25 * number)
        for number in range(1, 7)
    ]
    recorded(tmp_path, [*steps[:-1], dataclasses.replace(steps[-1], is_saved=True)])
    seen = [(event.step, event.value) for event in read(tmp_path).Scalars("semigroup_error")]
    assert seen == [(2, 0.5), (4, 1.0), (6, 1.5)]
    without = tmp_path / "without"
    without.mkdir()
    recorded(without, [step(number, loss=1.0, is_saved=number == 6) for number in range(1, 7)])
    with Image.open(tmp_path / PICTURE) as five, Image.open(without / PICTURE) as four:
        assert five.width == pytest.approx(four.width * 5 / 4, rel=0.01)


def test_steps_that_are_taken_again_are_seen_once(tmp_path: Path):
    recorded(tmp_path, [step(number, loss=1.0) for number in range(1, 5)])
    recorded(tmp_path, [step(number, loss=2.0) for number in range(3, 6)])
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 2
    seen = [(event.step, event.value) for event in read(tmp_path).Scalars("loss")]
    assert seen == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0)]
    logged = [(one["progress"]["step"], one["loss"]) for one in steps_in(tmp_path / LOG)]
    assert logged == seen


def test_the_curves_are_drawn_at_checkpoints_and_only_there(tmp_path: Path):
    recorded(tmp_path, [step(1, loss=4.0, is_saved=True), step(2, loss=3.0)])
    assert not (tmp_path / PICTURE).exists()
    recorded(tmp_path, [step(3, loss=2.0, is_saved=True)])
    assert len(_ink(tmp_path / PICTURE)) > 500
    assert not list(tmp_path.glob("*.tmp"))


def _ink(picture: Path) -> np.ndarray:
    """Pixels of a picture in the colour of the running median."""
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return np.argwhere(np.abs(pixels - (0x14, 0x49, 0x7A)).sum(axis=-1) < 30)


def test_a_falling_loss_is_drawn_as_a_falling_line(tmp_path: Path):
    log = tmp_path / LOG
    lines = [dataclasses.asdict(step(number, loss=10.0 / number)) for number in range(1, 60)]
    for line in lines:  # as before gradients were logged
        del line["gradient_norm"], line["rgb_error"], line["depth_error"]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"progress": {"st')
    draw_curves(log, tmp_path / "loss.png")
    ink = _ink(tmp_path / "loss.png")
    heights = [ink[ink[:, 1] == column, 0].mean() for column in np.unique(ink[:, 1])]
    assert heights[-1] - heights[0] > 100
    assert (np.diff(heights) > -3.0).all()


def test_a_log_of_one_step_is_no_curve(tmp_path: Path):
    (tmp_path / LOG).write_text(json.dumps(dataclasses.asdict(step(1, loss=1.0))))
    with pytest.raises(ValueError, match="holds 1 steps"):
        draw_curves(tmp_path / LOG, tmp_path / PICTURE)


def test_the_running_median_ignores_a_spike():
    values = np.ones(101)
    values[50] = 1e6
    assert (running_median(values) == 1.0).all()


def test_without_the_packages_a_run_is_still_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        recorded(tmp_path, [step(1, loss=2.0), step(2, loss=1.0, is_saved=True)])
    assert [path.name for path in tmp_path.iterdir()] == [LOG]
    assert len(steps_in(tmp_path / LOG)) == 2
    assert [message.partition(" is not installed")[0] for message in caplog.messages] == [
        "tensorboard",
        "matplotlib",
    ]
    assert all("worldgen[train]" in message for message in caplog.messages)
