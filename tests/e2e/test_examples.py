"""The examples run as they are, and make what they say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from memory.restore import restored_cache
from memory.world import World

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.weights


def run(example: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / example), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(told: str, header: str) -> list[list[float]]:
    """The numbers of every row under a line that begins with ``header``, up to what is no row."""
    lines = iter(told.splitlines())
    next(line for line in lines if line.startswith(header))
    rows = []
    for line in lines:
        if line.startswith("made") or not line:
            break
        rows.append([float(number) for number in re.findall(r"-?\d+\.?\d*", line)])
    return rows


def rows_of(sheet: Path, *, columns: int, size: int = 128) -> int:
    """How many rows of pictures a contact sheet has, none of them of one colour."""
    pixels = np.asarray(Image.open(sheet))
    width, height = 2 + columns * (size + 2), 4 + 2 * size
    assert pixels.shape[1] == width
    count, rest = divmod(pixels.shape[0] - 2, height)
    assert rest == 0
    for row in range(count):
        assert pixels[2 + row * height : 2 + row * height + size, 2 : 2 + size].std() > 5
    return count


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What ``make demo`` makes, smaller, and what it prints."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, run("01_two_worlds.py", "--frames", 3, "--out", folder)


@pytest.fixture
def with_world(demo: tuple[Path, str], tmp_path: Path) -> Callable[[str], Path]:
    """A folder that holds a copy of a world of the demo, where examples look for theirs."""

    def copied(name: str) -> Path:
        shutil.copytree(demo[0] / name, tmp_path / "world")
        return tmp_path

    return copied


def test_the_demo_makes_two_worlds_with_splats_videos_and_sheets(demo: tuple[Path, str]):
    folder, told = demo
    for name in ("from-seed", "from-rgbd"):
        with World.open(folder / name) as world:
            assert len(world.frame_ids()) == 3
        for suffix in ("ply", "mp4", "png"):
            assert (folder / f"{name}.{suffix}").stat().st_size > 1000
        assert f"view {folder / name}" in told


def test_a_world_grows_from_python(tmp_path: Path):
    run("02_grow_in_python.py", "--frames", 3, "--out", tmp_path / "w")
    with World.open(tmp_path / "w") as world:
        assert len(world.frame_ids()) == 3
    assert (tmp_path / "w.ply").is_file()


def test_a_tour_of_two_thousand_pictures_is_scripted_in_ten_lines(tmp_path: Path):
    told = run("03_long_flythrough.py", "--fps", 1, "--size", 32, "--frames", 4, "--out", tmp_path)
    assert "tour.json: 2,000 pictures" in told
    assert "100 pictures, 100.0 s at 1 a second" in told
    lines = (tmp_path / "tour.json").read_text().splitlines()
    assert len([line for line in lines if "seconds" in line]) <= 10
    assert len(json.loads((tmp_path / "camera_path.json").read_text())["camera_path"]) == 100
    with av.open(str(tmp_path / "flythrough.mp4")) as film:
        assert len(list(film.decode(video=0))) == 100
    assert (tmp_path / "plan.png").stat().st_size > 1000


def test_one_picture_becomes_two_worlds_that_share_what_it_shows(tmp_path: Path):
    told = run("04_from_a_picture.py", "--frames", 2, "--out", tmp_path)
    assert "    0  every bit of colour\n" in told
    ((number, alike),) = table(told, "    0")
    assert (number, 5.0 < alike < 30.0) == (1, True)
    with World.open(tmp_path / "seed-1") as one, World.open(tmp_path / "seed-2") as other:
        assert torch.equal(one.frames([0]).rgb, other.frames([0]).rgb)
        assert not torch.equal(one.frames([0]).depth, other.frames([0]).depth)
    assert rows_of(tmp_path / "both.png", columns=2) == 2


def test_two_branches_agree_where_the_trunk_knew_and_nowhere_else(with_world: Callable[[str], Path]):
    folder = with_world("from-seed")
    with World.open(folder / "world") as world:
        before = world.frames().rgb
    told = run("05_branch_and_compare.py", "--frames", 2, "--out", folder)
    rows = table(told, "frame")
    assert len(rows) == 2
    for _, known, there, elsewhere in rows:
        assert 0 < known < 100
        assert there > elsewhere + 3.0
    with World.open(folder / "world") as world:
        heads = {head.name: head.chunk for head in world.tree.heads()}
        assert heads.keys() == {"main", "east", "west"}
        assert torch.equal(world.frames().rgb, before)
        ends = [world.chunks(to=heads[name]) for name in ("east", "west")]
        assert [chunk.id for chunk in ends[0][:3]] == [chunk.id for chunk in ends[1][:3]]
        assert len(ends[0]) == len(ends[1]) == 5
    assert rows_of(folder / "branches.png", columns=2) == 2


def test_a_chair_is_seen_from_elsewhere_and_gone_after_undo(with_world: Callable[[str], Path]):
    folder = with_world("from-rgbd")
    told = run("06_place_an_object.py", "--frames", 2, "--out", folder)
    assert "(0 points of the chair are left)" in told
    rows = table(told, "frame")
    assert len(rows) == 2
    for _, share, furnished, bare in rows:
        assert share > 3.0
        assert furnished > 25.0 > 15.0 > bare
    with World.open(folder / "world") as world:
        assert all(chunk.edit is None for chunk in world.chunks())
        assert (restored_cache(world).points.source >= 0).all()
        assert [chunk.edit.kind for chunk in world.tree.chunks() if chunk.edit is not None] == ["place"]
    assert rows_of(folder / "chair.png", columns=2) == 2


def test_every_format_is_written_and_read_back_by_somebody_else(with_world: Callable[[str], Path]):
    folder = with_world("from-rgbd")
    told = run("07_export_everything.py", "--faces", 2000, "--texture", 64, "--out", folder)
    assert (count := re.search(r"world\.ply: ([\d,]+) splats", told))
    lines = told[told.index("what another reader finds") :].splitlines()[1:]
    found = {line.split()[0]: line.split(maxsplit=2)[2] for line in lines}
    splats = [name for name in found if name.startswith("world.") and name != "world.html"]
    assert len(splats) == 7
    assert all(found[name].startswith(f"{count[1]} splats (") for name in splats)
    assert re.fullmatch(r"[1-9]\d* scripts, 0 from elsewhere .*", found["world.html"])
    faces = {name: int(found[name].split()[0].replace(",", "")) for name in found if " faces " in found[name]}
    open_ones = {"mesh.glb", "mesh.obj", "mesh.ply", "textured.glb", "collider.glb"}
    assert faces.keys() == {*open_ones, "solid.stl"}
    assert {name for name in faces if "watertight" in found[name]} == {"solid.stl"}
    assert faces["mesh.glb"] == faces["mesh.obj"] == faces["mesh.ply"] > 0
    assert all(found[name].startswith("3 ") for name in ("nerfstudio", "colmap", "tum"))


def test_a_generator_of_ones_own_grows_worlds_and_is_scored(tmp_path: Path):
    told = run("08_custom_generator.py", "--places", 1, "--frames", 3, "--out", tmp_path)
    ours, nearest = table(told, "generator")
    for share, there, elsewhere, off in (ours, nearest):
        assert 30 < share < 100
        assert there > elsewhere > 5
        assert off > 0
    assert ours[1:] != nearest[1:]
    with World.open(tmp_path / "nearest-fill-0") as world:
        assert [chunk.generator for chunk in world.chunks()[1:]] == ["nearest-fill:1"] * 2
        assert world.frames().valid.all()
    assert rows_of(tmp_path / "generators.png", columns=2) == 3


def test_a_world_is_read_and_not_written(demo: tuple[Path, str], tmp_path: Path):
    world = demo[0] / "from-rgbd"
    before = {file: file.read_bytes() for file in world.rglob("*.png")}
    told = run("09_read_a_world.py", world, "--side", 96, "--out", tmp_path)
    assert "lengths are m\n" in told
    rows = table(told, "frame")
    assert [row[0] for row in rows] == [0, 1, 2]
    assert rows[0][1:7] == [0, 0, 0, 0, 0, 1]
    assert all(40 <= row[7] <= 60 and 0 < row[8] < row[9] < 10 for row in rows)
    assert rows_of(tmp_path / "sheet.png", columns=3) == 1
    plan = np.asarray(Image.open(tmp_path / "plan.png"))
    assert plan.shape == (96, 96, 3)
    assert len(np.unique(plan.reshape(-1, 3), axis=0)) > 20
    assert {file: file.read_bytes() for file in world.rglob("*.png")} == before


def test_a_world_that_is_not_there_is_said_in_one_sentence(tmp_path: Path):
    words = [sys.executable, EXAMPLES / "09_read_a_world.py", tmp_path / "gone"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"there is no world {tmp_path / 'gone'}" in done.stderr
    assert "Traceback" not in done.stderr
