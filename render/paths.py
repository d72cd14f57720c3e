"""Presets: where a camera goes next, by name.

Room: render (ground floor). Imports cameras; every other room may import this.
Presets take one camera and return ``n``, of which the first is that camera, bit for bit. Their steps are
in units of ``scale``, a length of the scene such as the median depth of its first view.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import torch
from jaxtyping import Float, Float64
from kornia.geometry.conversions import quaternion_to_rotation_matrix
from torch import Tensor

from render._poses import check_count, poses_of
from render.cameras import Cameras

WORLD_UP = torch.tensor([0.0, -1.0, 0.0])
"""Up in the world unless the input says otherwise."""

STRIDE = 0.05
"""Scene lengths a walk advances per frame unless told otherwise."""

SWAY, SWAY_YAW, SWAY_FRAMES = 0.02, math.radians(2.0), 24
"""A walk's swing sideways in scene lengths and in yaw, and the frames one swing takes."""

ORBIT_DEGREES, TURN_DEGREES = 2.5, 10.0
"""Most that the presets turn per frame."""

LAP_FRAMES = 100
"""Frames in which a loop comes round, at the stride of a walk."""

STEEP = 0.9999
"""Cosine to the vertical beyond which the viewing direction does not say which way is ahead."""


class Preset(Protocol):
    """A path that needs nothing but a camera to start from."""

    def __call__(self, start: Cameras, *, n: int, up: Tensor = WORLD_UP, scale: float = 1.0) -> Cameras:
        """``n`` cameras, the first of which is ``start``."""
        ...


def orbit(
    start: Cameras,
    *,
    n: int,
    up: Float[Tensor, " 3"] = WORLD_UP,
    scale: float = 1.0,
    degrees: float = 360.0,
) -> Cameras:
    """Circle the point ``scale`` ahead of the camera, which stays in its centre.

    Camera i has gone the share i / n of ``degrees``, so that a full orbit repeats without a doubled
    frame. Seen from above it goes anticlockwise.
    """
    c2w, axis = _stance(start, n=n, up=up, scale=scale)
    pivot = c2w[:3, 3] + scale * c2w[:3, 2]
    turns = _turns(axis, degrees=degrees, n=n)
    positions = (turns @ (c2w[:3, 3] - pivot)) + pivot
    return _along(start, turns @ c2w[:3, :3], positions)


def turn(
    start: Cameras,
    *,
    n: int,
    up: Float[Tensor, " 3"] = WORLD_UP,
    scale: float = 1.0,
    degrees: float = 360.0,
) -> Cameras:
    """Look round on the spot, to the left for positive ``degrees``; camera i has turned their share i / n."""
    c2w, axis = _stance(start, n=n, up=up, scale=scale)
    return _along(start, _turns(axis, degrees=degrees, n=n) @ c2w[:3, :3], c2w[:3, 3].expand(n, 3))


def walk(
    start: Cameras,
    *,
    n: int,
    up: Float[Tensor, " 3"] = WORLD_UP,
    scale: float = 1.0,
    stride: float = STRIDE,
    sway: float = 1.0,
) -> Cameras:
    """Walk ahead on the level by ``stride`` scene lengths a frame, swaying gently, or by ``sway`` times that.

    A camera that looks up or down keeps doing so.
    """
    c2w, axis = _stance(start, n=n, up=up, scale=scale)
    ahead = _level(c2w, axis)
    swing = sway * torch.sin(torch.arange(n, dtype=torch.float64) * (2 * math.pi / SWAY_FRAMES))[:, None]
    steps = torch.arange(n, dtype=torch.float64)[:, None] * stride * ahead
    sway = swing * SWAY * torch.linalg.cross(ahead, axis)
    turns = _rotations(axis, -SWAY_YAW * swing[:, 0])
    return _along(start, turns @ c2w[:3, :3], c2w[:3, 3] + scale * (steps + sway))


def arc(
    start: Cameras,
    *,
    n: int,
    up: Float[Tensor, " 3"] = WORLD_UP,
    scale: float = 1.0,
    degrees: float = 0.0,
    length: float = 0.0,
) -> Cameras:
    """Walk ``length`` scene lengths on the level round a bend of ``degrees`` to the left, by the last camera.

    Without length it is a turn on the spot, without degrees a straight walk.
    """
    c2w, axis = _stance(start, n=n, up=up, scale=scale)
    share = _shares(n)
    turns = _rotations(axis, math.radians(degrees) * share)
    headings = _rotations(axis, math.radians(degrees) * 0.5 * (share[1:] + share[:-1])) @ _level(c2w, axis)
    steps = torch.cat([torch.zeros(1, 3, dtype=torch.float64), headings.cumsum(dim=0)])
    return _along(start, turns @ c2w[:3, :3], c2w[:3, 3] + steps * (scale * length / max(n - 1, 1)))


