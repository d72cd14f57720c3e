"""Datasets: the frames of a world as folders that trainers of radiance fields and splats begin with.

Room: reconstruct; the viewer and the command line may import this. A dataset has the cameras that the frames
were made with, to the last bit, in the axes and units of the world. It is written whole or not at all.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from PIL import Image
from scipy.spatial.transform import Rotation
from torch import Tensor

from memory.points import Points
from memory.world import World
from reconstruct.fitted import outdated
from reconstruct.formats.atomic import check_free, new_folder
from reconstruct.formats.colmap import Lens, Photograph, SparseModel, write_model
from reconstruct.formats.rgbd import OUR_NAME
from render.cameras import Cameras
from render.frames import Frames

BATCH = 32
"""Frames that are in memory at once."""

MILLIMETRE = 1e-3
"""World units in a step of depth that nerfstudio assumes where nothing else is said."""

TUM_STEPS, TUM_FPS = 5000.0, 30.0
"""Steps of depth in a world unit, and pictures a second, where nothing speaks against it."""

REACH = 10.0
"""Scene lengths that depth files have to reach; what lies beyond is written as not known."""

LAST_CODE = 65_535
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""OpenGL axes from OpenCV axes; its own inverse."""


def check_dataset(kind: str, folder: Path) -> None:
    """Refuse what ``write_dataset`` would refuse, before the work is done.

    Raises:
        ValueError: if there is no such kind, or something is in the place of the folder.
    """
    if kind not in DATASETS:
        raise ValueError(f"datasets are {' or '.join(DATASETS)}, got {kind!r:.40}")
    check_free(folder.resolve())


def write_dataset(world: World, points: Points, folder: Path, *, kind: str) -> int:
    """Write all frames at the head of a world as a dataset, and return how many there are.

    Args:
        world: has frames of one size.
        points: what is known of surfaces; those that only hide what is behind them are left out.
        folder: does not exist yet, or is empty.
        kind: a name of ``DATASETS``.

    Raises:
        ValueError: if the world has no frames, or something is in the place of the folder.
        OSError: if the disk refuses.
    """
    check_dataset(kind, folder)
    points = points[points.confidence > 0]
    with new_folder(folder) as place:
        DATASETS[kind](world, points, place)
        return len(world.frame_ids())


def depth_unit(scale: float, *, usual: float = MILLIMETRE) -> float:
    """World units in a step of depth: what is ``usual`` where that suits the world, else a power of ten.

    Args:
        scale: median depth of the first view, in world units.
        usual: what readers assume where nothing else is said, in world units.
    """
    least = REACH * scale / LAST_CODE
    return usual if least <= usual <= scale / 100 else 10.0 ** math.ceil(math.log10(least))


def steps_a_unit(scale: float) -> float:
    """Steps of depth in a world unit, in TUM folders."""
    return 1.0 / depth_unit(scale, usual=1.0 / TUM_STEPS)


def only_lens(world: World) -> tuple[float, ...]:
    """fx, fy, cx and cy of all frames, in pixels, centres of pixels at halves.

    Raises:
        ValueError: if they differ.
    """
    lenses = {_lens(K) for K in world.cameras().K.double()}
    if len(lenses) != 1:
        raise ValueError(
            f"the frames of {world.path} have {len(lenses)} lenses, and TUM folders can say only one; "
            "export for nerfstudio or colmap"
        )
    return lenses.pop()


def _write_nerfstudio(world: World, points: Points, place: Path) -> None:
    """``images``, ``depth``, ``transforms.json`` and ``sparse_pc.ply``; ``masks`` if anything was edited."""
    unit, said = depth_unit(world.scene.scale), []
    has_masks = any(chunk.edit is not None for chunk in world.chunks())  # all frames have one, or none
    for folder in ("images", "depth", "masks") if has_masks else ("images", "depth"):
        (place / folder).mkdir()
    for name, frame, is_old in _pictures(world):
        _write_png(place / f"images/{name}", _bytes(frame.rgb[0]))
        known = frame.valid & ~is_old
        _write_png(place / f"depth/{name}", _codes(frame.depth[0], known[0], unit))
        entry = {"file_path": f"images/{name}", "depth_file_path": f"depth/{name}"}
        if has_masks:
            _write_png(place / f"masks/{name}", 255 * (~is_old[0, ..., 0]).to(torch.uint8).numpy())
            entry["mask_path"] = f"masks/{name}"
        said.append(entry | {"transform_matrix": _opengl(frame.cameras)[0].tolist()})
    content = _told(world, said) | {"depth_unit_scale_factor": unit, "ply_file_path": "sparse_pc.ply"}
    content["frames"] = said
    (place / "transforms.json").write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    _write_points(place / "sparse_pc.ply", points)


def _write_colmap(world: World, points: Points, place: Path, *, as_text: bool = False) -> None:
    """``images`` and ``sparse/0``; points without tracks. COLMAP has no place for depth."""
    photographs = []
    (place / "images").mkdir()
    for name, frame, _ in _pictures(world):
        _write_png(place / f"images/{name}", _bytes(frame.rgb[0]))
        cameras = frame.cameras
        lens = Lens(
            model="PINHOLE", width=cameras.width, height=cameras.height, params=_lens(cameras.K[0].double())
        )
        photographs.append(Photograph(name=name, lens=lens, w2c=_w2c(cameras.c2w[0].double().numpy())))
    model = SparseModel(
        photographs=photographs, points=points.positions.double().numpy(), rgb=_bytes(points.rgb)
    )
    (place / "sparse/0").mkdir(parents=True)
    write_model(model, place / "sparse/0", as_text=as_text)


