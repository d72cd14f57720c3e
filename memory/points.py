"""Points: what the world cache holds, one oriented coloured point a row.

Room: memory. Imports nothing of ours; reconstruct turns these into splats, the viewer draws them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

FIELDS = ("positions", "rgb", "normals", "confidence", "axes", "source")

MOST_ACROSS = 8
"""Places along either side of a patch when it is spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Oriented, coloured points with the frame or the edit each one came from."""

    positions: Float[Tensor, "p 3"]
    """World units."""

    rgb: Float[Tensor, "p 3"]
    """Colour in [0, 1]."""

    normals: Float[Tensor, "p 3"]
    """Unit length, towards the camera that saw the point; out of a surface that was placed."""

    confidence: Float[Tensor, " p"]
    """Trust in [0, 1]; 1 for what was measured or placed, 0 for what only hides what is behind it."""

    axes: Float[Tensor, "p 2 3"]
    """Half-axes of the patch of surface that the point stands for, world units."""

    source: Int[Tensor, " p"]
    """Id of the frame that brought the point; -1 - the number of the edit that placed it."""

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: slice | Tensor) -> Points:
        return Points(**{name: getattr(self, name)[index] for name in FIELDS})


def concatenated(parts: list[Points]) -> Points:
    """Several sets as one, in order."""
    return Points(**{name: torch.cat([getattr(part, name) for part in parts]) for name in FIELDS})


def spread(points: Points, *, spacing: float) -> Float[Tensor, "q 3"]:
    """Places on the patches that points stand for, no further apart than ``spacing`` on small and large ones.

    On patches more than ``MOST_ACROSS`` times as wide they lie further apart.
    """
    across = (2.0 * points.axes.norm(dim=-1) / spacing).ceil().long().clamp(1, MOST_ACROSS)
    places = []
    for rows, columns in torch.unique(across, dim=0).tolist():
        chosen = (across == torch.tensor([rows, columns])).all(dim=1)
        u, v = ((2.0 * torch.arange(count) + 1.0) / count - 1.0 for count in (rows, columns))
        shares = torch.cartesian_prod(u, v)
        places.append((points.positions[chosen, None] + shares @ points.axes[chosen]).reshape(-1, 3))
    return torch.cat(places) if places else points.positions


def points_with_room(capacity: int) -> Points:
    """Room for points that are still to be written."""
    return Points(
        positions=torch.empty(capacity, 3),
        rgb=torch.empty(capacity, 3),
        normals=torch.empty(capacity, 3),
        confidence=torch.empty(capacity),
        axes=torch.empty(capacity, 2, 3),
        source=torch.empty(capacity, dtype=torch.int64),
    )