def there_and_back(
    start: Cameras,
    *,
    n: int,
    up: Float[Tensor, " 3"] = WORLD_UP,
    scale: float = 1.0,
    stride: float = STRIDE,
    sway: float = 1.0,
) -> Cameras:
    """Walk ahead for the first half and return through the very same poses."""
    check_count(n)
    there = torch.arange(n)
    out = walk(start, n=(n + 1) // 2, up=up, scale=scale, stride=stride, sway=sway)
    return out[torch.minimum(there, n - 1 - there)]


def loop(
    start: Cameras,
    *,
    n: int,
    up: Float[Tensor, " 3"] = WORLD_UP,
    scale: float = 1.0,
    stride: float = STRIDE,
    lap: int = LAP_FRAMES,
) -> Cameras:
    """Walk in a circle to the left, ``lap`` frames a round, and round again through the very same poses.

    Raises:
        ValueError: also if ``lap`` is not positive.
    """
    if lap < 1:
        raise ValueError(f"a lap has at least one frame, got {lap}")
    c2w, axis = _stance(start, n=n, up=up, scale=scale)
    ahead = _level(c2w, axis)
    radius = scale * stride * lap / (2.0 * math.pi)
    centre = c2w[:3, 3] + radius * torch.linalg.cross(axis, ahead)
    turns = _turns(axis, degrees=360.0, n=lap)
    once = _along(start, turns @ c2w[:3, :3], turns @ (c2w[:3, 3] - centre) + centre)
    return once[torch.arange(n) % lap]


def dolly(
    start: Cameras,
    *,
    n: int,
    up: Float[Tensor, " 3"] = WORLD_UP,
    scale: float = 1.0,
    ahead: float = 1.0,
    right: float = 0.0,
    rise: float = 0.0,
) -> Cameras:
    """Glide straight on without turning, by the last camera so many scene lengths along its own axes.

    ``ahead`` is where it looks, ``right`` the right of its picture, ``rise`` the top of it.
    """
    c2w, _ = _stance(start, n=n, up=up, scale=scale)
    whole = c2w[:3, :3] @ (scale * torch.tensor([right, -rise, ahead], dtype=torch.float64))
    return _along(start, c2w[:3, :3].expand(n, 3, 3), c2w[:3, 3] + _shares(n)[:, None] * whole)


def spiral(
    start: Cameras,
    *,
    n: int,
    up: Float[Tensor, " 3"] = WORLD_UP,
    scale: float = 1.0,
    degrees: float = 360.0,
    rise: float = 0.5,
    closer: float = 0.5,
) -> Cameras:
    """Circle the point ``scale`` ahead, which stays in the centre, and climb and come closer on the way.

    By the last camera it went ``degrees`` round, anticlockwise seen from above, ``rise`` scene lengths up and
    ``closer``, a share, of the way to the axis. A camera that looks straight up or down keeps doing so.

    Raises:
        ValueError: also if ``closer`` is 1 or more.
    """
    c2w, axis = _stance(start, n=n, up=up, scale=scale)
    if not closer < 1.0:
        raise ValueError(f"a spiral comes closer by less than all of the way, got {closer:g}")
    share, spoke = _shares(n)[:, None], -scale * c2w[:3, 2]
    turns, height = _rotations(axis, math.radians(degrees) * share[:, 0]), (spoke @ axis) * axis
    spokes = height + scale * rise * share * axis + (1.0 - closer * share) * (turns @ (spoke - height))
    turned = turns @ c2w[:3, :3]
    if (c2w[:3, 2] @ axis).abs() < STEEP:
        turned = _facing(turned, -spokes)
    return _along(start, turned, c2w[:3, 3] - spoke + spokes)


def _orbit_part(start: Cameras, *, n: int, up: Float[Tensor, " 3"] = WORLD_UP, scale: float = 1.0) -> Cameras:
    return orbit(start, n=n, up=up, scale=scale, degrees=min(360.0, ORBIT_DEGREES * n))


def _turn_part(start: Cameras, *, n: int, up: Float[Tensor, " 3"] = WORLD_UP, scale: float = 1.0) -> Cameras:
    return turn(start, n=n, up=up, scale=scale, degrees=min(360.0, TURN_DEGREES * n))


def _dolly_part(start: Cameras, *, n: int, up: Float[Tensor, " 3"] = WORLD_UP, scale: float = 1.0) -> Cameras:
    return dolly(start, n=n, up=up, scale=scale, ahead=STRIDE * (n - 1))


def _spiral_part(
    start: Cameras, *, n: int, up: Float[Tensor, " 3"] = WORLD_UP, scale: float = 1.0
) -> Cameras:
    degrees = min(360.0, ORBIT_DEGREES * (n - 1))
    part = 0.5 * degrees / 360.0
    return spiral(start, n=n, up=up, scale=scale, degrees=degrees, rise=part, closer=part)


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "orbit": _orbit_part,
        "walk": walk,
        "turn": _turn_part,
        "there-and-back": there_and_back,
        "loop": loop,
        "dolly": _dolly_part,
        "spiral": _spiral_part,
    }
)
"""Presets by the names that the command line and the viewer use.

They go at a steady pace, so that neighbouring views overlap however few frames there are.
"""


