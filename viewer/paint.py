"""Paint: what the colours of splats and points say.

Room: viewer. Pure functions of a cloud; the layers send what comes of it.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8

from memory.pictures import turbo
from viewer.clouds import Cloud

Paint = Literal["Colours", "Nearness", "Confidence", "Normals", "What is imagined"]
PAINTS: tuple[Paint, ...] = get_args(Paint)

DOUBT, TRUST = (150, 30, 60), (80, 210, 140)
"""Confidence 0 and 1."""

MEASURED, IMAGINED = (90, 170, 250), (255, 146, 43)
"""What a camera saw or somebody placed, and what the generator made up."""

SHADE = 0.45
"""Share of the true colour that stays where paint says what is imagined, so that things can be told apart."""


def painted(
    cloud: Cloud, paint: Paint, *, place: Float[np.ndarray, " 3"], scale: float
) -> UInt8[np.ndarray, "g 3"]:
    """The colours of a cloud.

    Args:
        cloud: whose.
        paint: what they shall say.
        place: where nearness is measured from, world units.
        scale: a typical distance, world units; at it nearness is half way, and green.
    """
    if paint == "Nearness":
        distance = np.linalg.norm(cloud.centers - place, axis=1)
        return _bytes(255.0 * turbo(torch.from_numpy(scale / (scale + distance))[:, None]).numpy())
    if paint == "Confidence":
        return _bytes(np.outer(1.0 - cloud.confidence, DOUBT) + np.outer(cloud.confidence, TRUST))
    if paint == "Normals":
        return _bytes(127.5 * (cloud.normals + 1.0))
    if paint == "What is imagined":
        kind = np.where(cloud.confidence[:, None] >= 1.0, MEASURED, IMAGINED)
        light = cloud.rgbs.mean(axis=1, keepdims=True) / 255.0
        return _bytes(kind * (1.0 - SHADE + SHADE * light))
    return cloud.rgbs


def _bytes(colours: Float[np.ndarray, "g 3"]) -> UInt8[np.ndarray, "g 3"]:
    return colours.clip(0.0, 255.0).round().astype(np.uint8)
