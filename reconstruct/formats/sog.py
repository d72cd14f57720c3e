"""SOG: splats as pictures, PlayCanvas's format for the web; version 2, all in one zip file.

Room: reconstruct; the viewer and the command line may import this. Every column is a lossless WebP picture
with a pixel a splat; sizes, base colours and harmonics are numbers in lists of 256. World axes and units are
kept as they are; the order is not.

Precision: positions to 1/131070 of the range of log(1 + |x|) times 1 + |x|, along each axis; standard
deviations, base colours and harmonics to 1/254 of the range that all of them span; opacities to 1/255;
rotations to 1.2 degrees. Beyond 65,536 splats, those with like harmonics share them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8

from reconstruct._level_kernels import group
from reconstruct.formats.pictured import Archive, encoded, write_archive
from reconstruct.formats.quantised import (
    LOG_SCALES,
    along_a_curve,
    from_smallest_three,
    logits_of_bytes,
    opacity_bytes,
    smallest_three,
)
from reconstruct.formats.soundness import check_count, check_writable, opened, sound, warn_of_trailing
from render.gaussians import Gaussians

FINEST = 65_535
"""Steps of positions."""

LEVELS = 256
"""Numbers in a list."""

MOST_SHARED = 65_536
"""Sets of harmonics that splats choose from."""

ABREAST = 64
"""Sets of harmonics in a row of their picture."""

FARTHEST = 1e38
"""Numbers beyond this are infinite in float32, and damage."""

FIRST_LARGEST = 252
"""Alpha of rotations whose first number, w, is the largest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packed:
    """Pictures by name, and what ``meta.json`` says of them."""

    pictures: dict[str, bytes]
    meta: dict[str, object]


def write_sog(gaussians: Gaussians, path: Path) -> None:
    """Write splats to ``path``, whole or not at all.

    Raises:
        ValueError: if there are no splats, a number is NaN or infinite, or a rotation has length zero.
    """
    check_writable(gaussians)
    means, quats, log_scales, logits, sh = (
        getattr(gaussians, name).detach().cpu().numpy()
        for name in ("means", "quats", "log_scales", "logit_opacities", "sh")
    )
    order = along_a_curve(means)
    parts = [
        _packed_means(means[order]),
        _packed_quats(quats[order]),
        _packed_scales(log_scales[order]),
        _packed_colours(sh[order, 0], logits[order]),
        *([_packed_harmonics(sh[order, 1:])] if sh.shape[1] > 1 else []),
    ]
    meta: dict[str, object] = {"version": 2, "asset": {"generator": "worldgen"}, "count": len(gaussians)}
    files: dict[str, bytes] = {}
    for part in parts:
        files |= part.pictures
        meta |= part.meta
    write_archive(path, files | {"meta.json": json.dumps(meta | {"antialias": False}).encode()})


def read_sog(path: Path) -> Gaussians:
    """Read splats; the file is checked as if it came from a stranger.

    Splats with numbers that are not finite or without a rotation are left out with a warning; bytes that
    follow the archive are passed over with one.

    Raises:
        ValueError: if the file is no SOG of version 2, damaged, cut short, or nothing of it makes sense.
    """
    with opened(path) as file:
        archive = Archive(file)
        meta = archive.json("meta.json")
        if (version := meta.get("version", 1)) != 2:
            raise ValueError(
                f"SOG files of version 2 are read, and this is {_short(version)}; convert it first"
            )
        count = _whole(meta.get("count"), "count", most=(1 << 32) - 1)
        bands = _bands(meta)
        check_count(count, (bands + 1) ** 2)
        sh0, opacity = _colours(archive, meta, count)
        whole = Gaussians(
            means=torch.from_numpy(_means(archive, meta, count)).float(),
            quats=torch.from_numpy(_quats(archive, meta, count)).float(),
            log_scales=torch.from_numpy(_scales(archive, meta, count)).float(),
            logit_opacities=torch.from_numpy(opacity).float(),
            sh=torch.from_numpy(
                np.concatenate([sh0[:, None], _harmonics(archive, meta, count, bands)], axis=1)
            ),
        )
    if archive.trailing:
        warn_of_trailing(path, archive.trailing)
    return sound(whole, path)


