"""Kernels of splats: C++ says what numba says, and is built once, safely, or not at all."""

from __future__ import annotations

import dataclasses
import os
import platform
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import render
from render._splats import building, kernels
from render._splats.kernels import VARIABLE, splat_kernels
from render.cameras import Cameras
from render.gaussians import Gaussians
from render.splats import render_splats
from tests.oracles.box_room import room_cameras
from tests.oracles.random_splats import hard_splats, random_splats, stacked_splats

NAMES = [field.name for field in dataclasses.fields(Gaussians)]
Make = Callable[[str], Path]


def front(width: int = 41, height: int = 33) -> Cameras:
    """A camera at the origin."""
    K = torch.tensor([[[50.0, 0.0, 0.5 * width], [0.0, 60.0, 0.5 * height], [0.0, 0.0, 1.0]]])
    return Cameras(c2w=torch.eye(4)[None], K=K, width=width, height=height)


def needles() -> Gaussians:
    """Splats across many tiles, thinner than a pixel."""
    thin = random_splats(150, size=-4.5)
    thin.log_scales[:, 1] = 0.5
    return thin


def opaque() -> Gaussians:
    """Splats whose alpha is clamped over many pixels."""
    gaussians = random_splats(60, size=-1.0, seed=1)
    return dataclasses.replace(gaussians, logit_opacities=torch.full((60,), 10.0))


def behind() -> Gaussians:
    """Splats of which the camera sees none."""
    gaussians = random_splats(50)
    return dataclasses.replace(gaussians, means=gaussians.means - torch.tensor([0.0, 0.0, 100.0]))


SCENES = {
    "small": (random_splats(3000, size=-4.0, degree=1), room_cameras()),
    "large": (random_splats(700, size=-1.5, degree=3), room_cameras()),
    "hard": (hard_splats(), front()),
    "needles": (needles(), room_cameras()),
    "opaque": (opaque(), room_cameras()),
    "behind": (behind(), front()),
    "none": (random_splats(0), front()),
    "one pixel": (random_splats(60, size=-1.5), front(1, 1)),
    "a column": (random_splats(300, size=-1.5), front(3, 50)),
    "one tile": (stacked_splats(50_000), front(5, 3)),
}


def values_and_slopes(gaussians: Gaussians, cameras: Cameras) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Colour, depth and alpha, and gradients of a random weighting of them."""
    leaves = {name: getattr(gaussians, name).clone().requires_grad_() for name in NAMES}
    c2w = cameras.c2w.clone().requires_grad_()
    image = render_splats(Gaussians(**leaves), dataclasses.replace(cameras, c2w=c2w))
    values = {name: getattr(image, name) for name in ("rgb", "depth", "alpha")}
    rng = torch.Generator().manual_seed(3)
    weighted = [(part * torch.randn(part.shape, generator=rng)).sum() for part in values.values()]
    torch.stack(weighted).sum().backward()
    slopes = {name: leaf.grad for name, leaf in (leaves | {"c2w": c2w}).items() if leaf.grad is not None}
    return {name: part.detach() for name, part in values.items()}, slopes


def both(
    gaussians: Gaussians, cameras: Cameras, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """What numba says, and what C++ says."""
    said = []
    for name in ("numba", "cpp"):
        monkeypatch.setenv(VARIABLE, name)
        kernels._chosen.cache_clear()
        assert splat_kernels().name == name
        said.append(values_and_slopes(gaussians, cameras))
    return said


def assert_alike(scene: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (values, slopes), (own_values, own_slopes) = both(*SCENES[scene], monkeypatch)
    assert (values["alpha"].max() > 0) == (scene not in ("behind", "none"))
    for each in (values, own_values):
        each["depth"] *= each["alpha"]  # of what is hardly seen, depth itself is good to four digits
    for name, expected in values.items():
        torch.testing.assert_close(own_values[name], expected, atol=1e-5, rtol=1e-5)
    assert own_slopes.keys() == slopes.keys()
    for name, expected in slopes.items():
        # Some are nought but for rounding, as when round splats turn.
        assert (own_slopes[name] - expected).norm() <= 1e-4 * expected.norm() + 1e-8, name


@pytest.mark.usefixtures("compiler", "unchosen")
@pytest.mark.parametrize("scene", SCENES)
def test_both_languages_have_the_same_values_and_slopes(scene: str, monkeypatch: pytest.MonkeyPatch):
    assert_alike(scene, monkeypatch)


@pytest.mark.usefixtures("compiler", "unchosen")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86-64 CPU")
@pytest.mark.parametrize("scene", ["small", "hard", "needles", "a column"])
@pytest.mark.parametrize("lanes", [4, 8])
def test_narrower_registers_say_the_same(
    lanes: int, scene: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """This CPU's own registers may be wider; SSE2 has four lanes and every x86-64 CPU has it, AVX2 eight."""
    if lanes == 8 and " avx2 " not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        pytest.skip("needs AVX2")
    narrow = ("-march=x86-64", "-mavx2", "-mfma") if lanes == 8 else ("-march=x86-64",)
    flags = tuple(flag for flag in building.FLAGS if flag != "-march=native")
    monkeypatch.setattr(building, "FLAGS", flags + narrow)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert_alike(scene, monkeypatch)


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchosen: None) -> Make:
    """Makes a shell script the only compiler there is, and the cache an empty folder; says where it logs."""

    def make(script: str) -> Path:
        programs, log = tmp_path / "bin", tmp_path / "log"
        programs.mkdir()
        compiler = programs / "c++"
        compiler.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{script}\n')
        compiler.chmod(0o700)
        monkeypatch.setenv("PATH", str(programs))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv(VARIABLE, raising=False)
        return log

    return make