def path_named(
    name: str, start: Cameras, *, n: int, up: Float[Tensor, " 3"] = WORLD_UP, scale: float = 1.0
) -> Cameras:
    """The preset called ``name``, from ``start``.

    Raises:
        ValueError: if there is no such preset, or if it is given senseless numbers.
    """
    if name not in PRESETS:
        raise ValueError(f"there is no camera path named {name!r}; there are {', '.join(sorted(PRESETS))}")
    return PRESETS[name](start, n=n, up=up, scale=scale)


def _stance(
    start: Cameras, *, n: int, up: Float[Tensor, " 3"], scale: float
) -> tuple[Float64[Tensor, "4 4"], Float64[Tensor, " 3"]]:
    """Pose of the camera that a path of ``n`` starts from, and the unit direction of ``up``; both checked."""
    check_count(n)
    if len(start) != 1:
        raise ValueError(f"a path starts from exactly one camera, got {len(start)}")
    if not 0.0 < scale < math.inf:
        raise ValueError(f"scale must be a positive length, got {scale:g}")
    axis = up.double().cpu()
    length = torch.linalg.vector_norm(axis)
    if not 0.0 < float(length) < math.inf:
        raise ValueError(f"up must be a direction, got {up.tolist()}")
    return start.c2w[0].double().cpu(), axis / length


def _level(c2w: Float64[Tensor, "4 4"], up: Float64[Tensor, " 3"]) -> Float64[Tensor, " 3"]:
    """Unit direction straight ahead on the level."""
    climb = c2w[:3, 2] @ up
    # Looking straight down, the top of the picture is ahead; looking straight up, its bottom is.
    ahead = c2w[:3, 2] if climb.abs() < STEEP else torch.sign(climb) * c2w[:3, 1]
    level = ahead - (ahead @ up) * up
    return level / torch.linalg.vector_norm(level)


def _rotations(axis: Float64[Tensor, " 3"], angles: Float64[Tensor, " n"]) -> Float64[Tensor, "n 3 3"]:
    """Rotations about one unit axis, anticlockwise seen from its tip."""
    vector = torch.sin(0.5 * angles)[:, None] * axis
    return quaternion_to_rotation_matrix(torch.cat([torch.cos(0.5 * angles)[:, None], vector], dim=-1))


def _shares(n: int) -> Float64[Tensor, " n"]:
    """From 0 for the first to 1 for the last."""
    return torch.arange(n, dtype=torch.float64) / max(n - 1, 1)


def _facing(
    rotations: Float64[Tensor, "n 3 3"], directions: Float64[Tensor, "n 3"]
) -> Float64[Tensor, "n 3 3"]:
    """The same cameras, turned the shortest way to look along directions that none of them looks against."""
    ahead, goal = rotations[:, :, 2], torch.nn.functional.normalize(directions, dim=1)
    cosine = 1.0 + (ahead * goal).sum(dim=1, keepdim=True)
    quats = torch.nn.functional.normalize(torch.cat([cosine, torch.linalg.cross(ahead, goal)], dim=1), dim=1)
    return quaternion_to_rotation_matrix(quats) @ rotations


def _turns(axis: Float64[Tensor, " 3"], *, degrees: float, n: int) -> Float64[Tensor, "n 3 3"]:
    return _rotations(axis, torch.arange(n, dtype=torch.float64) * (math.radians(degrees) / n))


def _along(start: Cameras, rotations: Float64[Tensor, "n 3 3"], positions: Float64[Tensor, "n 3"]) -> Cameras:
    """Cameras like ``start`` at these poses, of which the first is replaced by that of ``start``."""
    c2w = poses_of(rotations, positions).to(start.c2w)
    return dataclasses.replace(
        start, c2w=torch.cat([start.c2w, c2w[1:]]), K=start.K.expand(len(c2w), 3, 3).clone()
    )
