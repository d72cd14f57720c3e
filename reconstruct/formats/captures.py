"""Captures: folders of photographs with known cameras, as other tools leave them.

Room: reconstruct; the command line may import this. Three layouts are read: nerfstudio's ``transforms.json``
(OpenGL axes, pixel centres at halves), ``cameras.json`` with ``{"frames": [{"file", "K", "c2w"}]}`` (OpenCV
axes, pixel centres at whole numbers), and COLMAP's sparse models beside a folder ``images``. Files are not
trusted: every error is a ValueError of one sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import trimesh
from jaxtyping import Float
from kornia.geometry import undistort_image
from torch import Tensor

from memory.pictures import read_rgb
from reconstruct.formats.colmap import Photograph, model_in, read_model
from reconstruct.formats.entries import evenly, file_within, matrix_of, needed_file, number_of, size_of
from reconstruct.meshes import DAMAGED
from render.cameras import Cameras, checked, resized
from render.frames import Frames
from render.json_files import MAX_NUMBER, read_json

NAMES = ("transforms.json", "cameras.json")
LAYOUTS = "transforms.json, cameras.json or a COLMAP model"
IMAGES = "images"
"""Where the photographs of a COLMAP model lie."""

LONGEST = 1_024
"""Pixels of the longer side to which larger photographs are shrunk."""

MAX_POINT_BYTES = 512 << 20
MAX_PICTURES = 10_000

LENSES = ("k1", "k2", "p1", "p2", "k3")
"""OpenCV's numbers of a lens, in its order; what else nerfstudio may name is refused."""

PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "RADIAL", "SIMPLE_RADIAL")

LENS_OF: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
}
"""What the parameters of COLMAP's camera models are; others are no pinholes with a lens before them."""

ColouredPoints = tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, "p 3"]]
"""Places, and colours in [0, 1]."""

COVERED = 0.999
"""Share of a pixel that a photograph without its lens has to cover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Posed photographs, and what is known of the places that they show."""

    frames: Frames
    """Nothing is known of depth; where photographs show nothing, or are masked, confidence is 0."""

    points: Float[Tensor, "p 3"]
    """Places on surfaces, in world units; there may be none."""

    rgb: Float[Tensor, "p 3"]
    """Their colours in [0, 1]."""

    names: tuple[str, ...]
    """Of the photographs' files, below the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a file says of one photograph."""

    file: Path
    mask: Path | None = None
    K: tuple[float, float, float, float]
    """fx, fy, cx, cy in pixels, centres of pixels at halves."""

    size: tuple[int, int] | None
    """Width and height that ``K`` belongs to, if they are told."""

    c2w: Float[np.ndarray, "4 4"]
    lens: tuple[float, ...] = (0.0,) * len(LENSES)
    """What ``LENSES`` names."""

    depth: Path | None = None

    def name_in(self, folder: Path) -> str:
        """Name of the photograph below the folder that it was found in, with slashes on every system."""
        return self.file.relative_to(folder).as_posix()


def is_capture(folder: Path) -> bool:
    """Whether a folder says that it holds posed photographs."""
    return any((folder / name).is_file() for name in NAMES) or model_in(folder) is not None


def read_capture(folder: Path, *, most: int = 400, longest: int = LONGEST) -> Capture:
    """Photographs, cameras, and points if there are any.

    Args:
        folder: holds ``transforms.json``, ``cameras.json`` or a COLMAP model, the first of which is read;
            everything they name lies within.
        most: photographs to take; of more, an even choice.
        longest: pixels of the longer side of what is returned; larger photographs are shrunk.

    Raises:
        ValueError: one sentence about the first thing that is wrong.
    """
    file = next((folder / name for name in NAMES if (folder / name).is_file()), None) or model_in(folder)
    if file is None:
        raise ValueError(f"{folder} is no capture: it holds none of {LAYOUTS}")
    try:
        views, points = _told_by_colmap(file, folder) if file.is_dir() else _told_by_json(file, folder)
        chosen = evenly(views, most)
        frames = _frames(chosen, longest=longest)
        checked(frames.cameras)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    places, rgb = points
    if not np.isfinite(places).all() or (np.abs(places) > MAX_NUMBER).any():
        raise ValueError(f"{file} has points that are NaN, infinite or absurdly far away")
    return Capture(
        frames=frames,
        points=torch.from_numpy(places).float(),
        rgb=torch.from_numpy(rgb).float(),
        names=tuple(view.name_in(folder) for view in chosen),
    )


def _told_by_json(file: Path, folder: Path) -> tuple[list[View], ColouredPoints]:
    """Views and points that one of the JSON files names."""
    data = read_json(file)
    if not isinstance(data, dict):
        raise ValueError("it should hold an object with frames")
    views = views_told(data, folder, read=opengl_view if file.name == NAMES[0] else opencv_view)
    points = file_within(data, "ply_file_path", folder)
    return views, (np.zeros((0, 3)), np.zeros((0, 3))) if points is None else _points(points)