def _packed_means(means: Float[np.ndarray, "g 3"]) -> _Packed:
    logs = np.sign(means) * np.log1p(np.abs(means.astype(np.float64)))
    low, high = logs.min(axis=0), logs.max(axis=0)
    steps = np.rint((logs - low) / np.where(high > low, high - low, 1.0) * FINEST).astype(np.int64)
    return _Packed(
        pictures={
            "means_l.webp": encoded((steps & 255).astype(np.uint8)),
            "means_u.webp": encoded((steps >> 8).astype(np.uint8)),
        },
        meta={
            "means": {"mins": low.tolist(), "maxs": high.tolist(), "files": ["means_l.webp", "means_u.webp"]}
        },
    )


def _packed_quats(quats: Float[np.ndarray, "g 4"]) -> _Packed:
    largest, three = smallest_three(quats)
    shares = np.rint((three * math.sqrt(2.0) + 1.0) * 127.5).clip(0, 255)
    pixels = np.concatenate([shares, FIRST_LARGEST + largest[:, None]], axis=1).astype(np.uint8)
    return _Packed(pictures={"quats.webp": encoded(pixels)}, meta={"quats": {"files": ["quats.webp"]}})


def _packed_scales(log_scales: Float[np.ndarray, "g 3"]) -> _Packed:
    levels, chosen = _listed(np.clip(log_scales, *LOG_SCALES))
    return _Packed(
        pictures={"scales.webp": encoded(chosen)},
        meta={"scales": {"codebook": levels, "files": ["scales.webp"]}},
    )


def _packed_colours(sh0: Float[np.ndarray, "g 3"], logits: Float[np.ndarray, " g"]) -> _Packed:
    levels, chosen = _listed(sh0)
    pixels = np.concatenate([chosen, opacity_bytes(logits)[:, None]], axis=1)
    return _Packed(
        pictures={"sh0.webp": encoded(pixels)}, meta={"sh0": {"codebook": levels, "files": ["sh0.webp"]}}
    )


def _packed_harmonics(rest: Float[np.ndarray, "g k 3"]) -> _Packed:
    labels, shared = _shared(rest)
    levels, chosen = _listed(shared)
    room = np.zeros((math.ceil(len(shared) / ABREAST) * ABREAST, *chosen.shape[1:]), np.uint8)
    room[: len(shared)] = chosen
    names = ["shN_centroids.webp", "shN_labels.webp"]
    low_high = np.stack([labels & 255, labels >> 8, np.zeros_like(labels)], axis=1).astype(np.uint8)
    bands = (3, 8, 15).index(rest.shape[1]) + 1
    return _Packed(
        pictures={
            names[0]: encoded(room.reshape(-1, 3), width=ABREAST * rest.shape[1]),
            names[1]: encoded(low_high),
        },
        meta={"shN": {"count": len(shared), "bands": bands, "codebook": levels, "files": names}},
    )


def _shared(rest: Float[np.ndarray, "g k 3"]) -> tuple[Int64[np.ndarray, " g"], Float64[np.ndarray, "m k 3"]]:
    """Which set of harmonics every splat gets, and the sets: its own while there is room, else an average."""
    count = min(len(rest), MOST_SHARED)
    rows, labels = rest.reshape(len(rest), -1).astype(np.float64), np.arange(len(rest))
    if count < len(rest):
        group(rows, count, labels)
    held = np.bincount(labels, minlength=count)
    sums = np.stack([np.bincount(labels, weights=column, minlength=count) for column in rows.T], axis=1)
    return labels, (sums / held[:, None]).reshape(count, *rest.shape[1:])


