"""Paths: where a camera goes next, as presets, through keyframes, and as files.

Room: render (ground floor). Imports cameras; every other room may import this.
Presets take one camera and return ``n``, of which the first is that camera, bit for bit. Their steps are
in units of ``scale``, a length of the scene such as the median depth of its first view.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeGuard

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from kornia.geometry.conversions import quaternion_to_rotation_matrix, rotation_matrix_to_quaternion
from torch import Tensor

from render.cameras import Cameras, checked

MAX_CAMERAS = 100_000
"""Cameras that one path may hold."""

MAX_FILE_BYTES = 64 * 2**20
"""Larger path files are refused unread; one of ``MAX_CAMERAS`` cameras needs less than half of it."""

MAX_SIDE = 16_384
"""Pixels along a side of a picture that a path file may ask for."""

MAX_FPS = 1000.0

MAX_NUMBER = 1e12
"""Numbers in a path file beyond this are taken for damage."""

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

SMALL_ANGLE = 1e-6


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
    _check(start, n=n, scale=scale)
    c2w = start.c2w[0].double().cpu()
    pivot = c2w[:3, 3] + scale * c2w[:3, 2]
    turns = _turns(_unit(up), degrees=degrees, n=n)
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
    _check(start, n=n, scale=scale)
    c2w = start.c2w[0].double().cpu()
    return _along(start, _turns(_unit(up), degrees=degrees, n=n) @ c2w[:3, :3], c2w[:3, 3].expand(n, 3))


def walk(
    start: Cameras,
    *,
    n: int,
    up: Float[Tensor, " 3"] = WORLD_UP,
    scale: float = 1.0,
    stride: float = STRIDE,
) -> Cameras:
    """Walk ahead on the level by ``stride`` scene lengths a frame, swaying gently.

    A camera that looks up or down keeps doing so.
    """
    _check(start, n=n, scale=scale)
    c2w, axis = start.c2w[0].double().cpu(), _unit(up)
    ahead = _level(c2w, axis)
    swing = torch.sin(torch.arange(n, dtype=torch.float64) * (2 * math.pi / SWAY_FRAMES))[:, None]
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
    _check(start, n=n, scale=scale)
    c2w, axis = start.c2w[0].double().cpu(), _unit(up)
    share = torch.arange(n, dtype=torch.float64) / max(n - 1, 1)
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
) -> Cameras:
    """Walk ahead for the first half and return through the very same poses."""
    _check(start, n=n, scale=scale)
    there = torch.arange(n)
    out = walk(start, n=(n + 1) // 2, up=up, scale=scale, stride=stride)
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
    _check(start, n=n, scale=scale)
    if lap < 1:
        raise ValueError(f"a lap has at least one frame, got {lap}")
    c2w, axis = start.c2w[0].double().cpu(), _unit(up)
    ahead = _level(c2w, axis)
    radius = scale * stride * lap / (2.0 * math.pi)
    centre = c2w[:3, 3] + radius * torch.linalg.cross(axis, ahead)
    turns = _turns(axis, degrees=360.0, n=lap)
    once = _along(start, turns @ c2w[:3, :3], turns @ (c2w[:3, 3] - centre) + centre)
    return once[torch.arange(n) % lap]


def _orbit_part(start: Cameras, *, n: int, up: Float[Tensor, " 3"] = WORLD_UP, scale: float = 1.0) -> Cameras:
    return orbit(start, n=n, up=up, scale=scale, degrees=min(360.0, ORBIT_DEGREES * n))


def _turn_part(start: Cameras, *, n: int, up: Float[Tensor, " 3"] = WORLD_UP, scale: float = 1.0) -> Cameras:
    return turn(start, n=n, up=up, scale=scale, degrees=min(360.0, TURN_DEGREES * n))


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {"orbit": _orbit_part, "walk": walk, "turn": _turn_part, "there-and-back": there_and_back, "loop": loop}
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


def interpolated(cameras: Cameras, n: int) -> Cameras:
    """``n`` cameras that pass smoothly through ``cameras``, from the first to the last.

    Equal time between neighbours. Positions follow a Catmull-Rom spline, rotations turn evenly the
    short way (slerp), intrinsics change linearly. Where a keyframe is hit, it is kept bit for bit.
    """
    _check_count(n)
    if not len(cameras):
        raise ValueError("a path needs at least one camera to pass through, got none")
    keys, gaps, steps = cameras.to("cpu"), len(cameras) - 1, max(n - 1, 1)
    travelled = torch.arange(n) * gaps
    before, on_key = travelled // steps, (travelled % steps == 0)[:, None, None]
    after, share = (before + 1).clamp(max=gaps), (travelled % steps / steps).double()[:, None]
    rotations = _slerp(keys.c2w[before, :3, :3].double(), keys.c2w[after, :3, :3].double(), share)
    c2w = _poses(rotations, _spline(keys.origins.double(), before, share)).to(keys.c2w)
    K = torch.lerp(keys.K[before].double(), keys.K[after].double(), share[..., None]).to(keys.K)
    c2w, K = torch.where(on_key, keys.c2w[before], c2w), torch.where(on_key, keys.K[before], K)
    return dataclasses.replace(keys, c2w=c2w, K=K).to(cameras.c2w.device)


def save_path(path: Path, cameras: Cameras, *, fps: int | float) -> None:
    """Write ``cameras`` as JSON that ``load_path`` reads back bit for bit."""
    _check_count(len(cameras))
    if not 0.0 < fps <= MAX_FPS:
        raise ValueError(f"fps must be positive and at most {MAX_FPS:g}, got {fps:g}")
    frames = [{"c2w": c2w, "K": K} for c2w, K in zip(_numbers(cameras.c2w), _numbers(cameras.K), strict=True)]
    head = {"format": "worldgen-path", "version": 1, "width": cameras.width, "height": cameras.height}
    path.write_text(json.dumps(head | {"fps": fps, "frames": frames}, allow_nan=False), encoding="utf-8")


def load_path(path: Path) -> Cameras:
    """Read a path file, whoever wrote it.

    Raises:
        ValueError: one sentence about the first thing that is wrong with the file.
    """
    try:
        return checked(_parsed(_json(path)))
    except ValueError as error:
        raise ValueError(f"{path.name} is no usable camera path: {error}") from None


def _json(path: Path) -> object:
    if not path.is_file():
        raise ValueError("there is no such file")
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES // 2**20} MiB")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None


def _parsed(data: object) -> Cameras:
    """Cameras from what a file said; numbers are of the right kind and shape, but may still be absurd."""
    if not isinstance(data, dict) or data.get("format") != "worldgen-path":
        raise ValueError('its "format" is not "worldgen-path"')
    if type(data.get("version")) is not int or data["version"] != 1:
        raise ValueError('its "version" is not 1, the only one known')
    width, height = _side(data, "width"), _side(data, "height")
    fps = data.get("fps")
    if not _is_number(fps) or not 0.0 < fps <= MAX_FPS:
        raise ValueError(f'"fps" must be a positive number up to {MAX_FPS:g}')
    frames = data.get("frames")
    if not isinstance(frames, list) or not 1 <= len(frames) <= MAX_CAMERAS:
        raise ValueError(f'"frames" must be a list of 1 to {MAX_CAMERAS} cameras')
    c2w = [_matrix(frame, "c2w", size=4, at=at) for at, frame in enumerate(frames)]
    K = [_matrix(frame, "K", size=3, at=at) for at, frame in enumerate(frames)]
    return Cameras(c2w=torch.tensor(c2w), K=torch.tensor(K), width=width, height=height)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _side(data: dict, name: str) -> int:
    side = data.get(name)
    if type(side) is not int or not 1 <= side <= MAX_SIDE:
        raise ValueError(f'"{name}" must be a whole number of pixels from 1 to {MAX_SIDE}')
    return side


def _matrix(frame: object, name: str, *, size: int, at: int) -> list[list[float]]:
    rows = frame.get(name) if isinstance(frame, dict) else None
    if not isinstance(rows, list) or len(rows) != size:
        raise ValueError(f'frame {at} has no "{name}" of {size} rows')
    for row in rows:
        if not isinstance(row, list) or len(row) != size or not all(map(_is_number, row)):
            raise ValueError(f'"{name}" of frame {at} must hold {size} finite numbers in every row')
    return [[float(number) for number in row] for row in rows]


def _numbers(matrices: Float[Tensor, "n i i"]) -> list:
    """Nested lists of the shortest decimals that give the same numbers back in the tensor's precision."""
    return matrices.detach().cpu().numpy().astype(str).astype(np.float64).tolist()


