"""Splats to pictures: colour, depth and opacity of Gaussians seen by cameras.

Room: render (ground floor). Imports cameras and gaussians; every other room may import this.
One meaning, three backends: gsplat on CUDA, our compiled kernels on a CPU, and a plain torch twin that
says in a screen what both compute. The maths is gsplat's: EWA splatting of pinhole views, front to back.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Literal

import torch
from jaxtyping import Float, Int
from kornia.geometry.conversions import quaternion_to_rotation_matrix
from torch import Tensor

from render._splats.bridge import kernel_layers, painted
from render.cameras import Cameras, pixel_centres
from render.gaussians import SH_C0, Gaussians

Backend = Literal["gsplat", "numba", "torch"]

NEAR_PLANE, FAR_PLANE = 0.01, 1e10
"""Z-depths between which a Gaussian's centre must lie to be seen."""

BLUR = 0.3
"""Variance in square pixels added to every splat, so that none falls between pixels."""

MIN_ALPHA, MAX_ALPHA = 1.0 / 255.0, 0.999
"""Fainter contributions are dropped, stronger ones are clamped."""

MIN_TRANSMITTANCE = 1e-4
"""A pixel is full when less light than this would pass the next splat."""

FRUSTUM_SLACK = 0.3
"""Share of the half field of view by which the frustum is widened before projection is linearised."""

BLOCK = 16
"""Pixels along a side of the squares that the twin composites at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplatImage:
    """What cameras see of a set of Gaussians."""

    rgb: Float[Tensor, "n h w 3"]
    """Colour over the background; not negative, above 1 where spherical harmonics overshoot."""

    depth: Float[Tensor, "n h w 1"]
    """Expected z-depth in world units, of the opaque share alone; 0 where nothing is seen."""

    alpha: Float[Tensor, "n h w 1"]
    """Opacity in [0, 1]."""


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
) -> SplatImage:
    """Draw ``gaussians`` as ``cameras`` see them.

    Args:
        gaussians: What to draw.
        cameras: Where to draw it from, on the same device.
        background: Colour behind everything, or a picture, ``[h w 3]`` or ``[n h w 3]``; black if not given.
        backend: How to draw; ``pick_backend`` decides if none is given.
        threads: Threads for "numba", all available cores by default. The picture does not depend on it.
        trace: Filled when gradients come back, through "gsplat" and "numba".

    Gradients reach Gaussians, camera poses and the background through every backend; "numba" works in single
    precision, and its gradients do not depend on the threads either.

    Raises:
        ValueError: if ``threads`` is not positive.
    """
    means = gaussians.means
    behind = torch.zeros(3) if background is None else background
    behind = behind.to(device=means.device, dtype=means.dtype)
    chosen = pick_backend(means.device) if backend is None else backend
    if chosen == "gsplat":
        return _render_gsplat(gaussians, cameras, behind, trace=trace)
    if chosen == "torch":
        return _render_twin(gaussians, cameras, behind)
    count = available_threads() if threads is None else threads
    if count < 1:
        raise ValueError(f"rendering needs at least one thread, got {count}")
    return _render_numba(gaussians, cameras, behind, threads=count, trace=trace)


def sh_colours(sh: Float[Tensor, "g k 3"], directions: Float[Tensor, "g 3"]) -> Float[Tensor, "g 3"]:
    """Colours that spherical harmonics show along unit ``directions`` from the camera; not negative."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z

    def c(numerator: int, denominator: int) -> float:
        return math.sqrt(numerator / (denominator * math.pi))

    basis = [torch.full_like(x, SH_C0)]
    if sh.shape[1] > 1:
        basis += [-c(3, 4) * y, c(3, 4) * z, -c(3, 4) * x]
    if sh.shape[1] > 4:
        basis += [c(15, 4) * x * y, -c(15, 4) * y * z, c(5, 16) * (2 * zz - xx - yy)]
        basis += [-c(15, 4) * x * z, c(15, 16) * (xx - yy)]
    if sh.shape[1] > 9:
        basis += [-c(35, 32) * y * (3 * xx - yy), c(105, 4) * x * y * z, -c(21, 32) * y * (4 * zz - xx - yy)]
        basis += [c(7, 16) * z * (2 * zz - 3 * xx - 3 * yy), -c(21, 32) * x * (4 * zz - xx - yy)]
        basis += [c(105, 16) * z * (xx - yy), -c(35, 32) * x * (xx - 3 * yy)]
    return ((torch.stack(basis, dim=-1)[..., None] * sh).sum(dim=1) + 0.5).clamp(min=0.0)


