"""Blobs: the pictures of a world folder, two PNG files a frame, and how exact pictures become files.

Room: memory. Private to it; ``memory.world`` re-exports :func:`quantised`. Colour keeps 8 bits.
Depth keeps 16: code 0 is "unknown", codes 1 to 65535 run logarithmically from the frame's smallest
to its largest depth, so that the relative error is the same everywhere: below 1e-4 for 1000:1.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8, UInt16
from torch import Tensor

from memory._files import discard, read_whole, sweep, write_whole
from memory._png import (
    CODE_MODE,
    RGB_MODE,
    bytes_from_rgb,
    pixels_from_png,
    png_from_pixels,
    rgb_from_bytes,
)
from memory._records import FrameRecord, WorldError
from memory._rows import exact_dtype
from render.cameras import Cameras
from render.frames import Frames

CODING = 1
"""Version of the rounding below; a chunk written with one is read with the same."""

LAST_CODE = 65535

CONFIDENCE_GIVEN = 1.0
CONFIDENCE_IMAGINED = 0.5
"""A world keeps pictures, not trust: frames read back carry one of these where depth is valid and
0 elsewhere. The cache works out finer confidence from the geometry."""

FRAMES_FOLDER = "frames"
DERIVED_FOLDERS = ("cache", "splats")
DERIVED = re.compile(r"(?P<chunk>\d{6,})\..+")
"""What is worked out from a world may be kept in these folders, named after the chunk at its end."""

RGB_SUFFIX, DEPTH_SUFFIX = ".png", ".depth.png"
OURS = re.compile(r"(?P<partial>\.)?(?P<id>\d{6,})(\.depth)?\.png(?(partial)\.tmp)")
BYTES_PER_PIXEL = 6
"""More than a PNG of ours can take, noise included."""

PNG_OVERHEAD = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """One frame's pictures as they are stored."""

    rgb: UInt8[np.ndarray, "h w 3"]
    codes: UInt16[np.ndarray, "h w"]
    near: float | None
    """Depth of code 1, and of code 65535; ``None`` if every code is 0."""

    far: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """One frame's pictures as they are used."""

    rgb: Float[Tensor, "h w 3"]
    depth: Float[Tensor, "h w 1"]
    valid: Bool[Tensor, "h w 1"]


def coded(frame: Frames) -> Coded:
    """Round the pictures of a batch of one."""
    depth = frame.depth[0, ..., 0].detach().cpu().float().numpy()
    valid = frame.valid[0, ..., 0].cpu().numpy()
    known = depth[valid]
    codes = np.zeros(depth.shape, dtype=np.uint16)
    rgb = bytes_from_rgb(frame.rgb[0])
    if known.size == 0:
        return Coded(rgb=rgb, codes=codes, near=None, far=None)
    near, far = float(known.min()), float(known.max())
    if not (near > 0 and np.isfinite(far)):
        raise WorldError(f"valid depth must be positive and fit in float32, got {near:g} to {far:g}")
    steps = (np.log(known.astype(np.float64)) - np.log(near)) / max(np.log(far) - np.log(near), 1e-300)
    codes[valid] = 1 + np.rint(steps * (LAST_CODE - 1)).astype(np.uint16)
    return Coded(rgb=rgb, codes=codes, near=near, far=far)


def decoded(stored: Coded) -> Pictures:
    """The pictures that stored ones stand for."""
    depth = torch.from_numpy(depth_of_codes(stored.near, stored.far)[stored.codes])[..., None]
    valid = torch.from_numpy(stored.codes > 0)[..., None]
    return Pictures(rgb=rgb_from_bytes(stored.rgb), depth=depth, valid=valid)


def depth_of_codes(near: float | None, far: float | None) -> Float[np.ndarray, " codes"]:
    """The depth that each code stands for; a table, so that equal codes are equal bit for bit."""
    table = np.zeros(LAST_CODE + 1, dtype=np.float32)
    if near is not None and far is not None:
        steps = np.arange(LAST_CODE, dtype=np.float64) / (LAST_CODE - 1)
        table[1:] = np.exp(np.log(near) + steps * (np.log(far) - np.log(near)))
    return table


def frames_of(pictures: list[Pictures], *, given: list[bool], cameras: Cameras) -> Frames:
    """Frames as they are read back: confidence is all that is not stored."""
    valid = torch.stack([picture.valid for picture in pictures])
    trust = torch.tensor([CONFIDENCE_GIVEN if each else CONFIDENCE_IMAGINED for each in given])
    return Frames(
        rgb=torch.stack([picture.rgb for picture in pictures]),
        depth=torch.stack([picture.depth for picture in pictures]),
        valid=valid,
        confidence=torch.where(valid, trust[:, None, None, None], 0.0),
        cameras=cameras,
    )


