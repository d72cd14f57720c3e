"""How fast points are drawn, beside the torch twin, and what a step of the world cache costs.

Claim: the z-buffer draws a million points in view in tens of milliseconds on one thread, tens of times
faster than the torch twin, which tries each of the 121 pixels that a patch may reach; and a step of the
cache costs a few milliseconds at 100,000 points, growing with what is held. Run from the root
of the repository: ``python -m benchmarks.points``. All figures are CPU time of one thread, medians,
taken in turns in one process, so that they hold on a busy machine. One core of a server EPYC
without AVX-512, torch 2.13, numba 0.68; the other core busy:

    a million in view            kernel        twin
    256x256, 0.5 px             44.0 ms     1843 ms     42x
    256x256, 1 px               69.8 ms     1937 ms     28x
    256x256, 2 px               80.9 ms     2250 ms     28x
    640x480, 0.5 px             49.7 ms     1953 ms     39x
    640x480, 1 px               99.4 ms     2259 ms     23x
    640x480, 2 px               84.0 ms     2530 ms     30x

     points in the cache    in view new pixels     render      insert
                  97,920         7%        70%     1.6 ms      8.4 ms
                 986,128         7%        69%     5.7 ms     12.3 ms
"""

import math

import torch

from benchmarks.timing import cpu_ms
from memory.cache import WorldCache, backdrop, new_points
from memory.points import Points
from render.cameras import Cameras, intrinsics_from_fov, project, rays_cam, unproject
from render.frames import Frames
from render.paths import turn
from render.points import render_points, render_points_twin

HALF_EXTENTS = torch.tensor([2.0, 1.5, 2.5])
FOV = math.radians(60.0)
IN_VIEW = 1_000_000
ROUNDS, SLOW_ROUNDS = 15, 3


def camera(width: int, height: int) -> Cameras:
    """A camera that looks into a corner of the room."""
    c2w = torch.eye(4)[None]
    c2w[0, :3, 3] = torch.tensor([0.3, 0.2, -0.7])
    K = intrinsics_from_fov(FOV, width=width, height=height)
    return turn(Cameras(c2w=c2w, K=K, width=width, height=height), n=2, degrees=70.0)[1:]


def room(cameras: Cameras) -> Frames:
    """What cameras in an empty box see."""
    rays = rays_cam(cameras) @ cameras.c2w[:, None, :3, :3].mT
    origin = cameras.origins[:, None, None]
    depth = ((torch.where(rays > 0, HALF_EXTENTS, -HALF_EXTENTS) - origin) / rays).amin(dim=-1, keepdim=True)
    return Frames(
        rgb=0.5 + 0.5 * torch.sin(7 * unproject(depth, cameras)),
        depth=depth,
        valid=torch.ones_like(depth, dtype=torch.bool),
        confidence=torch.ones_like(depth),
        cameras=cameras,
    )


def compare(size: tuple[int, int], radius_px: float) -> str:
    """One line of the first table: a million points in view, one half-size of squares."""
    width, height = size
    shown = camera(width, height)
    side = (IN_VIEW * height / width) ** 0.5
    frame = room(camera(round(side * width / height), round(side)))
    positions = unproject(frame.depth, frame.cameras).reshape(-1, 3)
    axes = (2.0 * radius_px * frame.depth / shown.K[0, 0, 0]).reshape(-1, 1, 1) * 0.5 * shown.c2w[0, :3, :2].T
    ms = cpu_ms(
        {
            "kernel": (lambda: render_points(positions, shown, axes=axes), ROUNDS),
            "twin": (lambda: render_points_twin(positions, shown, axes=axes), SLOW_ROUNDS),
        }
    )
    kernel, twin = ms["kernel"], ms["twin"]
    return f"{f'{width}x{height}, {radius_px:g} px':24} {kernel:7.1f} ms {twin:8.0f} ms {twin / kernel:6.0f}x"


def step(count: int) -> str:
    """One line of the second table: ``count`` points on three walls, and a frame that sees half a new one."""
    side = round((count / 3) ** 0.5)
    quarter = Cameras(
        c2w=torch.eye(4)[None],
        K=intrinsics_from_fov(0.5 * math.pi, width=side, height=side),
        width=side,
        height=side,
    )
    cache = WorldCache()
    cache.insert(room(turn(quarter, n=4)[:3]), ids=[0, 1, 2])
    frame = room(turn(camera(128, 128), n=2, degrees=-160.0)[1:])

    def added() -> Points:
        drawn = cache.store.draw(frame.cameras)
        return new_points(frame, frame_id=3, behind=backdrop(cache.store.rows, drawn, frame.cameras))

    ms = cpu_ms(
        {
            "render": (lambda: cache.render(frame.cameras), ROUNDS),
            "insert": (added, ROUNDS),
        }
    )
    new = len(added()) / frame.depth.numel()
    uv, z = project(cache.points.positions, frame.cameras)
    in_view = float(((uv - 64).abs().le(64).all(dim=-1, keepdim=True) & (z > 0)).float().mean())
    return f"{len(cache):20,} {in_view:10.0%} {new:10.0%} {ms['render']:7.1f} ms {ms['insert']:8.1f} ms"


def main() -> None:
    """Print the tables that the docstring keeps."""
    torch.set_num_threads(1)
    print(f"{'a million in view':24} {'kernel':>10} {'twin':>11}")
    for size in ((256, 256), (640, 480)):
        for radius_px in (0.5, 1.0, 2.0):
            print(compare(size, radius_px))
    print(f"\n{'points in the cache':>20} {'in view':>10} {'new pixels':>10} {'render':>10} {'insert':>11}")
    for count in (100_000, 1_000_000):
        print(step(count))


if __name__ == "__main__":
    main()
