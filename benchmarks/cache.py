"""What a step of the world cache costs as the world grows, beside drawing every point.

Claim: the block index never costs more than drawing every point, and less the more a world holds that is
out of view or hidden. What is far away is still drawn in full: a street that shows the whole town costs
more in a larger town. Run from the root of the repository: ``python -m benchmarks.cache [--points 100000
1000000 10000000]``. CPU time of one thread, medians, taken in turns in one process. Inserts are of a
frame that is new in every pixel. One core of a server EPYC without AVX-512, the other core busy:

      points     size    blocks      render      insert every point
     138,496   128 px       541      1.1 ms     10.8 ms        1 ms      1x
     138,496   256 px       541      2.6 ms     40.5 ms        1 ms      0x
   1,403,136   128 px     5,481      8.7 ms     18.4 ms       11 ms      1x
   1,403,136   256 px     5,481     10.6 ms     42.3 ms       14 ms      1x
   7,652,608   128 px    29,893     24.9 ms     52.9 ms       58 ms      2x
   7,652,608   256 px    29,893     18.3 ms     58.4 ms       60 ms      3x

"every point" is the z-buffer alone; a render also looks up colours, which is most of it in a small town.
"""

from __future__ import annotations

import argparse
import math

import torch

from benchmarks.timing import cpu_ms
from memory.blocks import BLOCK
from memory.cache import WorldCache, new_points
from memory.points import Points
from render.cameras import Cameras, intrinsics_from_fov
from render.frames import Frames
from render.points import render_points

SPACING = 0.08
"""Metres between points on walls and ground."""

STREET, HOUSE = 24.0, 12.0
"""Metres from house to house, and along a house."""

ROUNDS = 11


def town(count: int) -> Points:
    """About ``count`` points on houses and the ground between them, square after square, centre first."""
    tile = 16 * SPACING
    per_house = round((STREET**2 + 4 * HOUSE * 9.0) / tile**2) * 256
    side = 1 + 2 * round((math.sqrt(count / per_house) - 1) / 2)  # odd, so that one house is in the middle
    lots = torch.cartesian_prod(torch.arange(side), torch.arange(side)).float() - (side - 1) / 2
    lots = lots[lots.norm(dim=1).argsort(stable=True)]
    return _joined([_house(STREET * lot, tile, number=i) for i, lot in enumerate(lots)])


def _house(at: torch.Tensor, tile: float, *, number: int) -> Points:
    ground = _sheet(
        (at[0] - STREET / 2, 0.0, at[1] - STREET / 2), (STREET, 0.0, 0.0), (0.0, 0.0, STREET), tile
    )
    height = 6.0 + 6.0 * ((number * 7) % 11) / 11
    low_x, low_z = at[0] - HOUSE / 2, at[1] - HOUSE / 2
    walls = [
        _sheet((low_x, 0.0, low_z), (HOUSE, 0.0, 0.0), (0.0, -height, 0.0), tile),
        _sheet((low_x, 0.0, low_z + HOUSE), (0.0, -height, 0.0), (HOUSE, 0.0, 0.0), tile),
        _sheet((low_x, 0.0, low_z), (0.0, -height, 0.0), (0.0, 0.0, HOUSE), tile),
        _sheet((low_x + HOUSE, 0.0, low_z), (0.0, 0.0, HOUSE), (0.0, -height, 0.0), tile),
    ]
    return _joined([ground, *walls])


def _sheet(corner: tuple, along: tuple, across: tuple, tile: float) -> Points:
    """A rectangle of points whose normal is ``across`` x ``along``, in squares of 16 x 16."""
    a, b = torch.tensor(along), torch.tensor(across)
    columns, rows = (max(1, round(float(side.norm()) / tile)) for side in (a, b))
    fine = (torch.cartesian_prod(torch.arange(16), torch.arange(16)).float() + 0.5) / 16
    squares = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float()
    st = (squares[:, None] + fine).reshape(-1, 2) / torch.tensor([rows, columns])
    axes = torch.stack([a / (32 * columns), b / (32 * rows)])
    positions = torch.tensor([float(x) for x in corner]) + st[:, 1:] * a + st[:, :1] * b
    n = len(positions)
    return Points(
        positions=positions,
        rgb=(0.5 + 0.5 * torch.sin(3.0 * positions)),
        normals=torch.nn.functional.normalize(torch.linalg.cross(b, a), dim=0).expand(n, 3),
        confidence=torch.full((n,), 0.5),
        axes=axes.expand(n, 2, 3),
        source=torch.zeros(n, dtype=torch.int64),
    )


def _joined(parts: list[Points]) -> Points:
    names = ("positions", "rgb", "normals", "confidence", "axes", "source")
    return Points(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def street_camera(size: int) -> Cameras:
    """A camera at a crossing beside the middle of the town, looking past its houses."""
    c2w = torch.eye(4)[None].clone()
    yaw = math.radians(32.0)
    c2w[0, :3, :3] = torch.tensor(
        [[math.cos(yaw), 0.0, math.sin(yaw)], [0.0, 1.0, 0.0], [-math.sin(yaw), 0.0, math.cos(yaw)]]
    )
    c2w[0, :3, 3] = torch.tensor([STREET / 2 + 1.0, -1.7, -STREET / 2 - 2.0])
    K = intrinsics_from_fov(math.radians(70.0), width=size, height=size)
    return Cameras(c2w=c2w, K=K, width=size, height=size)


def line(points: Points, cache: WorldCache, size: int) -> str:
    """One line of the table."""
    camera = street_camera(size)
    seen = cache.render(camera)
    frame = Frames(
        rgb=seen.rgb,
        depth=torch.where(seen.mask, seen.depth, 30.0),
        valid=torch.ones_like(seen.mask),
        confidence=torch.ones_like(seen.depth),
        cameras=camera,
    )
    small = Cameras(
        c2w=camera.c2w, K=camera.K * torch.tensor([[0.5], [0.5], [1.0]]), width=size // 2, height=size // 2
    )
    ms = cpu_ms(
        {
            "render": (lambda: cache.render(camera), ROUNDS),
            "insert": (
                lambda: new_points(points, frame, frame_id=1, drawn=cache._blocks.draw(points, small)),
                ROUNDS,
            ),
            "every": (lambda: render_points(points.positions, camera, axes=points.axes), 3),
        }
    )
    blocks = -(-len(points) // BLOCK)
    return (
        f"{len(points):12,} {size:5} px {blocks:9,} {ms['render']:8.1f} ms {ms['insert']:8.1f} ms "
        f"{ms['every']:8.0f} ms {ms['every'] / ms['render']:6.0f}x"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'points':>12} {'size':>8} {'blocks':>9} {'render':>11} {'insert':>11} {'every point':>11}")
    for count in options.points:
        cache = WorldCache()
        cache.take(town(count))
        for size in (128, 256):
            print(line(cache.points, cache, size), flush=True)


if __name__ == "__main__":
    main()
