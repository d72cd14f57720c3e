"""Undo, branches, replay and gc as a user meets them on the command line."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from memory.world import World
from tests.e2e.test_cli import COLOR, DEPTH
from tests.e2e.verbs import Words, facts, run
from tests.memory.test_world_hostile import contents, seal
from worldgen.model.weights import load_model, save_model


@pytest.fixture(scope="module")
def six(walked: Callable[[int], Path]) -> Path:
    return walked(6)


@pytest.fixture
def world(six: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(six, tmp_path / "w"))


def test_undo_and_redo_move_the_head_and_say_where_it_is(world: Path, capsys: pytest.CaptureFixture[str]):
    assert run("undo", world) == 0
    assert run("undo", world, "--chunks", 2) == 0
    assert "main is at chunk 2, 3 frames; 3 undone chunks" in capsys.readouterr().out
    found = facts(world, capsys)
    assert (found["frames"], found["pending"]) == (3, 3)
    assert found["heads"] == [{"name": "main", "chunk": 2, "tip": 5, "current": True}]
    assert run("redo", world, "--chunks", 1) == 0
    assert run("redo", world) == 0
    assert facts(world, capsys)["frames"] == 6


def test_resume_after_undo_grows_the_same_frames_again(
    world: Path, six: Path, model: Words, capsys: pytest.CaptureFixture[str]
):
    assert run("undo", world, "--chunks", 3) == 0
    assert run("extend", world, "--resume", *model) == 0
    with World.open(world) as again, World.open(six) as before:
        assert again.frame_ids() == [0, 1, 2, 6, 7, 8]
        assert torch.equal(again.frames().rgb, before.frames().rgb)
        assert torch.equal(again.frames().depth, before.frames().depth)
    assert run("heads", world) == 0
    listed = capsys.readouterr().out
    assert "* main  chunk 8, 6 frames" in listed
    assert f"abandoned; bring it back with: worldgen heads {world} --new NAME --at 5" in listed


def test_a_branch_leaves_the_others_as_they_are_and_everything_follows_its_head(
    world: Path, six: Path, model: Words, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    branch = ("--at", 2, "--head", "west", "--path", "walk", "--frames", 2, "--seed", 9)
    assert run("extend", world, *branch, *model) == 0
    assert "west is at chunk 2, 3 frames" in capsys.readouterr().out
    found = facts(world, capsys)
    assert (found["frames"], found["head"]) == (5, "west")
    assert run("export", world, tmp_path / "west.ply") == 0
    assert run("heads", world, "--switch", "main") == 0
    assert facts(world, capsys)["points"] == facts(six, capsys)["points"] != found["points"]
    assert run("export", world, tmp_path / "main.ply") == run("export", six, tmp_path / "six.ply") == 0
    west, main, untouched = ((tmp_path / f"{name}.ply").read_bytes() for name in ("west", "main", "six"))
    assert main == untouched != west
    with World.open(world) as again, World.open(six) as before:
        assert torch.equal(again.frames().rgb, before.frames().rgb)
    assert run("extend", world, "--at", 0, "--frames", 1, *model) == 0
    assert facts(world, capsys)["head"] == "branch-1"


def test_the_tree_in_json_is_the_tree(world: Path, model: Words, capsys: pytest.CaptureFixture[str]):
    run("undo", world, "--chunks", 2)
    run("extend", world, "--at", 1, "--head", "west", "--frames", 1, *model)
    tree = facts(world, capsys)["tree"]
    assert [(node["id"], node["parent"]) for node in tree] == [
        (0, None),
        *((chunk, chunk - 1) for chunk in range(1, 6)),
        (6, 1),
    ]
    assert [node["frames"] for node in tree] == [[number] for number in range(7)]
    assert not any(node["given"] for node in tree)
    assert {node["id"]: node["heads"] for node in tree if node["heads"]} == {3: ["main"], 6: ["west"]}
    assert [node["id"] for node in tree if node["current"]] == [6]
    assert run("info", world) == 0
    drawn = [line[14:] for line in capsys.readouterr().out.splitlines() if "chunk" in line[14:]]
    assert drawn == [
        "chunks 0 to 1, 2 frames",
        "├ chunks 2 to 3, 2 frames  <- main",
        "│ chunks 4 to 5, 2 frames",
        "└ chunk 6, 1 frame  <- west *",
    ]


@pytest.mark.parametrize(
    "start", [[], ["--image", COLOR], ["--image", COLOR, "--depth", DEPTH]], ids=["seed", "picture", "rgbd"]
)
def test_replay_of_every_kind_of_start_ends_well_and_only_reads(
    start: list, tmp_path: Path, small_weights: Path, model: Words, capsys: pytest.CaptureFixture[str]
):
    world = tmp_path / "w"
    assert run("grow", world, "--frames", 4, *start, *model) == 0
    assert run("extend", world, "--at", 2, "--frames", 2, "--model", small_weights, "--steps", 3) == 0
    before = contents(world)
    assert run("replay", world, "--model", small_weights) == 0
    given = 1 if len(start) == 4 else 0
    assert f"imagined {6 - given} frames again, and all are the same" in capsys.readouterr().out
    assert contents(world) == before


@pytest.mark.weights
def test_replay_with_the_weights_that_ship_needs_no_flag(tmp_path: Path):
    assert run("grow", tmp_path / "w", "--frames", 4, "--image", COLOR, "--depth", DEPTH) == 0
    assert run("undo", tmp_path / "w") == 0
    assert run("extend", tmp_path / "w", "--frames", 2, "--path", "there-and-back", "--steps", 1) == 0
    assert run("replay", tmp_path / "w") == 0


def test_replay_names_the_first_frame_that_differs(
    world: Path, small_weights: Path, capsys: pytest.CaptureFixture[str]
):
    with closing(sqlite3.connect(world / "world.db", isolation_level=None)) as db:
        db.execute("UPDATE paths SET seed = 77")
        seal(db)
    assert run("replay", world, "--model", small_weights) == 1
    error = capsys.readouterr().err
    assert error.startswith("worldgen: frame 1 differs: colour in ")
    assert error.count("\n") == 1


def test_replay_finds_a_damaged_picture(world: Path, small_weights: Path, capsys: pytest.CaptureFixture[str]):
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(world / "frames" / "000003.png")
    assert run("replay", world, "--model", small_weights) == 1
    assert "frame 3 is damaged" in capsys.readouterr().err


def test_replay_with_other_weights_is_refused_in_one_sentence(
    world: Path, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    net, size = load_model(small_weights)
    with torch.no_grad():
        next(net.parameters()).add_(1.0)
    save_model(net, tmp_path / "other.safetensors", size=size)
    for arguments in (["--model", tmp_path / "other.safetensors"], []):
        assert run("replay", world, *arguments) == 2
        error = capsys.readouterr().err
        assert "was made with rgbd:small:" in error
        assert error.count("\n") == 1
    assert run("replay", world, "--model", tmp_path / "other.safetensors", small_weights) == 0


def test_gc_frees_what_undo_left_and_says_how_much(
    world: Path, six: Path, small_weights: Path, model: Words, capsys: pytest.CaptureFixture[str]
):
    run("undo", world, "--chunks", 3)
    run("extend", world, "--frames", 1, *model)
    before = contents(world)
    capsys.readouterr()
    assert run("gc", world, "--dry-run") == 0
    would = capsys.readouterr().out
    assert contents(world) == before
    assert run("gc", world) == 0
    did = capsys.readouterr().out
    assert "freed 3 chunks, 3 frames, " in did
    assert did == would.replace("would free", "freed")
    assert sorted({int(file.name[:6]) for file in (world / "frames").iterdir()}) == [0, 1, 2, 6]
    assert run("info", world, "--verify") == 0
    assert run("replay", world, "--model", small_weights) == 0
    assert run("redo", world) == 2


REFUSED: dict[str, Words] = {
    "more undo than there is": ("undo", "W", "--chunks", 6),
    "undo of nothing": ("undo", "W", "--chunks", 0),
    "redo without undo": ("redo", "W"),
    "a branch from nowhere": ("extend", "W", "--at", 99),
    "a branch from below": ("extend", "W", "--at", -1),
    "a branch of a bad name": ("extend", "W", "--at", 1, "--head", "a b"),
    "a branch of a taken name": ("extend", "W", "--at", 1, "--head", "main"),
    "a branch that goes nowhere": ("extend", "W", "--at", 1, "--frames", 0),
    "a branch along an unknown path": ("extend", "W", "--at", 1, "--path", "zigzag"),
    "a branch that resumes": ("extend", "W", "--at", 1, "--resume"),
    "a head without a chunk": ("extend", "W", "--head", "west"),
    "a switch to nowhere": ("heads", "W", "--switch", "west"),
    "two changes at once": ("heads", "W", "--switch", "main", "--delete", "main"),
    "a chunk without a head": ("heads", "W", "--at", 2),
    "a head that is taken": ("heads", "W", "--new", "main"),
    "a rename of nothing": ("heads", "W", "--rename", "west", "east"),
    "the current head deleted": ("heads", "W", "--delete", "main"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_request_is_refused_in_one_sentence_and_changes_nothing(
    case: str, world: Path, model: Words, capsys: pytest.CaptureFixture[str]
):
    capsys.readouterr()
    before, told = contents(world / "frames"), facts(world, capsys)
    arguments = [world if argument == "W" else argument for argument in REFUSED[case]]
    assert run(*arguments, *(model if arguments[0] == "extend" else ())) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("worldgen: ")
    assert "\n" not in error
    assert facts(world, capsys)["tree"] == told["tree"]
    assert facts(world, capsys)["heads"] == told["heads"]
    assert contents(world / "frames") == before


@pytest.mark.parametrize("verb", ["undo", "redo", "heads", "replay", "gc"])
@pytest.mark.parametrize("case", ["no folder", "an empty folder", "a world of a newer format"])
def test_what_is_no_world_is_refused_by_every_new_verb(
    case: str, verb: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "other"
    if case == "an empty folder":
        folder.mkdir()
    if case == "a world of a newer format":
        folder = world
        with closing(sqlite3.connect(world / "world.db", isolation_level=None)) as db:
            db.execute("PRAGMA user_version = 99")
    before = contents(tmp_path)
    assert run(verb, folder) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("worldgen: ")
    assert "\n" not in error
    assert contents(tmp_path) == before


def test_a_world_that_is_open_for_writing_is_read_but_not_changed_by_others(
    world: Path, small_weights: Path, capsys: pytest.CaptureFixture[str]
):
    with World.open(world, writable=True):
        for verb in ("undo", "redo", "gc"):
            assert run(verb, world) == 2
            assert "another process is growing" in capsys.readouterr().err
        assert run("heads", world) == 0
        assert run("gc", world, "--dry-run") == 0
        assert run("replay", world, "--model", small_weights) == 0


@pytest.mark.parametrize("verb", ["undo", "redo", "heads", "replay", "gc", "extend"])
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]):
    assert run(verb, "--help") == 0
    assert "Folder of the world" in capsys.readouterr().out
