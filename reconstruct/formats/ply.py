"""PLY: splats in the layout of the original 3D Gaussian splatting, which nearly every tool reads.

Room: reconstruct; the viewer and the command line may import this. Little-endian float32, one record a
splat: position, unused normal, SH colour (``f_rest`` holds all of red, then green, then blue), logit
opacity, log scales, quaternion wxyz. World axes and units are kept as they are, and every number exactly.
68 bytes a splat of degree 0, 248 of degree 3.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reconstruct.formats.atomic import replacing
from reconstruct.formats.ply_header import Element, columns_of, header, read_elements, read_rows
from reconstruct.formats.soundness import (
    check_count,
    check_writable,
    of_unit_length,
    opened,
    senseless,
    sound,
    warn_of_trailing,
)
from render.gaussians import Gaussians

POSITION = ["x", "y", "z"]
NORMAL = ["nx", "ny", "nz"]
DC = ["f_dc_0", "f_dc_1", "f_dc_2"]
SCALES = ["scale_0", "scale_1", "scale_2"]
QUATS = ["rot_0", "rot_1", "rot_2", "rot_3"]


def write_ply(gaussians: Gaussians, path: Path) -> None:
    """Write splats to ``path``, whole or not at all.

    Raises:
        ValueError: if there are no splats, a number is NaN or infinite, or a rotation has length zero.
    """
    check_writable(gaussians)
    names = [*POSITION, *NORMAL, *DC, *rest_names(gaussians.sh.shape[1]), "opacity", *SCALES, *QUATS]
    dc, rest = gaussians.sh[:, 0], gaussians.sh[:, 1:].mT.flatten(1)
    normals = torch.zeros_like(gaussians.means)  # unused, but readers with a fixed layout count on them
    shape = [gaussians.logit_opacities[:, None], gaussians.log_scales, gaussians.quats]
    table = torch.cat([gaussians.means, normals, dc, rest, *shape], dim=1).float()
    vertex = Element(name="vertex", count=len(gaussians), properties=columns_of("float", names))
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(header([vertex]))
        file.write(np.ascontiguousarray(table.detach().cpu().numpy(), dtype="<f4").data)


def read_ply(path: Path) -> Gaussians:
    """Read splats; the file is checked as if it came from a stranger.

    Splats with numbers that are not finite, or rotations of length zero, are left out with a warning; so are
    bytes that follow.

    Raises:
        ValueError: if the file is no little-endian splat PLY, is cut short, or holds no splat that makes
            sense.
    """
    gaussians, trailing = _stored(path)
    if trailing:
        warn_of_trailing(path, trailing)
    return sound(gaussians, path)


def read_own_ply(path: Path) -> Gaussians:
    """Read splats that ``write_ply`` wrote: whatever is odd about them is damage.

    Raises:
        ValueError: if the file is not as it was written.
    """
    gaussians, trailing = _stored(path)
    infinite, unturned = senseless(gaussians)
    if trailing or (infinite | unturned).any():
        odd = int((infinite | unturned).sum())
        raise ValueError(f"{odd} of its splats make no sense, and {trailing} bytes follow them")
    return of_unit_length(gaussians)


def _stored(path: Path) -> tuple[Gaussians, int]:
    """Splats as the file has them, and how many bytes follow that are no other table."""
    with opened(path) as file:
        vertex, *others = read_elements(file)
        if vertex.name == "chunk":
            raise ValueError("this PLY is compressed; read it as .compressed.ply")
        if vertex.name != "vertex":
            raise ValueError(f"expected splats first ('element vertex COUNT'), got {vertex.name!r:.80}")
        names = _names(vertex.record.names or ())
        check_count(vertex.count, (len(names) - 11) // 3)
        records = read_rows(file, vertex)
        trailing = os.fstat(file.fileno()).st_size - file.tell()
    columns = [torch.from_numpy(np.ascontiguousarray(records[name])).float() for name in names]
    return _gaussians(torch.stack(columns, dim=1)), 0 if others else trailing


def _names(present: tuple[str, ...]) -> list[str]:
    """The columns to read, in the order that ``_gaussians`` takes them in."""
    stored = sum(name.startswith("f_rest_") for name in present)
    if stored not in (0, 9, 24, 45):
        raise ValueError(f"expected 0, 9, 24 or 45 f_rest properties (SH degree 0 to 3), got {stored}")
    names = [*POSITION, *DC, *rest_names(1 + stored // 3), "opacity", *SCALES, *QUATS]
    if missing := [name for name in names if name not in present]:
        raise ValueError(f"this PLY holds no Gaussian splats: its property {missing[0]} is missing")
    return names


def _gaussians(table: Float[Tensor, "g c"]) -> Gaussians:
    """Splats from columns in file order, without normals."""
    means, dc, rest, opacity, log_scales, quats = table.split([3, 3, table.shape[1] - 14, 1, 3, 4], dim=1)
    return Gaussians(
        means=means,
        quats=quats,
        log_scales=log_scales,
        logit_opacities=opacity[:, 0],
        sh=torch.cat([dc[:, None], rest.unflatten(1, (3, -1)).mT], dim=1),
    )


def rest_names(coefficients: int) -> list[str]:
    """Names of the view-dependent colour columns, all of red first."""
    return [f"f_rest_{i}" for i in range(3 * (coefficients - 1))]
