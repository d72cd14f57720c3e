""".ksplat: sections of splats behind long headers, as GaussianSplats3D (three.js) streams them.

Room: reconstruct; the viewer and the command line may import this. Written in one section without
compression; read also with compression 1 and 2, where positions are steps about the centres of cubes. World
axes and units are kept as they are, and so is the order.

Precision of what is written: positions and rotations exact, standard deviations to the last digit of
float32, colours within [0, 1] to 1/510, opacities to 1/255, harmonics of degree 1 and 2 exact. The format
ends there: those of degree 3 are not kept.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from reconstruct.formats.atomic import replacing
from reconstruct.formats.quantised import bytes_of, log_scales_of, logits_of_bytes, opacity_bytes, scales_of
from reconstruct.formats.soundness import (
    check_count,
    check_writable,
    of_unit_length,
    opened,
    sound,
    warn_of_trailing,
)
from render.gaussians import Gaussians, concatenated, sh_from_rgb

FILE_HEADER = np.dtype(
    {
        "names": ["major", "minor", "sections", "used_sections", "room", "count", "compression", "sh_range"],
        "formats": ["u1", "u1", "<u4", "<u4", "<u4", "<u4", "<u2", ("<f4", 2)],
        "offsets": [0, 1, 4, 8, 12, 16, 20, 36],
        "itemsize": 4096,
    }
)
SECTION_HEADER = np.dtype(
    {
        "names": [
            "count",
            "room",
            "cube_splats",
            "cubes",
            "side",
            "cube_bytes",
            "steps",
            "full",
            "rest",
            "degree",
        ],
        "formats": ["<u4", "<u4", "<u4", "<u4", "<f4", "<u2", "<u4", "<u4", "<u4", "<u2"],
        "offsets": [0, 4, 8, 12, 16, 20, 24, 32, 36, 40],
        "itemsize": 1024,
    }
)
NUMBERS = (("<f4", "<f4", "<f4"), ("<u2", "<f2", "<f2"), ("<u2", "<f2", "u1"))
"""Types of positions, of sizes and rotations, and of harmonics, by compression."""

STEPS = (1, 32767, 32767)
"""Half as many steps as a cube has on a side, where a file does not say."""

SH_RANGE = (-1.5, 1.5)
"""Of harmonics in 8 bits, where a file does not say."""

BANDS = ((0, 3), (3, 8))
"""Harmonics of degree 1 and 2: those of one degree lie together, colour by colour."""

CUBE_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coding:
    """How a file holds its numbers."""

    compression: int

    sh_range: tuple[float, float]
    """What bytes of 0 and 255 stand for."""

    def record(self, degree: int) -> np.dtype:
        """One splat."""
        place, number, harmonic = NUMBERS[self.compression]
        fields = [("mean", place, 3), ("scale", number, 3), ("quat", number, 4), ("rgba", "u1", 4)]
        return np.dtype([*fields, ("sh", harmonic, 3 * ((degree + 1) ** 2 - 1))])


def write_ksplat(gaussians: Gaussians, path: Path) -> None:
    """Write splats to ``path``, whole or not at all.

    Raises:
        ValueError: if there are no splats, a number is NaN or infinite, or a rotation has length zero.
    """
    check_writable(gaussians)
    count, degree = len(gaussians), min((1, 4, 9, 16).index(gaussians.sh.shape[1]), len(BANDS))
    head, section = np.zeros(1, FILE_HEADER), np.zeros(1, SECTION_HEADER)
    head["minor"], head["sections"], head["used_sections"], head["sh_range"] = 1, 1, 1, SH_RANGE
    head["room"] = head["count"] = section["room"] = section["count"] = count
    section["degree"] = degree
    records = np.empty(count, _Coding(compression=0, sh_range=SH_RANGE).record(degree))
    records["mean"] = gaussians.means.detach().cpu().numpy()
    records["scale"] = scales_of(gaussians.log_scales.detach().cpu().numpy())
    records["quat"] = of_unit_length(gaussians).quats.detach().cpu().numpy()
    records["rgba"][:, :3] = bytes_of(gaussians.base_rgb.detach().cpu().double().numpy() * 255.0)
    records["rgba"][:, 3] = opacity_bytes(gaussians.logit_opacities.detach().cpu().numpy())
    rest = gaussians.sh[:, 1:].mT.detach().cpu().numpy()
    bands = [rest[:, :, begin:end].reshape(count, -1) for begin, end in BANDS[:degree]]
    records["sh"] = np.concatenate([np.empty((count, 0), np.float32), *bands], axis=1)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(head.tobytes() + section.tobytes())
        file.write(records.tobytes())


def read_ksplat(path: Path) -> Gaussians:
    """Read splats; the file is checked as if it came from a stranger.

    Splats with numbers that are not finite, negative sizes, or rotations of length zero are left out with a
    warning; bytes that follow the splats are passed over with one.

    Raises:
        ValueError: if the file is no .ksplat, contradicts itself, is cut short, or nothing of it makes sense.
    """
    with opened(path) as file:
        head = _take(file, FILE_HEADER, 1)[0]
        if head["major"] != 0 or head["minor"] < 1 or head["compression"] >= len(NUMBERS):
            raise ValueError("this is no .ksplat file of version 0.1 with compression 0 to 2")
        low, high = (float(value) for value in head["sh_range"])
        coding = _Coding(
            compression=int(head["compression"]), sh_range=(low or SH_RANGE[0], high or SH_RANGE[1])
        )
        sections = _take(file, SECTION_HEADER, int(head["sections"]))
        degree = _check(sections, int(head["count"]))
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is left out later
            parts = [_section(file, section, coding, degree) for section in sections]
        if trailing := os.fstat(file.fileno()).st_size - file.tell():
            warn_of_trailing(path, trailing)
    return sound(concatenated(parts), path)


def _check(sections: np.ndarray, count: int) -> int:
    """The highest degree of harmonics of any section."""
    degree = int(sections["degree"].max(initial=0))
    if degree > len(BANDS):
        raise ValueError(f"expected harmonics of degree 0 to {len(BANDS)}, got {degree}")
    check_count(count, (degree + 1) ** 2)
    if (held := int(sections["count"].astype(np.int64).sum())) != count:
        raise ValueError(f"it says that it holds {count:,} splats, and its sections hold {held:,}")
    if (sections["count"] > sections["room"]).any():
        raise ValueError("a section holds more splats than it has room for")
    return degree


def _take(file: BinaryIO, kind: np.dtype, count: int) -> np.ndarray:
    """The next records; none are read if the file is too short for all."""
    size = kind.itemsize * count
    _check_left(file, size)
    return np.frombuffer(file.read(size), kind)


def _check_left(file: BinaryIO, size: int) -> None:
    if size > (left := os.fstat(file.fileno()).st_size - file.tell()):
        raise ValueError(f"the file is cut short: {size} bytes should follow, but {left} do")


def _section(file: BinaryIO, section: np.void, coding: _Coding, degree: int) -> Gaussians:
    """The splats of one section, with harmonics up to the degree of all."""
    rest = _take(file, np.dtype("<u4"), int(section["rest"]))
    cubes = int(section["cubes"])
    if cubes and section["cube_bytes"] != CUBE_BYTES:
        raise ValueError(f"expected {CUBE_BYTES} bytes a cube, got {section['cube_bytes']}")
    centres = _take(file, np.dtype("<f4"), 3 * cubes).reshape(-1, 3)
    record = coding.record(int(section["degree"]))
    count, unused = int(section["count"]), int(section["room"]) - int(section["count"])
    records = _take(file, record, count)
    _check_left(file, record.itemsize * unused)
    file.seek(record.itemsize * unused, os.SEEK_CUR)
    if coding.compression == 0:
        means = records["mean"].astype(np.float32)
    else:
        steps = int(section["steps"]) or STEPS[coding.compression]
        middle = centres[_cubes_of(section, rest)]
        means = (records["mean"] - float(steps)) * (float(section["side"]) / 2.0 / steps) + middle
    rgba = records["rgba"]
    sh = np.zeros((count, (degree + 1) ** 2, 3), np.float32)
    sh[:, :1] = sh_from_rgb(torch.from_numpy(rgba[:, :3] / 255.0)).numpy()
    _fill(sh, records["sh"], coding)
    return Gaussians(
        means=torch.from_numpy(means.astype(np.float32)),
        quats=torch.from_numpy(records["quat"].astype(np.float32)),
        log_scales=torch.from_numpy(log_scales_of(records["scale"].astype(np.float64))).float(),
        logit_opacities=torch.from_numpy(logits_of_bytes(rgba[:, 3])).float(),
        sh=torch.from_numpy(sh),
    )


def _cubes_of(section: np.void, rest: np.ndarray) -> Int64[np.ndarray, " g"]:
    """Which cube each splat of a section is in: full ones come first, ``rest`` counts those in the others."""
    full, count = int(section["full"]), int(section["count"])
    if full + len(rest) > int(section["cubes"]):
        raise ValueError("a section speaks of more cubes than it has")
    held = np.concatenate([np.full(full, int(section["cube_splats"]), np.int64), rest.astype(np.int64)])
    ends = held.cumsum()
    if count > (int(ends[-1]) if len(ends) else 0):
        raise ValueError(f"a section holds {count:,} splats, but its cubes fewer")
    return ends.searchsorted(np.arange(count), side="right")


def _fill(sh: Float32[np.ndarray, "g k 3"], stored: np.ndarray, coding: _Coding) -> None:
    """Write the harmonics of a section behind its base colours."""
    values: Float64[np.ndarray, "g d"] = stored.astype(np.float64)
    if coding.compression == 2:
        low, high = coding.sh_range
        values = low + values / 255.0 * (high - low)
    for begin, end in BANDS:
        if values.shape[1] >= 3 * end:
            band = values[:, 3 * begin : 3 * end].reshape(len(sh), 3, end - begin)
            sh[:, 1 + begin : 1 + end] = band.transpose(0, 2, 1)
