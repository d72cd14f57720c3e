"""Splats to pictures: colour, depth and opacity of Gaussians seen by cameras.

Room: render (ground floor). Imports cameras and gaussians; every other room may import this.
One meaning, three backends: gsplat on CUDA, our compiled kernels on a CPU, and a plain torch twin that
says in a screen what both compute (``render.splat_twin``). The maths is gsplat's: EWA splatting of pinhole
views, front to back.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from render._splats.bridge import kernel_fronts, kernel_picture, painted
from render.cameras import Cameras
from render.gaussians import Gaussians, sh_from_rgb
from render.splat_twin import BLUR, FAR_PLANE, NEAR_PLANE, twin_fronts, twin_layers

Backend = Literal["gsplat", "numba", "torch"]

NO_NORMAL = 1e-6
"""Length of a blend of normals below which they cancel, but for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplatImage:
    """What cameras see of a set of Gaussians."""

    rgb: Float[Tensor, "n h w 3"]
    """Colour over the background; not negative, above 1 where spherical harmonics overshoot."""

    depth: Float[Tensor, "n h w 1"]
    """Expected z-depth in world units, of the opaque share alone; 0 where nothing is seen."""

    alpha: Float[Tensor, "n h w 1"]
    """Opacity in [0, 1]."""

    median_depth: Float[Tensor, "n h w 1"] | None = None
    """Z-depth, in world units, of the splat behind which less than half of the light passes on; 0 where more
    passes all of them. Where a near surface ends before a far one, it is of one of the two, never between
    them as the expected depth is. None where it was not asked for."""

    normals: Float[Tensor, "n h w 3"] | None = None
    """Unit normals in the world, towards the camera; 0 where nothing is seen. A splat's is its shortest axis.
    None where they were not asked for."""


class SplatTrace:
    """What the gradients of a render say of every Gaussian; they add up over views and renders."""

    def __init__(self, count: int, device: torch.device | str = "cpu") -> None:
        """Nothing seen yet of ``count`` Gaussians."""
        self.views = torch.zeros(count, device=device)
        """Views that saw each Gaussian."""

        self.slope = torch.zeros(count, device=device)
        """Sum over those views of the length of the gradient by its place on the screen, per pixel."""

    def note(self, seen: Int[Tensor, " v"], slope: Float[Tensor, " v"]) -> None:
        """Add one view."""
        self.views.index_add_(0, seen, torch.ones_like(slope))
        self.slope.index_add_(0, seen, slope)


def pick_backend(device: torch.device) -> Backend:
    """The backend for Gaussians that live on ``device``."""
    if device.type == "cuda" and torch.cuda.is_available():
        if find_spec("gsplat") is None:
            raise ValueError(
                "splats on a CUDA device need gsplat: install worldgen[cuda] or move them to the CPU"
            )
        return "gsplat"
    return "numba" if device.type == "cpu" else "torch"


def drawing_device() -> torch.device:
    """Where splats are drawn fastest: on a CUDA device that there is gsplat for, else on the CPU."""
    has_kernels = torch.cuda.is_available() and find_spec("gsplat") is not None
    return torch.device("cuda" if has_kernels else "cpu")


def available_threads() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def render_splats(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    background: Float[Tensor, "*hw 3"] | None = None,
    backend: Backend | None = None,
    threads: int | None = None,
    trace: SplatTrace | None = None,
    median_depth: bool = False,
    normals: bool = False,
) -> SplatImage:
    """Draw ``gaussians`` as ``cameras`` see them.

    Args:
        gaussians: What to draw.
        cameras: Where to draw it from, on the same device.
        background: Colour behind everything, or a picture, ``[h w 3]`` or ``[n h w 3]``; black if not given.
        backend: How to draw; ``pick_backend`` decides if none is given.
        threads: Threads for "numba", all available cores by default. The picture does not depend on it.
        trace: Filled when gradients come back from colour, depth and alpha, through "gsplat" and "numba".
        median_depth: Whether to find the median depth too, for about as much as a picture costs. On CUDA the
            twin finds it, block by block, because gsplat does not.
        normals: Whether to draw normals too, for a little more than a picture costs.

    Gradients reach Gaussians, camera poses and the background through every backend; those of a median depth
    are of the one splat that it is of. "numba" works in single precision, and its gradients do not depend on
    the threads either.

    Raises:
        ValueError: if ``threads`` is not positive.
    """
    means = gaussians.means
    behind = torch.zeros(3) if background is None else background
    behind = behind.to(device=means.device, dtype=means.dtype)
    count = available_threads() if threads is None else threads
    if count < 1:
        raise ValueError(f"rendering needs at least one thread, got {count}")
    chosen = pick_backend(means.device) if backend is None else backend
    image = _drawn(gaussians, cameras, behind, backend=chosen, threads=count, trace=trace)
    if median_depth:
        image = replace(image, median_depth=_median_depth(gaussians, cameras, backend=chosen, threads=count))
    if normals:
        image = replace(image, normals=_normals(gaussians, cameras, backend=chosen, threads=count))
    return image


