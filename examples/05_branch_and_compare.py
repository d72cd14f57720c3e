"""Branch a world twice at one chunk, grow both branches along the same way, and compare what was imagined.

Run it as it is: ``python examples/05_branch_and_compare.py [--frames N] [--out FOLDER]``. A trunk of so many
frames is grown into ``FOLDER/world`` if there is no world; every run adds nothing to it but two branches.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch

import worldgen as wg

SEEDS = {"east": 11, "west": 12}
"""The heads, and what decides what is imagined on each."""

STEP_DEG = 12.0
"""How far the camera turns from frame to frame."""


def grow_trunk(path: Path, generator: wg.RGBDGenerator, *, frames: int) -> None:
    """A world from a bare seed."""
    size = generator.size
    K = wg.intrinsics_from_fov(math.radians(70.0), width=size, height=size)
    camera = wg.Cameras(c2w=torch.eye(4)[None], K=K, width=size, height=size)
    cameras = wg.turn(camera, n=frames, degrees=STEP_DEG * frames)
    info = wg.SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))
    wg.start(path, info, camera, cameras=cameras, generator=generator, seed=6, name="turn")
    with wg.World.open(path, writable=True) as world:
        for _ in wg.Growth(world, generator).follow():
            pass


def grow_branch(
    world: wg.World, generator: wg.RGBDGenerator, name: str, *, at: int, cameras: wg.Cameras
) -> wg.Frames:
    """Begin a head at a chunk, grow it along ``cameras``, and return its new frames."""
    world.tree.branch(name, at=at)
    growth = wg.Growth(world, generator)
    growth.plan(cameras, seed=SEEDS[name], name="turn")
    return wg.concatenated([grown.frames for grown in growth.follow()])


def main() -> None:
    """Grow, branch, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=6, help="frames of the trunk, and of each branch")
    parser.add_argument("--out", type=Path, default=Path("demo/branches"), help="folder for everything")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path, count = options.out / "world", options.frames
    generator = wg.RGBDGenerator(steps=4)
    if not path.exists():
        grow_trunk(path, generator, frames=count)

    with wg.World.open(path, writable=True) as world:
        trunk, at = world.tree.current.name, world.head
        last = world.cameras(world.frame_ids()[-1:])
        ahead = wg.turn(last, n=count + 1, degrees=STEP_DEG * (count + 1), up=torch.tensor(world.scene.up))[
            1:
        ]
        known = wg.restored_cache(world).render(ahead).mask  # what the trunk shows to the new cameras
        east, west = (grow_branch(world, generator, name, at=at, cameras=ahead) for name in SEEDS)
        world.tree.switch(trunk)
        heads = ", ".join(f"{head.name} at chunk {head.chunk}" for head in world.tree.heads())

    print(f"{path}: {heads}\n\nframe  known before  alike there  alike elsewhere")
    shares = known.float().mean(dim=(1, 2, 3)).tolist()
    there, elsewhere = (wg.psnr(east.rgb, west.rgb, mask=mask).tolist() for mask in (known, ~known))
    for number, (share, near, far) in enumerate(zip(shares, there, elsewhere, strict=True)):
        print(f"{number:5}  {share:11.0%}  {near:8.1f} dB  {far:12.1f} dB")
    sheet = options.out / "branches.png"
    wg.write_png(sheet, wg.contact_sheet(wg.concatenated([east, west]), columns=count))
    print(f"made {sheet}: east above west, colour above depth")


if __name__ == "__main__":
    main()
