"""``worldgen train`` from the command line: what is left in the folder, what is printed, what is refused."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.e2e.verbs import run
from worldgen.cli import Terminated
from worldgen.cli.train import stopped_between_steps
from worldgen.model.weights import load_model
from worldgen.training.curves import steps_in
from worldgen.training.ranks import ALONE

RECIPE = """
clip_frames = 2
warmup_steps = 2
model = { name = "mini", levels = [8, 16], width = 64, depth = 4, head_width = 16 }
stages = [{ size = 16, frames = 8, batch_clips = 1 }]
"""


def recipe_in(folder: Path) -> str:
    path = folder / "mini.toml"
    path.write_text(RECIPE)
    return str(path)


def test_a_run_leaves_weights_a_log_curves_and_event_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    recipe, out = recipe_in(tmp_path), tmp_path / "runs" / "mini"
    assert run("train", recipe, "--workers", 0) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("4 steps, ")
    assert "frames/s" in printed
    assert "utilised" in printed
    assert [step["progress"]["step"] for step in steps_in(out / "log.jsonl")] == [1, 2, 3, 4]
    names = {path.name.partition(".")[0] for path in out.iterdir()}
    assert names == {"checkpoint", "weights", "log", "curves", "events"}
    assert load_model(out / "weights.safetensors")[1] == 16
    assert run("train", recipe, "--workers", 0) == 0
    assert capsys.readouterr().out.startswith("nothing left to do; ")


def interrupted(log: Path, *arguments: object) -> int:
    """The exit status of a run that gets a SIGTERM once it has taken another step."""
    taken = len(log.read_text().splitlines()) if log.exists() else 0

    def interrupt() -> None:
        while not log.exists() or len(log.read_text().splitlines()) <= taken:
            time.sleep(0.01)
        workers = [child.pid for child in multiprocessing.active_children() if child.pid]
        for process in (*workers, os.getpid()):  # as a terminal signals all of them
            os.kill(process, signal.SIGTERM)

    killer = threading.Thread(target=interrupt)
    killer.start()
    try:
        return run(*arguments)
    finally:
        killer.join()


def test_an_interrupted_run_loses_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    long = tmp_path / "long.toml"
    long.write_text(RECIPE.replace("frames = 8", "frames = 8000"))
    out = tmp_path / "runs" / "long"
    for workers in (0, 1):
        assert interrupted(out / "log.jsonl", "train", long, "--workers", workers) == 143
        assert "worldgen: stopped; the same command goes on from here" in capsys.readouterr().err
        steps = [step["progress"]["step"] for step in steps_in(out / "log.jsonl")]
        assert steps == list(range(1, len(steps) + 1))
        with safe_open(out / "checkpoint.safetensors", framework="pt") as file:
            assert json.loads(file.metadata()["progress"])["step"] == steps[-1]


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_second_signal_does_not_wait(number: int, kind: type[KeyboardInterrupt]):
    before = signal.getsignal(number)

    def signalled_twice() -> None:
        with stopped_between_steps(ALONE) as is_stopping:
            assert not is_stopping()
            os.kill(os.getpid(), number)
            assert is_stopping()
            os.kill(os.getpid(), number)
            pytest.fail("the second signal waits")

    with pytest.raises(kind, match="at once"):
        signalled_twice()
    assert signal.getsignal(number) is before


def test_a_rehearsal_prints_its_figures_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    recipe = recipe_in(tmp_path)
    assert run("train", recipe, "--workers", 0, "--rehearse", 3) == 0
    printed = capsys.readouterr().out
    assert "M parameters" in printed
    assert "batches of 1 clips of 2 frames at 16 px" in printed
    assert "peak memory" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["mini.toml"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonesuch"], "no training configuration at nonesuch; give a TOML file or one of: small, tiny"),
        (["tiny", "--rehearse", "1"], "a rehearsal needs at least 3 steps, got 1"),
        (["tiny", "--threads", "0"], "--threads and --save-every must be positive"),
        (["tiny", "--workers", "-1"], "--workers not negative"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture
):
    assert run("train", *arguments) == 2
    assert complaint in capsys.readouterr().err
