"""Nerfstudio path: the camera paths that nerfstudio's viewer saves and its renderer follows.

Room: reconstruct; the viewer and the command line may import this. Nerfstudio's axes are OpenGL's (+y up, +z
back), its field of view is vertical and in degrees, and its 4x4 matrices are camera-to-world, row by row.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from reconstruct.formats.atomic import replacing
from render.cameras import Cameras, checked
from render.json_files import is_number, read_json, side_of
from render.path_files import MAX_CAMERAS, parsed_path

FOV_LIMITS_DEG = (1.0, 179.0)
FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
"""OpenGL axes from OpenCV axes; its own inverse."""


def save_nerfstudio_path(path: Path, cameras: Cameras, *, fps: int | float) -> None:
    """Write cameras as nerfstudio's ``camera_path.json``; an off-centre principal point is lost.

    Raises:
        ValueError: if there are no cameras, or ``fps`` is no frame rate.
    """
    if not len(cameras) or not fps > 0:
        raise ValueError(f"a path needs a camera and a frame rate, got {len(cameras)} cameras at {fps:g}")
    c2w = (cameras.c2w.double().cpu() @ FLIP.double()).flatten(1).tolist()
    fovs = [
        math.degrees(2.0 * math.atan(0.5 * cameras.height / focal)) for focal in cameras.K[:, 1, 1].tolist()
    ]
    content = {
        "camera_type": "perspective",
        "render_height": cameras.height,
        "render_width": cameras.width,
        "fps": fps,
        "seconds": len(cameras) / fps,
        "is_cycle": False,
        "smoothness_value": 0.0,
        "default_fov": fovs[0],
        "keyframes": [],
        "camera_path": [
            {"camera_to_world": matrix, "fov": fov, "aspect": cameras.width / cameras.height}
            for matrix, fov in zip(c2w, fovs, strict=True)
        ],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")


def load_camera_path(path: Path) -> Cameras:
    """Read a camera path, ``camera_path.json`` or our own; the file is checked as if it came from a stranger.

    Raises:
        ValueError: one sentence about the first thing that is wrong with the file.
    """
    try:
        data = read_json(path)
        if isinstance(data, dict) and "camera_path" in data:
            return checked(_cameras(data))
        return parsed_path(data)
    except ValueError as error:
        raise ValueError(f"{path.name} is no usable camera path: {error}") from None


def _cameras(content: dict[str, Any]) -> Cameras:
    width, height = (side_of(content, name) for name in ("render_width", "render_height"))
    views = content.get("camera_path")
    if not isinstance(views, list) or not 1 <= len(views) <= MAX_CAMERAS:
        raise ValueError(f'"camera_path" must be a list of 1 to {MAX_CAMERAS} cameras')
    matrices = [_numbers(view, "camera_to_world", count=16, at=i) for i, view in enumerate(views)]
    fovs = [_fov(view, at=i) for i, view in enumerate(views)]
    c2w = torch.tensor(matrices, dtype=torch.float64).view(-1, 4, 4) @ FLIP.double()
    K = torch.zeros(len(views), 3, 3)
    focal = 0.5 * height / torch.tan(torch.deg2rad(torch.tensor(fovs)) / 2)
    K[:, 0, 0], K[:, 1, 1], K[:, 2, 2] = focal, focal, 1.0
    K[:, 0, 2], K[:, 1, 2] = width / 2, height / 2
    return Cameras(c2w=c2w.float(), K=K, width=width, height=height)


def _fov(view: Any, *, at: int) -> float:
    (fov,) = _numbers({"fov": [view.get("fov")]}, "fov", count=1, at=at)
    if not FOV_LIMITS_DEG[0] <= fov <= FOV_LIMITS_DEG[1]:
        raise ValueError(f'"fov" of camera {at} must lie between 1 and 179 degrees, got {fov:g}')
    return fov


def _numbers(view: Any, name: str, *, count: int, at: int) -> list[float]:
    values = view.get(name) if isinstance(view, dict) else None
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f'camera {at} has no "{name}" of {count} numbers')
    if not all(map(is_number, values)):
        raise ValueError(f'"{name}" of camera {at} must hold finite numbers')
    return [float(value) for value in values]
