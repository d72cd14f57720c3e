"""Single views of worlds that the generator was never trained on.

Room: worldgen. Two views of a held-out procedural world enter a cache; a third view is imagined and
compared with the exact one, and with what filling the holes from the nearest pixel would give.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from memory.cache import NEARER, Seen, WorldCache
from render.frames import Frames, median_depth
from render.metrics import mean_absolute_error, psnr
from worldgen.conditions import SceneUnits, known_from_cache
from worldgen.depth import encode, range_of
from worldgen.evaluation.features import frechet_distance, hole_features
from worldgen.generator import Generator
from worldgen.training.clips import FIRST_HELD_OUT_SEED
from worldgen.worlds import random_scene, random_walk_cameras, render

SOURCE_VIEWS = 2
MIN_KNOWN, MAX_KNOWN = 0.2, 0.95
"""Share of the third view that the cache may show; other walks are drawn until one fits."""

ATTEMPTS = 20
"""Walks that are drawn at most; the last one counts if none fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One view to imagine, and the truth."""

    sources: Frames
    """The two views that are known."""

    truth: Frames
    """The exact third view."""

    seen: Seen
    """What a cache of the two shows of the third."""

    units: SceneUnits


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One imagined view."""

    case: Case
    frames: Frames
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """A row of the evaluation table; "raw" is the cache render, "filled" its nearest-pixel fill."""

    scenes: int
    known_share: float
    """Mean share of pixels that the cache knew, in [0, 1]."""

    psnr_known: float
    """Mean over the views, in dB, on pixels that the cache knew."""

    psnr_known_raw: float
    depth_known: float
    """Mean absolute error of the depth code on known pixels."""

    depth_known_raw: float
    psnr_holes: float
    psnr_holes_filled: float
    frechet_holes: float
    """Frechet distance of random convolutional features inside the holes, to those of the truth."""

    frechet_holes_filled: float
    ms_a_frame: float


def held_out_case(index: int, *, size: int) -> Case:
    """The ``index``-th view to imagine; the same on every machine that renders alike."""
    attempt, case = 0, _case_of_walk(index, 0, size=size)
    while attempt + 1 < ATTEMPTS and not MIN_KNOWN <= float(case.seen.mask.float().mean()) <= MAX_KNOWN:
        attempt += 1
        case = _case_of_walk(index, attempt, size=size)
    return case


def _case_of_walk(index: int, attempt: int, *, size: int) -> Case:
    """One walk through the ``index``-th held-out world: two views that are known, and a third."""
    scene = random_scene(FIRST_HELD_OUT_SEED + index)
    cameras = random_walk_cameras(
        scene, n=SOURCE_VIEWS + 1, seed=1000 * index + attempt, width=size, height=size
    )
    frames = render(scene, cameras)
    sources, truth = frames[:SOURCE_VIEWS], frames[SOURCE_VIEWS:]
    cache = WorldCache()
    cache.insert(sources, ids=list(range(SOURCE_VIEWS)), nearer=NEARER)
    scale = median_depth(sources[:1])
    span = range_of(sources.depth / scale, sources.valid)
    units = SceneUnits(scale=scale, span=span)
    return Case(sources=sources, truth=truth, seen=cache.render(truth.cameras), units=units)


def answers(generator: Generator, *, scenes: int, seed: int = 0) -> Iterator[Answer]:
    """Imagine the held-out views one after the other."""
    for index in range(scenes):
        case = held_out_case(index, size=generator.size)
        started = time.perf_counter()
        frames = generator(known_from_cache(case.seen), case.sources, units=case.units, seed=seed + index)
        yield Answer(case=case, frames=frames, elapsed_s=time.perf_counter() - started)


def scores_of(collected: list[Answer]) -> Scores:
    """Score imagined views against the truth and against the nearest-pixel fill."""
    fills = [nearest_filled(answer.case.seen) for answer in collected]
    made, filled = (
        _pixel_scores([answer.case for answer in collected], frames)
        for frames in ([answer.frames for answer in collected], fills)
    )
    known, truth = [a.case.seen.mask for a in collected], [a.case.truth for a in collected]
    real, imagined, near = (
        hole_features([frames.rgb for frames in pictures], known, truth)
        for pictures in (truth, [answer.frames for answer in collected], fills)
    )
    return Scores(
        scenes=len(collected),
        known_share=float(torch.stack([mask.float().mean() for mask in known]).mean()),
        psnr_known=made[0],
        psnr_known_raw=filled[0],
        depth_known=made[1],
        depth_known_raw=filled[1],
        psnr_holes=made[2],
        psnr_holes_filled=filled[2],
        frechet_holes=frechet_distance(imagined, real),
        frechet_holes_filled=frechet_distance(near, real),
        ms_a_frame=1e3 * float(np.median([answer.elapsed_s for answer in collected])),
    )


def _pixel_scores(cases: list[Case], answered: list[Frames]) -> tuple[float, float, float]:
    """PSNR on known pixels, error of the depth code there, and PSNR in holes; means over the views.

    A view without known pixels, or without holes, does not count where it has no score.
    """
    rows = []
    for case, frames in zip(cases, answered, strict=True):
        mask = case.seen.mask
        code, exact = (encode(f.depth / case.units.scale, case.units.span) for f in (frames, case.truth))
        rows.append(
            torch.cat(
                [
                    psnr(frames.rgb, case.truth.rgb, mask=mask),
                    mean_absolute_error(code, exact, mask=mask),
                    psnr(frames.rgb, case.truth.rgb, mask=~mask),
                ]
            )
        )
    known, depth, holes = torch.stack(rows).nanmean(dim=0).tolist()
    return known, depth, holes


def nearest_filled(seen: Seen) -> Frames:
    """The cache render with every hole filled from its nearest known pixel."""
    mask = seen.mask[..., 0].numpy()
    nearest = [distance_transform_edt(~m, return_distances=False, return_indices=True) for m in mask]
    rows, columns = np.stack(nearest, axis=1)  # type: ignore[arg-type]
    index = (torch.arange(len(mask))[:, None, None], torch.from_numpy(rows), torch.from_numpy(columns))
    depth = seen.depth[index].clamp_min(1e-6)
    return Frames(
        rgb=seen.rgb[index],
        depth=depth,
        valid=torch.ones_like(seen.mask),
        confidence=torch.zeros_like(depth),
        cameras=seen.cameras,
    )
