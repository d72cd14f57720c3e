"""Edits as a user meets them on the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh

from memory.restore import restored_cache
from memory.world import World
from tests.e2e.verbs import Words, facts, run
from tests.memory.test_world_hostile import contents

AT = ("--at", 0, 0.1, 0.6)


@pytest.fixture
def world(walked: Callable[[int], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(walked(3), tmp_path / "w"))


@pytest.fixture
def crate(tmp_path: Path) -> Path:
    """A small red crate as a glTF file."""
    box = trimesh.creation.box(extents=(0.2, 0.3, 0.2))
    box.visual.face_colors = [230, 26, 26, 255]
    box.export(tmp_path / "crate.glb")
    return tmp_path / "crate.glb"


def test_placing_removing_and_undoing_say_what_they_did(
    world: Path, crate: Path, model: Words, capsys: pytest.CaptureFixture[str]
):
    assert run("edit", world, "place", crate, *AT, "--yaw-deg", 30, "--scale", 0.5) == 0
    told = capsys.readouterr().out.strip()
    assert told.startswith(f"{world}: placed ")
    assert told.endswith(f"points of crate.glb as chunk 3; taken back with: worldgen undo {world}")
    crate.unlink()
    extend = ("extend", world, "--frames", 2, *model)
    assert run(*extend) == 0
    found = facts(world, capsys)
    assert (found["frames"], found["chunks"]) == (5, 6)
    (edit,) = found["edits"]
    assert (edit["chunk"], edit["time"], edit["kind"]) == (3, 1, "place")
    assert edit["settings"] == {"mesh": "crate.glb", "at": [0.0, 0.1, 0.6], "yaw_deg": 30.0, "scale": 0.5}
    assert found["tree"][3]["edit"] == "place"
    assert all(name.startswith("rgbd:small") for name in found["generators"])
    with World.open(world) as opened:
        points = restored_cache(opened).points
        mine = points.positions[points.source == -1].numpy()
    assert len(mine) == edit["points"]
    np.testing.assert_allclose(mine[:, 1].max(), 0.1, atol=0.005)
    np.testing.assert_allclose(mine[:, 1].min(), 0.1 - 0.15, atol=0.005)
    low, high = (str(x) for x in edit["box"][0]), (str(x) for x in edit["box"][1])
    assert run("edit", world, "remove", "--box", *low, *high) == 0
    assert "removed " in capsys.readouterr().out
    with World.open(world) as opened:
        assert (restored_cache(opened).points.source >= 0).all()
    assert run("info", world) == 0
    drawn = capsys.readouterr().out
    assert "chunks 0 to 6, 5 frames, 2 edits  <- main *" in drawn
    assert "chunk 3: placed" in drawn
    assert "chunk 6: removed everything in the box" in drawn
    assert run("undo", world, "--chunks", 4) == 0
    assert facts(world, capsys)["edits"] == []
    assert run("gc", world) == 0
    assert list((world / "edits").iterdir()) == []
    assert run("info", world, "--verify") == 0


def test_an_interrupted_path_goes_on_after_an_edit_and_all_is_replayed(
    world: Path, crate: Path, model: Words, capsys: pytest.CaptureFixture[str]
):
    assert run("undo", world) == 0
    assert facts(world, capsys)["pending"] == 1
    assert run("edit", world, "place", crate, *AT) == 0
    assert facts(world, capsys)["pending"] == 1
    assert run("extend", world, "--resume", *model) == 0
    with World.open(world) as opened:
        assert opened.frame_ids() == [0, 1, 3]
    assert run("replay", world, *model[:2]) == 0
    assert "imagined 3 frames again" in capsys.readouterr().out
    for verb, file in (("export", "w.ply"), ("info", None)):
        assert run(verb, world, *([world.parent / file] if file else [])) == 0


def _not_finite(file: Path) -> None:
    box = trimesh.creation.box()
    trimesh.Trimesh(np.where(box.vertices > 0.4, np.nan, box.vertices), box.faces, process=False).export(file)


BAD: dict[str, tuple[str, Callable[[Path], object], list[object], str]] = {
    "a missing file": ("gone.glb", lambda file: None, ["place", "{}", *AT], "there is no file"),
    "no mesh": ("a.glb", lambda file: file.write_bytes(b"hello"), ["place", "{}", *AT], "not a mesh"),
    "a picture": ("a.png", lambda file: file.write_bytes(b"hello"), ["place", "{}", *AT], "ends in .glb"),
    "no faces": (
        "a.ply",
        lambda f: trimesh.PointCloud(np.eye(3)).export(f),
        ["place", "{}", *AT],
        "no faces",
    ),
    "NaN": ("a.ply", _not_finite, ["place", "{}", *AT], "NaN"),
    "no scale": (
        "a.ply",
        lambda file: trimesh.creation.box().export(file),
        ["place", "{}", *AT, "--scale", 0],
        "above 0",
    ),
    "a huge scale": (
        "a.ply",
        lambda file: trimesh.creation.box().export(file),
        ["place", "{}", *AT, "--scale", 1e9],
        "smaller scale",
    ),
    "far away": (
        "a.ply",
        lambda file: trimesh.creation.box().export(file),
        ["place", "{}", "--at", 1e9, 0, 0],
        "finite coordinates",
    ),
    "nowhere": (
        "a.ply",
        lambda file: trimesh.creation.box().export(file),
        ["place", "{}", "--at", "nan", 0, 0],
        "finite coordinates",
    ),
    "a box the wrong way": ("x", lambda file: None, ["remove", "--box", 1, 1, 1, 0, 0, 0], "low corner"),
    "a box of nothing": (
        "x",
        lambda file: None,
        ["remove", "--box", 90, 90, 90, 91, 91, 91],
        "nothing is known",
    ),
    "an endless box": ("x", lambda file: None, ["remove", "--box", 0, 0, 0, 1, 1, "inf"], "finite numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_edit_is_refused_in_one_sentence_and_changes_nothing(
    case: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    name, make, arguments, expected = BAD[case]
    make(tmp_path / name)
    before = {name: held for name, held in contents(world).items() if "world.db" not in name}
    told = facts(world, capsys)
    assert run("edit", world, *(str(each).format(tmp_path / name) for each in arguments)) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("worldgen: ")
    assert expected in error
    assert "\n" not in error
    after = {name: held for name, held in contents(world).items() if "world.db" not in name}
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() <= {"edits", "world.lock"}
    told.pop("bytes")
    assert {key: value for key, value in facts(world, capsys).items() if key != "bytes"} == told


def test_what_is_no_world_is_not_edited(tmp_path: Path, crate: Path, capsys: pytest.CaptureFixture[str]):
    for change in (["place", crate, *AT], ["remove", "--box", 0, 0, 0, 1, 1, 1]):
        assert run("edit", tmp_path / "gone", *change) == 2
        assert "does not exist" in capsys.readouterr().err


def test_help_explains_both_edits(capsys: pytest.CaptureFixture[str]):
    for arguments, words in (
        (["edit", "--help"], ["place", "remove", "looks along +z"]),
        (["edit", "w", "place", "--help"], ["--at X Y Z", "--yaw-deg", "--scale", ".gltf"]),
        (["edit", "w", "remove", "--help"], ["--box X0 Y0 Z0 X1 Y1 Z1"]),
    ):
        assert run(*arguments) == 0
        told = capsys.readouterr().out
        assert all(word in told for word in words), (arguments, told)


def test_json_says_the_same_of_a_world_without_edits(world: Path, capsys: pytest.CaptureFixture[str]):
    found = facts(world, capsys)
    assert found["edits"] == []
    assert all(chunk["edit"] is None for chunk in found["tree"])
