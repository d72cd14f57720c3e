"""A world's splats, as the verbs that export and film them need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memory.cache import WorldCache
    from memory.world import World
    from render.gaussians import Gaussians


def splats_of(world: World, cache: WorldCache) -> Gaussians:
    """The points of the cache as splats, each stretched along the slope it was seen at."""
    import torch

    from reconstruct.init import gaussians_from_points

    ids = torch.tensor(world.frame_ids())
    row = torch.searchsorted(ids, cache.points.source)
    return gaussians_from_points(cache.points, seen_from=world.cameras().origins[row])