def quantised(frames: Frames, *, given: bool = False) -> Frames:
    """The frames as a world would give them back after a commit, bit for bit."""
    pictures = [decoded(coded(frames[[index]])) for index in range(len(frames))]
    back = frames_of(pictures, given=[given] * len(frames), cameras=exact_cameras(frames.cameras))
    return back.to(frames.rgb.device)


def exact_cameras(cameras: Cameras) -> Cameras:
    """The cameras in the types that are stored: float32, or float64 if they are that."""
    return Cameras(
        c2w=cameras.c2w.detach().to(exact_dtype(cameras.c2w)),
        K=cameras.K.detach().to(exact_dtype(cameras.K)),
        width=cameras.width,
        height=cameras.height,
    )


def rgb_file(folder: Path, frame_id: int) -> Path:
    """Where the colour of a frame lies; names come from numbers, never from the index."""
    return folder / FRAMES_FOLDER / f"{frame_id:06d}{RGB_SUFFIX}"


def depth_file(folder: Path, frame_id: int) -> Path:
    """Where the depth of a frame lies."""
    return folder / FRAMES_FOLDER / f"{frame_id:06d}{DEPTH_SUFFIX}"


def write_blobs(folder: Path, stored: Coded, *, frame_id: int) -> tuple[bytes, bytes]:
    """Put both pictures of a frame on the disk and return their SHA-256.

    They survive a power cut once their folder is synced.
    """
    files = {
        rgb_file(folder, frame_id): png_from_pixels(stored.rgb),
        depth_file(folder, frame_id): png_from_pixels(stored.codes),
    }
    for file, data in files.items():
        write_whole(file, data)
    rgb_sha256, depth_sha256 = (hashlib.sha256(data).digest() for data in files.values())
    return rgb_sha256, depth_sha256


def delete_blobs(folder: Path, ids: Iterable[int]) -> None:
    """Delete what :func:`write_blobs` wrote, or began to, for frames that no chunk has."""
    discard(name(folder, frame_id) for frame_id in ids for name in (rgb_file, depth_file))


def sweep_blobs(folder: Path, *, keep: set[int]) -> int:
    """Delete the pictures of frames that were never committed; how many files there were."""
    return sweep(folder / FRAMES_FOLDER, names=OURS, keep=keep)


def stale_files(folder: Path, *, keep: set[int]) -> list[Path]:
    """The derived files that were made at chunks which are not to be kept."""
    places = [folder / name for name in DERIVED_FOLDERS]
    files = [
        file for place in places if place.is_dir() and not place.is_symlink() for file in place.iterdir()
    ]
    named = [(file, DERIVED.fullmatch(file.name)) for file in files if stat.S_ISREG(file.lstat().st_mode)]
    return [file for file, name in named if name is not None and int(name["chunk"]) not in keep]


def read_pictures(folder: Path, record: FrameRecord) -> Pictures:
    """The pictures of a committed frame, checked against what the index says of them."""
    arrays = []
    for (file, sha256), mode in zip(_files(folder, record), (RGB_MODE, CODE_MODE), strict=True):
        data = read_blob(file, record, sha256=sha256)
        try:
            arrays.append(pixels_from_png(data, mode=mode, width=record.width, height=record.height))
        except ValueError as error:
            raise WorldError(
                f"frame {record.id} is damaged: {file} {error}; restore it from a copy"
            ) from error
    if record.near is None and arrays[1].any():
        raise WorldError(
            f"frame {record.id} is damaged: its depth has no range; restore the world from a copy"
        )
    return decoded(Coded(rgb=arrays[0], codes=arrays[1], near=record.near, far=record.far))


def damage(folder: Path, record: FrameRecord) -> list[str]:
    """What is wrong with the files of a frame, a sentence each."""
    faults = []
    for file, sha256 in _files(folder, record):
        try:
            read_blob(file, record, sha256=sha256)
        except WorldError as error:
            faults.append(str(error))
    return faults


def _files(folder: Path, record: FrameRecord) -> list[tuple[Path, bytes]]:
    return [
        (rgb_file(folder, record.id), record.rgb_sha256),
        (depth_file(folder, record.id), record.depth_sha256),
    ]


def read_blob(file: Path, record: FrameRecord, *, sha256: bytes) -> bytes:
    """The bytes of one file of a frame, if they are the ones that were committed."""
    limit = record.width * record.height * BYTES_PER_PIXEL + PNG_OVERHEAD
    return read_whole(file, what=f"frame {record.id}", limit=limit, sha256=sha256)