@pytest.mark.usefixtures("unchosen")
def test_without_a_compiler_numba_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    assert splat_kernels()[:2] == ("numba", "there is no C++ compiler (c++, g++, clang++)")
    assert values_and_slopes(*SCENES["hard"])[0]["alpha"].max() > 0.5
    monkeypatch.setenv(VARIABLE, "cpp")
    kernels._chosen.cache_clear()
    with pytest.raises(ValueError, match=f"{VARIABLE} asks for .* there is no C.. compiler"):
        splat_kernels()


def test_a_compiler_that_fails_is_asked_once_and_numba_draws(only: Make):
    log = only("echo 'splats.cpp:1: error: out of cheese' >&2; exit 4")
    assert splat_kernels().name == "numba"
    assert "failed with status 4: splats.cpp:1: error: out of cheese" in splat_kernels().reason
    kernels._chosen.cache_clear()
    assert splat_kernels().name == "numba"
    assert len(log.read_text().splitlines()) == 1


EMPTY = 'while [ $# -gt 1 ]; do if [ "$1" = -o ]; then echo > "$2"; fi; shift; done'


@pytest.mark.parametrize("script", ["exit 0", EMPTY])
def test_a_compiler_that_makes_no_library_leaves_it_to_numba(only: Make, script: str):
    """The one makes no file, the other one with an empty line."""
    log = only(script)
    assert splat_kernels().name == "numba"
    assert str(building.cache_folder()) in splat_kernels().reason
    assert len(log.read_text().splitlines()) == 2


def test_a_compiler_that_hangs_is_given_up(only: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(building, "PATIENCE_S", 0.2)
    only("exec /bin/sleep 30")
    assert splat_kernels().name == "numba"
    assert "took longer" in splat_kernels().reason


@pytest.mark.usefixtures("compiler", "unchosen")
def test_what_cannot_be_kept_is_left_to_numba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert splat_kernels().name == "numba"
    assert "Not a directory" in splat_kernels().reason


@pytest.mark.usefixtures("compiler", "unchosen")
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_folder_that_others_may_write_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    building.cache_folder().mkdir()
    building.cache_folder().chmod(0o777)
    assert splat_kernels()[:2] == ("numba", f"{tmp_path / 'worldgen'} may be written by others")
    assert not any(building.cache_folder().iterdir())


@pytest.mark.usefixtures("unchosen")
def test_the_environment_decides_and_once_for_a_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "numba")
    assert splat_kernels().name == "numba"
    monkeypatch.setenv(VARIABLE, "fortran")
    assert splat_kernels().name == "numba"
    kernels._chosen.cache_clear()
    with pytest.raises(ValueError, match="'cpp', 'numba' or not set, got 'fortran'"):
        render_splats(random_splats(1), front())


@pytest.mark.usefixtures("compiler")
def test_a_library_is_built_once_and_anew_where_it_was_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a"))
    file = building.library()
    made = file.stat()
    assert file.parent == tmp_path / "a" / "worldgen"
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    again = building.library()
    assert (again, again.stat().st_ino, again.stat().st_mtime_ns) == (file, made.st_ino, made.st_mtime_ns)

    # In another folder: a library that a process has loaded is not read again.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    damaged = building.cache_folder() / file.name
    damaged.parent.mkdir(mode=0o700, parents=True)
    damaged.write_bytes(file.read_bytes()[:100])
    assert building.library() == damaged
    assert damaged.stat().st_size == made.st_size

    monkeypatch.setattr(building, "FLAGS", (*building.FLAGS, "-DOTHER"))
    assert building.library() not in (file, damaged)


@pytest.mark.usefixtures("compiler")
def test_processes_may_build_at_once(tmp_path: Path):
    code = "from render._splats.building import library; print(library())"
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    builders = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {builder.communicate(timeout=120)[0] for builder in builders}
    assert [builder.returncode for builder in builders] == [0, 0, 0]
    assert len(said) == 1
    assert [str(file) for file in (tmp_path / "worldgen").iterdir()] == [said.pop().strip()]


def test_the_source_is_shipped():
    """Among what a wheel takes along beside modules."""
    project = Path(render.__file__).parents[1]
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["render"]
    shipped = [file for pattern in patterns for file in (project / "render").glob(pattern)]
    assert building.SOURCE in shipped
