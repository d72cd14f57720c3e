"""``worldgen path``: what it says, draws and writes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from memory.restore import restored_cache
from memory.world import World
from reconstruct.formats.nerfstudio_path import load_camera_path
from render.moves import parsed_move
from render.path_files import load_path
from render.plans import TRACK
from tests.e2e.verbs import assert_one_sentence, forked, run


def told(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> dict:
    """What the verb says as JSON."""
    capsys.readouterr()
    assert run("path", *words, "--json") == status
    return json.loads(capsys.readouterr().out)


def test_a_move_is_measured_without_any_world(capsys: pytest.CaptureFixture[str]):
    facts = told(capsys, "walk:length=3", "--seconds", 2, "--fps", 50)
    assert list(facts) == [
        "fps",
        "pictures",
        "seconds",
        "length",
        "top_speed",
        "top_speed_at",
        "top_turn",
        "top_turn_at",
        "meetings",
    ]
    assert (facts["pictures"], facts["seconds"], facts["meetings"]) == (100, 2.0, [])
    assert facts["length"] == pytest.approx(3.0, rel=1e-5)
    assert facts["top_speed"] == pytest.approx(3.0 * 50 / 99, rel=1e-3)


def test_a_path_through_a_world_is_told_with_picture_and_place(
    walked: Callable[[int], Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    facts = told(capsys, "walk:length=40", "--world", walked(3), "--plan", tmp_path / "plan.png", status=1)
    through = [meeting for meeting in facts["meetings"] if meeting["is_through"]]
    with World.open(walked(3)) as world:
        points, own = restored_cache(world).points, world.cameras()
        path = parsed_move("walk:length=40").cameras(own[:1], n=192, scale=world.scene.scale)
        clear = 0.05 * world.scene.scale
    for meeting in through:
        place = torch.tensor(meeting["place"])
        reach = points.axes.norm(dim=-1).sum(dim=-1) + 2.0 * clear
        assert ((points.positions - place).norm(dim=1) < reach).any(), "something is there"
        around = path.origins[meeting["first"] : meeting["last"] + 1]
        step = float(path.origins.diff(dim=0).norm(dim=1).max())
        assert float((around - place).norm(dim=1).min()) <= step
    with Image.open(tmp_path / "plan.png") as plan:
        pixels = np.asarray(plan)
    assert pixels.shape == (640, 640, 3)
    assert (pixels == (240, 62, 62)).all(axis=-1).sum() > 5, "red where it leads through"
    assert run("path", "walk:length=40", "--world", walked(3)) == 1
    assert "leads through what is known at" in capsys.readouterr().out


def test_a_path_on_the_spot_meets_nothing(walked: Callable[[int], Path], capsys: pytest.CaptureFixture[str]):
    assert run("path", "turn", "--world", walked(3), "--seconds", 3) == 0
    said = capsys.readouterr().out
    assert "turn: 72 pictures, 3.0 s at 24 a second" in said
    assert "nothing that is known is in the way" in said


def test_a_tour_is_written_for_others(tmp_path: Path):
    tour = tmp_path / "tour.json"
    tour.write_text(
        '{"format": "worldgen-tour", "segments": [{"move": "orbit", "degrees": 90, "frames": 30, "fov": 50}]}'
    )
    assert run("path", tour, "--out", tmp_path / "ours.json", "--plan", tmp_path / "plan.png") == 0
    with Image.open(tmp_path / "plan.png") as plan:
        assert (np.asarray(plan) == TRACK).all(axis=-1).sum() > 300, "the path alone, where there is no world"
    assert run("path", tour, "--out", tmp_path / "theirs.json", "--format", "nerfstudio") == 0
    ours, theirs = load_path(tmp_path / "ours.json"), load_camera_path(tmp_path / "theirs.json")
    assert len(ours) == len(theirs) == 30
    torch.testing.assert_close(ours.c2w, theirs.c2w, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.K, theirs.K, rtol=1e-5, atol=0)
    assert run("path", tmp_path / "ours.json") == 0


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (["orbit", "--fps", "0"], "--fps between 1 and 240"),
        (["orbit", "--seconds", "nan"], "--seconds lies between"),
        (["orbit", "--seconds", "3600", "--fps", "240"], "are 864,000 pictures, more than 100,000"),
        (["wander"], "wander chooses its path while a world grows"),
        (["nowhere.json"], "there is no file nowhere.json"),
        (["orbit", "--out", "no/such/folder.json"], "there is no folder"),
        (["orbit", "--world", "no-world"], "no-world"),
    ],
)
def test_requests_without_sense_are_refused(words: list[str], about: str):
    assert_one_sentence(forked("path", *words), status=2, about=about)
