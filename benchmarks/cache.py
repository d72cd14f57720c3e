"""What a step of the world cache costs as the world grows, beside drawing every point.

Claim: a step costs what the camera sees, not what the world holds. Before a wall it costs the same in a
town of any size. A street shows more of a larger town, and from high above all of it is in view: there far
tiles are drawn from fewer points. Beyond the budget (1 GiB of points) tiles lie on disk. Run from the root
of the repository:
``python -m benchmarks.cache [--points 100000 1000000 10000000 100000000]``. CPU time of one thread, medians,
taken in turns in one process. Inserts are of a frame that is new in every pixel.

One core of a server EPYC without AVX-512 (Zen 3), the other core busy:

      points    from     size      drawn      render      insert every point    in memory       stored
     138,496    wall   128 px     21,285      2.5 ms     12.1 ms        3 ms        11 MB        11 MB
     138,496    wall   256 px     21,285      5.5 ms     38.6 ms        6 ms        11 MB        11 MB
     138,496  street   128 px      5,075      1.4 ms     19.4 ms        1 ms        13 MB        11 MB
     138,496  street   256 px      3,800      4.0 ms     73.4 ms        1 ms        16 MB        11 MB
     138,496   above   128 px        429      1.9 ms     19.4 ms        7 ms        16 MB        11 MB
     138,496   above   256 px      1,074      5.2 ms     59.9 ms        7 ms        17 MB        12 MB
   1,403,136    wall   128 px     21,285      1.9 ms      7.6 ms       20 ms       112 MB       112 MB
   1,403,136    wall   256 px     21,285      4.0 ms     37.8 ms       16 ms       112 MB       112 MB
   1,403,136  street   128 px    125,324      6.7 ms     24.3 ms       12 ms       113 MB       112 MB
   1,403,136  street   256 px    180,416     15.4 ms     50.7 ms       19 ms       116 MB       113 MB
   1,403,136   above   128 px      4,403      2.9 ms     14.8 ms       36 ms       116 MB       113 MB
   1,403,136   above   256 px     11,132     10.4 ms     64.5 ms       44 ms       119 MB       113 MB
   7,652,608    wall   128 px     21,285      2.1 ms      6.8 ms       62 ms       613 MB       613 MB
   7,652,608    wall   256 px     21,285      3.9 ms     28.2 ms       68 ms       613 MB       613 MB
   7,652,608  street   128 px    146,729      8.1 ms     18.3 ms       60 ms       614 MB       613 MB
   7,652,608  street   256 px    223,798     17.8 ms     59.9 ms       70 ms       617 MB       613 MB
   7,652,608   above   128 px     24,244     13.3 ms     23.9 ms      192 ms       617 MB       613 MB
   7,652,608   above   256 px     61,157     33.1 ms     80.3 ms      251 ms       618 MB       613 MB
  97,554,688    wall   128 px     21,285      1.9 ms      7.0 ms                 1,074 MB     7,803 MB
  97,554,688    wall   256 px     21,285      3.5 ms     22.9 ms                 1,074 MB     7,803 MB
  97,554,688  street   128 px    180,186     18.4 ms     27.9 ms                 1,074 MB     7,804 MB
  97,554,688  street   256 px    263,405     22.6 ms     63.4 ms                 1,074 MB     7,804 MB
  97,554,688   above   128 px    174,236     84.1 ms     93.4 ms                 1,074 MB     7,804 MB
  97,554,688   above   256 px    409,777    211.3 ms    238.4 ms                 1,074 MB     7,805 MB

"every point" is the z-buffer alone, in one array in memory; a render also looks up colours. *Drawn* is how
many points the picture was made of; *in memory* and *stored* is what the points take.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Iterator

import torch

from benchmarks.timing import cpu_ms
from memory.cache import WorldCache
from memory.points import Points, concatenated
from render.cameras import Cameras, intrinsics_from_fov
from render.frames import Frames
from render.points import render_points

SPACING = 0.08
"""Metres between points on walls and ground."""

STREET, HOUSE = 24.0, 12.0
"""Metres from house to house, and along a house."""

ROUNDS = 11

LARGE = 20_000_000
"""Points that are no longer drawn from one array."""

NEW_FRAME = 10**6


def town(count: int) -> Iterator[Points]:
    """About ``count`` points on houses and the ground between them, house after house, centre first."""
    tile = 16 * SPACING
    per_house = round((STREET**2 + 4 * HOUSE * 9.0) / tile**2) * 256
    side = 1 + 2 * round((math.sqrt(count / per_house) - 1) / 2)  # odd, so that one house is in the middle
    lots = torch.cartesian_prod(torch.arange(side), torch.arange(side)).float() - (side - 1) / 2
    lots = lots[lots.norm(dim=1).argsort(stable=True)]
    return (_house(STREET * lot, tile, number=i) for i, lot in enumerate(lots))


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
    return concatenated([ground, *walls])


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
        source=torch.full((n,), 1),
    )


def wall_camera(size: int) -> Cameras:
    """Before a wall of the house in the middle: it shows the same in a town of any size."""
    c2w = torch.eye(4)[None].clone()
    c2w[0, :3, 3] = torch.tensor([0.0, -3.0, -HOUSE / 2 - 2.5])
    K = intrinsics_from_fov(math.radians(70.0), width=size, height=size)
    return Cameras(c2w=c2w, K=K, width=size, height=size)


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


def roof_camera(size: int) -> Cameras:
    """High above the middle of the town, with most of a large town in view."""
    c2w = torch.eye(4)[None].clone()
    c2w[0, :3, :3] = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    c2w[0, :3, 3] = torch.tensor([0.0, -300.0, 0.0])
    K = intrinsics_from_fov(math.radians(70.0), width=size, height=size)
    return Cameras(c2w=c2w, K=K, width=size, height=size)


def insert_ms(cache: WorldCache, frame: Frames) -> float:
    """Median time to insert a frame; it is deleted again each time."""
    times = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        cache.insert(frame, ids=[NEW_FRAME])
        times.append(1e3 * (time.thread_time() - start))
        cache.forget([NEW_FRAME])
    return statistics.median(times)


def line(cache: WorldCache, camera: Cameras, every: Points | None) -> str:
    """One line of the table."""
    store = cache.store
    seen = cache.render(camera)
    drawn = store.last_drawn
    frame = Frames(
        rgb=seen.rgb,
        depth=torch.full_like(seen.depth, 5.0),
        valid=torch.ones_like(seen.mask),
        confidence=torch.ones_like(seen.depth),
        cameras=camera,
    )
    jobs = {"render": (lambda: cache.render(camera), ROUNDS)}
    if every is not None:
        jobs["every"] = (lambda: render_points(every.positions, camera, axes=every.axes), 3)
    ms = cpu_ms(jobs)
    beside = f"{ms['every']:8.0f} ms" if every is not None else " " * 11
    return (
        f"{camera.width:5} px {drawn.points:10,} {ms['render']:8.1f} ms {insert_ms(cache, frame):8.1f} ms "
        f"{beside} {store.resident_bytes / 1e6:9,.0f} MB {store.stored_bytes / 1e6:9,.0f} MB"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, nargs="+", default=[10**5, 10**6, 10**7, 10**8])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'points':>12} {'from':>7} {'size':>8} {'drawn':>10} {'render':>11} {'insert':>11} "
        f"{'every point':>11} {'in memory':>12} {'stored':>12}"
    )
    for count in options.points:
        cache = WorldCache()
        for house in town(count):
            cache.take(house)
        every = cache.points if len(cache) < LARGE else None
        for name, view in (("wall", wall_camera), ("street", street_camera), ("above", roof_camera)):
            for size in (128, 256):
                print(f"{len(cache):12,} {name:>7} {line(cache, view(size), every)}", flush=True)


if __name__ == "__main__":
    main()
