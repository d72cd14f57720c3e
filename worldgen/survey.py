"""Survey: views far ahead on a path, imagined before those on the way to them.

Room: worldgen. What is imagined from what was imagined is a little worse each time, and a path taken view by
view sees a few new columns of pixels a hundred times over: it ends in patterns. So a path has two passes
(Stable Virtual Camera, Zhou et al. 2025, section 3.3): views of which hardly anything is known, each imagined
whole, and then all of the path, between them. Where they are is decided before any of them is imagined, so
both passes are one path, which can be stopped anywhere.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from memory.cache import WorldCache
from render.cameras import Cameras, resized
from render.frames import Frames
from worldgen.conditions import FEW_KNOWN

GLANCE_PX = 48
"""Pixels along the longer side of the glances that places are chosen by."""

PLACES = 64
"""Places on a path that are looked at, evenly along it."""

GAP = 4
"""Cameras from one view ahead to the next, and from the start to the first, at least: what is closer comes
in its turn soon enough."""

MOST_VIEWS = 24
"""Views that are imagined ahead for one path."""

ALIKE = 0.02
"""Difference of known shares that decides nothing; what is farthest along the path from others goes first."""


def survey(cache: WorldCache, path: Cameras, *, scale: float) -> list[int]:
    """Places on a path whose views should be imagined first, in that order; none where enough is known.

    The place of which least is known comes next, until ``FEW_KNOWN`` of every view is. What a chosen view
    will show is not known yet: it counts as a wall a scene length ahead.

    Args:
        cache: what is known.
        path: the cameras that are ahead, without the one that the path starts from.
        scale: world units in a scene length.
    """
    even = torch.linspace(0, len(path) - 1, min(PLACES, len(path))).round().long().unique()
    shrink = GLANCE_PX / max(path.width, path.height)
    size = {name: max(1, round(shrink * getattr(path, name))) for name in ("width", "height")}
    glances = resized(path[even], **size)
    known = cache.render(glances).mask
    walls, chosen = WorldCache(), [-1]
    while len(chosen) <= MOST_VIEWS:
        share = (known | walls.render(glances).mask).float().mean(dim=(1, 2, 3))
        apart = (even[:, None] - torch.tensor(chosen)).abs().amin(dim=1)
        share[apart < GAP] = 1.0
        least = float(share.min())
        if least >= FEW_KNOWN:
            break
        k = int(torch.where(share <= least + ALIKE, apart, -1).argmax())
        walls.insert(_wall(glances[[k]], ~known[[k]], depth=scale), ids=[len(chosen)])
        chosen.append(int(even[k]))
    return chosen[1:]


def _wall(camera: Cameras, where: Bool[Tensor, "1 h w 1"], *, depth: float) -> Frames:
    """A view of a wall that is so far away; ``where`` says in which pixels it is seen."""
    nothing = torch.zeros(where.shape)
    return Frames(
        rgb=nothing.expand(*where.shape[:3], 3).contiguous(),
        depth=torch.full(where.shape, depth),
        valid=where,
        confidence=where.float(),
        cameras=camera,
    )
