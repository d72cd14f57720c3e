"""The command line as a user meets it: what it makes, and how it refuses."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from memory.pictures import contact_sheet
from memory.world import World
from render.keyframes import interpolated
from tests.e2e.verbs import run
from worldgen.cli.fly import Fly

DATA = Path(__file__).parents[2] / "examples" / "data"
COLOR, DEPTH = DATA / "box_interior" / "color.jpg", DATA / "box_interior" / "depth.png"


def grown(folder: Path, weights: Path, *more: object) -> World:
    assert run("grow", folder, "--model", weights, "--steps", 2, "--frames", 4, *more) == 0
    return World.open(folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, small_weights: Path) -> Path:
    folder = tmp_path_factory.mktemp("worlds") / "one"
    grown(folder, small_weights, "--seed", 3).close()
    return folder


@pytest.mark.parametrize(
    "start", [[], ["--image", COLOR], ["--image", COLOR, "--depth", DEPTH]], ids=["seed", "picture", "rgbd"]
)
def test_every_kind_of_start_gives_the_frames_asked_for(tmp_path: Path, small_weights: Path, start: list):
    with grown(tmp_path / "w", small_weights, *start) as made:
        assert len(made.walked_ids()) == 4
        assert made.pending() is None
        assert made.scene.units == ("metres" if len(start) == 4 else "scene")
        assert made.chunks()[0].given == (len(start) == 4)


def test_views_ahead_come_on_top_of_the_frames_asked_for_and_are_said(
    tmp_path: Path, small_weights: Path, capsys: pytest.CaptureFixture[str]
):
    with grown(tmp_path / "plain", small_weights, "--frames", 12, "--no-survey") as made:
        assert made.frame_ids() == made.walked_ids() == list(range(12))
    assert "views ahead" not in capsys.readouterr().out
    with grown(tmp_path / "w", small_weights, "--frames", 12) as made:
        ahead = len(made.frame_ids()) - 12
        assert ahead > 0
        assert made.walked_ids() == [0, *range(1 + ahead, 12 + ahead)]
    assert f"{12 + ahead} frames ({ahead} of them views ahead)" in capsys.readouterr().out
    assert run("info", tmp_path / "w", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["ahead"]) == (12 + ahead, ahead)


def test_views_ahead_are_off_the_way_that_was_walked(
    tmp_path: Path, small_weights: Path, capsys: pytest.CaptureFixture[str]
):
    with grown(tmp_path / "w", small_weights, "--frames", 12) as made:
        walked = made.walked_ids()
        ahead = [number for number in made.frame_ids() if number not in walked]
        filmed = Fly(world=made.path, out="a.mp4", seconds=1.0)._cameras(made, width=32, height=32)
        assert torch.equal(filmed.c2w, interpolated(made.cameras(walked), 24).c2w)
        pages = [contact_sheet(made.frames(ids), columns=8) for ids in (walked + ahead, made.frame_ids())]
    assert run("info", tmp_path / "w", "--sheet", tmp_path / "sheet.png") == 0
    with Image.open(tmp_path / "sheet.png") as image:
        sheet = torch.from_numpy(np.asarray(image.convert("RGB")) / 255.0).float()
    assert (pages[0][0] - sheet).abs().max() < 0.003, "walked ones first"
    assert (pages[1][0] - sheet).abs().max() > 0.1
    assert run("undo", tmp_path / "w", "--chunks", 11) == 0
    assert run("extend", tmp_path / "w", "--model", small_weights, "--path", "turn", "--frames", 1) == 0
    with World.open(tmp_path / "w") as made:
        assert torch.equal(made.cameras().c2w[-1, :3, 3], made.cameras([0]).c2w[0, :3, 3])


@pytest.mark.parametrize(
    ("name", "more", "about"),
    [
        ("a.fbx", (), ".compressed.ply, .glb, .html, .ksplat, .obj, .ply, .sog, .splat, .spz, .stl, or as"),
        ("a", (), "'a' ends in none of these"),
        ("a.obj", ("--format", "splats"), "'a.obj' ends in none of these"),
    ],
)
def test_a_name_that_does_not_say_what_to_write_is_told_all_that_could_be(
    tmp_path: Path, world: Path, name: str, more: tuple, about: str, capsys: pytest.CaptureFixture[str]
):
    assert run("export", world, tmp_path / name, *more) == 2
    assert about in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_world_whose_name_is_no_text_becomes_a_page(tmp_path: Path, world: Path):
    folder = tmp_path / os.fsdecode(b"w\xff")
    shutil.copytree(world, folder)
    assert run("export", folder, tmp_path / "a.html", "--max-splats", 9) == 0
    assert "<title>w?</title>" in (tmp_path / "a.html").read_text()


def test_the_first_frame_of_a_picture_is_the_picture(tmp_path: Path, small_weights: Path):
    with grown(tmp_path / "w", small_weights, "--image", COLOR) as made:
        first = made.frames([0])
    with Image.open(COLOR) as image:
        picture = image.convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    small = picture.crop((left, top, left + side, top + side)).resize((32, 32), Image.Resampling.BOX)
    expected = torch.from_numpy(np.asarray(small).copy()).float() / 255.0
    assert (first.rgb[0] - expected).abs().max() <= 1.5 / 255.0
    assert first.valid.all()


def test_the_same_seed_gives_the_same_world_and_another_seed_another(
    tmp_path: Path, small_weights: Path, world: Path
):
    with World.open(world) as one, grown(tmp_path / "same", small_weights, "--seed", 3) as same:
        assert torch.equal(one.frames().rgb, same.frames().rgb)
        assert torch.equal(one.frames().depth, same.frames().depth)
        with grown(tmp_path / "other", small_weights, "--seed", 4) as other:
            assert not torch.equal(one.frames().rgb, other.frames().rgb)


def test_extend_grows_on_from_the_last_frame(tmp_path: Path, small_weights: Path, world: Path):
    folder = tmp_path / "w"
    shutil.copytree(world, folder)
    assert run("extend", folder, "--frames", 3, "--path", "turn", "--model", small_weights, "--steps", 2) == 0
    with World.open(folder) as made:
        assert len(made.frame_ids()) == 7
        assert made.verify() == []


def test_extend_resume_with_other_weights_is_refused(
    tmp_path: Path, small_weights: Path, world: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "w"
    shutil.copytree(world, folder)
    with World.open(folder, writable=True) as made:
        made.plan(made.cameras(), seed=0, generator="another", settings={})
    assert run("extend", folder, "--resume", "--model", small_weights, "--steps", 2) == 2
    assert "begun with another" in capsys.readouterr().err


def test_info_counts_what_is_there(world: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert run("info", world, "--json", "--verify", "--sheet", tmp_path / "sheet.png") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["frames"] == 4
    assert facts["chunks"] == 4
    assert facts["size"] == [32, 32]
    assert facts["faults"] == []
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] > 4 * 32


def test_info_verify_finds_a_damaged_frame(tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "w"
    shutil.copytree(world, folder)
    Image.new("RGB", (32, 32)).save(folder / "frames" / "000002.png")
    assert run("info", folder, "--verify", "--json") == 1
    assert "000002" in " ".join(json.loads(capsys.readouterr().out)["faults"])


@pytest.mark.parametrize("render", ["splats", "points", "frames"])
def test_a_flythrough_plays(tmp_path: Path, world: Path, render: str):
    video = tmp_path / "fly.mp4"
    arguments = ("--seconds", 0.5, "--fps", 10, "--size", "62x48", "--render", render)
    assert run("fly", world, video, *arguments) == 0
    with av.open(str(video)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == (4 if render == "frames" else 5)
    assert pictures[0].shape == (48, 62, 3)
    assert np.std(pictures[0]) > 1.0


def test_export_writes_a_splat_for_every_point(
    tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str]
):
    assert run("export", world, tmp_path / "w.ply") == 0
    run("info", world, "--json")
    facts = json.loads(capsys.readouterr().out.split("splats\n", 1)[1])
    header = (tmp_path / "w.ply").read_bytes()[:200]
    assert f"element vertex {facts['points']}".encode() in header


def _huge_png(path: Path) -> None:
    """A PNG whose header claims 20,000 x 20,000 pixels."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def _bad_path(path: Path) -> None:
    """A camera path whose pose is sheared."""
    pose = np.eye(4)
    pose[0, 1] = 0.7
    camera = {"c2w": pose.tolist(), "K": [[30, 0, 16], [0, 30, 16], [0, 0, 1]]}
    table = {
        "format": "worldgen-path",
        "version": 1,
        "width": 32,
        "height": 32,
        "fps": 24,
        "frames": [camera],
    }
    path.write_text(json.dumps(table))


