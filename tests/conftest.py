"""What tests of every room share: one painted room, and what a machine must have for which test."""

from collections.abc import Iterator

import hypothesis
import pytest
import torch

from render._splats import kernels
from tests.oracles.box_room import BoxRoom, raycast, room_cameras, room_mesh

# No deadline, because machines are shared; the same examples every time, because a test is no lottery.
hypothesis.settings.register_profile("shared", deadline=None, derandomize=True)
hypothesis.settings.load_profile("shared")


@pytest.fixture(scope="session")
def box_room() -> BoxRoom:
    """Three ray-cast RGB-D views of a room; see ``tests/oracles/box_room.py``."""
    return raycast(room_mesh(), room_cameras())


@pytest.fixture
def unchosen() -> Iterator[None]:
    """Kernels of splats that are chosen and built anew, now and after the test."""
    for made in (kernels._chosen, kernels._cpp):
        made.cache_clear()
    yield
    for made in (kernels._chosen, kernels._cpp):
        made.cache_clear()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
