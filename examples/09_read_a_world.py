"""Read a world in 20 lines: its cameras, how deep its frames are, all of them on a sheet, and a plan of it.

Run it as it is: ``python examples/09_read_a_world.py [WORLD] [--side N] [--out FOLDER]``. ``make demo`` grows
the world that is read where none is named. Nothing is written into it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import worldgen as wg


def read(place: Path, *, out: Path, side: int) -> None:
    """The 20 lines."""
    with wg.World.open(place) as world:
        frames, ids, scene = world.frames(), world.frame_ids(), world.scene
        points = wg.restored_cache(world).points
        print(f"{place}: {len(world.chunks())} chunks on {world.tree.current.name}, {len(points):,} points")
    unit = "m" if scene.units == "metres" else "scene lengths"
    cameras = frames.cameras
    fov = 2.0 * torch.rad2deg(torch.atan(0.5 * cameras.width / cameras.K[:, 0, 0]))
    print(f"{cameras.width}x{cameras.height} pixels, up is {scene.up}, lengths are {unit}\n")
    print("frame  stands at                looks along              sees  depth")
    for i, number in enumerate(ids):
        at, ahead = (", ".join(f"{x:6.2f}" for x in row[i]) for row in (cameras.origins, cameras.forwards))
        depth = frames.depth[i][frames.valid[i]]
        span = f"{depth.min():.2f} to {depth.max():.2f} {unit}" if len(depth) else "not known"
        print(f"{number:5}  ({at})  ({ahead})  {fov[i]:3.0f}°  {span}")
    wg.write_png(out / "sheet.png", wg.contact_sheet(frames, columns=8))
    centers, rgbs = points.positions.numpy(), (255.0 * points.rgb).round().byte().numpy()
    plan = wg.plan_of(centers, rgbs, c2w=cameras.c2w.numpy(), up=torch.tensor(scene.up).numpy(), side=side)
    wg.write_png(out / "plan.png", torch.from_numpy(plan.image)[None] / 255.0)
    print(f"\nmade {out / 'sheet.png'} and {out / 'plan.png'}, which is {plan.width:.2f} {unit} wide")


def main() -> None:
    """Read the world that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("world", type=Path, nargs="?", default=Path("demo/from-rgbd"), help="its folder")
    parser.add_argument("--side", type=int, default=512, help="pixels along each side of the plan")
    parser.add_argument("--out", type=Path, default=Path("demo/read"), help="folder for the pictures")
    options = parser.parse_args()
    if not options.world.is_dir():
        parser.error(f"there is no world {options.world}; name one, or grow this one with: make demo")
    options.out.mkdir(parents=True, exist_ok=True)
    read(options.world, out=options.out, side=options.side)


if __name__ == "__main__":
    main()
