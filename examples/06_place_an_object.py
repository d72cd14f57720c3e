"""Put a chair into a world, walk round it, and undo it all: the way is grown with the chair and without.

Run it as it is: ``python examples/06_place_an_object.py [--frames N] [--out FOLDER]``. A world is grown from
an RGB-D picture into ``FOLDER/world`` if there is none. The chair is made with trimesh; any glTF, OBJ or PLY
file will do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch
import trimesh

import worldgen as wg

BOX = Path(__file__).parent / "data/box_interior"
LEGS = [((x, 0.0, z), (x + 0.1, 0.5, z + 0.1)) for x in (-0.25, 0.15) for z in (-0.25, 0.15)]
CHAIR = [*LEGS, ((-0.25, 0.45, -0.25), (0.25, 0.55, 0.25)), ((-0.25, 0.55, -0.25), (0.25, 1.1, -0.15))]
"""Low and high corners of its parts: one unit high, +y up, facing +z."""

CHAIR_HEIGHT = 0.35
"""In scene lengths."""

SPOT = (0.75, 0.4)
"""Where in the first picture it stands, as shares of its height and its width."""


def make_chair(file: Path) -> None:
    """A red chair as a glTF file; colours are shown as they are, so each side has a shade of its own."""
    chair = trimesh.util.concatenate([trimesh.creation.box(bounds=bounds) for bounds in CHAIR])
    shades = 0.7 + 0.3 * chair.face_normals @ (0.3, 0.8, 0.5)
    chair.visual.face_colors = [[round(200 * shade), round(40 * shade), 30, 255] for shade in shades]
    chair.export(file)


def place(growth: wg.Growth, file: Path) -> int:
    """Stand a mesh where the first frame shows a floor, and return its number as a source of points."""
    world = growth.world
    first, scale = world.frames(world.frame_ids()[:1]), world.scene.scale
    row, column = (round(share * first.cameras.height) for share in SPOT)
    x, y, z = wg.unproject(first.depth, first.cameras)[0, row, column].tolist()
    chair = wg.stood(wg.read_mesh(file), at=(x, y, z), up=world.scene.up, scale=CHAIR_HEIGHT * scale)
    points = wg.points_of_mesh(chair, spacing=wg.spacing_of(first.cameras, scale=scale))
    chunk, placed = growth.place(points, settings={"mesh": file.name})
    print(f"placed {len(placed):,} points of {file.name} at ({x:.2f}, {y:.2f}, {z:.2f}) as chunk {chunk.id}")
    return int(placed.source[0])


def grow_round(growth: wg.Growth, *, frames: int) -> wg.Frames:
    """New frames on an arc round what the first one looks at."""
    world = growth.world
    first, up = world.cameras(world.frame_ids()[:1]), torch.tensor(world.scene.up)
    way = wg.orbit(first, n=frames + 1, degrees=50.0, up=up, scale=world.scene.scale)[1:]
    growth.plan(way, seed=3, name="orbit")
    return wg.concatenated([grown.frames for grown in growth.follow()])


def main() -> None:
    """Place, look, undo, look again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=6, help="frames round the chair")
    parser.add_argument("--out", type=Path, default=Path("demo/chair"), help="folder for everything")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path, file = options.out / "world", options.out / "chair.glb"
    if not path.exists():
        start = ("--image", BOX / "color.jpg", "--depth", BOX / "depth.png", "--fov-deg", 55, "--frames", 2)
        words = ("-m", "worldgen.cli", "grow", path, *start)
        subprocess.run([sys.executable, *map(str, words)], check=True)
    make_chair(file)

    generator = wg.RGBDGenerator(steps=4)
    with wg.World.open(path, writable=True) as world:
        before = len(world.chunks())
        growth = wg.Growth(world, generator)
        source = place(growth, file)
        furnished = grow_round(growth, frames=options.frames)
        seen = growth.cache.render(furnished.cameras)
        world.tree.undo(len(world.chunks()) - before)
        growth = wg.Growth(world, generator)  # what it knows is that of the head, without the chair
        bare = grow_round(growth, frames=options.frames)
        left = int((growth.cache.points.source == source).sum())

    chair = seen.mask & (seen.source == source)[..., None]
    shares = chair.float().mean(dim=(1, 2, 3)).tolist()
    kept, gone = (wg.psnr(frames.rgb, seen.rgb, mask=chair).tolist() for frames in (furnished, bare))
    print("\nframe  chair takes  frame shows it  after undo")
    for number, (share, yes, no) in enumerate(zip(shares, kept, gone, strict=True)):
        print(f"{number:5}  {share:11.1%}  {yes:11.1f} dB  {no:7.1f} dB")
    sheet = options.out / "chair.png"
    wg.write_png(sheet, wg.contact_sheet(wg.concatenated([furnished, bare]), columns=options.frames))
    print(
        f"made {file}, {path} ({left} points of the chair are left) and {sheet}: with it above, without below"
    )


if __name__ == "__main__":
    main()
