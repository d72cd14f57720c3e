"""Building blocks of the RGB-D model: norms, embeddings of time and step length, convolution blocks.

Room: worldgen. Images inside the network are channel-first ``b c h w`` in channels-last memory.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

TIME_FEATURES = 256
"""Width of the sinusoidal embedding of a diffusion time."""

STEP_LENGTHS = 7
"""Lengths of a sampling step that a shortcut model knows: 1, 1/2, ..., 1/64."""

SHORTEST_STEP = 2.0 ** (1 - STEP_LENGTHS)
"""So short that a flow model's answer is right for it."""


def time_features(t: Float[Tensor, " n"]) -> Float[Tensor, "n 256"]:
    """Cosines, then sines, of a diffusion time in [0, 1]; periods from 2 pi / 1000 to about 60."""
    half = TIME_FEATURES // 2
    frequencies = torch.exp(torch.arange(half, device=t.device) * (-math.log(10_000.0) / half))
    angles = 1000.0 * t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class StepEmbedding(nn.Module):
    """A learned vector for each step length; zero when initialised, so that no length makes a difference."""

    def __init__(self, width: int):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(STEP_LENGTHS, width))

    def forward(self, d: Float[Tensor, " n"]) -> Float[Tensor, "n width"]:
        """Vectors of lengths in (0, 1], each that of the nearest known length by ``log2(1 / d)``."""
        halvings = (-d.float().log2()).round().clamp(0, STEP_LENGTHS - 1)
        return self.table[halvings.long()]


class ChannelNorm(nn.Module):
    """Layer norm over the channels of an image, with a learned scale and no bias."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        weight = self.weight.to(x.dtype)
        return F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight).permute(0, 3, 1, 2)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, modulated by the time embedding; the identity when initialised."""

    def __init__(self, channels: int, *, embedding: int):
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.conv_in = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * channels)
        for layer in (self.conv_out, self.modulation):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(
        self, x: Float[Tensor, "n c h w"], embedded: Float[Tensor, "n d"]
    ) -> Float[Tensor, "n c h w"]:
        scale, shift = self.modulation(embedded)[:, :, None, None].chunk(2, dim=1)
        hidden = self.conv_in(self.norm(x))
        return x + self.conv_out(F.silu(hidden * (1.0 + scale) + shift))


class Finish(nn.Module):
    """The last look at full resolution: repairs what the coarser levels and the cache render got wrong.

    Returns a correction of colour and depth, and one gate for each of the two (before the sigmoid);
    both are zero when initialised.
    """

    WIDTH = 32

    def __init__(self, channels: int, *, embedding: int):
        super().__init__()
        self.conv_in = nn.Conv2d(channels, self.WIDTH, 3, padding=1)
        self.conv_mid = nn.Conv2d(self.WIDTH, self.WIDTH, 3, padding=1)
        self.conv_out = nn.Conv2d(self.WIDTH, 6, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * self.WIDTH)
        for layer in (self.conv_out, self.modulation):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(
        self, x: Float[Tensor, "n c h w"], embedded: Float[Tensor, "n d"]
    ) -> tuple[Float[Tensor, "n 4 h w"], Float[Tensor, "n 2 h w"]]:
        scale, shift = self.modulation(embedded)[:, :, None, None].chunk(2, dim=1)
        hidden = F.silu(self.conv_in(x) * (1.0 + scale) + shift)
        hidden = F.silu(self.conv_mid(hidden))
        return self.conv_out(hidden).split((4, 2), dim=1)
