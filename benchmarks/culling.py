"""What the rules of the world cache save, and what that costs in pictures.

Claim: of all pixels of a hundred frames around a place, the rules keep a small part, and pictures from
places between those frames are better than with all of them. Run from the root of the repository:
``python -m benchmarks.culling [--scenes 4] [--frames 100]``. Frames are exact, of walks of 100 views
through procedural worlds, of which every fourth is left out; PSNR is that of the raw render at those, on
the pixels that every variant knows. Four worlds, 128x128:

                      points   saved      PSNR   known
    all            1,145,500      0%  28.09 dB   93.0%
    invisible only   113,003     90%  27.97 dB   93.8%
    and turned away  113,410     90%  27.98 dB   93.9%
    and nearer       120,962     89%  28.96 dB   94.1%

With all of them, points seen from afar lie before and between those seen from close by.
"""

from __future__ import annotations

import argparse
import dataclasses

import torch

from memory.cache import NEARER, Seen, WorldCache, backdrop, new_points
from memory.points import Points, points_with_room
from render.frames import Frames
from render.metrics import psnr
from render.points import render_points
from worldgen.worlds import random_scene, random_walk_cameras, render

SIZE = 128
FIRST_SEED = 3_000_000_000


def added_to(points: Points, frame: Frames, *, frame_id: int) -> Points:
    """What a frame adds to some points."""
    image = render_points(points.positions, frame.cameras, axes=points.axes)
    return new_points(frame, frame_id=frame_id, behind=backdrop(points, image, frame.cameras))


def everything(frames: Frames) -> WorldCache:
    """Every pixel of every frame that can be trusted."""
    cache, nothing = WorldCache(), points_with_room(0)
    for i in range(len(frames)):
        cache.take(added_to(nothing, frames[i : i + 1], frame_id=i))
    return cache


def invisible_only(frames: Frames) -> WorldCache:
    """Rule 1 alone: a pixel is new where nothing is cached, whichever way that faces."""
    cache = WorldCache()
    for i in range(len(frames)):
        held, origin = cache.points, frames.cameras.origins[i]
        towards = dataclasses.replace(held, normals=origin - held.positions)
        cache.take(added_to(towards, frames[i : i + 1], frame_id=i))
    return cache


def by_rules(frames: Frames, *, nearer: float | None = None) -> WorldCache:
    """Rules 1 and 2, and rule 3 if asked for."""
    cache = WorldCache()
    cache.insert(frames, ids=list(range(len(frames))), nearer=nearer)
    return cache


def measured(seed: int, frames: int) -> dict[str, tuple[int, float, float]]:
    """Points, PSNR in dB and the share of pixels that are known, for every variant in one world."""
    scene = random_scene(seed)
    cameras = random_walk_cameras(scene, n=frames, seed=seed, width=SIZE, height=SIZE)
    kept = torch.arange(frames) % 4 != 2
    walk, unseen = render(scene, cameras[kept]), render(scene, cameras[~kept])
    caches = {
        "all": everything(walk),
        "invisible only": invisible_only(walk),
        "and turned away": by_rules(walk),
        "and nearer": by_rules(walk, nearer=NEARER),
    }
    seen: dict[str, Seen] = {name: cache.render(unseen.cameras) for name, cache in caches.items()}
    common = torch.stack([view.mask for view in seen.values()]).all(dim=0)
    return {
        name: (
            len(caches[name]),
            float(psnr(view.rgb, unseen.rgb, mask=common).nanmean()),
            float(view.mask.float().mean()),
        )
        for name, view in seen.items()
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What the rules of the world cache save.")
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--frames", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measured(FIRST_SEED + i, options.frames) for i in range(options.scenes)]
    print(f"{'':18} {'points':>9} {'saved':>7} {'PSNR':>9} {'known':>7}")
    whole = sum(row["all"][0] for row in rows)
    for name in rows[0]:
        points, quality, known = (
            sum(column) / len(rows) for column in zip(*(row[name] for row in rows), strict=True)
        )
        saved = 1.0 - points * len(rows) / whole
        print(f"{name:18} {points:9,.0f} {saved:7.0%} {quality:6.2f} dB {known:7.1%}")


if __name__ == "__main__":
    main()
