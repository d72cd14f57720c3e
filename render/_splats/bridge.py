"""Between torch and the kernels: pictures, without gradients and with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from render._splats import Canvas, Splats, View, draw, find_fronts, paint, paint_bands, slopes_of
from render.cameras import Cameras
from render.gaussians import Gaussians

Note = Callable[[Tensor, Tensor], None]
"""Takes the numbers of the Gaussians that a view saw, and the length of their slopes by their place on it."""


def painted(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Float[Tensor, "n h w 3"],
    *,
    threads: int,
) -> tuple[Float[Tensor, "n h w 3"], Float[Tensor, "n h w 1"], Float[Tensor, "n h w 1"]]:
    """Colour, depth and alpha of every view; nothing has gradients."""
    shape = len(cameras), cameras.height, cameras.width
    rgb, depth, alpha = torch.empty(*shape, 3), torch.empty(*shape, 1), torch.empty(*shape, 1)
    splats, w2c = _splats(gaussians), cameras.w2c
    for i in range(len(cameras)):
        view, behind = _view(w2c[i], cameras.origins[i], cameras[[i]]), _plane(background[i])
        paint(splats, view, background=behind, canvas=_canvas(rgb[i], depth[i], alpha[i]), threads=threads)
    return rgb, depth, alpha


def painted_bands(
    gaussians: Gaussians, camera: Cameras, *, rows: int, threads: int
) -> Iterator[tuple[Float[Tensor, "1 h w 3"], Float[Tensor, "1 h w 1"], Float[Tensor, "1 h w 1"]]]:
    """What :func:`painted` draws of one view over black, band by band; nothing has gradients."""
    black = torch.zeros(3).expand(camera.height, camera.width, 3).numpy()
    view = _view(camera.w2c[0], camera.origins[0], camera)
    for band in paint_bands(_splats(gaussians), view, background=black, rows=rows, threads=threads):
        rgb, depth, alpha = (torch.from_numpy(part)[None] for part in (band.rgb, band.depth, band.alpha))
        yield rgb, depth[..., None], alpha[..., None]


def kernel_fronts(gaussians: Gaussians, cameras: Cameras, *, threads: int) -> Int[Tensor, "n h w"]:
    """Per pixel, the Gaussian at which less than half of the light passes on; -1 where more passes all."""
    fronts = torch.empty(len(cameras), cameras.height, cameras.width, dtype=torch.int64)
    splats, w2c = _splats(gaussians), cameras.w2c
    for i in range(len(cameras)):
        view = _view(w2c[i], cameras.origins[i], cameras[[i]])
        find_fronts(splats, view, fronts=fronts[i].numpy(), threads=threads)
    return fronts


def kernel_picture(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Float[Tensor, "n h w 3"],
    *,
    threads: int,
    note: Note | None,
) -> tuple[Float[Tensor, "n h w 3"], Float[Tensor, "n h w 1"], Float[Tensor, "n h w 1"]]:
    """What :func:`painted` draws; gradients go back to Gaussians, poses and the background.

    ``note`` is told, on the way back, which Gaussians each view saw and their slopes on the screen.
    """
    leaves = [getattr(gaussians, name) for name in Splats._fields]
    w2c, origins = cameras.w2c, cameras.origins
    views = [
        _Picture.apply(*leaves, w2c[i], origins[i], background[i], cameras[[i]], threads, note)
        for i in range(len(cameras))
    ]
    if len(views) == 1:  # a view of it; stacking copies
        rgb, depth, alpha = (part[None] for part in views[0])  # type: ignore[attr-defined]
    else:
        rgb, depth, alpha = map(torch.stack, zip(*views, strict=True))  # type: ignore[arg-type]
    return rgb, depth, alpha


class _Picture(torch.autograd.Function):
    """One view: colour, depth and alpha."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        means: Float[Tensor, "g 3"],
        quats: Float[Tensor, "g 4"],
        log_scales: Float[Tensor, "g 3"],
        logit_opacities: Float[Tensor, " g"],
        sh: Float[Tensor, "g k 3"],
        w2c: Float[Tensor, "4 4"],
        origin: Float[Tensor, " 3"],
        background: Float[Tensor, "h w 3"],
        camera: Cameras,
        threads: int,
        note: Note | None,
    ) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 1"], Float[Tensor, "h w 1"]]:
        """Draw; ``camera`` is read for its lens alone."""
        splats = Splats(*map(_array, (means, quats, log_scales, logit_opacities, sh)))
        view, behind, size = _view(w2c, origin, camera), _plane(background), (camera.height, camera.width)
        rgb, depth, alpha = torch.empty(*size, 3), torch.empty(*size, 1), torch.empty(*size, 1)
        drawn = draw(splats, view, background=behind, canvas=_canvas(rgb, depth, alpha), threads=threads)
        ctx.call = splats, view, drawn, behind, threads, note
        return rgb, depth, alpha

    @staticmethod
    def backward(ctx: Any, *by: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Gradients by all that ``forward`` took, but the lens."""
        splats, view, drawn, behind, threads, note = ctx.call
        packed = _canvas(*(torch.from_numpy(_array(part)) for part in by))
        slopes, camera = slopes_of(splats, view, drawn, packed, background=behind, threads=threads)
        if note is not None:
            seen = torch.from_numpy(drawn.seen().astype(np.int64))
            note(seen, torch.from_numpy(slopes.screen)[seen])
        pose = torch.zeros(4, 4)
        pose[:3] = torch.from_numpy(camera[:3])
        origin, by_background = torch.from_numpy(camera[4, :3]).float(), None
        if ctx.needs_input_grad[7]:
            by_background = by[0] * (1.0 - torch.from_numpy(drawn.layers[..., 4:]))
        leaves = (torch.from_numpy(getattr(slopes, name)) for name in Splats._fields)
        return *leaves, pose, origin, by_background, None, None, None


def _canvas(
    rgb: Float[Tensor, "h w 3"], depth: Float[Tensor, "h w 1"], alpha: Float[Tensor, "h w 1"]
) -> Canvas:
    """Tensors as kernels see them."""
    return Canvas(rgb=rgb.numpy(), depth=depth[..., 0].numpy(), alpha=alpha[..., 0].numpy())


def _plane(background: Float[Tensor, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Not packed: a plain colour is one number a channel, however large the picture."""
    return background.detach().to(device="cpu", dtype=torch.float32).numpy()


def _splats(gaussians: Gaussians) -> Splats:
    return Splats(*(_array(getattr(gaussians, name)) for name in Splats._fields))


def _view(w2c: Float[Tensor, "4 4"], origin: Float[Tensor, " 3"], camera: Cameras) -> View:
    return View(
        w2c=_array(w2c),
        origin=_array(origin),
        K=_array(camera.K[0]),
        width=camera.width,
        height=camera.height,
    )


def _array(tensor: Float[Tensor, " ..."]) -> Float32[np.ndarray, " ..."]:
    """A packed single-precision array; shares memory with the tensor where it already is one."""
    return tensor.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy()
