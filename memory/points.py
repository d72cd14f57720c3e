"""Points: what the world cache holds, one oriented coloured point a row.

Room: memory. Imports nothing of ours; reconstruct turns these into splats, the viewer draws them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Oriented, coloured points with the frame each one came from."""

    positions: Float[Tensor, "p 3"]
    """World units."""

    rgb: Float[Tensor, "p 3"]
    """Colour in [0, 1]."""

    normals: Float[Tensor, "p 3"]
    """Unit length, towards the camera that saw the point."""

    confidence: Float[Tensor, " p"]
    """Trust in [0, 1]; 1 for what was measured."""

    footprint: Float[Tensor, " p"]
    """World size of the pixel that saw the point, depth / focal length."""

    source: Int[Tensor, " p"]
    """Id of the frame that brought the point."""

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: slice | Tensor) -> Points:
        return Points(
            positions=self.positions[index],
            rgb=self.rgb[index],
            normals=self.normals[index],
            confidence=self.confidence[index],
            footprint=self.footprint[index],
            source=self.source[index],
        )


def concatenated(parts: list[Points]) -> Points:
    """Several sets as one, in order."""
    names = ("positions", "rgb", "normals", "confidence", "footprint", "source")
    return Points(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