def _check_count(n: int) -> None:
    if not 1 <= n <= MAX_CAMERAS:
        raise ValueError(f"a path holds 1 to {MAX_CAMERAS} cameras, got {n}")


def _check(start: Cameras, *, n: int, scale: float) -> None:
    _check_count(n)
    if len(start) != 1:
        raise ValueError(f"a path starts from exactly one camera, got {len(start)}")
    if not 0.0 < scale < math.inf:
        raise ValueError(f"scale must be a positive length, got {scale:g}")


def _unit(up: Float[Tensor, " 3"]) -> Float64[Tensor, " 3"]:
    length = torch.linalg.vector_norm(up.double().cpu())
    if not 0.0 < float(length) < math.inf:
        raise ValueError(f"up must be a direction, got {up.tolist()}")
    return up.double().cpu() / length


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


def _turns(axis: Float64[Tensor, " 3"], *, degrees: float, n: int) -> Float64[Tensor, "n 3 3"]:
    return _rotations(axis, torch.arange(n, dtype=torch.float64) * (math.radians(degrees) / n))


def _poses(
    rotations: Float64[Tensor, "n 3 3"], positions: Float64[Tensor, "n 3"]
) -> Float64[Tensor, "n 4 4"]:
    c2w = torch.eye(4, dtype=torch.float64).repeat(len(rotations), 1, 1)
    c2w[:, :3, :3], c2w[:, :3, 3] = rotations, positions
    return c2w


