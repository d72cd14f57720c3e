"""How true meshes are to the worlds that they were made of, and how long they take.

Claim: of a walk of 100 exact frames of 128x128 through a procedural world a mesh is made in less than 30 s on
two cores. Run from the root of the repository: ``python -m benchmarks.meshes [--worlds 3] [--noise 0]``.
*Off*: mean distance of places on the mesh from the true surface, exact; *missed*: mean distance of the true
surface that the cameras see, up to the depth limit, from the mesh. *Precision* and *recall*: shares that are
within 5 cm; *F*: their harmonic mean. Voxels are those that the frames give. Chamfer distance is the mean of
off and missed. With ``--watertight`` solids are made, too, in full and with 20,000 faces; *off* and
*precision* are those of what the cameras see of a mesh, as the back of a wall has no truth.

2026-11-22, 2 shared virtual cores of an Intel Xeon on which others were busy, numba 0.68.1:

    world      voxel     faces     fuse     mesh       off    missed  precision  recall       F
      901     7.2 cm   282,560    9.7 s    0.6 s   0.17 cm   1.46 cm      98.9%   99.1%   99.0%
      902    12.6 cm   130,813    2.0 s    0.2 s   2.25 cm   1.77 cm      91.3%   97.6%   94.3%
      903     4.3 cm   544,411   10.1 s    3.0 s   1.44 cm   1.15 cm      93.4%   99.7%   96.5%
    with --worlds 1 --noise 0.01
      901     7.2 cm   295,137   19.5 s    0.6 s   0.75 cm   1.66 cm      98.2%   98.8%   98.5%
    with --watertight
    world   mesh      faces  closing watertight       off    missed  precision  recall       F
      901   open    282,560    0.0 s         no   0.24 cm   1.34 cm      98.8%   99.2%   99.0%
      901  solid    614,160    2.0 s        yes   0.24 cm   1.30 cm      98.8%   99.5%   99.2%
      901  fewer     19,968    1.1 s        yes   0.25 cm   1.31 cm      98.8%   99.5%   99.2%
      902   open    130,813    0.0 s         no   0.41 cm   1.54 cm      99.0%   97.8%   98.4%
      902  solid    279,864    0.9 s        yes   0.42 cm   1.53 cm      99.0%   97.9%   98.4%
      902  fewer     19,920    0.4 s        yes   0.46 cm   1.55 cm      98.9%   97.7%   98.3%
      903   open    544,411    0.0 s         no   0.17 cm   1.34 cm      99.8%   99.7%   99.7%
      903  solid  1,172,356    4.9 s        yes   0.18 cm   1.32 cm      99.7%   99.8%   99.8%
      903  fewer     19,798    2.0 s        yes   0.25 cm   1.35 cm      99.7%   99.8%   99.8%
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

from reconstruct.closed import closed
from reconstruct.manifold import closed_decimated
from reconstruct.meshed import TEXTURED_FACES
from reconstruct.surface import Surface, surface_of
from reconstruct.tidy import without_islands
from reconstruct.tsdf import FAR, Fusion, fuse
from render.cameras import rays_cam, resized, unproject
from render.frames import Frames
from worldgen.worlds import Scene, clearance, random_scene, random_walk_cameras, render

FRAMES, SIZE = 100, 128
FINER = 2
"""True surfaces are seen by the same cameras with so many times the pixels."""

GRID = 0.02
"""True points are thinned to one in a cube of this side, metres: near ones count no more than far ones."""

SAMPLES = 1_000_000
SAMPLED_AREA = 600.0
"""Square metres over which so many are spread where meshes of different areas are compared."""

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


def judged(
    surface: Surface,
    scene: Scene,
    truth: Float[np.ndarray, "p 3"],
    shown: Float[np.ndarray, "q 3"] | None = None,
) -> tuple[float, ...]:
    """Mean distance to truth and from truth in centimetres, and precision, recall and F-score in percent.

    To truth it is measured from everywhere on the mesh, or from the points that are ``shown``.
    """
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    count = SAMPLES if shown is None else int(SAMPLES * mesh.area / SAMPLED_AREA)
    points, _ = trimesh.sample.sample_surface(mesh, count, seed=0)
    places = points if shown is None else shown
    to_truth = clearance(scene, torch.from_numpy(places).float())[:, 0].abs().numpy()
    from_truth, _ = cKDTree(points).query(truth, workers=2)
    precision, recall = (to_truth < NEAR).mean(), (from_truth < NEAR).mean()
    f_score = 2 * precision * recall / (precision + recall)
    return (*(100 * x for x in (to_truth.mean(), from_truth.mean(), precision, recall, f_score)),)


def shown_points(surface: Surface, frames: Frames) -> Float[np.ndarray, "p 3"]:
    """Points that the cameras see of a mesh, evenly spread."""
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    rays = rays_cam(frames.cameras) @ frames.cameras.c2w[:, None, :3, :3].mT
    found = []
    for origin, way in zip(frames.cameras.origins.double(), rays.double(), strict=True):
        ways = way.reshape(-1, 3).numpy()
        places, _, _ = mesh.ray.intersects_location(
            np.tile(origin.numpy(), (len(ways), 1)), ways, multiple_hits=False
        )
        found.append(thinned(places))
    return thinned(np.concatenate(found))


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


def closed_lines(seed: int) -> str:
    """What became of one world as an open mesh and as a solid, both judged by what the cameras see."""
    scene, frames = walk(seed)
    field = fuse([frames], Fusion())
    surface = without_islands(surface_of(field))
    began = time.perf_counter()
    solid = closed(field, surface, [frames], memory_bytes=1 << 30)
    done = time.perf_counter()
    fewer = closed_decimated(solid, TEXTURED_FACES)
    taken = (0.0, done - began, time.perf_counter() - done)
    truth = seen_points(scene, frames, limit=FAR * field.depth)
    lines = []
    for name, each, seconds in zip(("open", "solid", "fewer"), (surface, solid, fewer), taken, strict=True):
        mesh = trimesh.Trimesh(each.vertices, each.faces)
        is_tight = mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0
        off, missed, precision, recall, f_score = judged(each, scene, truth, shown_points(each, frames))
        lines.append(
            f"{seed:5} {name:>6} {len(each):10,} {seconds:6.1f} s {'yes' if is_tight else 'no':>10} "
            f"{off:6.2f} cm {missed:6.2f} cm {precision:9.1f}% {recall:6.1f}% {f_score:6.1f}%"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table that the docstring keeps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--noise", type=float, default=0.0, help="typical relative error of a frame's depth")
    parser.add_argument("--watertight", action="store_true", help="solids beside open meshes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    surface_of(fuse([walk(1, frames=2, size=32)[1]], Fusion()))  # compiles
    if options.watertight:
        print("world   mesh      faces  closing watertight       off    missed  precision  recall       F")
        for seed in range(901, 901 + options.worlds):
            print(closed_lines(seed), flush=True)
        return
    print("world      voxel     faces     fuse     mesh       off    missed  precision  recall       F")
    for seed in range(901, 901 + options.worlds):
        print(line(seed, options.noise), flush=True)


if __name__ == "__main__":
    main()
