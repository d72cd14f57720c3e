"""Grow a world from Python: your own camera path, a frame at a time, and splats at the end.

Run it as it is: ``python examples/02_grow_in_python.py [--frames N] [--out FOLDER]``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import worldgen as wg


def main() -> None:
    """Grow a world that looks around, then export it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=12, help="frames of the world")
    parser.add_argument("--out", type=Path, default=Path("demo/from-python"), help="folder of the new world")
    options = parser.parse_args()

    generator = wg.RGBDGenerator(steps=4)
    size = generator.size
    K = torch.tensor([[[0.7 * size, 0.0, size / 2], [0.0, 0.7 * size, size / 2], [0.0, 0.0, 1.0]]])
    camera = wg.Cameras(c2w=torch.eye(4)[None], K=K, width=size, height=size)
    cameras = wg.turn(camera, n=options.frames)

    info = wg.SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))
    wg.start(options.out, info, camera, cameras=cameras, generator=generator, seed=7, name="turn")
    with wg.World.open(options.out, writable=True) as world:
        growth = wg.Growth(world, generator)
        for grown in growth.follow():
            print(f"frame {grown.chunk.frame_ids[0]}: {len(grown.points):,} new points")
        splats = wg.gaussians_from_points(growth.cache.points)
        wg.export_splats(splats, options.out.with_suffix(".ply"))
    print(f"made {options.out} and {options.out.with_suffix('.ply')}")


if __name__ == "__main__":
    main()
