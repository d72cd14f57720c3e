"""Cameras for PyTorch3D: against the equations of its manual, and against itself where it is installed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from render.cameras import Cameras, project
from render.pytorch3d import from_pytorch3d, screen_arguments, to_pytorch3d
from tests.oracles.box_room import room_cameras

needs_pytorch3d = pytest.mark.skipif(
    find_spec("pytorch3d") is None, reason="PyTorch3D is not installed (it is built from source)"
)


@dataclass
class Described:
    """A ``PerspectiveCameras`` by its numbers."""

    R: Tensor
    T: Tensor
    focal_length: Tensor
    principal_point: Tensor
    image_size: Tensor | None
    ndc: bool = False

    def in_ndc(self) -> bool:
        return self.ndc


def cloud() -> Tensor:
    """Points in the room, [p 3]."""
    rng = torch.Generator().manual_seed(0)
    extents = torch.tensor([1.5, 1.0, 2.0], dtype=torch.float64)
    return (torch.rand(200, 3, generator=rng, dtype=torch.float64) - 0.5) * 2 * extents


def in_ndc(described: Described) -> Described:
    """The same cameras in normalised device coordinates, as docs/notes/cameras.md converts them."""
    assert described.image_size is not None
    height, width = described.image_size[0].tolist()
    s, middle = min(height, width), torch.tensor([width, height]) / 2.0
    return dataclasses.replace(
        described,
        focal_length=described.focal_length * 2.0 / s,
        principal_point=-(described.principal_point - middle) * 2.0 / s,
        ndc=True,
    )


def seen_by_the_manual(described: Described, points: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels and depths of points, as the manual says: to the camera, to NDC, to the screen."""
    assert described.image_size is not None
    x, y, z = (points @ described.R + described.T[:, None]).unbind(-1)
    ndc = in_ndc(described)
    x_ndc = ndc.focal_length[:, :1] * x / z + ndc.principal_point[:, :1]
    y_ndc = ndc.focal_length[:, 1:] * y / z + ndc.principal_point[:, 1:]
    height, width = described.image_size[0].tolist()
    half = min(height, width) / 2.0
    # NDC grows left and up from the middle, the screen right and down from a corner.
    return torch.stack([width / 2.0 - half * x_ndc, height / 2.0 - half * y_ndc], dim=-1), z[..., None]


def described(cameras: Cameras) -> Described:
    return Described(**screen_arguments(cameras)._asdict())


def test_the_equations_of_the_manual_see_what_we_see():
    cameras = room_cameras(torch.float64)
    uv, depth = project(cloud(), cameras)
    theirs, z = seen_by_the_manual(described(cameras), cloud())
    torch.testing.assert_close(theirs, uv, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(z, depth, atol=1e-12, rtol=0)


def test_its_axes_point_left_and_up():
    cameras = room_cameras(torch.float64)
    numbers = screen_arguments(cameras)
    right, down = cameras.c2w[:, :3, 0], cameras.c2w[:, :3, 1]
    for axis, expected in ((right, [-1.0, 0.0, 0.0]), (down, [0.0, -1.0, 0.0])):
        seen = ((cameras.origins + axis)[:, None] @ numbers.R)[:, 0] + numbers.T
        torch.testing.assert_close(seen, torch.tensor([expected] * 3).double(), atol=1e-12, rtol=0)
    assert numbers.image_size.tolist() == [[44, 60]] * 3


@pytest.mark.parametrize("space", ["screen", "NDC"])
def test_there_and_back_is_the_same_camera(space: str):
    cameras = room_cameras(torch.float64)
    there = described(cameras)
    back = from_pytorch3d(in_ndc(there) if space == "NDC" else there)
    torch.testing.assert_close(back.c2w, cameras.c2w, atol=1e-12, rtol=0)
    torch.testing.assert_close(back.K, cameras.K, atol=1e-9, rtol=0)
    assert (back.width, back.height) == (cameras.width, cameras.height)


def test_cameras_that_cannot_be_ours_are_refused():
    good = described(room_cameras())
    with pytest.raises(ValueError, match="image_size"):
        from_pytorch3d(dataclasses.replace(good, image_size=None))
    sizes = torch.tensor([[44, 60], [44, 60], [44, 61]])
    with pytest.raises(ValueError, match="one image size"):
        from_pytorch3d(dataclasses.replace(good, image_size=sizes))
    with pytest.raises(ValueError, match="rigid"):
        from_pytorch3d(dataclasses.replace(good, R=2.0 * good.R))


@pytest.mark.skipif(find_spec("pytorch3d") is not None, reason="PyTorch3D is installed")
def test_without_it_one_sentence_says_so():
    with pytest.raises(ValueError, match="needs PyTorch3D"):
        to_pytorch3d(room_cameras())


@needs_pytorch3d
def test_pytorch3d_sees_what_we_see():
    cameras, points = room_cameras(), cloud().float()
    theirs = to_pytorch3d(cameras)
    uv, _ = project(points, cameras)
    seen = theirs.transform_points_screen(points.expand(3, -1, 3))[..., :2]
    torch.testing.assert_close(seen, uv, atol=1e-3, rtol=1e-4)
    back = from_pytorch3d(theirs)
    torch.testing.assert_close(back.c2w, cameras.c2w, atol=1e-5, rtol=0)
    torch.testing.assert_close(back.K, cameras.K, atol=1e-4, rtol=0)
