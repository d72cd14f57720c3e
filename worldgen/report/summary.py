"""Summary: everything that a report says, as plain data and as JSON.

Room: worldgen. Figures that cannot be measured are ``None``, and ``missing`` says why. Nothing here depends
on when the report is made.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from memory.cache import WorldCache
from memory.costs import Machine
from memory.points import Points
from memory.world import Chunk, World
from render.plans import Plan, plan_of
from worldgen.evaluation.loops import WINDOW
from worldgen.report.measures import NEAR_ANGLE, NEAR_DISTANCE, Measured, backward, chosen_of, forward

FORMAT = 1
"""Raised whenever a key of the JSON changes its meaning or goes."""

PLAN_SIDE = 320
MOST_PICTURES = 24
WORST_RETURNS = 6

PAUSE = 10.0
"""A chunk that came so many times later than the median did not take so long: nobody was growing."""

FEWEST_FOR_DRIFT = 8
"""Chunks with frames; drift compares the last quarter of them with the first."""

OLD, NEW = (66, 110, 200), (255, 146, 43)
"""Colours of the oldest and the newest points on the map of ages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What became of the pixels of one frame."""

    points: int
    """In the cache at the end."""

    culled: int
    """Pixels with a depth that left no point: they showed what was known, or lay on an edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLook:
    """How one chunk of frames looks, and how long it took."""

    chunk: Chunk
    mean: tuple[float, float, float]
    contrast: float
    seconds: float | None
    """A frame, since the chunk before it on the same path was committed; ``None`` where that says nothing."""

    @property
    def memory_bytes(self) -> int | None:
        """Most memory that was resident until it was committed; ``None`` where nobody recorded it."""
        cost = self.chunk.cost
        return None if cost is None or not cost.memory_bytes else cost.memory_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One frame to look at."""

    id: int
    rgb: UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What there is to say of a world."""

    name: str
    head: str
    units: str
    scale: float
    """Of the scene: the median depth of its first view, world units."""

    sizes: list[tuple[int, int]]
    """Widths and heights of the frames."""

    generators: list[str]
    edits: list[Chunk]
    frames: list[Measured]
    kept: dict[int, Kept]
    """By frame id."""

    chunks: list[ChunkLook]
    points: int
    bytes_on_disk: int
    cache_bytes: int
    machine: str
    """Where the report was made."""

    plan: Plan
    ages: Plan
    """The map with points from old frames blue and from new ones orange."""

    pictures: list[Picture]
    """An even choice of the frames."""

    returns: list[tuple[Picture, Picture, float]]
    """The least alike pairs of an earlier frame and one that came back to it, with their PSNR in dB."""

    @property
    def measured(self) -> list[Measured]:
        """The frames that were measured in full."""
        return [one for one in self.frames if one.depth_before is not None]

    @property
    def grown_on(self) -> dict[Machine, int]:
        """The machines that the chunks with frames were committed on, with the number of their frames."""
        found: dict[Machine, int] = {}
        for chunk in (look.chunk for look in self.chunks):
            if chunk.cost is not None:
                machine = chunk.cost.machine
                found[machine] = found.get(machine, 0) + len(chunk.frame_ids)
        return found

    @property
    def figures(self) -> dict[str, float | None]:
        """The whole world in a few numbers, under the names that the JSON has."""
        depths = [one.depth_error for one in self.measured if one.depth_error is not None]
        revisits = [one.revisit for one in self.measured if one.revisit is not None]
        ssims = [one.ssim for one in revisits if one.ssim is not None]
        returns = [one.came_back.psnr for one in self.measured if one.came_back is not None]
        seconds = [look.seconds for look in self.chunks if look.seconds is not None]
        memory = [look.memory_bytes for look in self.chunks if look.memory_bytes is not None]
        mean_drift, contrast_drift = drift_of(self.chunks)
        return {
            "known_before": _mean([one.known for one in self.frames[1:]]),
            "depth_error": median(depths) if depths else None,
            "depth_error_worst": max(depths, default=None),
            "revisit_psnr": _mean([one.psnr for one in revisits]),
            "revisit_ssim": _mean(ssims),
            "return_psnr": _mean(returns),
            "return_psnr_worst": min(returns, default=None),
            "mean_drift": mean_drift,
            "contrast_drift": contrast_drift,
            "seconds_a_frame": median(seconds) if seconds else None,
            "memory_bytes": max(memory, default=None),
            "bytes_a_frame": self.bytes_on_disk / len(self.frames),
        }

    @property
    def missing(self) -> list[str]:
        """What could not be measured and why, a sentence each."""
        figures = self.figures
        far = f"{NEAR_DISTANCE:g} scene scales and {np.rad2deg(NEAR_ANGLE):.0f} degrees of an earlier pose"
        reasons = {
            "known_before": "The share known before needs a second frame.",
            "depth_error": "Depth agreement needs frames that show the same surfaces.",
            "revisit_psnr": f"Revisits need frames that show what was shown {WINDOW} or more frames before.",
            "return_psnr": f"Loop closure needs a camera that goes away and comes back within {far}.",
            "mean_drift": f"Drift needs {FEWEST_FOR_DRIFT} chunks with frames.",
            "seconds_a_frame": "Time needs two chunks in a row that were grown along one path.",
            "memory_bytes": "Memory was not recorded when this world was grown, nor was the machine.",
        }
        return [sentence for key, sentence in reasons.items() if figures[key] is None]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON with stable keys; ``docs/report.md`` explains them."""
        pixels = sum(one.pixels for one in self.frames)
        return {
            "format": FORMAT,
            "world": {
                "name": self.name,
                "head": self.head,
                "units": self.units,
                "scale": self.scale,
                "sizes": [list(size) for size in self.sizes],
                "generators": self.generators,
            },
            "counts": {
                "frames": len(self.frames),
                "measured": len(self.measured),
                "chunks": len(self.chunks) + len(self.edits),
                "edits": len(self.edits),
                "pixels": pixels,
                "points": self.points,
                "culled": sum(kept.culled for kept in self.kept.values()),
            },
            "figures": self.figures,
            "missing": self.missing,
            "cost": {
                "bytes": self.bytes_on_disk,
                "cache_bytes": self.cache_bytes,
                "machine": self.machine,
                "grown_on": [
                    dataclasses.asdict(machine) | {"frames": count}
                    for machine, count in self.grown_on.items()
                ],
            },
            "chunks": [_chunk_json(look) for look in self.chunks],
            "frames": [_frame_json(one, self.kept[one.id]) for one in self.frames],
        }


def steps_of(world: World) -> int:
    """How many steps :func:`report_on` takes; 0 for a world without frames."""
    return len(world.frame_ids()) + len(chosen_of(world))


def report_on(world: World, *, machine: str, stepped: Callable[[int], None] = lambda points: None) -> Report:
    """Measure a world.

    Args:
        world: with a frame at least.
        machine: what the report says it was made on.
        stepped: told after every step how many points the world has by then.
    """
    cache, frames = WorldCache(), []
    for measured in forward(world, chosen_of(world), cache=cache):
        frames.append(measured)
        stepped(len(cache))
    for measured in backward(world, frames):
        frames[measured.position] = measured
        stepped(len(cache))
    return _report_of(world, frames, cache=cache, machine=machine)


def _report_of(world: World, frames: list[Measured], *, cache: WorldCache, machine: str) -> Report:
    """Put together what was measured.

    Args:
        world: the world.
        frames: all of them, the chosen ones as ``backward`` gives them, oldest first.
        cache: of the world, as ``forward`` filled it.
        machine: what the report says it was made on.
    """
    points = cache.points
    points = points[points.confidence > 0]
    chunks = world.chunks()
    return Report(
        name=world.path.name,
        head=world.tree.current.name,
        units=world.scene.units,
        scale=world.scene.scale,
        sizes=sorted({one.size for one in frames}),
        generators=sorted({chunk.generator for chunk in chunks if chunk.edit is None}),
        edits=[chunk for chunk in chunks if chunk.edit is not None],
        frames=frames,
        kept=_kept(frames, points),
        chunks=_looks(frames),
        points=len(points),
        bytes_on_disk=world.bytes_on_disk(),
        cache_bytes=cache.store.stored_bytes,
        machine=machine,
        plan=_plan(world, frames, points),
        ages=_plan(world, frames, points, by_age=True),
        pictures=_pictures(world, frames),
        returns=_worst_returns(world, frames),
    )


def drift_of(looks: list[ChunkLook]) -> tuple[float | None, float | None]:
    """How much the last quarter of the chunks is brighter than the first, and its contrast over theirs."""
    if len(looks) < FEWEST_FOR_DRIFT:
        return None, None
    quarter = len(looks) // 4
    first, last = looks[:quarter], looks[-quarter:]
    brighter = fmean(fmean(look.mean) for look in last) - fmean(fmean(look.mean) for look in first)
    before, after = (fmean(look.contrast for look in part) for part in (first, last))
    return brighter, after / before if before > 0 else None


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


def _kept(frames: list[Measured], points: Points) -> dict[int, Kept]:
    sources, counts = np.unique(points.source.numpy(), return_counts=True)
    found = dict(zip(sources.tolist(), counts.tolist(), strict=True))
    held = {one.id: found.get(one.id, 0) for one in frames}
    return {one.id: Kept(points=held[one.id], culled=one.pixels - held[one.id]) for one in frames}


def _looks(frames: list[Measured]) -> list[ChunkLook]:
    """The chunks with frames, oldest first."""
    groups = [list(group) for _, group in itertools.groupby(frames, key=lambda one: one.chunk.id)]
    chunks = [group[0].chunk for group in groups]
    looks = []
    for group, seconds in zip(groups, _without_pauses(_seconds(chunks)), strict=True):
        red, green, blue = (fmean(one.mean[i] for one in group) for i in range(3))
        looks.append(
            ChunkLook(
                chunk=group[0].chunk,
                mean=(red, green, blue),
                contrast=fmean(one.contrast for one in group),
                seconds=seconds,
            )
        )
    return looks


def _seconds(chunks: list[Chunk]) -> list[float | None]:
    """Seconds a frame from one commit to the next, where both followed one path without an edit between."""
    found: list[float | None] = [None]
    for before, after in itertools.pairwise(chunks):
        follows = after.parent == before.id and after.path is not None and after.path == before.path
        gap = _elapsed(before.created, after.created) if follows else None
        found.append(None if gap is None else gap / len(after.frame_ids))
    return found


def _elapsed(before: str, after: str) -> float | None:
    """Seconds between two recorded times; ``None`` where they are no times, or go back."""
    try:
        gap = (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()
    except (ValueError, TypeError):  # from a world that was tampered with: one has a time zone, one has none
        return None
    return gap if gap >= 0 else None


def _without_pauses(seconds: list[float | None]) -> list[float | None]:
    known = [each for each in seconds if each is not None]
    limit = PAUSE * median(known) if known else 0.0
    return [each if each is not None and each <= limit else None for each in seconds]


def _plan(world: World, frames: list[Measured], points: Points, *, by_age: bool = False) -> Plan:
    rgb = points.rgb.clamp(0.0, 1.0)
    if by_age:
        positions = {one.id: one.position for one in frames}
        place = torch.tensor([positions.get(number, 0) for number in points.source.tolist()])
        share = place[:, None] / max(len(frames) - 1, 1)
        rgb = torch.lerp(torch.tensor(OLD) / 255.0, torch.tensor(NEW) / 255.0, share)
    return plan_of(
        points.positions.double().numpy(),
        (255.0 * rgb).round().to(torch.uint8).numpy(),
        c2w=np.stack([one.c2w for one in frames]),
        up=np.array(world.scene.up),
        side=PLAN_SIDE,
    )


def _pictures(world: World, frames: list[Measured]) -> list[Picture]:
    rows = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), MOST_PICTURES)).round().astype(int))
    return [_picture(world, frames[row].id) for row in rows]


def _worst_returns(world: World, frames: list[Measured]) -> list[tuple[Picture, Picture, float]]:
    back = sorted(
        (one.came_back.psnr, one.came_back.earlier, one.id) for one in frames if one.came_back is not None
    )
    return [
        (_picture(world, earlier), _picture(world, later), score)
        for score, earlier, later in back[:WORST_RETURNS]
    ]


def _picture(world: World, number: int) -> Picture:
    rgb = world.frames([number]).rgb[0]
    return Picture(id=number, rgb=(255.0 * rgb).round().to(torch.uint8).numpy())


def _chunk_json(look: ChunkLook) -> dict[str, Any]:
    cost = look.chunk.cost
    return {
        "id": look.chunk.id,
        "frames": list(look.chunk.frame_ids),
        "given": look.chunk.given,
        "generator": look.chunk.generator,
        "path": look.chunk.path,
        "mean": list(look.mean),
        "contrast": look.contrast,
        "seconds_a_frame": look.seconds,
        "memory_bytes": look.memory_bytes,
        "machine": cost and str(cost.machine),
    }


def _frame_json(one: Measured, kept: Kept) -> dict[str, Any]:
    revisit, back = one.revisit, one.came_back
    return {
        "id": one.id,
        "chunk": one.chunk.id,
        "path": one.chunk.path,
        "given": one.chunk.given,
        "pixels": one.pixels,
        "points": kept.points,
        "culled": kept.culled,
        "known_before": one.known,
        "recalled": [
            {"frame": view.frame_id, "overlap": view.overlap, "gain": view.gain, "age": view.age}
            for view in one.recalled
        ],
        "measured": one.depth_before is not None,
        "depth_error": one.depth_error,
        "depth_share": one.depth_share,
        "revisit": revisit and {"share": revisit.share, "psnr": revisit.psnr, "ssim": revisit.ssim},
        "return": back and {"earlier": back.earlier, "share": back.share, "psnr": back.psnr},
    }
