"""How fast the CPU kernels draw splats, beside the torch twin and gsplat's torch projection.

Claim: the kernels draw a whole picture 40 to 120 times faster than the twin, in about the time that torch
takes to project the Gaussians alone. Run from the root of the repository: ``python -m benchmarks.splats``.
All figures are CPU time of one thread, medians, taken in turns in one process, so that they hold on a
busy machine. Last table: Intel Xeon (AVX-512, 2 cores shared with others), Python 3.11, torch 2.13.0+cpu,
numba 0.68.1, gsplat 1.5.3, commit 31dd24b:

    splats seen from              kernels       twin         gsplat projects
    one view, 50k, 256x256        10.8 ms     658 ms    61x            13 ms   1.2x
    one view, 50k, 640x480        21.2 ms    1533 ms    72x            13 ms   0.6x
    one view, 200k, 256x256       32.4 ms    2909 ms    90x            56 ms   1.7x
    one view, 200k, 640x480       44.9 ms    5409 ms   120x            56 ms   1.2x
    all round, 50k, 256x256        6.4 ms     284 ms    45x            12 ms   1.9x
    all round, 50k, 640x480       18.8 ms    1112 ms    59x            14 ms   0.7x
    all round, 200k, 256x256      13.3 ms     800 ms    60x            55 ms   4.1x
    all round, 200k, 640x480      27.6 ms    2685 ms    97x            55 ms   2.0x
"""

import math

import torch

from benchmarks.timing import cpu_ms
from render.cameras import Cameras, intrinsics_from_fov, rays_cam, unproject
from render.gaussians import Gaussians, sh_from_rgb
from render.paths import turn
from render.splats import render_splats
from tests.oracles import gsplat_reference

HALF_EXTENTS = torch.tensor([2.0, 1.5, 2.5])
FOV = math.radians(60.0)
ROUNDS, SLOW_ROUNDS = 9, 1


def camera(width: int, height: int) -> Cameras:
    """A camera that looks into a corner of the room."""
    c2w = torch.eye(4)[None]
    c2w[0, :3, 3] = torch.tensor([0.3, 0.2, -0.7])
    K = intrinsics_from_fov(FOV, width=width, height=height)
    return turn(Cameras(c2w=c2w, K=K, width=width, height=height), n=2, degrees=70.0)[1:]


def room_splats(g: int, *, views: int, aspect: float) -> Gaussians:
    """About ``g`` half opaque splats on the walls of a room, one per pixel of views that look all round."""
    height = round(math.sqrt(g / views / aspect))
    cameras = turn(camera(round(height * aspect), height), n=views)
    rays = rays_cam(cameras) @ cameras.c2w[:, None, :3, :3].mT
    origin = cameras.origins[:, None, None]
    depth = ((torch.where(rays > 0, HALF_EXTENTS, -HALF_EXTENTS) - origin) / rays).amin(dim=-1, keepdim=True)
    means = unproject(depth, cameras).reshape(-1, 3)
    spacing = (depth / cameras.K[0, 0, 0]).reshape(-1, 1)
    return Gaussians(
        means=means,
        quats=torch.nn.functional.normalize(torch.randn(len(means), 4), dim=1),
        log_scales=spacing.log().repeat(1, 3),
        logit_opacities=torch.zeros(len(means)),
        sh=sh_from_rgb(0.5 + 0.5 * torch.sin(7 * means)),
    )


def compare(views: int, g: int, size: tuple[int, int]) -> str:
    """One line of the table."""
    (width, height), kind = size, "one view" if views == 1 else "all round"
    splats, cameras = room_splats(g, views=views, aspect=width / height), camera(width, height)
    ms = cpu_ms(
        {
            "kernels": (lambda: render_splats(splats, cameras, threads=1), ROUNDS),
            "twin": (lambda: render_splats(splats, cameras, backend="torch"), SLOW_ROUNDS),
            "gsplat": (lambda: gsplat_reference.projected(splats, cameras), ROUNDS),
        }
    )
    own, twin, gsplat = ms["kernels"], ms["twin"], ms["gsplat"]
    scene = f"{kind}, {g // 1000}k, {width}x{height}"
    return (
        f"{scene:25} {own:8.1f} ms {twin:7.0f} ms {twin / own:5.0f}x {gsplat:13.0f} ms {gsplat / own:5.1f}x"
    )


def main() -> None:
    """Print the table that the docstring keeps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'splats seen from':25} {'kernels':>11} {'twin':>10} {'':6} {'gsplat projects':>16}")
    for views in (1, 8):
        for g in (50_000, 200_000):
            for size in ((256, 256), (640, 480)):
                print(compare(views, g, size))


if __name__ == "__main__":
    main()
