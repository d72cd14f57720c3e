"""SPZ: Niantic's packed splats, some 10 to 20 bytes each.

Room: reconstruct; the viewer and the command line may import this. Columns of fixed-point numbers,
compressed: version 3 (gzip) is written, versions 2, 3 and 4 (zstd) are read. The file holds +x right, +y
up, +z backward.

Precision: positions in 24 bits, to 2^-24 of how far the farthest splat is from the origin; standard
deviations to 3 %, within e^-10 to e^5.9 world units; base colours to 1/270 of their range, within [-0.4,
1.4]; opacities to 1/255; rotations to 0.2 degrees; further harmonics within [-1, 1], to 1/32 at degree 1
and to 1/16 above.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8, UInt32

from reconstruct.formats.atomic import replacing
from reconstruct.formats.axes import half_turned
from reconstruct.formats.inflated import GzipStream, zstd_columns
from reconstruct.formats.quantised import (
    bytes_of,
    from_smallest_three,
    logits_of_bytes,
    opacity_bytes,
    smallest_three,
)
from reconstruct.formats.soundness import check_count, check_writable, opened, sound, warn_of_trailing
from render.gaussians import Gaussians

MAGIC = b"NGSP"
HEADER = struct.Struct("<4sIIBBBB")
"""Magic, version, splats, SH degree, fractional bits of positions, flags, compressed columns (version 4)."""

FARTHEST = (1 << 23) - 1
"""Largest position in steps."""

FINEST_BITS = 24
COLOUR_SCALE = 0.15
SH_BUCKETS = (8, 16)
"""Steps that the harmonics of degree 1, and of higher degrees, are rounded to, so that they compress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What a file says of itself."""

    version: int
    count: int

    coefficients: int
    """Spherical harmonics of a splat, 1 to 16."""

    bits: int
    """Fractional bits of positions."""

    streams: int
    """Compressed columns; version 4 only."""

    @property
    def widths(self) -> list[int]:
        """Bytes a splat of positions, opacities, colours, scales, rotations and harmonics."""
        return [9, 1, 3, 3, 3 if self.version == 2 else 4, 3 * (self.coefficients - 1)]


def write_spz(gaussians: Gaussians, path: Path) -> None:
    """Write splats to ``path``, whole or not at all.

    Raises:
        ValueError: if there are no splats, a number is NaN or infinite, a rotation has length zero, or a
            splat is more than 8,388,607 world units from the origin.
    """
    check_writable(gaussians)
    farthest = float(gaussians.means.detach().abs().max())
    if farthest > FARTHEST:
        raise ValueError(
            f"SPZ holds positions up to {FARTHEST:,} units from the origin, but a splat is {farthest:.3g} "
            "away; remove it first, or write another format"
        )
    bits = FINEST_BITS
    while farthest * 2.0**bits > FARTHEST:
        bits -= 1
    degree = (1, 4, 9, 16).index(gaussians.sh.shape[1])
    head = HEADER.pack(MAGIC, 3, len(gaussians), degree, bits, 0, 0)
    deflate = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    with replacing(path) as temporary, temporary.open("wb") as file:
        for part in [head, *_columns(half_turned(gaussians), bits)]:
            file.write(deflate.compress(part))
        file.write(deflate.flush())


def read_spz(path: Path) -> Gaussians:
    """Read splats; the file is checked as if it came from a stranger, and inflated no further than it may be.

    Splats with rotations of length zero are left out with a warning; so are bytes that follow.

    Raises:
        ValueError: if the file is no SPZ file of version 2 to 4, is damaged or cut short, or inflates to more
            than its header allows.
    """
    with opened(path) as file:
        packed = file.read(4) != MAGIC
        file.seek(0)
        if packed:
            stream = GzipStream(file)
            head = _header(stream.read(HEADER.size), versions=(2, 3))
            columns = [stream.read(head.count * width) for width in head.widths]
            trailing = stream.rest()
        else:
            head = _header(file.read(HEADER.size), versions=(4,))
            columns, trailing = zstd_columns(
                file, [head.count * width for width in head.widths], head.streams
            )
    if trailing:
        warn_of_trailing(path, trailing)
    table = [np.frombuffer(column, np.uint8).reshape(head.count, -1) for column in columns]
    return sound(half_turned(_gaussians(table, head)), path)


def _header(data: bytes | bytearray, *, versions: tuple[int, ...]) -> _Header:
    if len(data) < HEADER.size or not data.startswith(MAGIC):
        raise ValueError("this is no SPZ file: it holds no header that begins with NGSP")
    _, version, count, degree, bits, _, streams = HEADER.unpack(data)
    if version not in versions:
        raise ValueError(f"SPZ files of version 2, 3 and 4 are read, and this is {version}; convert it first")
    if degree > 3 or bits > 31:
        raise ValueError(f"expected SH degree 0 to 3 and at most 31 fractional bits, got {degree} and {bits}")
    head = _Header(version=version, count=count, coefficients=(degree + 1) ** 2, bits=bits, streams=streams)
    check_count(head.count, head.coefficients)
    return head


def _columns(gaussians: Gaussians, bits: int) -> list[bytes]:
    """The columns of version 3, in the order of the file."""
    means, log_scales, logits, quats = (
        getattr(gaussians, name).detach().cpu().double().numpy()
        for name in ("means", "log_scales", "logit_opacities", "quats")
    )
    sh = gaussians.sh.detach().cpu().float().numpy()
    steps = np.clip(np.rint(means * 2.0**bits), -FARTHEST, FARTHEST).astype("<i4")
    return [
        np.ascontiguousarray(steps).view(np.uint8).reshape(len(means), 3, 4)[:, :, :3].tobytes(),
        opacity_bytes(logits).tobytes(),
        bytes_of((sh[:, 0] * COLOUR_SCALE + 0.5) * 255.0).tobytes(),
        bytes_of((log_scales + 10.0) * 16.0).tobytes(),
        _rotation_words(quats).tobytes(),
        np.concatenate(
            [
                _in_buckets(sh[:, 1:4], SH_BUCKETS[0]),
                _in_buckets(sh[:, 4:], SH_BUCKETS[1]),
            ],
            axis=1,
        ).tobytes(),
    ]


def _rotation_words(quats: Float64[np.ndarray, "g 4"]) -> UInt32[np.ndarray, " g"]:
    """The smallest three of xyzw: a sign and nine bits each, below the number of the largest."""
    largest, three = smallest_three(quats[:, [1, 2, 3, 0]])
    sizes = np.rint(np.abs(three) / np.sqrt(0.5) * 511.0).astype(np.int64)
    parts = np.minimum(sizes, 511) | ((three < 0.0).astype(np.int64) << 9)
    return (largest << 30 | parts[:, 0] << 20 | parts[:, 1] << 10 | parts[:, 2]).astype("<u4")


def _in_buckets(sh: Float32[np.ndarray, "g k 3"], bucket: int) -> UInt8[np.ndarray, "g k 3"]:
    """Harmonics in steps of 1/128 about 128, rounded to multiples of a bucket."""
    return bytes_of(np.rint((sh * np.float32(128.0) + np.float32(128.0)) / bucket) * bucket)


def _gaussians(table: list[UInt8[np.ndarray, "g _"]], head: _Header) -> Gaussians:
    """Splats from the columns of the file, in its axes."""
    positions, opacities, colours, scales, rotations, rest = table
    words = np.zeros((head.count, 3, 4), np.uint8)
    words[:, :, 1:] = positions.reshape(-1, 3, 3)  # above a byte that is shifted out, so that signs survive
    steps = words.view("<i4")[:, :, 0] >> 8
    sh = np.empty((head.count, head.coefficients, 3), np.float32)
    sh[:, 0] = (colours / 255.0 - 0.5) / COLOUR_SCALE
    sh[:, 1:] = (rest.reshape(head.count, -1, 3) - np.float32(128.0)) / np.float32(128.0)
    quats = _first_three(rotations) if head.version == 2 else _smallest(rotations)
    return Gaussians(
        means=torch.from_numpy(steps / 2.0**head.bits).float(),
        quats=torch.from_numpy(quats[:, [3, 0, 1, 2]]).float(),
        log_scales=torch.from_numpy(scales / 16.0 - 10.0).float(),
        logit_opacities=torch.from_numpy(logits_of_bytes(opacities[:, 0])).float(),
        sh=torch.from_numpy(sh),
    )


def _smallest(rotations: UInt8[np.ndarray, "g 4"]) -> Float64[np.ndarray, "g 4"]:
    """Quaternions xyzw of versions 3 and 4."""
    words = np.ascontiguousarray(rotations).view("<u4")[:, 0].astype(np.int64)
    parts = words[:, None] >> np.array([20, 10, 0])
    three = (parts & 511) / 511.0 * np.sqrt(0.5) * np.where(parts & 512, -1.0, 1.0)
    return from_smallest_three(words >> 30, three)


def _first_three(rotations: UInt8[np.ndarray, "g 3"]) -> Float64[np.ndarray, "g 4"]:
    """Quaternions xyzw of version 2, whose w is left out and not negative."""
    xyz = rotations / 127.5 - 1.0
    return np.concatenate([xyz, np.sqrt(np.maximum(0.0, 1.0 - (xyz**2).sum(axis=1, keepdims=True)))], axis=1)
