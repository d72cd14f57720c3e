"""How true meshes are to the worlds that they were made of, and how long they take.

Claim: of a walk of 100 exact frames of 128x128 through a procedural world a mesh is made in less than 30 s on
two cores. Run from the root of the repository: ``python -m benchmarks.meshes [--worlds 3] [--noise 0]``.
*Off*: mean distance of places on the mesh from the true surface, exact; *missed*: mean distance of the true
surface that the cameras see, up to the depth limit, from the mesh. *Precision* and *recall*: shares that are
within 5 cm; *F*: their harmonic mean. Voxels are those that the frames give. Chamfer distance is the mean of
off and missed.

2026-11-22, 2 shared virtual cores of an Intel Xeon on which others were busy, numba 0.68.1:

    world      voxel     faces     fuse     mesh       off    missed  precision  recall       F
      901     7.2 cm   282,560    9.7 s    0.6 s   0.17 cm   1.46 cm      98.9%   99.1%   99.0%
      902    12.6 cm   130,813    2.0 s    0.2 s   2.25 cm   1.77 cm      91.3%   97.6%   94.3%
      903     4.3 cm   544,411   10.1 s    3.0 s   1.44 cm   1.15 cm      93.4%   99.7%   96.5%
    with --worlds 1 --noise 0.01
      901     7.2 cm   295,137   19.5 s    0.6 s   0.75 cm   1.66 cm      98.2%   98.8%   98.5%
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy.spatial import cKDTree

from reconstruct.surface import Surface, surface_of
from reconstruct.tidy import without_islands
from reconstruct.tsdf import FAR, Fusion, fuse
from render.cameras import resized, unproject
from render.frames import Frames
from worldgen.worlds import Scene, clearance, random_scene, random_walk_cameras, render

FRAMES, SIZE = 100, 128
FINER = 2
"""True surfaces are seen by the same cameras with so many times the pixels."""

GRID = 0.02
"""True points are thinned to one in a cube of this side, metres: near ones count no more than far ones."""

SAMPLES = 1_000_000
NEAR = 0.05
"""Metres within which a point counts as found."""


def walk(seed: int, *, frames: int = FRAMES, size: int = SIZE) -> tuple[Scene, Frames]:
    """A world and exact pictures along a walk through it."""
    scene = random_scene(seed)
    cameras = random_walk_cameras(scene, n=frames, seed=seed, width=size, height=size)
    return scene, render(scene, cameras, threads=2)


def seen_points(scene: Scene, frames: Frames, *, limit: float) -> Float[np.ndarray, "p 3"]:
    """True surface points that the frames' cameras see, evenly spread, no further away than ``limit``."""
    side = FINER * frames.cameras.width
    cameras = resized(frames.cameras, width=side, height=side)
    found = []
    for i in range(len(cameras)):
        shown = render(scene, cameras[[i]], smooth=False, threads=2)
        found.append(
            thinned(unproject(shown.depth, shown.cameras)[(shown.depth < limit)[..., 0]].double().numpy())
        )
    return thinned(np.concatenate(found))


def thinned(points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, "q 3"]:
    """One point in every cube that holds any."""
    x, y, z = np.floor(points / GRID).astype(np.int64).T
    _, first = np.unique((x << 42) + (y << 21) + z, return_index=True)
    return points[np.sort(first)]


def judged(surface: Surface, scene: Scene, truth: Float[np.ndarray, "p 3"]) -> tuple[float, ...]:
    """Mean distance to truth and from truth in centimetres, and precision, recall and F-score in percent."""
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    points, _ = trimesh.sample.sample_surface(mesh, SAMPLES, seed=0)
    to_truth = clearance(scene, torch.from_numpy(points).float())[:, 0].abs().numpy()
    from_truth, _ = cKDTree(points).query(truth, workers=2)
    precision, recall = (to_truth < NEAR).mean(), (from_truth < NEAR).mean()
    f_score = 2 * precision * recall / (precision + recall)
    return (*(100 * x for x in (to_truth.mean(), from_truth.mean(), precision, recall, f_score)),)


def disturbed(frames: Frames, noise: float, seed: int) -> Frames:
    """Frames whose depths are off by a factor each, ``1 + noise`` typically, as imagined depths are."""
    factors = 1.0 + noise * torch.randn(len(frames), 1, 1, 1, generator=torch.Generator().manual_seed(seed))
    return dataclasses.replace(frames, depth=frames.depth * factors)


def line(seed: int, noise: float) -> str:
    """What became of one world."""
    scene, exact = walk(seed)
    frames = disturbed(exact, noise, seed) if noise else exact
    began = time.perf_counter()
    field = fuse([frames], Fusion())
    fused = time.perf_counter()
    surface = without_islands(surface_of(field))
    done = time.perf_counter()
    truth = seen_points(scene, exact, limit=FAR * field.depth)
    off, missed, precision, recall, f_score = judged(surface, scene, truth)
    return (
        f"{seed:5} {100 * field.voxel:7.1f} cm {len(surface):9,} {fused - began:6.1f} s "
        f"{done - fused:6.1f} s {off:6.2f} cm {missed:6.2f} cm "
        f"{precision:9.1f}% {recall:6.1f}% {f_score:6.1f}%"
    )


def main() -> None:
    """Print the table that the docstring keeps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--noise", type=float, default=0.0, help="typical relative error of a frame's depth")
    options = parser.parse_args()
    torch.set_num_threads(1)
    surface_of(fuse([walk(1, frames=2, size=32)[1]], Fusion()))  # compiles
    print("world      voxel     faces     fuse     mesh       off    missed  precision  recall       F")
    for seed in range(901, 901 + options.worlds):
        print(line(seed, options.noise), flush=True)


if __name__ == "__main__":
    main()
