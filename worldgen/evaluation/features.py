"""Do imagined pixels look like true ones? Frechet distances of random convolutional features.

Room: worldgen. Random features need no download and no labels, and tell blur, noise, wrong colours and wrong
edges apart from the truth; they know nothing of objects.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from render.frames import Frames

FEATURE_CHANNELS = 48
FEATURE_SEED = 20_240_601
HOLE_SHARE = 0.5
"""A feature counts as inside a hole where at least this share of the pixels around it is."""


def hole_features(
    pictures: list[Float[Tensor, "1 h w 3"]], known: list[Bool[Tensor, "1 h w 1"]], truth: list[Frames]
) -> Float[Tensor, "p d"]:
    """Random convolutional features at all places inside holes.

    Known pixels are taken from the truth, so that only what was imagined can differ.
    """
    rng = torch.Generator().manual_seed(FEATURE_SEED)
    layers = [
        torch.randn((FEATURE_CHANNELS, channels, 5, 5), generator=rng) / (5 * channels**0.5)
        for channels in (3, FEATURE_CHANNELS, FEATURE_CHANNELS)
    ]
    features = []
    for picture, mask, frame in zip(pictures, known, truth, strict=True):
        x = (2.0 * torch.where(mask, frame.rgb, picture) - 1.0).permute(0, 3, 1, 2)
        hole = (~mask).float().permute(0, 3, 1, 2)
        for layer in layers:
            x = F.leaky_relu(F.conv2d(x, layer, stride=2, padding=2), 0.2)
            hole = F.avg_pool2d(hole, 2, ceil_mode=True)
        features.append(x.permute(0, 2, 3, 1)[hole[:, 0] >= HOLE_SHARE])
    return torch.cat(features)


def frechet_distance(a: Float[Tensor, "p d"], b: Float[Tensor, "q d"]) -> float:
    """Squared Frechet distance between Gaussians fitted to two sets of features.

    The trace of the root of a product of covariances is that of the symmetric ``A^1/2 B A^1/2``, which
    also exists where fewer features than dimensions leave them singular.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"a Frechet distance needs at least 2 features a side, got {len(a)} and {len(b)}")
    means = [x.double().mean(dim=0) for x in (a, b)]
    first, second = (torch.cov(x.double().T) for x in (a, b))
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp_min(0.0).sqrt()) @ vectors.mT
    shared = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0.0).sqrt().sum()
    gap = (means[0] - means[1]).square().sum()
    return float(gap + first.trace() + second.trace() - 2.0 * shared)
