"""Clips whose exact denoiser is known: every pixel is a Gaussian process over the frames of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


class GaussianClips:
    """Frames that change smoothly: the covariance of frames i and j falls with their distance."""

    def __init__(self, *, frames: int, reach: float = 2.0, jitter: float = 0.02):
        apart = torch.arange(frames, dtype=torch.float64)[:, None] - torch.arange(frames)
        self.covariance = torch.exp(-0.5 * (apart / reach).square()) + jitter * torch.eye(frames)

    def expected(self, x: Float[Tensor, "b f c h w"], t: Float[Tensor, "b f"]) -> Float[Tensor, "b f c h w"]:
        """The mean of the clean frames given all noisy ones, each at its own level."""
        assert (t == t[:1]).all()
        level = t[0].double()
        signal, noise = torch.diag(1.0 - level), torch.diag(level.square())
        gain = self.covariance @ signal @ torch.linalg.inv(signal @ self.covariance @ signal + noise)
        return torch.einsum("ij,bjchw->bichw", gain, x.double()).to(x)

    def of_changing(self, x: Tensor, t: Tensor, changing: list[int]) -> Tensor:
        """The same as a ``FrameDenoiser``."""
        return self.expected(x, t)[:, changing]

    def next_frame(
        self, x: Float[Tensor, "b 1 c h w"], level: float, *, before: Float[Tensor, "b p c h w"]
    ) -> Float[Tensor, "b 1 c h w"]:
        """The mean of one frame given itself, noisy, and the clean frames before it: conditioned in turns."""
        p = before.shape[1]
        known, cross, own = self.covariance[:p, :p], self.covariance[p, :p], self.covariance[p, p]
        weights = torch.linalg.solve(known, cross) if p else cross
        mean = torch.einsum("j,bjchw->bchw", weights, before.double())[:, None]
        variance = own - cross @ weights
        share = (1.0 - level) * variance / ((1.0 - level) ** 2 * variance + level**2)
        return (mean + share * (x.double() - (1.0 - level) * mean)).to(x)
