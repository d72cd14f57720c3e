"""What tests of splats share: their kernels in either language."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from render._splats import building, kernels


@pytest.fixture
def compiler() -> None:
    """Skip where no C++ compiler is."""
    if not any(map(shutil.which, building.COMPILERS)):
        pytest.skip("needs a C++ compiler")


@pytest.fixture(params=["numba", "cpp"])
def splat_kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Splats are drawn by numba, and again by C++."""
    if request.param == "cpp":
        request.getfixturevalue("compiler")
    monkeypatch.setenv(kernels.VARIABLE, request.param)
    kernels._chosen.cache_clear()
    assert kernels.splat_kernels().name == request.param
    yield
    kernels._chosen.cache_clear()
