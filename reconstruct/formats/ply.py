"""PLY: splats in the layout of the original 3D Gaussian splatting, which nearly every tool reads.

Room: reconstruct; the viewer and the command line may import this. Little-endian float32, one
record a splat: position, unused normal, SH colour (``f_rest`` holds all of red, then green, then
blue), logit opacity, log scales, quaternion wxyz. World axes and units are kept as they are.
"""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reconstruct.formats.atomic import replacing
from render.gaussians import Gaussians

HEADER_LIMIT = 1 << 16
"""Longest header read, in bytes; a degree-3 file needs 1,600."""

UNIT_TOLERANCE = 1e-6
"""Quaternions this close to unit length are left alone, so that our own files return bit for bit."""

PROPERTY_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "<i2", "uint16": "<u2", "int32": "<i4", "uint32": "<u4"},
    **{"float": "<f4", "double": "<f8", "float32": "<f4", "float64": "<f8"},
}
POSITION = ["x", "y", "z"]
NORMAL = ["nx", "ny", "nz"]
DC = ["f_dc_0", "f_dc_1", "f_dc_2"]
SCALES = ["scale_0", "scale_1", "scale_2"]
QUATS = ["rot_0", "rot_1", "rot_2", "rot_3"]


def write_ply(gaussians: Gaussians, path: Path) -> None:
    """Write splats to ``path``, whole or not at all.

    Raises:
        ValueError: if there are no splats, or a number is NaN or infinite.
    """
    if len(gaussians) == 0:
        raise ValueError(
            "there are no splats to write, and other tools refuse an empty PLY; grow a world first"
        )
    names = [*POSITION, *NORMAL, *DC, *_rest_names(gaussians.sh.shape[1]), "opacity", *SCALES, *QUATS]
    dc, rest = gaussians.sh[:, 0], gaussians.sh[:, 1:].mT.flatten(1)
    normals = torch.zeros_like(gaussians.means)  # unused, but readers with a fixed layout count on them
    shape = [gaussians.logit_opacities[:, None], gaussians.log_scales, gaussians.quats]
    table = torch.cat([gaussians.means, normals, dc, rest, *shape], dim=1).float()
    _refuse_non_finite(table, names)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(_header(names, count=len(gaussians)))
        file.write(np.ascontiguousarray(table.detach().cpu().numpy(), dtype="<f4").data)


def read_ply(path: Path) -> Gaussians:
    """Read splats; the file is checked as if it came from a stranger.

    Raises:
        ValueError: if the file is no little-endian splat PLY, is cut short, or holds numbers that
            are not finite.
    """
    with path.open("rb") as file:
        record, count = _read_header(file)
        present = record.names or ()
        stored = sum(name.startswith("f_rest_") for name in present)
        if stored not in (0, 9, 24, 45):
            raise ValueError(f"expected 0, 9, 24 or 45 f_rest properties (SH degree 0 to 3), got {stored}")
        rest = _rest_names(1 + stored // 3)
        names = [*POSITION, *DC, *rest, "opacity", *SCALES, *QUATS]
        if missing := [name for name in names if name not in present]:
            raise ValueError(f"this PLY holds no Gaussian splats: its property {missing[0]} is missing")
        needed, found = count * record.itemsize, os.fstat(file.fileno()).st_size - file.tell()
        if found < needed:
            raise ValueError(f"the PLY is cut short: {count} splats take {needed} bytes, but {found} follow")
        records = np.fromfile(file, dtype=record, count=count)
    columns = [torch.from_numpy(np.ascontiguousarray(records[name])).float() for name in names]
    table = torch.stack(columns, dim=1)
    _refuse_non_finite(table, names)
    return _gaussians(table)


def _gaussians(table: Float[Tensor, "g c"]) -> Gaussians:
    """Splats from columns in file order, without normals."""
    means, dc, rest, opacity, log_scales, quats = table.split([3, 3, table.shape[1] - 14, 1, 3, 4], dim=1)
    length = quats.norm(dim=1, keepdim=True)
    if (length < UNIT_TOLERANCE).any():
        raise ValueError("the PLY holds rotations of length zero, which point nowhere")
    is_unit = (length - 1).abs() <= UNIT_TOLERANCE
    return Gaussians(
        means=means,
        quats=torch.where(is_unit, quats, quats / length),  # trainers store them at any length
        log_scales=log_scales,
        logit_opacities=opacity[:, 0],
        sh=torch.cat([dc[:, None], rest.unflatten(1, (3, -1)).mT], dim=1),
    )


def _read_header(file: BinaryIO) -> tuple[np.dtype, int]:
    """The layout of one splat and the number of splats; leaves ``file`` at the first splat."""
    head = file.read(HEADER_LIMIT)
    end = re.search(rb"\nend_header\r?\n", head)
    if not re.match(rb"ply\r?\n", head) or end is None:
        raise ValueError(f"this is no PLY file: no header of at most {HEADER_LIMIT} bytes opens it")
    file.seek(end.end())
    lines = [line.split() for line in head[: end.start()].decode("latin-1").split("\n")[1:]]
    lines = [words for words in lines if words and words[0] not in ("comment", "obj_info")]
    encoding, element = (" ".join(words) for words in [*lines, [], []][:2])
    if encoding != "format binary_little_endian 1.0":
        raise ValueError(
            f"expected a PLY of 'format binary_little_endian 1.0', got {encoding!r:.80}; convert it first"
        )
    count = re.fullmatch(r"element vertex (\d{1,15})", element)
    if count is None:
        raise ValueError(
            f"expected splats first ('element vertex COUNT'), got {element!r:.80}; compressed PLY is not read"
        )
    properties = list(itertools.takewhile(lambda words: words[0] != "element", lines[2:]))
    return _record(properties), int(count[1])


def _record(properties: list[list[str]]) -> np.dtype:
    """The layout of one splat from its ``property`` lines."""
    for words in properties:
        if len(words) != 3 or words[0] != "property" or words[1] not in PROPERTY_TYPES:
            raise ValueError(
                f"expected 'property TYPE NAME' with a plain number type, got {' '.join(words)!r:.80}"
            )
    names = [name for _, _, name in properties]
    if len(set(names)) < len(names):
        raise ValueError("two properties of this PLY share a name, so neither can be trusted")
    return np.dtype([(name, PROPERTY_TYPES[kind]) for _, kind, name in properties])


def _header(names: list[str], *, count: int) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    lines += [f"property float {name}" for name in names]
    return "\n".join([*lines, "end_header", ""]).encode()


def _rest_names(coefficients: int) -> list[str]:
    """Names of the view-dependent colour columns, all of red first."""
    return [f"f_rest_{i}" for i in range(3 * (coefficients - 1))]


def _refuse_non_finite(table: Float[Tensor, "g c"], names: list[str]) -> None:
    bad = (~torch.isfinite(table)).sum(dim=0)
    if bad.any():
        column = int(bad.argmax())
        raise ValueError(
            f"{int(bad.sum())} numbers are NaN or infinite, most of them in {names[column]}; "
            "remove those splats first"
        )