def _told_by_colmap(file: Path, folder: Path) -> tuple[list[View], ColouredPoints]:
    """Views in the order of their names, and points, of a COLMAP model."""
    model = read_model(file)
    if not 2 <= len(model.photographs) <= MAX_PICTURES:
        raise ValueError(
            f"a capture should have 2 to {MAX_PICTURES} photographs, got {len(model.photographs)}"
        )
    views = [
        _colmap_view(photograph, folder / IMAGES)
        for photograph in sorted(model.photographs, key=lambda photograph: photograph.name)
    ]
    return views, (model.points, model.rgb / 255.0)


def _colmap_view(photograph: Photograph, images: Path) -> View:
    lens = photograph.lens
    if lens.model not in LENS_OF:
        raise ValueError(
            f"{photograph.name:.60} was taken through a lens {lens.model}; undistort the photographs first"
        )
    said = dict(zip(LENS_OF[lens.model], lens.params, strict=True))
    if any(said.get(name, 0.0) for name in ("k4", "k5", "k6")):
        raise ValueError(f"{photograph.name:.60} has k4 to k6 of a lens; undistort the photographs first")
    fx = said["f"] if "f" in said else said["fx"]
    return View(
        file=needed_file({"name": photograph.name}, "name", images),
        K=(fx, said.get("fy", fx), said["cx"], said["cy"]),
        size=(lens.width, lens.height),
        c2w=np.linalg.inv(photograph.w2c),
        lens=tuple(said.get(name, 0.0) for name in LENSES),
    )


def views_told(
    data: dict[str, Any], folder: Path, *, read: Callable[[dict[str, Any], Path], View]
) -> list[View]:
    """What a file says of its photographs; what it says of all goes for each."""
    frames = data.get("frames")
    if not isinstance(frames, list) or not 2 <= len(frames) <= MAX_PICTURES:
        raise ValueError(f'"frames" should list 2 to {MAX_PICTURES} photographs')
    if not all(isinstance(frame, dict) for frame in frames):
        raise ValueError('every entry of "frames" should be an object')
    return [read(data | frame, folder) for frame in frames]


def opencv_view(
    said: dict[str, Any], folder: Path, *, file: str = "file", depth: str = "depth_file_path"
) -> View:
    """A frame of ``cameras.json``, or of what is like it but for the names of its files."""
    K = matrix_of(said, "K", rows=3)
    if K[0, 1] or K[1, 0] or K[2].tolist() != [0.0, 0.0, 1.0]:
        raise ValueError('"K" should be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels')
    return View(
        file=needed_file(said, file, folder),
        mask=file_within(said, "mask_path", folder),
        K=(float(K[0, 0]), float(K[1, 1]), float(K[0, 2]) + 0.5, float(K[1, 2]) + 0.5),
        size=size_of(said, "width", "height"),
        c2w=matrix_of(said, "c2w", rows=4),
        depth=file_within(said, depth, folder),
    )


def opengl_view(said: dict[str, Any], folder: Path) -> View:
    """A frame of nerfstudio's ``transforms.json``."""
    model = said.get("camera_model", "OPENCV")
    odd = [name for name in ("k4", "k5", "k6") if said.get(name)]
    if model not in PINHOLES or odd:
        raise ValueError(
            f"photographs should be those of a pinhole, with at most {', '.join(LENSES)} of a lens, "
            f"got {model!r:.40} {' '.join(odd)}; undistort them first"
        )
    size = size_of(said, "w", "h")
    if "fl_x" not in said and size is not None and "camera_angle_x" in said:
        focal = (
            0.5 * size[0] / math.tan(0.5 * min(max(number_of(said, "camera_angle_x"), 1e-3), math.pi - 1e-3))
        )
        said = {"fl_x": focal, "cx": 0.5 * size[0], "cy": 0.5 * size[1]} | said
    fx = number_of(said, "fl_x")
    return View(
        file=needed_file(said, "file_path", folder),
        mask=file_within(said, "mask_path", folder),
        K=(fx, number_of({"fl_y": fx} | said, "fl_y"), number_of(said, "cx"), number_of(said, "cy")),
        size=size,
        c2w=matrix_of(said, "transform_matrix", rows=4) @ np.diag([1.0, -1.0, -1.0, 1.0]),
        lens=tuple(number_of({name: 0.0} | said, name) for name in LENSES),
        depth=file_within(said, "depth_file_path", folder),
    )


