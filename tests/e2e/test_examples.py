"""The examples run as they are, and make what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest

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


def test_the_demo_makes_two_worlds_with_splats_videos_and_sheets(tmp_path: Path):
    told = run("01_two_worlds.py", "--frames", 2, "--out", tmp_path)
    for name in ("from-seed", "from-rgbd"):
        with World.open(tmp_path / name) as world:
            assert len(world.frame_ids()) == 2
        for suffix in ("ply", "mp4", "png"):
            assert (tmp_path / f"{name}.{suffix}").stat().st_size > 1000
        assert f"view {tmp_path / name}" in told


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