def _listed(values: Float[np.ndarray, "*axes"]) -> tuple[list[float], UInt8[np.ndarray, "*axes"]]:
    """256 numbers, and the nearest of them for every value.

    Half of them are spread evenly, so that none is far from its value, half lie where most values are.
    """
    levels = np.unique(values)
    if len(levels) > LEVELS:
        even = np.linspace(levels[0], levels[-1], LEVELS // 2)
        shares = (np.arange(LEVELS // 2) + 0.5) / (LEVELS // 2)
        levels = np.sort(np.concatenate([even, np.quantile(values, shares)]))
    levels = np.concatenate([levels, np.repeat(levels[-1:], LEVELS - len(levels))]).astype(np.float64)
    chosen = np.searchsorted((levels[1:] + levels[:-1]) / 2.0, values)
    return levels.tolist(), chosen.astype(np.uint8)


def _means(archive: Archive, meta: dict, count: int) -> Float64[np.ndarray, "g 3"]:
    said = _part(meta, "means")
    low, high = (_numbers(said, name, 3) for name in ("mins", "maxs"))
    lower, upper = (archive.pixels(name, count)[:, :3].astype(np.int64) for name in _files(said, 2))
    logs = low + (high - low) * ((upper << 8 | lower) / FINEST)
    with np.errstate(over="ignore"):  # what is infinite is left out later
        return np.sign(logs) * np.expm1(np.abs(logs))


def _quats(archive: Archive, meta: dict, count: int) -> Float64[np.ndarray, "g 4"]:
    """Quaternions wxyz; of length zero where the file says nothing that is one."""
    pixels = archive.pixels(_files(_part(meta, "quats"), 1)[0], count)
    largest = pixels[:, 3].astype(np.int64) - FIRST_LARGEST
    three = (pixels[:, :3] / 127.5 - 1.0) / math.sqrt(2.0)
    return from_smallest_three(largest.clip(0), three) * (largest >= 0)[:, None]


def _scales(archive: Archive, meta: dict, count: int) -> Float64[np.ndarray, "g 3"]:
    said = _part(meta, "scales")
    return _numbers(said, "codebook", LEVELS)[archive.pixels(_files(said, 1)[0], count)[:, :3]]


def _colours(
    archive: Archive, meta: dict, count: int
) -> tuple[Float[np.ndarray, "g 3"], Float64[np.ndarray, " g"]]:
    """Base colours as harmonics, and logits of opacities."""
    said = _part(meta, "sh0")
    pixels = archive.pixels(_files(said, 1)[0], count)
    levels = _numbers(said, "codebook", LEVELS).astype(np.float32)
    return levels[pixels[:, :3]], logits_of_bytes(pixels[:, 3])


def _harmonics(archive: Archive, meta: dict, count: int, bands: int) -> Float[np.ndarray, "g k 3"]:
    wide = (bands + 1) ** 2 - 1
    if bands == 0:
        return np.zeros((count, 0, 3), np.float32)
    said = _part(meta, "shN")
    held = _whole(said.get("count"), "number of harmonics", most=MOST_SHARED)
    centroids, labels = _files(said, 2)
    sets = archive.pixels(centroids, held * wide, width=ABREAST * wide)[:, :3].reshape(held, wide, 3)
    pixels = archive.pixels(labels, count).astype(np.int64)
    chosen = pixels[:, 1] << 8 | pixels[:, 0]
    if int(chosen.max()) >= held:
        raise ValueError(f"a splat has harmonics number {int(chosen.max())} of {held}")
    return _numbers(said, "codebook", LEVELS).astype(np.float32)[sets][chosen]


def _part(meta: dict, name: str) -> dict:
    if not isinstance(said := meta.get(name), dict):
        raise ValueError(f"its meta.json does not say where {name} are")
    return said


def _bands(meta: dict) -> int:
    """Degree of the harmonics, 0 if there are none."""
    return (
        0
        if meta.get("shN") is None
        else _whole(_part(meta, "shN").get("bands"), "degree of harmonics", most=3)
    )


def _whole(value: object, what: str, *, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"expected a {what} of 0 to {most:,} in its meta.json, got {_short(value)}")
    return value


def _short(value: object) -> str:
    """What a file says, in a few letters."""
    return repr(value)[:40] if isinstance(value, int | float | str | None) else f"a {type(value).__name__}"


def _numbers(said: dict, name: str, count: int) -> Float64[np.ndarray, " {count}"]:
    """A list of so many numbers."""
    values = said.get(name)
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"expected a list of {count} numbers under {name!r} in its meta.json")
    if not all(isinstance(value, int | float) and abs(value) < FARTHEST for value in values):
        raise ValueError(f"expected numbers under {name!r} in its meta.json")
    return np.array(values, np.float64)


def _files(said: dict, count: int) -> list[str]:
    names = said.get("files")
    if not isinstance(names, list) or len(names) != count or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected names of {count} pictures under 'files' in its meta.json")
    return names