def _along(start: Cameras, rotations: Float64[Tensor, "n 3 3"], positions: Float64[Tensor, "n 3"]) -> Cameras:
    """Cameras like ``start`` at these poses, of which the first is replaced by that of ``start``."""
    c2w = _poses(rotations, positions).to(start.c2w)
    return dataclasses.replace(
        start, c2w=torch.cat([start.c2w, c2w[1:]]), K=start.K.expand(len(c2w), 3, 3).clone()
    )


def _slerp(
    a: Float64[Tensor, "n 3 3"], b: Float64[Tensor, "n 3 3"], share: Float64[Tensor, "n 1"]
) -> Float64[Tensor, "n 3 3"]:
    """Rotations the share of the way from ``a`` to ``b``."""
    p, q = rotation_matrix_to_quaternion(a), rotation_matrix_to_quaternion(b)
    q = torch.where((p * q).sum(dim=-1, keepdim=True) < 0, -q, q)
    norm = torch.linalg.vector_norm
    angle = 2 * torch.atan2(norm(p - q, dim=-1, keepdim=True), norm(p + q, dim=-1, keepdim=True))
    # sin(s x) / sin(x) goes to s for small x; kornia divides the sum by its length.
    return quaternion_to_rotation_matrix(
        torch.where(
            angle < SMALL_ANGLE,
            torch.lerp(p, q, share),
            torch.sin((1 - share) * angle) * p + torch.sin(share * angle) * q,
        )
    )


def _spline(
    points: Float64[Tensor, "m 3"], before: Int[Tensor, " n"], share: Float64[Tensor, "n 1"]
) -> Float64[Tensor, "n 3"]:
    """Uniform Catmull-Rom spline, its first and last gap continued in a straight line."""
    inner = points[[min(1, len(points) - 1), max(len(points) - 2, 0)]]
    ends = 2 * points[[0, -1]] - inner
    padded = torch.cat([ends[:1], points, ends[1:]])
    a, b, c, d = (padded[(before + k).clamp(max=len(points) + 1)] for k in range(4))
    cubic = 3 * (b - c) + d - a
    return b + 0.5 * share * (c - a + share * (2 * a - 5 * b + 4 * c - d + share * cubic))
