"""How fast the CPU kernels draw splats and find their gradients, beside gsplat's plain torch code.

Claims: forward and backward take 25 to 71 times less time than those of gsplat's torch code, which is given
its lists of pairs for nothing; by C++, 49 to 129 times less. Run from the root of the repository:
``python -m benchmarks.splats [--no-gsplat] [--kernels cpp|numba]``; gsplat's part takes a minute and 4 GB.
``benchmarks.splat_start`` has what the first call and memory cost, ``benchmarks.opensplat`` another program.
CPU time is of one thread, medians, in turns in one process, so that it holds on a busy machine; time on the
clock wants one where nothing else runs.

2026-11-22, 2 cores of an Intel Xeon (AVX-512, 2.6 GHz), torch 2.13.0+cpu, numba 0.68.1, gsplat 1.5.3. By
C++ (g++ 12.2):

    CPU time, one thread          forward        both     gsplat both
    one view, 50k, 256x256         8.3 ms     19.4 ms          955 ms    49x
    one view, 200k, 640x480       33.4 ms     89.0 ms         5979 ms    67x
    all round, 50k, 256x256        5.9 ms     15.2 ms         1179 ms    77x
    all round, 200k, 640x480      20.7 ms     55.8 ms         7171 ms   129x
                               one thread    2, clock a second
    draw 50k, 256x256              7.8 ms      5.9 ms    168.3
    train 50k, 256x256            25.2 ms     16.6 ms     60.1
    draw 200k, 640x480            30.4 ms     16.5 ms     60.6
    train 200k, 640x480          103.4 ms     61.6 ms     16.2
    draw fitted 150k, 640x480     41.3 ms     22.8 ms     43.8
    train fitted 150k, 640x480   135.6 ms     77.8 ms     12.9

By numba; the second half from another run, when the machine was a sixth faster:

    CPU time, one thread          forward        both     gsplat both
    one view, 50k, 256x256        11.5 ms     38.7 ms          964 ms    25x
    one view, 200k, 640x480       54.7 ms    183.5 ms         6362 ms    35x
    all round, 50k, 256x256        8.5 ms     27.4 ms         1583 ms    58x
    all round, 200k, 640x480      34.7 ms    120.7 ms         8573 ms    71x
                               one thread    2, clock a second
    draw 50k, 256x256             10.9 ms      6.9 ms    145.2
    train 50k, 256x256            48.2 ms     26.7 ms     37.5
    draw 200k, 640x480            50.6 ms     25.7 ms     38.9
    train 200k, 640x480          192.3 ms     98.4 ms     10.2
    draw fitted 150k, 640x480     66.6 ms     33.8 ms     29.6
    train fitted 150k, 640x480   234.4 ms    120.5 ms      8.3

On an AMD EPYC with AVX2 (Zen 3, 2021) everything takes two to three times as long; the ratios are the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.timing import cpu_ms, wall_ms
from reconstruct.adam import SelectiveAdam
from reconstruct.photometric import photometric_loss
from render._splats.kernels import VARIABLE, splat_kernels
from render.cameras import Cameras, intrinsics_from_fov, rays_cam, unproject
from render.gaussians import Gaussians, sh_from_rgb
from render.paths import turn
from render.splats import Backend, SplatTrace, available_threads, render_splats
from tests.oracles import gsplat_reference

HALF_EXTENTS = torch.tensor([2.0, 1.5, 2.5])
FOV = math.radians(60.0)
CASES = ((1, 50_000, (256, 256)), (1, 200_000, (640, 480)), (8, 50_000, (256, 256)), (8, 200_000, (640, 480)))
ROUNDS, SLOW_ROUNDS = 9, 1
FITTED = 150_000
NAMES = [field.name for field in dataclasses.fields(Gaussians)]


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


def fitted_splats(g: int, *, aspect: float) -> Gaussians:
    """Splats as fitting leaves them: of all sizes, shapes and opacities, coloured to degree 3."""
    start = room_splats(g, views=1, aspect=aspect)
    return dataclasses.replace(
        start,
        log_scales=start.log_scales + 0.6 * torch.randn(len(start), 3),
        logit_opacities=2.0 * torch.randn(len(start)),
        sh=torch.cat([start.sh, 0.1 * torch.randn(len(start), 15, 3)], dim=1),
    )


def both_ways(splats: Gaussians, cameras: Cameras, slope: Tensor, *, backend: Backend) -> Callable[[], None]:
    """Forward and backward of a picture."""
    leaves = {name: getattr(splats, name).clone().requires_grad_() for name in NAMES}

    def job() -> None:
        image = render_splats(Gaussians(**leaves), cameras, backend=backend, threads=1)
        (image.rgb * slope).sum().backward()
        for leaf in leaves.values():
            leaf.grad = None

    return job


def gsplat_both_ways(splats: Gaussians, cameras: Cameras, slope: Tensor) -> Callable[[], None]:
    """The same by gsplat's torch code, which has its pairs of pixels and splats beforehand."""
    leaves = {name: getattr(splats, name).clone().requires_grad_() for name in NAMES}
    pairs = gsplat_reference.pairs(splats, cameras)

    def job() -> None:
        layers = gsplat_reference.layers(Gaussians(**leaves), cameras, pairs)
        (layers[..., :3] * slope).sum().backward()
        for leaf in leaves.values():
            leaf.grad = None

    return job