def _frames(views: Sequence[View], *, longest: int) -> Frames:
    """All photographs at one size, as a pinhole would have taken them."""
    pictures, covers, Ks, first = [], [], [], None
    for view in views:
        rgb = read_rgb(view.file)
        height, width = rgb.shape[1:3]
        first = (width, height) if first is None else first
        if first != (width, height):
            raise ValueError(
                f"photographs of a capture share one size; {view.file.name} is {width}x{height}, others are "
                f"{first[0]}x{first[1]}"
            )
        K = intrinsics_of(view, width, height)
        picture, cover = _without_lens(rgb, mask_of(view, width, height), K, view.lens)
        share = min(1.0, longest / max(width, height))
        size = max(1, round(height * share)), max(1, round(width * share))
        pictures.append(_shrunk(picture, size).clamp(0.0, 1.0))
        covers.append((_shrunk(cover, size) > COVERED).float())
        Ks.append(K)
    cameras = Cameras(
        c2w=torch.from_numpy(np.stack([view.c2w for view in views])).float(),
        K=torch.stack(Ks),
        width=first[0] if first else 0,
        height=first[1] if first else 0,
    )
    rgb, confidence = torch.cat(pictures), torch.cat(covers)
    nothing = torch.zeros(1, 1, 1, 1).expand_as(confidence)
    return Frames(
        rgb=rgb,
        depth=nothing,
        valid=nothing > 0,
        confidence=confidence,
        cameras=resized(cameras, width=rgb.shape[2], height=rgb.shape[1]),
    )


def intrinsics_of(view: View, width: int, height: int) -> Float[Tensor, "3 3"]:
    """Intrinsics for the photograph as it was found; some tools halve photographs and leave the rest."""
    fx, fy, cx, cy = view.K
    across, down = (1.0, 1.0) if view.size is None else (width / view.size[0], height / view.size[1])
    if abs(across / down - 1.0) > 0.02:
        has = "" if view.size is None else f", {view.size[0]:g}x{view.size[1]:g}"
        raise ValueError(
            f"{view.file.name} is {width}x{height}, which is not the shape that its camera has{has}; "
            "give the intrinsics of the picture as it is stored"
        )
    return torch.tensor([[fx * across, 0.0, cx * across], [0.0, fy * down, cy * down], [0.0, 0.0, 1.0]])


def mask_of(view: View, width: int, height: int) -> Float[Tensor, "1 h w 1"]:
    """1 where the photograph counts."""
    if view.mask is None:
        return torch.ones(1, height, width, 1)
    mask = read_rgb(view.mask).amin(dim=-1, keepdim=True)
    if mask.shape[1:3] != (height, width):
        raise ValueError(f"{view.mask.name} should have the size of {view.file.name}, {width}x{height}")
    return (mask > 0.5).float()


def _without_lens(
    rgb: Float[Tensor, "1 h w 3"],
    cover: Float[Tensor, "1 h w 1"],
    K: Float[Tensor, "3 3"],
    lens: tuple[float, ...],
) -> tuple[Float[Tensor, "1 h w 3"], Float[Tensor, "1 h w 1"]]:
    """What a pinhole with the same intrinsics would have seen, and where anything is known of it."""
    if not any(lens):
        return rgb, cover
    centred = K.clone()
    centred[:2, 2] -= 0.5  # kornia's pixels have their centres at whole numbers
    image = torch.cat([rgb, cover], dim=-1).permute(0, 3, 1, 2)
    image = undistort_image(image, centred[None], torch.tensor([lens])).permute(0, 2, 3, 1)
    return image[..., :3].contiguous(), image[..., 3:].contiguous()


def _shrunk(image: Float[Tensor, "1 h w c"], size: tuple[int, int]) -> Float[Tensor, "1 i j c"]:
    if image.shape[1:3] == size:
        return image
    return F.interpolate(image.permute(0, 3, 1, 2), size, mode="area").permute(0, 2, 3, 1).contiguous()


def _points(file: Path) -> ColouredPoints:
    """Places and colours of a PLY file; grey where it says nothing of colours."""
    try:
        if file.stat().st_size > MAX_POINT_BYTES:
            raise ValueError(f"it is larger than {MAX_POINT_BYTES >> 20} MiB")
        loaded: Any = trimesh.load(file, file_type="ply", process=False)
        places = np.asarray(loaded.vertices, dtype=np.float64).reshape(-1, 3)
        colours = np.asarray(getattr(loaded, "colors", getattr(loaded.visual, "vertex_colors", ())))
    except DAMAGED as error:
        raise ValueError(
            f"{file} should be a PLY file with points, but cannot be read ({error!s:.100})"
        ) from None
    if colours.shape[:1] != places.shape[:1] or colours.ndim != 2:
        return places, np.full_like(places, 0.5)
    return places, colours[:, :3].astype(np.float64) / 255.0