def _nan_depth(path: Path) -> None:
    depth = np.ones((480, 640), dtype=np.float32)
    depth[5, 5] = np.nan
    np.save(path, depth)


def _nothing(path: Path) -> None:
    """Leave ``path`` missing."""


BAD_STARTS: dict[str, tuple[str, Callable[[Path], object], list[str]]] = {
    "a missing picture": ("gone.png", _nothing, ["--image", "{}"]),
    "no picture": ("text.png", lambda path: path.write_text("hello"), ["--image", "{}"]),
    "a huge picture": ("huge.png", _huge_png, ["--image", "{}"]),
    "depth of another size": (
        "d.png",
        lambda path: Image.fromarray(np.full((240, 320), 900, np.uint16)).save(path),
        ["--image", str(COLOR), "--depth", "{}"],
    ),
    "depth with a NaN": ("d.npy", _nan_depth, ["--image", str(COLOR), "--depth", "{}"]),
    "depth without a picture": ("d.png", _nothing, ["--depth", str(DEPTH)]),
    "a pose that is not rigid": ("path.json", _bad_path, ["--path", "{}"]),
    "an unknown path": ("x", _nothing, ["--path", "zigzag"]),
    "no frames": ("x", _nothing, ["--frames", "0"]),
    "an impossible field of view": ("x", _nothing, ["--fov-deg", "200"]),
    "too many steps": ("x", _nothing, ["--steps", "65"]),
    "unknown weights": ("x", _nothing, ["--model", "enormous"]),
}


