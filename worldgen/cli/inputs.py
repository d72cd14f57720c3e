"""Inputs: what users hand to the command line, checked and converted once, at the door."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch

from memory.pictures import read_depth, read_rgb
from reconstruct.formats.nerfstudio_path import load_camera_path
from render.cameras import Cameras, intrinsics_from_fov
from render.frames import Frames
from render.paths import PRESETS, path_named
from render.realestate import SUFFIX, carried, load_realestate
from render.squares import central_depth, central_square
from worldgen.explore import CHOSEN_ON_THE_WAY

MAX_FRAMES = 10_000


def first_view(
    image: Path | None, depth: Path | None, *, fov_deg: float, depth_units_per_metre: float, size: int
) -> Frames | Cameras:
    """The first view of a world: a picture, with depth if there is any, or just a camera.

    Pictures are cropped to the central square and resized to ``size``; the field of view that is
    left follows from ``fov_deg``, the horizontal one of the whole picture.
    """
    if not 5.0 <= fov_deg <= 150.0:
        raise ValueError(f"--fov-deg is a horizontal angle between 5 and 150 degrees, got {fov_deg:g}")
    if image is None:
        if depth is not None:
            raise ValueError("--depth needs the picture it belongs to; give --image too")
        return _camera(math.radians(fov_deg), size)
    rgb = read_rgb(image)
    height, width = rgb.shape[1:3]
    side = min(height, width)
    if side < size // 4:
        raise ValueError(f"{image} is {width}x{height}; a world needs at least {size // 4} pixels a side")
    fov = 2.0 * math.atan(math.tan(math.radians(fov_deg) / 2.0) * side / width)
    camera = _camera(fov, size)
    blank = torch.zeros(1, size, size, 1)
    frames = Frames(
        rgb=central_square(rgb, size).clamp(0.0, 1.0),
        depth=blank,
        valid=blank > 0,
        confidence=torch.ones_like(blank),
        cameras=camera,
    )
    if depth is None:
        return frames
    z, valid = read_depth(depth, units_per_metre=depth_units_per_metre)
    if z.shape[1:3] != rgb.shape[1:3]:
        raise ValueError(
            f"{depth} is {z.shape[2]}x{z.shape[1]} but {image} is {width}x{height}; depth must be registered "
            "to the picture, pixel by pixel"
        )
    z, known = central_depth(z, valid, size)
    if not known.any():
        raise ValueError(f"{depth} measures nothing in the central square of the picture")
    return dataclasses.replace(frames, depth=z.masked_fill(~known, 0.0), valid=known)


def _camera(fov: float, size: int) -> Cameras:
    K = intrinsics_from_fov(fov, width=size, height=size)
    return Cameras(c2w=torch.eye(4)[None], K=K, width=size, height=size)


def path_from(
    text: str, start: Cameras, *, frames: int, up: tuple[float, float, float], scale: float
) -> Cameras:
    """The camera path that ``--path`` names: a preset or a file.

    A preset starts at ``start``, which is the first of its ``frames`` cameras. The poses of a JSON file are
    taken as they are, relative to the world; the motion of a RealEstate10K file begins at ``start``, and a
    unit in it is a scene length. Either has the size and the intrinsics of the world. Of a path that is
    chosen on the way only ``start`` is known.
    """
    if not 1 <= frames <= MAX_FRAMES:
        raise ValueError(f"--frames must lie between 1 and {MAX_FRAMES}, got {frames}")
    if text in CHOSEN_ON_THE_WAY:
        return start
    if text in PRESETS:
        return path_named(text, start, n=frames, up=torch.tensor(up), scale=scale)
    if not Path(text).is_file():
        names = ", ".join(sorted([*PRESETS, *CHOSEN_ON_THE_WAY]))
        raise ValueError(f"--path takes one of {names}, or a file (JSON, .txt); there is no file {text}")
    if Path(text).suffix.lower() == SUFFIX:
        return carried(load_realestate(Path(text))[:frames], start, scale=scale)
    loaded = load_camera_path(Path(text))
    c2w = loaded.c2w[:frames].float()
    return dataclasses.replace(start, c2w=c2w, K=start.K.expand(len(c2w), 3, 3).clone())


def picture_size(text: str) -> tuple[int, int]:
    """Width and height from ``WxH``."""
    width, _, height = text.lower().partition("x")
    if not (
        width.isdecimal() and height.isdecimal() and 16 <= int(width) <= 4096 and 16 <= int(height) <= 4096
    ):
        raise ValueError(
            f"--size is WIDTHxHEIGHT with 16 to 4096 pixels a side, such as 640x480, got {text!r}"
        )
    return int(width), int(height)
