"""The examples run as they are, and make what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
    told = run("01_two_worlds.py", "--frames", 3, "--out", tmp_path)
    for name in ("from-seed", "from-rgbd"):
        with World.open(tmp_path / name) as world:
            assert len(world.frame_ids()) == 3
        for suffix in ("ply", "mp4", "png"):
            assert (tmp_path / f"{name}.{suffix}").stat().st_size > 1000
        assert f"view {tmp_path / name}" in told


def test_a_world_grows_from_python(tmp_path: Path):
    run("02_grow_in_python.py", "--frames", 3, "--out", tmp_path / "w")
    with World.open(tmp_path / "w") as world:
        assert len(world.frame_ids()) == 3
    assert (tmp_path / "w.ply").is_file()
