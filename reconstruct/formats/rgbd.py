"""RGB-D folders: posed pictures with measured depth, as sensors, trackers and other tools leave them.

Room: reconstruct; the command line may import this. Four layouts are read: ``sequence.json`` (OpenCV axes,
centres of pixels at whole numbers), nerfstudio's ``transforms.json`` with depth, TUM RGB-D, 7-Scenes. Poses
stay those of the files, in their world. Files are not trusted: every error is a ValueError of one sentence.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memory.pictures import read_depth, read_rgb
from reconstruct.formats import seven_scenes, tum
from reconstruct.formats.captures import (
    COVERED,
    View,
    intrinsics_of,
    mask_of,
    opencv_view,
    opengl_view,
    views_told,
)
from reconstruct.formats.entries import evenly, number_of
from render.cameras import Cameras
from render.cameras import checked as checked_cameras
from render.frames import Frames, checked
from render.json_files import is_number, read_json
from render.squares import central_cameras, central_depth, central_square

LAYOUTS = (
    "sequence.json, transforms.json, TUM's rgb.txt with depth.txt and groundtruth.txt, "
    "or frame-000000.color.png and so on of 7-Scenes"
)
KINECT_SIZE = (640, 480)
TUM_K = (525.0, 525.0, 320.0, 240.0)
"""What the authors of the data set advise for all of its cameras, centres of pixels at halves."""

SEVEN_SCENES_K = (585.0, 585.0, 320.0, 240.0)
"""The depth camera's, whose poses the data set tells; colour is not registered to it there."""

SAME_SHAPE = 0.02
"""Relative difference of the shapes of a picture and its depth that is rounding."""

OUR_NAME = "worldgen"
"""What our exports add to ``transforms.json`` has this name."""

Lens = tuple[float, float, float, float]
"""fx, fy, cx, cy in pixels, centres of pixels at halves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Where posed pictures with depth lie, and how their numbers are to be read."""

    views: list[View]
    """In the order of the walk."""

    units_per_metre: float
    """Steps of integer depth files in a world unit."""

    not_measured: int | None = None
    """A value of depth files that means what 0 means."""

    units: str = "metres"
    """What a world unit is: "metres" or "scene"."""

    up: tuple[float, float, float] | None = None
    """Up in the world, if the files say it."""


