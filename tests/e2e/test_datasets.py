"""Datasets as a user meets them on the command line: out as folders for trainers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from memory.world import World
from reconstruct.formats.captures import read_capture
from tests.e2e.verbs import assert_one_sentence, forked, run
from tests.memory.test_world_hostile import contents


@pytest.mark.parametrize("kind", ["nerfstudio", "colmap"])
def test_a_world_is_exported_as_a_dataset(
    walked: Callable[[int], Path], tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
):
    assert run("export", walked(3), tmp_path / "set", "--format", kind) == 0
    told = capsys.readouterr().out.strip()
    assert told.startswith(f"{tmp_path / 'set'}: 3 frames for {kind}")
    found = read_capture(tmp_path / "set").frames
    with World.open(walked(3)) as world:
        stored = world.frames()
    assert torch.equal(found.rgb, stored.rgb)
    torch.testing.assert_close(found.cameras.c2w, stored.cameras.c2w, atol=1e-6, rtol=0)
    before = contents(tmp_path)
    done = forked("export", walked(3), tmp_path / "set", "--format", kind)
    assert_one_sentence(done, status=2, about="already exists")
    assert contents(tmp_path) == before
