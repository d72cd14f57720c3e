"""Between torch and the kernels: pictures without gradients, and layers with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from render._splats import Canvas, Splats, View, draw, find_fronts, paint, paint_bands, runner, slopes_of
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
    with runner(threads) as run:
        for i in range(len(cameras)):
            canvas = Canvas(
                rgb=rgb[i].numpy(),
                depth=depth[i, ..., 0].numpy(),
                alpha=alpha[i, ..., 0].numpy(),
            )
            # Not packed: a plain colour is one number a channel, however large the picture.
            behind = background[i].detach().to(device="cpu", dtype=torch.float32).numpy()
            view = _view(w2c[i], cameras.origins[i], cameras[[i]])
            paint(splats, view, background=behind, canvas=canvas, run=run)
    return rgb, depth, alpha


def painted_bands(
    gaussians: Gaussians, camera: Cameras, *, rows: int, threads: int
) -> Iterator[tuple[Float[Tensor, "1 h w 3"], Float[Tensor, "1 h w 1"], Float[Tensor, "1 h w 1"]]]:
    """What :func:`painted` draws of one view over black, band by band; nothing has gradients."""
    black = torch.zeros(3).expand(camera.height, camera.width, 3).numpy()
    view = _view(camera.w2c[0], camera.origins[0], camera)
    with runner(threads) as run:
        for band in paint_bands(_splats(gaussians), view, background=black, rows=rows, run=run):
            rgb, depth, alpha = (torch.from_numpy(part)[None] for part in (band.rgb, band.depth, band.alpha))
            yield rgb, depth[..., None], alpha[..., None]


def kernel_fronts(gaussians: Gaussians, cameras: Cameras, *, threads: int) -> Int[Tensor, "n h w"]:
    """Per pixel, the Gaussian at which less than half of the light passes on; -1 where more passes all."""
    fronts = torch.empty(len(cameras), cameras.height, cameras.width, dtype=torch.int64)
    splats, w2c = _splats(gaussians), cameras.w2c
    with runner(threads) as run:
        for i in range(len(cameras)):
            view = _view(w2c[i], cameras.origins[i], cameras[[i]])
            find_fronts(splats, view, fronts=fronts[i].numpy(), run=run)
    return fronts


def kernel_layers(
    gaussians: Gaussians, cameras: Cameras, *, threads: int, note: Note | None
) -> Float[Tensor, "n h w 5"]:
    """Colour and depth times weight, over black, and alpha; gradients go back to Gaussians and poses.

    ``note`` is told, on the way back, which Gaussians each view saw and their slopes on the screen.
    """
    leaves = [getattr(gaussians, name) for name in Splats._fields]
    w2c, origins = cameras.w2c, cameras.origins
    views = [
        _Layers.apply(*leaves, w2c[i], origins[i], cameras[[i]], threads, note) for i in range(len(cameras))
    ]
    return torch.stack(views)  # type: ignore[arg-type]


class _Layers(torch.autograd.Function):
    """One view: colour and depth times weight, over black, and alpha."""

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
        camera: Cameras,
        threads: int,
        note: Note | None,
    ) -> Float[Tensor, "h w 5"]:
        """Draw; ``camera`` is read for its lens alone."""
        splats = Splats(*map(_array, (means, quats, log_scales, logit_opacities, sh)))
        view = _view(w2c, origin, camera)
        with runner(threads) as run:
            drawn = draw(splats, view, run=run)
        ctx.call = splats, view, drawn, threads, note
        return torch.from_numpy(drawn.layers)

    @staticmethod
    def backward(ctx: Any, grad: Float[Tensor, "h w 5"]) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Gradients by all that ``forward`` took, but the lens."""
        splats, view, drawn, threads, note = ctx.call
        with runner(threads) as run:
            slopes, camera = slopes_of(splats, view, drawn, _array(grad), run=run)
        if note is not None:
            seen = torch.from_numpy(drawn.seen().astype(np.int64))
            note(seen, torch.from_numpy(slopes.screen)[seen])
        pose = torch.zeros(4, 4)
        pose[:3] = torch.from_numpy(camera[:3])
        origin = torch.from_numpy(camera[4, :3]).float()
        return (
            *(torch.from_numpy(getattr(slopes, name)) for name in Splats._fields),
            pose,
            origin,
            None,
            None,
            None,
        )


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
