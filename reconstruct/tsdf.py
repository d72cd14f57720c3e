"""TSDF: frames fused into one field of distances to the nearest surface (algorithms, section 12.6).

Room: reconstruct; the command line and the viewer may import this. The field is sparse: blocks of 8 x 8 x 8
lattice points stand where a frame shows a surface, and nowhere else. A distance is one from the plane that a
pixel shows, cut off a few voxels from it, positive on the side of the camera; a frame counts by its
confidence, by how straight it looks, and by how close it is. A lattice point is worked on by one thread,
frame after frame: the field is the same bit for bit whatever the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int32, Int64, Shaped
from torch import Tensor

from reconstruct._tsdf_kernel import FREE, LIMIT, OUTSIDE, SIDE, claim_blocks, integrate
from render.cameras import Cameras, unproject
from render.frames import Frames
from render.geometry import MIN_INCIDENCE, incidence, normals_of_points
from render.jobs import spread
from render.splats import available_threads

FRONT, BEHIND = 4.0, 2.2
"""Voxels before and behind a surface within which distances count; pixels where those are larger."""

CARVES = 0.7
"""Confidence above which a pixel also says that the space before what it shows is free."""

LEAST_FACING = 0.05
"""Cosine between normal and ray below which such a pixel is too slanted. What is imagined is held to
``MIN_INCIDENCE``: its steps are smeared into slopes, while measured floors go on to the horizon."""

FOOTPRINTS = 1.5
"""Size of a voxel in pixels at a typical depth, where it is not given."""

FAR = 5.0
"""Nothing further away than so many typical depths is fused, where no limit is given: sky and backdrops."""

NEAREST = 0.25
"""Share of the typical depth below which coming closer counts no more."""

COARSER = 1.26
"""Voxels grow by this factor, and blocks halve in number, until a field fits into its memory."""

BLOCK_BYTES = SIDE**3 * (6 * 4 + 3 * 4)
"""Of a block: six sums a lattice point, and the numbers that extraction writes beside them."""

MOST_BYTES = 256 << 30
"""More memory is never asked for: the table of blocks alone takes a thousandth of it."""

JOB_BLOCKS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """How frames are fused."""

    voxel: float | None = None
    """Distance between lattice points in world units; from the frames where it is not given."""

    max_depth: float | None = None
    """No surface is made of depths beyond, world units; from the frames where it is not given."""

    memory_bytes: int = 1 << 30
    """What the field and its extraction may take."""

    def __post_init__(self) -> None:
        for name, value in (("a voxel", self.voxel), ("the depth limit", self.max_depth)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is a finite number of world units above 0, got {value:g}")
        if not BLOCK_BYTES <= self.memory_bytes <= MOST_BYTES:
            raise ValueError(
                f"a field takes {BLOCK_BYTES >> 10} KiB to {MOST_BYTES >> 30} GiB of memory, "
                f"got {self.memory_bytes:,} bytes"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Distances to surfaces, where any were seen."""

    voxel: float
    """Distance between lattice points, world units."""

    depth: float
    """How far what the frames show typically is, world units."""

    blocks: Int32[np.ndarray, "b 3"]
    """Lattice point (x, y, z) of a block lies at ``(8 block + (x, y, z)) * voxel``."""

    distances: Float32[np.ndarray, "b 512"]
    """Sums of weighted distances in voxels, negative inside; x fastest, then y."""

    weights: Float32[np.ndarray, "b 512"]
    """0 where nothing was seen, never negative."""

    colours: Float32[np.ndarray, "b 512 4"]
    """Sums of weighted colours, and of their weights."""

    def __len__(self) -> int:
        return len(self.blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Lengths that the frames give, world units."""

    depth: float
    """What a pixel typically shows."""

    footprint: float
    """Size of a pixel there."""


def fuse(batches: Iterable[Frames], settings: Fusion, *, threads: int | None = None) -> Field:
    """Fuse frames into a field.

    Args:
        batches: gone through several times, so a list, or a thing that reads anew each time; one batch is
            held in memory at a time. Pixels without confidence count as unknown.
        settings: voxels grow until the field fits into the memory, if their size is not given.
        threads: all cores where not given.

    Raises:
        ValueError: if there are no frames, or none that knows any depth, or if voxels of the size given do
            not fit into the memory.
    """
    scale = _scale_of(batches)
    voxel = FOOTPRINTS * scale.footprint if settings.voxel is None else settings.voxel
    limit = FAR * scale.depth if settings.max_depth is None else settings.max_depth
    blocks = _claimed(batches, voxel, limit, settings)
    while blocks is None:
        voxel *= COARSER
        blocks = _claimed(batches, voxel, limit, settings)
    rows = (len(blocks), SIDE**3)
    field = Field(
        voxel=voxel,
        depth=scale.depth,
        blocks=blocks,
        distances=np.zeros(rows, np.float32),
        weights=np.zeros(rows, np.float32),
        colours=np.zeros((*rows, 4), np.float32),
    )
    for frames in batches:
        _add(field, frames, threads=available_threads() if threads is None else threads)
    return field


def known(frames: Frames) -> Bool[Tensor, "n h w 1"]:
    """Pixels that say how far something is."""
    return frames.valid & (frames.confidence > 0)


def keys_of(blocks: Int32[np.ndarray, "b 3"]) -> Int64[np.ndarray, " b"]:
    """One whole number for each block; those of a field ascend."""
    x, y, z = blocks.astype(np.int64).T + LIMIT
    return z << 42 | y << 21 | x


def _scale_of(batches: Iterable[Frames]) -> _Scale:
    """Medians over frames of what is the median in each."""
    count, depths, footprints = 0, [], []
    for frames in batches:
        count += len(frames)
        for i in range(len(frames)):
            shown = frames.depth[i][known(frames[[i]])[0]]
            if len(shown):
                depths.append(float(shown.median()))
                footprints.append(depths[-1] / float(frames.cameras.K[i].diagonal()[:2].mean()))
    if not count:
        raise ValueError("there are no frames, so there is nothing to make a mesh of; grow the world first")
    if not depths:
        raise ValueError("no frame knows how far anything is, so there is nothing to make a mesh of")
    return _Scale(depth=float(np.median(depths)), footprint=float(np.median(footprints)))


def _claimed(
    batches: Iterable[Frames], voxel: float, limit: float, settings: Fusion
) -> Int32[np.ndarray, "b 3"] | None:
    """The blocks near what frames show, sorted; ``None`` if they are too many and may be larger."""
    most = settings.memory_bytes // BLOCK_BYTES
    table = np.full(1 << max(4, (2 * most).bit_length()), FREE, np.int64)
    count = 0
    for frames in batches:
        shown = known(frames) & (frames.depth <= limit)
        units = (frames.depth / frames.cameras.K[:, None, None, :1, 0]).clamp_min(voxel)
        points = unproject(frames.depth, frames.cameras)[shown[..., 0]].double().numpy()
        reach = FRONT * units[shown].double().numpy()
        count = int(claim_blocks(points, reach, SIDE * voxel, table, count, most))
        if count == OUTSIDE:
            raise ValueError(
                f"the frames reach further than {LIMIT:,} blocks of voxels of {voxel:g}; use larger voxels"
            )
        if count > most:
            break
    if count > most and settings.voxel is None:
        return None
    if count > most:
        raise ValueError(
            f"voxels of {voxel:g} take more than {settings.memory_bytes >> 20:,} MiB; use larger ones"
        )
    if not count:
        raise ValueError(f"nothing that the frames show is nearer than {limit:g}; allow for more depth")
    return unpacked(np.sort(table[table != FREE]))


def unpacked(keys: Int64[np.ndarray, " b"]) -> Int32[np.ndarray, "b 3"]:
    """The blocks that have these keys."""
    ones = (1 << 21) - 1
    return np.stack([(keys >> shift & ones) - LIMIT for shift in (0, 21, 42)], axis=1).astype(np.int32)


def _add(field: Field, frames: Frames, *, threads: int) -> None:
    """Add a batch of frames to a field, in place."""
    pictures, views = pictures_of(frames, field.depth), views_of(frames.cameras)
    columns = field.distances, field.weights, field.colours

    def job(start: int) -> None:
        stop = min(start + JOB_BLOCKS, len(field))
        integrate(start, stop, field.blocks, columns, pictures, views, (field.voxel, FRONT, BEHIND))

    spread(job, range(0, len(field), JOB_BLOCKS), threads=threads)


def views_of(cameras: Cameras) -> tuple[Float64[np.ndarray, "n 4 4"], Float64[np.ndarray, "n 4"]]:
    """What kernels read of cameras: ``w2c``, and fx, fy, cx, cy."""
    lens = torch.stack([cameras.K[:, r, c] for r, c in ((0, 0), (1, 1), (0, 2), (1, 2))], dim=1)
    return cameras.w2c.double().numpy(), lens.double().numpy()


def pictures_of(frames: Frames, depth: float) -> tuple[Shaped[np.ndarray, "n h w *c"], ...]:
    """What kernels read of frames: z-depth, normals in camera axes, weight, colour, and who carves.

    ``depth`` is where closeness counts 1; the weight is 0 where nothing is known, or seen too much aslant.
    """
    shown = known(frames)
    z = frames.depth.masked_fill(~shown, 0.0)
    points = unproject(z, frames.cameras)
    normal = normals_of_points(points, z, frames.cameras, valid=shown)
    facing = incidence(normal, points, frames.cameras)
    closeness = (depth / z.clamp_min(NEAREST * depth)).square()
    trusted = frames.confidence > CARVES
    aslant = facing < torch.where(trusted, LEAST_FACING, MIN_INCIDENCE)
    weight = frames.confidence * facing.masked_fill(aslant | ~shown, 0.0) * closeness
    in_camera = normal @ frames.cameras.c2w[:, None, :3, :3]
    return (
        z[..., 0].float().numpy(),
        in_camera.float().numpy(),
        weight[..., 0].float().numpy(),
        frames.rgb.float().numpy(),
        trusted[..., 0].numpy(),
    )