def _write_tum(world: World, points: Points, place: Path) -> None:
    """``rgb``, ``depth`` and three lists; points have no place there, nor has the lens (``only_lens``)."""
    unit = 1.0 / steps_a_unit(world.scene.scale)
    only_lens(world)
    folders = "rgb", "depth"
    for folder in folders:
        (place / folder).mkdir()
    lists: dict[str, list[str]] = {"rgb": [], "depth": [], "groundtruth": []}
    for number, (name, frame, is_old) in enumerate(_pictures(world)):
        _write_png(place / f"rgb/{name}", _bytes(frame.rgb[0]))
        _write_png(place / f"depth/{name}", _codes(frame.depth[0], (frame.valid & ~is_old)[0], unit))
        time, c2w = f"{number / TUM_FPS:.6f}", frame.cameras.c2w[0].double().numpy()
        for folder in folders:
            lists[folder].append(f"{time} {folder}/{name}")
        pose = (*c2w[:3, 3].tolist(), *Rotation.from_matrix(c2w[:3, :3]).as_quat().tolist())
        lists["groundtruth"].append(" ".join([time, *map(repr, pose)]))
    heads = {"groundtruth": "time tx ty tz qx qy qz qw"}
    for name, rows in lists.items():
        text = "\n".join([f"# {heads.get(name, 'time file')}", *rows, ""])
        (place / f"{name}.txt").write_text(text, encoding="utf-8")


DATASETS: dict[str, Callable[[World, Points, Path], None]] = {
    "nerfstudio": _write_nerfstudio,
    "colmap": _write_colmap,
    "colmap-text": partial(_write_colmap, as_text=True),
    "tum": _write_tum,
}
"""Names that the command line takes to what writes them into an empty folder."""


def _pictures(world: World) -> Iterator[tuple[str, Frames, Tensor]]:
    """Name, frame (a batch of one) and where it shows what was changed since, one by one."""
    ids = world.frame_ids()
    if not ids:
        raise ValueError(f"{world.path} has no frames yet, so there is nothing to export; grow it first")
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        frames = world.frames(some)
        is_old = outdated(world, frames, ids=some)
        for i, number in enumerate(some):
            yield f"{number:06d}.png", frames[i : i + 1], is_old[i : i + 1]


def _told(world: World, said: list[dict[str, Any]]) -> dict[str, Any]:
    """What ``transforms.json`` says of all frames."""
    cameras = world.cameras()
    size = {"camera_model": "OPENCV", "w": cameras.width, "h": cameras.height}
    ours = {OUR_NAME: {"units": world.scene.units, "up": list(world.scene.up)}}
    return size | _told_lenses(cameras, said) | ours


def _told_lenses(cameras: Cameras, said: list[dict[str, Any]]) -> dict[str, float]:
    """Intrinsics of all frames, if they share them; else they are added to what is said of each."""
    lenses: list[dict[str, float]] = [
        dict(zip(("fl_x", "fl_y", "cx", "cy"), _lens(K), strict=True)) for K in cameras.K.double()
    ]
    if all(lens == lenses[0] for lens in lenses):
        return lenses[0]
    for entry, lens in zip(said, lenses, strict=True):
        entry.update(lens)
    return {}


def _lens(K: Float[Tensor, "3 3"]) -> tuple[float, ...]:
    """fx, fy, cx and cy in pixels, centres of pixels at halves: both formats and we agree."""
    return (float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]))


def _opengl(cameras: Cameras) -> Float[np.ndarray, "n 4 4"]:
    return cameras.c2w.double().numpy() @ FLIP


def _w2c(c2w: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """The inverse, with what a quaternion can say of the rotation; the camera stays where it is."""
    w2c = np.eye(4)
    w2c[:3, :3] = Rotation.from_matrix(c2w[:3, :3].T).as_matrix()
    w2c[:3, 3] = -w2c[:3, :3] @ c2w[:3, 3]
    return w2c


def _bytes(rgb: Float[Tensor, "*n 3"]) -> UInt8[np.ndarray, "*n 3"]:
    return (rgb.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy()


def _codes(depth: Float[Tensor, "h w 1"], known: Tensor, unit: float) -> UInt16[np.ndarray, "h w"]:
    """Depth in steps; 0 where it is not known, or too far away for 16 bits."""
    steps = (depth.double() / unit).round()[..., 0]
    steps = torch.where(known[..., 0] & (steps <= LAST_CODE), steps.clamp_min(1.0), 0.0)
    return steps.numpy().astype(np.uint16)


def _write_png(file: Path, pixels: np.ndarray) -> None:
    data = io.BytesIO()  # a full disk is told by writing, not by the encoder
    Image.fromarray(pixels).save(data, format="PNG")
    file.write_bytes(data.getvalue())


def _write_points(file: Path, points: Points) -> None:
    """A PLY file with a place and an 8-bit colour a point."""
    kinds = {"x": "float", "y": "float", "z": "float", "red": "uchar", "green": "uchar", "blue": "uchar"}
    rows = np.zeros(len(points), dtype=[(name, "<f4" if kinds[name] == "float" else "u1") for name in kinds])
    columns = [*points.positions.numpy().T, *_bytes(points.rgb).T]
    for name, column in zip(kinds, columns, strict=True):
        rows[name] = column
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    head += [f"property {kind} {name}" for name, kind in kinds.items()]
    file.write_bytes("\n".join([*head, "end_header", ""]).encode() + rows.tobytes())
