"""``worldgen evaluate`` as a user meets it: tables, pictures and files, or one sentence and nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.verbs import assert_refused, forked, run

WORDS = ("evaluate", "--scenes", 2, "--steps", 1)


def test_views_are_scored_against_their_baselines(
    small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "scores"
    assert run(*WORDS, 2, "--model", small_weights, "--out", out) == 0
    said = capsys.readouterr().out
    assert "2 held-out worlds" in said
    assert "Frechet distance" in said
    scores = json.loads((out / "scores.json").read_text())
    assert list(scores) == ["1", "2"]
    assert 5.0 < scores["1"]["psnr_known"] < 60.0
    assert scores["1"]["psnr_known_raw"] == scores["2"]["psnr_known_raw"]
    assert sorted(file.name for file in out.iterdir()) == ["scenes-000.png", "scores.json"]
    with Image.open(out / "scenes-000.png") as sheet:
        assert sheet.width > 6 * 32  # sources, render, fill, two answers and the truth


def test_the_standard_suite_walks_in_circles_too(
    small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "scores"
    words = ("--suite", "standard", "--loops", 1, "--loop-frames", 20)
    assert run(*WORDS, *words, "--model", small_weights, "--out", out) == 0
    assert "1 closed loop of 20 frames" in capsys.readouterr().out
    loops = json.loads((out / "loops.json").read_text())
    assert loops["closure"] > loops["closure_forgetful"] > 0.0
    assert {"loop-000-remembered.png", "loop-000-forgetful.png"} <= {file.name for file in out.iterdir()}


@pytest.mark.parametrize(
    "words",
    [("--loop-frames", 21), ("--loop-frames", 4), ("--loops", 0), ("--scenes", 1), ("--model", "nothing")],
    ids=lambda words: " ".join(map(str, words)),
)
def test_what_cannot_be_measured_is_refused_before_anything_is_made(words: tuple, tmp_path: Path):
    out = tmp_path / "scores"
    assert_refused(forked("evaluate", "--suite", "standard", *words, "--out", out))
    assert not out.exists()
