"""A painted room with a pillar in it, seen by casting rays: the world the viewer's tests look at.

Both boxes are intersected in closed form. ``RoomGrow`` is a hand-written ``GrowFn``: what it imagines is
what a camera in the room would see.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from memory.points import Points
from render.cameras import Cameras, intrinsics_from_fov, rays_cam
from render.frames import Frames
from render.geometry import patch_axes
from viewer import Grown, Scene

LOW, HIGH = (-2.0, -1.2, -2.5), (2.4, 1.3, 4.0)
"""Corners of the room. +y is down."""

PILLAR_LOW, PILLAR_HIGH = (0.5, -0.3, 1.8), (1.0, 1.3, 2.4)

WALLS = ((0.86, 0.55, 0.36), (0.35, 0.55, 0.75), (0.92, 0.88, 0.80), (0.55, 0.42, 0.35), (0.60, 0.68, 0.52))


def look(n: int = 3, *, width: int = 64, height: int = 48, first_yaw: float = 0.0) -> Cameras:
    """Cameras that turn and walk a little; level, and fx differs from fy."""
    yaw = first_yaw + 0.17 * torch.arange(n)
    c2w = torch.eye(4).repeat(n, 1, 1)
    c2w[:, 0, 0], c2w[:, 0, 2] = yaw.cos(), yaw.sin()
    c2w[:, 2, 0], c2w[:, 2, 2] = -yaw.sin(), yaw.cos()
    c2w[:, 0, 3] = -0.3 + 0.15 * torch.arange(n)
    c2w[:, 2, 3] = -1.4
    K = intrinsics_from_fov(1.15, width=width, height=height, n=n)
    K[:, 1, 1] *= 1.06
    return Cameras(c2w=c2w, K=K, width=width, height=height)


def cast(cameras: Cameras) -> Frames:
    """What cameras inside the room see. Rays have z = 1 in the camera, so a ray length is a z-depth."""
    rays = rays_cam(cameras) @ cameras.c2w[:, None, :3, :3].mT
    origin = cameras.origins[:, None, None]
    safe = torch.where(rays.abs() < 1e-9, torch.full_like(rays, 1e-9), rays)
    to_low, to_high = ((torch.tensor(corner) - origin) / safe for corner in (LOW, HIGH))
    depth, axis = torch.maximum(to_low, to_high).min(dim=-1)
    to_low, to_high = ((torch.tensor(corner) - origin) / safe for corner in (PILLAR_LOW, PILLAR_HIGH))
    enter, leave = torch.minimum(to_low, to_high).amax(dim=-1), torch.maximum(to_low, to_high).amin(dim=-1)
    on_pillar = (enter > 0) & (enter < leave)
    depth = torch.where(on_pillar, enter, depth)[..., None]
    rgb = paint(origin + depth * rays, axis, on_pillar)
    return Frames(
        rgb=rgb,
        depth=depth,
        valid=torch.ones_like(depth, dtype=torch.bool),
        confidence=torch.full_like(depth, 0.9),
        cameras=cameras,
    )


def paint(places: Float[Tensor, "n h w 3"], axis: Tensor, on_pillar: Tensor) -> Float[Tensor, "n h w 3"]:
    """A colour a wall, boards on the floor, darker towards the corners."""
    side = torch.where(places.gather(-1, axis[..., None])[..., 0] > 0, 1, 0)
    colour = torch.tensor(WALLS)[(axis + 2 * side * (axis != 1) + side * (axis == 1) * 2).clamp(max=4)]
    boards = 0.88 + 0.12 * torch.sign(torch.sin(7.0 * places[..., :1]) * torch.sin(3.0 * places[..., 2:]))
    colour = torch.where(on_pillar[..., None], torch.tensor((0.75, 0.22, 0.20)), colour) * boards
    middle = 0.5 * (torch.tensor(LOW) + torch.tensor(HIGH))
    far_out = ((places - middle) / (torch.tensor(HIGH) - middle)).abs().sort(dim=-1).values[..., 1:2]
    return (colour * (1.0 - 0.35 * far_out**4)).clamp(0.0, 1.0)


def points_of(frames: Frames, *, first_id: int = 0) -> Points:
    """Every pixel of ``frames`` as a point that faces its camera."""
    cameras = frames.cameras
    rays = rays_cam(cameras) @ cameras.c2w[:, None, :3, :3].mT
    places = cameras.origins[:, None, None] + frames.depth * rays
    n, h, w = places.shape[:3]
    return Points(
        positions=places.reshape(-1, 3),
        rgb=frames.rgb.reshape(-1, 3),
        normals=torch.nn.functional.normalize(-rays, dim=-1).reshape(-1, 3),
        confidence=frames.confidence.reshape(-1),
        axes=patch_axes(places, torch.zeros_like(places), frames.depth, cameras).reshape(-1, 2, 3),
        source=first_id + torch.arange(n).repeat_interleave(h * w),
    )


def scene_of(frames: Frames) -> Scene:
    """A world that holds every pixel of ``frames``."""
    return Scene(frames=frames, points=points_of(frames))


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomGrow:
    """Sees the room instead of imagining it, ``chunk`` frames at a time."""

    chunk: int = 2
    pause_s: float = 0.0
    gate: threading.Event | None = None
    """If there is one, nothing grows before it is set."""

    fails_after: int | None = None
    """Frames after which it gives up; None for never."""

    ahead: int = 0
    """Views of the end of the path that come first."""

    def __call__(self, cameras: Cameras, *, seed: int) -> Iterator[Grown]:
        for number in range(self.ahead):
            frames = cast(cameras[-1:])
            yield Grown(frames=frames, points=points_of(frames, first_id=seed + number), is_ahead=True)
        for start in range(0, len(cameras), self.chunk):
            if self.fails_after is not None and start >= self.fails_after:
                raise RuntimeError("the generator ran out of ideas\nand this line is for the log")
            time.sleep(self.pause_s)
            if self.gate is not None:
                self.gate.wait()
            frames = cast(cameras[start : start + self.chunk])
            yield Grown(frames=frames, points=points_of(frames, first_id=seed + start))
