"""Depth as estimators give it: true depth behind an affine map of its inverse, with noise and outliers."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from render.frames import Frames
from worldgen.alignment.affine import Affine


def random_map(frame: Frames, rng: np.random.Generator) -> Affine:
    """Scales between a half and two; offsets that send nothing that the frame shows behind infinity."""
    unit = float(frame.depth[frame.valid].median())
    return Affine(a=float(np.exp(rng.uniform(-0.7, 0.7))), b=rng.uniform(-0.15, 0.15) / unit)


def estimated(
    frame: Frames, truth: Affine, rng: np.random.Generator, *, noise: float = 0.0, outliers: float = 0.0
) -> Frames:
    """The frame with the depth that ``truth`` takes back to the true one.

    Args:
        frame: with true depth.
        truth: what an alignment should find.
        rng: decides the errors.
        noise: relative standard deviation of the estimate's inverse depth.
        outliers: share of pixels whose estimate is anything up to ten times as near as most.
    """
    inverse = (torch.where(frame.valid, 1.0 / frame.depth.clamp_min(1e-6), 1.0) - truth.b) / truth.a
    inverse = inverse * torch.from_numpy(1.0 + noise * rng.standard_normal(inverse.shape)).float()
    wild = torch.from_numpy(rng.uniform(0.1, 10.0, inverse.shape)).float() * inverse.median()
    inverse = torch.where(torch.from_numpy(rng.random(inverse.shape) < outliers), wild, inverse)
    valid = frame.valid & (inverse > 1e-6)
    depth = torch.where(valid, 1.0 / inverse.clamp_min(1e-6), 0.0)
    return dataclasses.replace(frame, depth=depth, valid=valid)
