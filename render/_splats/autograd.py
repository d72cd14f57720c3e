"""The kernels as torch knows functions: one view in, its layers out, and gradients on the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from render._splats import Splats, View, draw, runner, slopes_of
from render.cameras import Cameras


class Kernels(torch.autograd.Function):
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
    ) -> Float[Tensor, "h w 5"]:
        """Draw; ``camera`` is read for its lens alone."""
        splats = Splats(*map(_array, (means, quats, log_scales, logit_opacities, sh)))
        view = View(
            w2c=_array(w2c),
            origin=_array(origin),
            K=_array(camera.K[0]),
            width=camera.width,
            height=camera.height,
        )
        with runner(threads) as run:
            drawn = draw(splats, view, run=run)
        ctx.call = splats, view, drawn, threads
        return torch.from_numpy(drawn.layers)

    @staticmethod
    def backward(ctx: Any, grad: Float[Tensor, "h w 5"]) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Gradients by all that ``forward`` took, but the lens."""
        splats, view, drawn, threads = ctx.call
        with runner(threads) as run:
            slopes, camera = slopes_of(splats, view, drawn, _array(grad), run=run)
        pose = torch.zeros(4, 4)
        pose[:3] = torch.from_numpy(camera[:3])
        origin = torch.from_numpy(camera[4, :3]).float()
        return *(torch.from_numpy(getattr(slopes, name)) for name in Splats._fields), pose, origin, None, None


def _array(tensor: Float[Tensor, " ..."]) -> Float32[np.ndarray, " ..."]:
    """A packed single-precision array; shares memory with the tensor where it already is one."""
    return tensor.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy()