def training_step(splats: Gaussians, cameras: Cameras, *, threads: int = 1) -> Callable[[], None]:
    """A step of training: picture, loss, gradients, and the optimiser on what was seen."""
    leaves = {name: getattr(splats, name).clone().requires_grad_() for name in NAMES}
    wanted, rates = torch.rand(cameras.height, cameras.width, 3), dict.fromkeys(NAMES, 1e-6)
    weight, adam = torch.ones(cameras.height, cameras.width, 1), SelectiveAdam(leaves)

    def job() -> None:
        trace = SplatTrace(len(splats))
        image = render_splats(Gaussians(**leaves), cameras, threads=threads, trace=trace)
        photometric_loss(image.rgb[0], wanted, weight=weight, threads=threads).backward()
        adam.step(leaves, seen=trace.views.nonzero()[:, 0], rates=rates, threads=threads)
        for leaf in leaves.values():
            leaf.grad = None

    return job


def compare(views: int, g: int, size: tuple[int, int], *, gsplat: bool) -> str:
    """One line of the first table."""
    (width, height), kind = size, "one view" if views == 1 else "all round"
    splats, cameras = room_splats(g, views=views, aspect=width / height), camera(width, height)
    slope = torch.randn(1, height, width, 3)
    jobs: dict[str, tuple[Callable[[], object], int]] = {
        "forward": (lambda: render_splats(splats, cameras, threads=1), ROUNDS),
        "both": (both_ways(splats, cameras, slope, backend="numba"), ROUNDS),
    }
    if gsplat:
        jobs["gsplat"] = gsplat_both_ways(splats, cameras, slope), SLOW_ROUNDS
    ms = cpu_ms(jobs)
    beside = f"{ms['gsplat']:12.0f} ms {ms['gsplat'] / ms['both']:5.0f}x" if gsplat else ""
    scene = f"{kind}, {g // 1000}k, {width}x{height}"
    return f"{scene:25} {ms['forward']:8.1f} ms {ms['both']:8.1f} ms {beside}"


def clocked() -> Iterator[str]:
    """The second table: CPU time on one thread and time on the clock on all cores."""
    small, large = (256, 256), (640, 480)
    few, many = (room_splats(g, views=1, aspect=a) for g, a in ((50_000, 1.0), (200_000, 4 / 3)))
    fitted = fitted_splats(FITTED, aspect=4 / 3)
    for name, splats, size in (("50k", few, small), ("200k", many, large), ("fitted 150k", fitted, large)):
        cameras = camera(*size)
        for verb in ("draw", "train"):

            def job(threads: int, *, verb=verb, splats=splats, cameras=cameras) -> Callable[[], object]:
                if verb == "train":
                    return training_step(splats, cameras, threads=threads)
                return lambda: render_splats(splats, cameras, threads=threads)

            alone = cpu_ms({"": (job(1), ROUNDS)})[""]
            clock = wall_ms({"": (job(available_threads()), ROUNDS)})[""]
            what = f"{verb} {name}, {size[0]}x{size[1]}"
            yield f"{what:25} {alone:8.1f} ms {clock:8.1f} ms {1e3 / clock:8.1f}"


def main() -> None:
    """Print the tables that the docstring keeps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--no-gsplat", action="store_true", help="leave gsplat's torch code out")
    parser.add_argument("--kernels", choices=("cpp", "numba"), help="in this language alone")
    options = parser.parse_args()
    if options.kernels:
        os.environ[VARIABLE] = options.kernels
    print(f"kernels: {splat_kernels().name}")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'CPU time, one thread':25} {'forward':>11} {'both':>11} {'gsplat both':>15}")
    for views, g, size in CASES:
        print(compare(views, g, size, gsplat=not options.no_gsplat), flush=True)
    print(f"{'':25} {'one thread':>11} {f'{available_threads()}, clock':>11} {'a second':>8}")
    for line in clocked():
        print(line, flush=True)


if __name__ == "__main__":
    main()
