"""Compressed PLY: splats in 16 bytes, in the layout of PlayCanvas and SuperSplat.

Room: reconstruct; the viewer and the command line may import this. Neighbours lie together in chunks of
256, each with the bounds of what is in it (72 bytes). Within them: positions and log scales in 11, 10 and
11 bits, base colours in 8 a channel; besides, opacity in 8 bits, rotation in 32 (the smallest three of
wxyz), and a byte for every further spherical harmonic, in [-4, 4]. World axes and units are kept as they
are; the order is not.

Precision: positions, log scales and base colours to half a step of their chunk (positions 1/4094 of its
extent in x and z, 1/2046 in y), opacities to 1/255, rotations to 0.2 degrees, further harmonics to 1/64.
Log scales are kept within [-20, 20].
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8, UInt32
from numpy.lib.recfunctions import structured_to_unstructured

from reconstruct.formats.atomic import replacing
from reconstruct.formats.ply import rest_names
from reconstruct.formats.ply_header import Element, columns_of, header, read_elements, read_rows
from reconstruct.formats.quantised import (
    along_a_curve,
    from_smallest_three,
    logits_of_bytes,
    opacity_bytes,
    smallest_three,
)
from reconstruct.formats.soundness import check_count, check_writable, opened, sound, warn_of_trailing
from render.gaussians import SH_C0, Gaussians

CHUNK = 256
LARGEST_LOG_SCALE = 20.0

SH_STEPS = 256.0 / 8.0
"""Steps of a further spherical harmonic of 1."""

SH_OF_BYTE = ((np.arange(256) + 0.5) / SH_STEPS - 4.0).astype(np.float32)
SH_OF_BYTE[[0, 255]] = [-4.0, 4.0]
"""What a byte stands for: the middle of its step, but the outermost ones for the ends of the range."""

BOUNDS = [f"{end}_{axis}" for end in ("min", "max") for axis in "xyz"]
SCALE_BOUNDS = [f"{end}_scale_{axis}" for end in ("min", "max") for axis in "xyz"]
COLOUR_BOUNDS = [f"{end}_{channel}" for end in ("min", "max") for channel in "rgb"]
PACKED = ["packed_position", "packed_rotation", "packed_scale", "packed_color"]

BITS_111011 = ((21, 11), (11, 10), (0, 11))
"""Shift and width of x, y and z."""

BITS_888 = ((24, 8), (16, 8), (8, 8))
"""Shift and width of red, green and blue; opacity lies below them."""

BITS_101010 = ((20, 10), (10, 10), (0, 10))
"""Shift and width of the smallest three; the number of the largest lies above them."""

Shifts = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """What lies in the file; ``sh`` has no columns at degree 0."""

    chunks: Float64[np.ndarray, "c k"]
    """Bounds of positions, scales and, if there are 18, colours."""

    packed: UInt32[np.ndarray, "g 4"]
    sh: UInt8[np.ndarray, "g _"]


def write_compressed_ply(gaussians: Gaussians, path: Path) -> None:
    """Write splats to ``path``, whole or not at all, neighbours together.

    Raises:
        ValueError: if there are no splats, a number is NaN or infinite, or a rotation has length zero.
    """
    check_writable(gaussians)
    tables = _packed(gaussians)
    names = [*BOUNDS, *SCALE_BOUNDS, *COLOUR_BOUNDS]
    elements = [
        Element(name="chunk", count=len(tables.chunks), properties=columns_of("float", names)),
        Element(name="vertex", count=len(gaussians), properties=columns_of("uint", PACKED)),
    ]
    if tables.sh.size:
        rest = columns_of("uchar", rest_names(gaussians.sh.shape[1]))
        elements.append(Element(name="sh", count=len(gaussians), properties=rest))
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(header(elements))
        file.write(np.ascontiguousarray(tables.chunks, dtype="<f4").data)
        file.write(np.ascontiguousarray(tables.packed, dtype="<u4").data)
        file.write(np.ascontiguousarray(tables.sh).data)


def read_compressed_ply(path: Path) -> Gaussians:
    """Read splats; the file is checked as if it came from a stranger.

    Splats of chunks whose bounds are not finite are left out with a warning; so are bytes that follow.

    Raises:
        ValueError: if the file is no compressed PLY, is cut short, or holds no splat that makes sense.
    """
    with opened(path) as file:
        elements = read_elements(file)
        _check(elements)
        rows = [structured_to_unstructured(read_rows(file, element)) for element in elements]
        trailing = os.fstat(file.fileno()).st_size - file.tell()
    if trailing:
        warn_of_trailing(path, trailing)
    sh = rows[2] if len(rows) == 3 else np.zeros((len(rows[1]), 0), np.uint8)
    return sound(_unpacked(_Tables(chunks=rows[0].astype(np.float64), packed=rows[1], sh=sh)), path)


def _check(elements: list[Element]) -> None:
    """Refuse what the tables cannot be, before they are read."""
    if [element.name for element in elements] not in (["chunk", "vertex"], ["chunk", "vertex", "sh"]):
        raise ValueError(
            "expected a compressed PLY with the elements chunk, vertex and perhaps sh, got "
            f"{' '.join(element.name for element in elements)!r:.80}"
        )
    chunk, vertex, *sh = elements
    bounds = [*BOUNDS, *SCALE_BOUNDS, *COLOUR_BOUNDS]
    if chunk.properties not in (columns_of("float", bounds), columns_of("float", bounds[:12])):
        raise ValueError("the chunks of this compressed PLY should hold float bounds, min_x to max_b")
    if vertex.properties != columns_of("uint", PACKED):
        raise ValueError(f"the splats of this compressed PLY should hold {', '.join(PACKED)}, each a uint")
    rest = sh[0].properties if sh else ()
    if rest not in [columns_of("uchar", rest_names(coefficients)) for coefficients in (1, 4, 9, 16)]:
        raise ValueError("expected 9, 24 or 45 f_rest properties (SH degree 1 to 3), each a uchar")
    check_count(vertex.count, 1 + len(rest) // 3)
    if chunk.count != -(-vertex.count // CHUNK) or (sh and sh[0].count != vertex.count):
        raise ValueError(
            f"the counts of this compressed PLY contradict each other: {chunk.count} chunks of {CHUNK}, "
            f"{vertex.count} splats" + (f", {sh[0].count} with harmonics" if sh else "")
        )


def _packed(gaussians: Gaussians) -> _Tables:
    columns = [gaussians.means, gaussians.log_scales, gaussians.sh[:, 0] * SH_C0 + 0.5]
    values = torch.cat([column.detach().cpu().float() for column in columns], dim=1).numpy()
    values[:, 3:6] = values[:, 3:6].clip(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)
    order = along_a_curve(values[:, :3])
    values = values[order]
    starts = np.arange(0, len(values), CHUNK)
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    chunk = np.arange(len(values)) // CHUNK
    extent = high.astype(np.float64) - low
    share = (values - low[chunk]) / np.where(extent > 0.0, extent, 1.0)[chunk]
    largest, three = smallest_three(gaussians.quats.detach().cpu().numpy()[order])
    opacity = opacity_bytes(gaussians.logit_opacities.detach().cpu().numpy()[order])
    packed = [
        _pack(share[:, :3], BITS_111011),
        _pack(three * np.sqrt(0.5) + 0.5, BITS_101010) | (largest << 30),
        _pack(share[:, 3:6], BITS_111011),
        _pack(share[:, 6:], BITS_888) | opacity,
    ]
    rest = gaussians.sh[:, 1:].mT.flatten(1).detach().cpu().numpy()[order]
    ends = (low[:, :3], high[:, :3], low[:, 3:6], high[:, 3:6], low[:, 6:], high[:, 6:])
    return _Tables(
        chunks=np.concatenate(ends, axis=1).astype(np.float64),
        packed=np.stack(packed, axis=1).astype(np.uint32),
        sh=np.clip(np.floor((rest + 4.0) * SH_STEPS), 0, 255).astype(np.uint8),
    )


def _unpacked(tables: _Tables) -> Gaussians:
    position, rotation, scale, colour = tables.packed.astype(np.int64).T
    ends = tables.chunks[np.arange(len(position)) // CHUNK].reshape(len(position), -1, 3)
    rgb = _unpack(colour, BITS_888)
    if ends.shape[1] == 6:
        rgb = _between(ends[:, 4], ends[:, 5], rgb)
    quats = from_smallest_three(rotation >> 30, (_unpack(rotation, BITS_101010) - 0.5) / np.sqrt(0.5))
    sh = np.empty((len(rgb), 3, 1 + tables.sh.shape[1] // 3), np.float32)
    sh[:, :, 0] = (rgb - 0.5) / SH_C0
    sh[:, :, 1:] = SH_OF_BYTE[tables.sh].reshape(len(rgb), 3, -1)
    return Gaussians(
        means=torch.from_numpy(_between(ends[:, 0], ends[:, 1], _unpack(position, BITS_111011))).float(),
        quats=torch.from_numpy(quats).float(),
        log_scales=torch.from_numpy(_between(ends[:, 2], ends[:, 3], _unpack(scale, BITS_111011))).float(),
        logit_opacities=torch.from_numpy(logits_of_bytes((colour & 255).astype(np.uint8))).float(),
        sh=torch.from_numpy(sh).mT.contiguous(),
    )


def _between(
    low: Float64[np.ndarray, "g 3"], high: Float64[np.ndarray, "g 3"], share: Float64[np.ndarray, "g 3"]
) -> Float64[np.ndarray, "g 3"]:
    with np.errstate(invalid="ignore"):  # infinite bounds make NaN, and those splats are left out
        return low * (1.0 - share) + high * share


def _pack(shares: Float64[np.ndarray, "g 3"], shifts: Shifts) -> Int64[np.ndarray, " g"]:
    """Three shares in [0, 1] as bits of one number."""
    packed = np.zeros(len(shares), np.int64)
    for share, (shift, width) in zip(shares.T, shifts, strict=True):
        most = (1 << width) - 1
        packed |= np.clip(np.rint(share * most), 0, most).astype(np.int64) << shift
    return packed


def _unpack(packed: Int64[np.ndarray, " g"], shifts: Shifts) -> Float64[np.ndarray, "g 3"]:
    shares = [((packed >> shift) & ((1 << width) - 1)) / ((1 << width) - 1) for shift, width in shifts]
    return np.stack(shares, axis=1)