def _drawn(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Float[Tensor, "*hw 3"],
    *,
    backend: Backend,
    threads: int,
    trace: SplatTrace | None,
) -> SplatImage:
    """Colour, depth and alpha, through one of the backends."""
    if backend == "gsplat":
        return _render_gsplat(gaussians, cameras, background, trace=trace)
    if backend == "torch":
        return _finished(twin_layers(gaussians, cameras), background)
    return _render_numba(gaussians, cameras, background, threads=threads, trace=trace)


def _median_depth(
    gaussians: Gaussians, cameras: Cameras, *, backend: Backend, threads: int
) -> Float[Tensor, "n h w 1"]:
    """Depth of the splats at which less than half of the light passes on."""
    if backend == "numba":
        fronts = kernel_fronts(gaussians, cameras, threads=threads)
    else:
        fronts = twin_fronts(gaussians, cameras)
    axis, offset = cameras.w2c[:, None, None, 2, :3], cameras.w2c[:, None, None, 2, 3]
    points = torch.cat([gaussians.means, gaussians.means.new_zeros(1, 3)])[fronts]
    depth = (points * axis).sum(dim=-1) + offset
    return torch.where(fronts >= 0, depth, 0.0)[..., None]


def _normals(
    gaussians: Gaussians, cameras: Cameras, *, backend: Backend, threads: int
) -> Float[Tensor, "n h w 3"]:
    """Normals of splats, drawn as if they were colours: so every backend draws them and has gradients."""
    drawn = []
    for view in range(len(cameras)):
        camera = cameras[[view]]
        painted_so, black = painted_by_normals(gaussians, camera), torch.zeros(3).to(gaussians.means)
        image = _drawn(painted_so, camera, black, backend=backend, threads=threads, trace=None)
        drawn.append(blended_normals(image))
    return torch.cat(drawn)


def painted_by_normals(gaussians: Gaussians, camera: Cameras) -> Gaussians:
    """The same Gaussians, with the normals that one camera sees for colours."""
    facing = _facing(gaussians, camera.origins[0])
    return replace(gaussians, sh=sh_from_rgb(0.5 * (facing + 1.0)))


def blended_normals(image: SplatImage) -> Float[Tensor, "n h w 3"]:
    """Unit normals from a picture, over black, of Gaussians painted by their normals."""
    blend = 2.0 * image.rgb - image.alpha
    length = blend.norm(dim=-1, keepdim=True)
    return torch.where(length > NO_NORMAL, blend / length.clamp_min(NO_NORMAL), 0.0)


def _facing(gaussians: Gaussians, origin: Float[Tensor, " 3"]) -> Float[Tensor, "g 3"]:
    """The normal of every Gaussian, a unit vector in the world, turned towards ``origin``."""
    axis = gaussians.normals
    ahead = (axis * (origin - gaussians.means)).sum(dim=-1, keepdim=True)
    return torch.where(ahead < 0, -axis, axis)


def _finished(layers: Float[Tensor, "n h w 5"], background: Float[Tensor, "*hw 3"]) -> SplatImage:
    """A picture from colour and depth times weight, and alpha."""
    rgb, depth, alpha = layers.split([3, 1, 1], dim=-1)
    is_seen = alpha > 0
    depth = torch.where(is_seen, depth / torch.where(is_seen, alpha, 1.0), 0.0)
    return SplatImage(rgb=rgb + (1.0 - alpha) * background, depth=depth, alpha=alpha)


def _render_numba(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Float[Tensor, "*hw 3"],
    *,
    threads: int,
    trace: SplatTrace | None,
) -> SplatImage:
    """Our kernels, in single precision on the CPU."""
    needed = [background, cameras.c2w, *(getattr(gaussians, field.name) for field in fields(gaussians))]
    behind = background.expand(len(cameras), cameras.height, cameras.width, 3)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in needed):
        note = None if trace is None else trace.note
        rgb, depth, alpha = kernel_picture(gaussians, cameras, behind, threads=threads, note=note)
    else:
        rgb, depth, alpha = painted(gaussians, cameras, behind, threads=threads)
    return SplatImage(rgb=rgb, depth=depth, alpha=alpha)


def _render_gsplat(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Float[Tensor, "*hw 3"],
    *,
    trace: SplatTrace | None,
) -> SplatImage:
    """The library's CUDA kernels."""
    from gsplat import rasterization  # noqa: PLC0415 - the CUDA extra; absent on most machines

    layers, alpha, meta = rasterization(
        gaussians.means,
        gaussians.quats,
        gaussians.scales,
        gaussians.opacities,
        gaussians.sh,
        cameras.w2c,
        cameras.K,
        cameras.width,
        cameras.height,
        near_plane=NEAR_PLANE,
        far_plane=FAR_PLANE,
        eps2d=BLUR,
        sh_degree=math.isqrt(gaussians.sh.shape[1]) - 1,
        render_mode="RGB+ED",
    )
    if trace is not None and meta["means2d"].requires_grad:
        seen = meta["gaussian_ids"]
        meta["means2d"].register_hook(lambda grad: trace.note(seen, grad.norm(dim=-1)))
    rgb = layers[..., :3] + (1.0 - alpha) * background
    return SplatImage(rgb=rgb, depth=layers[..., 3:], alpha=alpha)
