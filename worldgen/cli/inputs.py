"""Inputs: what users hand to the command line, checked and converted once, at the door."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch

from memory.pictures import read_depth, read_rgb
from memory.settings import setting_in
from memory.world import World
from reconstruct.formats.atomic import check_parent
from reconstruct.formats.colmap_path import is_colmap, load_colmap_path
from reconstruct.formats.nerfstudio_path import load_camera_path
from render import pose_arrays, realestate
from render.cameras import Cameras, intrinsics_from_fov
from render.frames import Frames
from render.json_files import is_number, read_json
from render.moves import MOVES, parsed_move
from render.path_files import MAX_CAMERAS
from render.paths import PRESETS, path_named
from render.realestate import carried
from render.squares import central_depth, central_square
from render.tour_files import flown_tour, is_tour_file
from render.tours import Setting
from worldgen.explore import CHOSEN_ON_THE_WAY

MAX_FRAMES = 10_000
SECONDS, FPS = (0.1, 3600.0), (1.0, 240.0)
"""Shortest and longest film, slowest and fastest."""

USUAL_FPS = 24.0
"""Pictures a second where neither words nor a file say."""

CARRIED = {realestate.SUFFIX: realestate.load_realestate, pose_arrays.SUFFIX: pose_arrays.load_pose_arrays}
"""Files of paths with a world of their own, by their suffix: the motion is carried to where a path begins."""


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


def checked_frames(frames: int) -> int:
    """How many frames ``--frames`` asks for, 1 to ``MAX_FRAMES``."""
    if not 1 <= frames <= MAX_FRAMES:
        raise ValueError(f"--frames must lie between 1 and {MAX_FRAMES:,}, got {frames}")
    return frames


def picture_count(seconds: float, fps: float) -> int:
    """How many pictures ``--seconds`` at ``--fps`` are; two at least, and no more than a path may hold."""
    if not (SECONDS[0] <= seconds <= SECONDS[1] and FPS[0] <= fps <= FPS[1]):
        raise ValueError(
            f"--seconds lies between {SECONDS[0]:g} and {SECONDS[1]:g}, --fps between {FPS[0]:g} and "
            f"{FPS[1]:g}, got {seconds:g} and {fps:g}"
        )
    count = max(2, round(seconds * fps))
    if count > MAX_CAMERAS:
        raise ValueError(
            f"--seconds {seconds:g} at --fps {fps:g} are {count:,} pictures, more than {MAX_CAMERAS:,}; "
            "make it shorter or slower"
        )
    return count


def film_fps(fps: float | None, path: str) -> float:
    """Pictures a second along what ``--path`` names: as ``--fps`` says, else as its file does, else 24."""
    if fps is not None:
        return fps
    try:
        data = read_json(Path(path))
    except ValueError:  # a preset, or a file of another kind, which is read and judged later
        return USUAL_FPS
    told = data.get("fps") if isinstance(data, dict) else None
    return float(told) if is_number(told) else USUAL_FPS


def path_from(
    text: str,
    start: Cameras,
    *,
    frames: int,
    up: tuple[float, float, float],
    scale: float,
    world: World | None = None,
) -> Cameras:
    """The first ``frames`` cameras of the path that ``--path`` names: a preset, a move, a tour or a file.

    A preset or a move starts at ``start``, which is the first of its ``frames`` cameras; so does a tour,
    which may name frames of ``world``. The poses of a JSON file are taken as they are, relative to the
    world; the motion of a RealEstate10K file, of pose arrays or of a COLMAP model begins at ``start``, and a
    unit in it is a scene length. All have the size and, but for tours that zoom, the intrinsics of the
    world. Of a path that is chosen on the way only ``start`` is known.

    Raises:
        ValueError: one sentence about what is wrong with the words or the file.
    """
    if text in CHOSEN_ON_THE_WAY:
        return start
    moved = _moved(text, start, frames=frames, up=up, scale=scale)
    return _read(text, start, up=up, scale=scale, world=world)[:frames] if moved is None else moved


def film_path(
    text: str,
    start: Cameras,
    *,
    pictures: int,
    fps: float,
    up: tuple[float, float, float],
    scale: float,
    world: World | None = None,
) -> Cameras:
    """The whole path that ``--path`` names: ``pictures`` of a preset or a move, and all cameras of a file.

    A tour has as many pictures as its seconds have at ``fps``. See :func:`path_from`.

    Raises:
        ValueError: one sentence about what is wrong with the words or the file.
    """
    if text in CHOSEN_ON_THE_WAY:
        raise ValueError(
            f"{text} chooses its path while a world grows, so there is none to follow; name another"
        )
    moved = _moved(text, start, frames=pictures, up=up, scale=scale)
    return _read(text, start, up=up, scale=scale, world=world, fps=fps) if moved is None else moved


def poses_from(path: Path) -> Cameras:
    """All cameras of a file or a COLMAP model, in their own world; tours have none of their own."""
    if is_colmap(path):
        return load_colmap_path(path)
    if not path.is_file():
        raise ValueError(f"there is no file of cameras {path}")
    return CARRIED.get(path.suffix.lower(), load_camera_path)(path)


def _moved(
    text: str, start: Cameras, *, frames: int, up: tuple[float, float, float], scale: float
) -> Cameras | None:
    """The preset or the move that words such as ``orbit`` or ``orbit:degrees=90`` name, if they name one."""
    if text in PRESETS:
        return path_named(text, start, n=frames, up=torch.tensor(up), scale=scale)
    if text.partition(":")[0] not in MOVES:
        return None
    return parsed_move(text).cameras(start, n=frames, up=torch.tensor(up), scale=scale)


def _read(
    text: str,
    start: Cameras,
    *,
    up: tuple[float, float, float],
    scale: float,
    world: World | None,
    fps: float | None = None,
) -> Cameras:
    """All cameras of the file that ``--path`` names; ``fps`` is that of a tour unless it is given here."""
    path = Path(text)
    if is_colmap(path):
        return carried(load_colmap_path(path), start, scale=scale)
    if not path.is_file():
        names = ", ".join(sorted({*PRESETS, *MOVES, *CHOSEN_ON_THE_WAY}))
        raise ValueError(
            f"--path takes one of {names}, a file (JSON, .txt, .npz) or a COLMAP folder; "
            f"there is no file {text}"
        )
    load = CARRIED.get(path.suffix.lower())
    if load is not None:
        return carried(load(path), start, scale=scale)
    if is_tour_file(path):
        nowhere = Setting(start=start, up=torch.tensor(up), scale=scale)
        return flown_tour(path, nowhere if world is None else setting_in(world, start), fps=fps)
    loaded = load_camera_path(path)
    return dataclasses.replace(start, c2w=loaded.c2w.float(), K=start.K.expand(len(loaded), 3, 3).clone())


def check_dest(file: Path, *, world: Path | None, ending: str | None = None) -> None:
    """Refuse to write where there is no folder, among the parts of a world, or under a name that lies.

    Raises:
        ValueError: if so; ``ending`` is the one that the file must have, if it must have one.
    """
    check_parent(file)
    if ending is not None and file.suffix.lower() != ending:
        raise ValueError(f"what goes to {file} is a {ending[1:].upper()}; let its name end in {ending}")
    if world is not None and World.owns(world, file):
        raise ValueError(f"{file} is where the world {world} keeps its own files; name another place")


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
