"""How fast the CPU kernels draw splats and find their gradients, beside gsplat's plain torch code.

Claims: forward and backward take 22 to 64 times less time than those of gsplat's torch code, which is given
its lists of pairs for nothing; with C++ kernels for tiles and their gradients, 30 to 83 times less. Run from
the root of the repository: ``python -m benchmarks.splats [--no-gsplat] [--kernels cpp|numba]``; gsplat's part
takes a minute and 4 GB. ``benchmarks.splat_start`` has what the first call and memory cost,
``benchmarks.opensplat`` another program. CPU time is of one thread, medians, in turns in one process, so that
it holds on a busy machine; time on the clock wants one where nothing else runs.

2026-11-22, 2 cores of an Intel Xeon (AVX-512), torch 2.13.0+cpu, numba 0.68.1, gsplat 1.5.3. By numba, the
times on the clock from a run in which nothing else ran:

    CPU time, one thread          forward        both     gsplat both
    one view, 50k, 256x256        11.0 ms     41.8 ms          903 ms    22x
    one view, 200k, 640x480       47.2 ms    176.9 ms         5373 ms    30x
    all round, 50k, 256x256        6.5 ms     24.7 ms         1181 ms    48x
    all round, 200k, 640x480      28.0 ms    109.5 ms         7036 ms    64x
                               one thread    2, clock a second
    draw 50k, 256x256              9.9 ms      7.3 ms    137.9
    train 50k, 256x256            44.4 ms     33.3 ms     30.1
    draw 200k, 640x480            43.2 ms     25.6 ms     39.1
    train 200k, 640x480          202.1 ms    131.7 ms      7.6
    draw fitted 150k, 640x480     57.5 ms     35.9 ms     27.9
    train fitted 150k, 640x480   235.6 ms    154.2 ms      6.5

On an AMD EPYC with AVX2 (Zen 3, 2021) everything takes two to three times as long; the ratios are the same.

By C++ (g++ 12.2), on the same Xeon while others used it; and by both within the same minutes, CPU time alone:

    CPU time, one thread          forward        both     gsplat both
    one view, 50k, 256x256        10.8 ms     32.8 ms          971 ms    30x
    one view, 200k, 640x480       46.2 ms    154.2 ms         5787 ms    38x
    all round, 50k, 256x256        7.3 ms     22.2 ms         1316 ms    59x
    all round, 200k, 640x480      28.2 ms     92.0 ms         7595 ms    83x

    CPU time, one thread            numba         C++
    both, 50k, 256x256            48.5 ms     38.3 ms
    both, 200k, 640x480          217.0 ms    162.8 ms
    draw 50k, 256x256             13.8 ms     10.9 ms
    train 50k, 256x256            61.8 ms     49.2 ms
    draw 200k, 640x480            54.1 ms     46.3 ms
    train 200k, 640x480          257.4 ms    199.8 ms
    draw fitted 150k, 640x480     70.4 ms     65.2 ms
    train fitted 150k, 640x480   281.2 ms    227.0 ms

    2 threads, clock a second       numba         C++
    draw 50k, 256x256               110.3       135.0
    train 50k, 256x256               25.0        30.7
    draw 200k, 640x480               32.6        39.1
    train 200k, 640x480               6.9         8.1
    draw fitted 150k, 640x480        25.5        30.3
    train fitted 150k, 640x480        5.8         7.1

The last table is of runs with nothing beside them, on a day when the machine was slower than for the first.
Projection, its gradients and the lists of splats are numba's either way.
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
    parser.add_argument("--kernels", choices=("cpp", "numba"), help="tiles in this language")
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