@pytest.mark.parametrize("case", BAD_STARTS)
def test_a_bad_start_is_refused_in_one_sentence_and_writes_nothing(
    case: str, tmp_path: Path, small_weights: Path, capsys: pytest.CaptureFixture[str]
):
    name, make, arguments = BAD_STARTS[case]
    make(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    given = [argument.format(tmp_path / name) for argument in arguments]
    model = [] if "--model" in given else ["--model", small_weights]
    assert run("grow", tmp_path / "w", *given, *model) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("worldgen: ")
    assert "\n" not in error
    assert "Traceback" not in error
    assert sorted(tmp_path.rglob("*")) == before


def _newer(folder: Path, world: Path) -> None:
    shutil.copytree(world, folder)
    with sqlite3.connect(folder / "world.db") as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute(f"PRAGMA user_version = {version + 1}")
    db.close()


BAD_WORLDS: dict[str, Callable[[Path, Path], object]] = {
    "no folder": lambda folder, world: None,
    "an empty folder": lambda folder, world: folder.mkdir(),
    "a file": lambda folder, world: folder.write_text("x"),
    "a world of a newer format": _newer,
}


@pytest.mark.parametrize("verb", ["extend", "info", "export", "fly"])
@pytest.mark.parametrize("case", BAD_WORLDS)
def test_what_is_no_world_is_refused_by_every_verb(
    case: str, verb: str, tmp_path: Path, world: Path, small_weights: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "w"
    BAD_WORLDS[case](folder, world)
    before = sorted(tmp_path.rglob("*"))
    more = {
        "extend": ["--model", small_weights],
        "info": [],
        "export": [tmp_path / "w.ply"],
        "fly": [tmp_path / "w.mp4"],
    }
    assert run(verb, folder, *more[verb]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("worldgen: ")
    assert "\n" not in error
    assert sorted(tmp_path.rglob("*")) == before


def test_a_world_is_never_overwritten(world: Path, small_weights: Path, capsys: pytest.CaptureFixture[str]):
    before = {file: file.read_bytes() for file in world.rglob("*") if file.is_file()}
    assert run("grow", world, "--model", small_weights) == 2
    assert "already exists" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in world.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    "words",
    [
        ("info", "W", "--sheet", "W/frames/000000.png"),
        ("info", "W", "--sheet", "W/frames/new.png"),
        ("path", "turn", "--world", "W", "--plan", "W/frames/000000.png"),
        ("path", "turn", "--world", "W", "--out", "W/world.db"),
        ("export", "W", "W/frames/000001.ply"),
        ("export", "W", "W", "--format", "nerfstudio"),
        ("fly", "W", "W/frames/a.mp4"),
        ("report", "W", "--out", "W/world.db"),
    ],
)
def test_nothing_is_written_among_the_parts_of_a_world(
    words: tuple[str, ...], world: Path, capsys: pytest.CaptureFixture[str]
):
    before = {file: file.read_bytes() for file in world.rglob("*") if file.is_file()}
    assert run(words[0], *(word.replace("W", str(world)) for word in words[1:])) == 2
    error = capsys.readouterr().err.strip()
    assert "keeps its own files" in error
    assert "\n" not in error
    assert {file: file.read_bytes() for file in world.rglob("*") if file.is_file()} == before


def test_pictures_are_png_and_say_so(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("info", world, "--sheet", tmp_path / "sheet.jpg") == 2
    assert "let its name end in .png" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert run("info", world, "--sheet", world / "sheet.png") == 0, "beside its own files there is room"
    (world / "sheet.png").unlink()


def test_unknown_formats_of_export_are_refused(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run("export", world, tmp_path / "w.doc") == 2
    assert ".ply" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_is_answered_without_loading_torch():
    code = (
        "import sys; from worldgen.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numba', 'viser'} & set(sys.modules), 'a room was imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "grow" in done.stdout


def test_a_world_explores_on_its_own(tmp_path: Path, small_weights: Path, capsys: pytest.CaptureFixture[str]):
    with grown(tmp_path / "w", small_weights, "--path", "explore") as made:
        before = made.cameras().c2w
        assert len(before) == 4
        assert made.pending() is None
    words = ("--path", "explore", "--frames", 10, "--model", small_weights, "--steps", 2)
    assert run("extend", tmp_path / "w", *words) == 0
    with World.open(tmp_path / "w") as made:
        assert torch.equal(made.cameras().c2w[:4], before)
        assert 4 < len(made.frame_ids()) <= 14
    for wrong in (0, 10_001):
        assert run("extend", tmp_path / "w", "--path", "explore", "--frames", wrong) == 2
        assert f"--frames must lie between 1 and 10,000, got {wrong}" in capsys.readouterr().err