def _colours_from(gaussians: Gaussians, origin: Float[Tensor, " 3"]) -> Float[Tensor, "g 3"]:
    """Colours of Gaussians as seen from ``origin``."""
    return sh_colours(gaussians.sh, torch.nn.functional.normalize(gaussians.means - origin, dim=-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenSplats:
    """The Gaussians that one camera can see, nearest first."""

    ids: Int[Tensor, " v"]
    """Which Gaussians they are."""

    uv: Float[Tensor, "v 2"]
    """Centres in pixels."""

    conics: Float[Tensor, "v 3"]
    """Inverse of the blurred screen covariance (a, b, c), so that sigma = (a dx^2 + c dy^2) / 2 + b dx dy."""

    depth: Float[Tensor, " v"]
    opacities: Float[Tensor, " v"]

    reach: Float[Tensor, "v 2"]
    """How far from the centre, in pixels, alpha falls to ``MIN_ALPHA``."""

    def __getitem__(self, index: Tensor) -> ScreenSplats:
        return ScreenSplats(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def projected(gaussians: Gaussians, cameras: Cameras, *, view: int) -> ScreenSplats:
    """Project Gaussians into one of the cameras; EWA splatting, in torch."""
    w2c, K = cameras.w2c[view], cameras.K[view]
    points = gaussians.means @ w2c[:3, :3].mT + w2c[:3, 3]
    is_ahead = (points[:, 2] > NEAR_PLANE) & (points[:, 2] < FAR_PLANE)
    ids = (is_ahead & (gaussians.opacities > MIN_ALPHA)).nonzero()[:, 0]
    ids = ids[points[ids, 2].argsort(stable=True)]
    x, y, z = points[ids].unbind(-1)
    seen = gaussians[ids]

    size = torch.tensor([cameras.width, cameras.height]).to(K)
    focal, centre = torch.stack([K[0, 0], K[1, 1]]), K[:2, 2]
    slack = FRUSTUM_SLACK * 0.5 * size / focal
    tangents = torch.stack([x, y], dim=-1) / z[:, None]
    t = tangents.clamp(min=-centre / focal - slack, max=(size - centre) / focal + slack)
    zero, (fx, fy) = torch.zeros_like(z), (focal / z[:, None]).unbind(-1)
    jacobian = torch.stack([fx, zero, -fx * t[:, 0], zero, fy, -fy * t[:, 1]], dim=-1).reshape(-1, 2, 3)

    half = jacobian @ w2c[:3, :3] @ quaternion_to_rotation_matrix(seen.quats) * seen.scales[:, None]
    covariance = half @ half.mT + BLUR * torch.eye(2).to(K)
    uu, uv, vv = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    det = uu * vv - uv * uv
    level = 2 * (seen.opacities / MIN_ALPHA).log()
    return ScreenSplats(
        ids=ids,
        uv=tangents * focal + centre,
        conics=torch.stack([vv, -uv, uu], dim=-1) / det[:, None],
        depth=z,
        opacities=seen.opacities,
        reach=(level[:, None] * torch.stack([uu, vv], dim=-1)).sqrt(),
    )


def composited(
    splats: ScreenSplats, values: Float[Tensor, "v d"], *, uv: Float[Tensor, "p 2"]
) -> tuple[Float[Tensor, "p d"], Float[Tensor, "p 1"]]:
    """Values blended front to back at pixel centres ``uv``, not divided by alpha; and alpha."""
    dx, dy = (uv[:, None] - splats.uv).unbind(-1)
    a, b, c = splats.conics.unbind(-1)
    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = (splats.opacities * torch.exp(-sigma)).clamp(max=MAX_ALPHA)
    alpha = torch.where(alpha >= MIN_ALPHA, alpha, 0.0)
    after = torch.cumprod(1.0 - alpha, dim=-1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], dim=-1)
    weights = torch.where(after > MIN_TRANSMITTANCE, before * alpha, 0.0)
    return weights @ values, weights.sum(dim=-1, keepdim=True)


def _twin_view(gaussians: Gaussians, cameras: Cameras, view: int) -> Float[Tensor, "h w 5"]:
    """Colour, depth times alpha, and alpha of one view over black, block by block."""
    splats = projected(gaussians, cameras, view=view)
    colours = _colours_from(gaussians, cameras.origins[view])[splats.ids]
    values = torch.cat([colours, splats.depth[:, None]], dim=-1)
    centres, strips = pixel_centres(cameras)[..., :2], []
    for rows in centres.split(BLOCK, dim=0):
        blocks = []
        for uv in rows.split(BLOCK, dim=1):
            lo, hi = uv[0, 0], uv[-1, -1]
            near = ((splats.uv + splats.reach >= lo) & (splats.uv - splats.reach <= hi)).all(dim=-1)
            blend, alpha = composited(splats[near], values[near], uv=uv.reshape(-1, 2))
            blocks.append(torch.cat([blend, alpha], dim=-1).reshape(*uv.shape[:2], 5))
        strips.append(torch.cat(blocks, dim=1))
    return torch.cat(strips)


def _render_twin(gaussians: Gaussians, cameras: Cameras, background: Float[Tensor, "*hw 3"]) -> SplatImage:
    """The plain torch twin: differentiable, any precision, for tests and tiny scenes."""
    layers = torch.stack([_twin_view(gaussians, cameras, view) for view in range(len(cameras))])
    return _finished(layers, background)


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
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in needed):
        note = None if trace is None else trace.note
        return _finished(kernel_layers(gaussians, cameras, threads=threads, note=note), background)
    behind = background.expand(len(cameras), cameras.height, cameras.width, 3)
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