def read_recording(
    folder: Path, *, most: int, intrinsics: Lens | None = None, units_per_metre: float | None = None
) -> Recording:
    """What a folder says of its pictures; none of them is opened.

    Args:
        folder: holds one of the layouts, the first of which is read; everything it names lies within.
        most: pictures to take; of more, an even choice.
        intrinsics: of all pictures at their stored size, instead of what the layout says or assumes.
        units_per_metre: steps of depth in a world unit, instead of what the layout says or assumes.

    Raises:
        ValueError: one sentence about the first thing that is wrong.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; name one with {LAYOUTS}")
    read = _layout(folder)
    if read is None:
        raise ValueError(f"{folder} holds no posed pictures with depth, which are {LAYOUTS}")
    found = read(folder, most)
    views = evenly(found.views, most)
    if intrinsics is not None:
        views = [_with_lens(view, intrinsics) for view in views]
    return Recording(
        views=views,
        units_per_metre=found.units_per_metre if units_per_metre is None else units_per_metre,
        not_measured=found.not_measured,
        units=found.units,
        up=found.up,
    )


def has_depth(folder: Path) -> bool:
    """Whether a folder is one of the layouts, and its first picture has depth; nothing else is checked."""
    read = _layout(folder)
    if read is None or (folder / "sequence.json").is_file() or not (folder / "transforms.json").is_file():
        return read is not None
    data = read_json(folder / "transforms.json")
    frames = data.get("frames") if isinstance(data, dict) else None
    first = frames[0] if isinstance(frames, list) and frames else None
    return isinstance(first, dict) and "depth_file_path" in first


def read_frame(recording: Recording, number: int, *, size: int) -> Frames:
    """One picture of a recording, cropped to its central square and resized; a batch of one.

    Raises:
        ValueError: one sentence that names the file that is wrong.
    """
    view = recording.views[number]
    rgb = read_rgb(view.file)
    height, width = rgb.shape[1:3]
    if min(height, width) < size // 4:
        raise ValueError(f"{view.file} is {width}x{height}; a world needs at least {size // 4} pixels a side")
    depth, valid = _depth(view, recording, shape=(width, height))
    z, known = central_depth(depth, valid, size)
    known &= central_square(mask_of(view, width, height), size) > COVERED
    if not known.any():
        raise ValueError(f"{view.depth} measures nothing in the central square of {view.file.name}")
    try:
        camera = Cameras(
            c2w=torch.from_numpy(view.c2w)[None].float(),
            K=intrinsics_of(view, width, height)[None],
            width=width,
            height=height,
        )
        frame = Frames(
            rgb=central_square(rgb, size).clamp(0.0, 1.0),
            depth=z.masked_fill(~known, 0.0),
            valid=known,
            confidence=known.float(),
            cameras=central_cameras(checked_cameras(camera), size),
        )
        return checked(frame)
    except ValueError as error:
        raise ValueError(f"{view.file}: {error}") from None


def _depth(
    view: View, recording: Recording, *, shape: tuple[int, int]
) -> tuple[Float[Tensor, "1 h w 1"], Bool[Tensor, "1 h w 1"]]:
    """Depth in world units and where it was measured, at the size that it is stored with."""
    if view.depth is None:
        raise ValueError(f"{view.file} has no depth; worldgen fit reads photographs without it")
    depth, valid = read_depth(view.depth, units_per_metre=recording.units_per_metre)
    if abs(depth.shape[2] / depth.shape[1] * shape[1] / shape[0] - 1.0) > SAME_SHAPE:
        raise ValueError(
            f"{view.depth} is {depth.shape[2]}x{depth.shape[1]} but {view.file.name} is "
            f"{shape[0]}x{shape[1]}; depth must be registered to the picture and have its shape"
        )
    if recording.not_measured is not None:
        valid &= depth < (recording.not_measured - 0.5) / recording.units_per_metre
    return depth, valid


def _layout(folder: Path) -> Callable[[Path, int], Recording] | None:
    if (folder / "sequence.json").is_file():
        return functools.partial(_told_by_json, name="sequence.json", read=_sequence_json)
    if (folder / "transforms.json").is_file():
        return functools.partial(_told_by_json, name="transforms.json", read=_transforms_json)
    if all((folder / name).is_file() for name in tum.NAMES):
        return _tum
    return _seven_scenes if seven_scenes.colour_files(folder) else None


def _told_by_json(
    folder: Path, most: int, *, name: str, read: Callable[[dict[str, Any], Path], Recording]
) -> Recording:
    try:
        data = read_json(folder / name)
        if not isinstance(data, dict):
            raise ValueError("it should hold an object with frames")
        return read(data, folder)
    except ValueError as error:
        raise ValueError(f"{folder / name}: {error}") from None


def _sequence_json(data: dict[str, Any], folder: Path) -> Recording:
    steps = number_of(data, "depth_scale")
    if steps <= 0:
        raise ValueError(f'"depth_scale" should be above 0, got {steps:g}')
    read = functools.partial(opencv_view, file="color", depth="depth")
    return Recording(views=views_told(data, folder, read=read), units_per_metre=steps)


def _transforms_json(data: dict[str, Any], folder: Path) -> Recording:
    views = views_told(data, folder, read=opengl_view)
    for view in views:
        if view.depth is None:
            raise ValueError(
                f'{view.file.name} has no "depth_file_path"; worldgen fit reads photographs without depth'
            )
        if any(view.lens):
            raise ValueError(f"{view.file.name} was taken through a lens that bends; undistort it first")
    step = number_of({"depth_unit_scale_factor": 1e-3} | data, "depth_unit_scale_factor")
    if step <= 0:
        raise ValueError(f'"depth_unit_scale_factor" should be above 0, got {step:g}')
    ours = data.get(OUR_NAME, {})
    units = ours.get("units", "metres") if isinstance(ours, dict) else None
    if units not in ("metres", "scene"):
        raise ValueError(f'"{OUR_NAME}" should hold "units" that are metres or scene, got {units!r:.40}')
    return Recording(views=views, units_per_metre=1.0 / step, units=units, up=_up(ours))


def _up(ours: dict[str, Any]) -> tuple[float, float, float] | None:
    if "up" not in ours:
        return None
    up = ours["up"]
    if not isinstance(up, list) or len(up) != 3 or not all(map(is_number, up)):
        raise ValueError(f'"up" should be three numbers, got {up!r:.60}')
    if not abs(math.hypot(*up) - 1.0) < 1e-3:
        raise ValueError(f'"up" should have length 1, got {up!r:.60}')
    return (float(up[0]), float(up[1]), float(up[2]))


def _tum(folder: Path, most: int) -> Recording:
    return Recording(views=tum.tum_views(folder, K=TUM_K, size=KINECT_SIZE), units_per_metre=5000.0)


def _seven_scenes(folder: Path, most: int) -> Recording:
    views = seven_scenes.seven_scenes_views(folder, K=SEVEN_SCENES_K, size=KINECT_SIZE, most=most)
    return Recording(views=views, units_per_metre=1000.0, not_measured=seven_scenes.NOT_MEASURED)


def _with_lens(view: View, lens: Lens) -> View:
    return View(file=view.file, mask=view.mask, K=lens, size=None, c2w=view.c2w, depth=view.depth)
