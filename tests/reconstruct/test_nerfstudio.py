"""Datasets by nerfstudio's own reader, in an environment of its own: what its trainers get is our world."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from memory.boxes import Box
from memory.restore import restored_cache
from memory.world import SceneInfo, World
from reconstruct.datasets import depth_unit, write_dataset
from tests.oracles.box_room import BoxRoom

PROJECT = Path(__file__).parents[2]
READER = PROJECT / "tests" / "oracles" / "nerfstudio_reader.py"
SCRIPT = PROJECT / "scripts" / "nerfstudio.sh"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nerfstudio() -> str:
    """The Python of an environment with nerfstudio; else the tests are skipped."""
    found = Path(os.environ.get("WORLDGEN_NERFSTUDIO", PROJECT / ".venv-nerfstudio")) / "bin" / "python"
    if not found.exists():
        pytest.skip("nerfstudio is missing; install it with: scripts/nerfstudio.sh reader .venv-nerfstudio")
    return str(found)


@pytest.fixture(params=["metres", "scene"])
def world(tmp_path: Path, box_room: BoxRoom, request: pytest.FixtureRequest) -> World:
    """The room, in worlds whose depth is in steps of a millimetre and of a centimetre."""
    scale = 2.0 if request.param == "metres" else 20.0
    world = World.create(tmp_path / "w", SceneInfo(units=request.param, scale=scale, up=(0.0, 0.0, 1.0)))
    world.commit(box_room.frames, given=True, generator="input", seed=0, settings={})
    return world


def read(python: str, world: World, folder: Path) -> dict[str, np.ndarray]:
    """What nerfstudio finds in the dataset of a world."""
    write_dataset(world, restored_cache(world).points, folder, kind="nerfstudio")
    out = folder.with_suffix(".npz")
    words = [python, "-I", str(READER), str(folder), str(out), str(depth_unit(world.scene.scale))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        return dict(arrays)


def test_its_rays_end_where_the_surfaces_are(
    nerfstudio: str, world: World, box_room: BoxRoom, tmp_path: Path
):
    found = read(nerfstudio, world, tmp_path / "set")
    frames, step = world.frames(), depth_unit(world.scene.scale)
    assert found["names"].tolist() == [f"{number:06d}.png" for number in world.frame_ids()]
    assert "masks" not in found
    np.testing.assert_array_equal(found["rgb"], (frames.rgb * 255).round().to(torch.uint8).numpy())
    np.testing.assert_allclose(found["depth"], frames.depth.numpy(), atol=0.5 * step + 1e-5)
    np.testing.assert_array_equal(found["origins"][:, 0, 0], world.cameras().origins.numpy())
    places = found["origins"] + found["directions"] * found["depth"]
    # Half a step of depth along the longest ray; half a pixel would be 0.02.
    np.testing.assert_allclose(places, box_room.points.numpy(), atol=0.75 * step + 2e-4)


def test_it_leaves_out_what_was_edited_since(nerfstudio: str, world: World, tmp_path: Path):
    crate = Box(low=(0.0, 0.4, 0.7), high=(1.4, 1.4, 1.9))
    world.remove(crate, settings={})
    found = read(nerfstudio, world, tmp_path / "set")
    masks = found["masks"]
    assert all(0.5 < share < 0.99 for share in masks.reshape(len(masks), -1).mean(axis=1))
    assert not found["depth"][~masks].any()
    places = found["origins"] + found["directions"] * found["depth"]
    inside = ((places > np.array(crate.low) + 0.05) & (places < np.array(crate.high) - 0.05)).all(axis=-1)
    assert not (inside[..., None] & masks).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "usage"),
        (("read", "x"), "usage"),
        (("train", "venv", "nowhere", "out"), "no transforms.json"),
    ],
)
def test_the_script_says_what_it_wants(tmp_path: Path, words: tuple[str, ...], message: str):
    (tmp_path / "bin").mkdir()
    gpu = tmp_path / "bin" / "nvidia-smi"
    gpu.write_text("#!/bin/sh\n")
    gpu.chmod(0o755)
    words = tuple(str(tmp_path / word) if word in ("venv", "nowhere", "out") else word for word in words)
    path = f"{gpu.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(SCRIPT), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={"PATH": path},
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["bin"]
