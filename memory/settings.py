"""Settings: worlds as the places where tours are flown.

Room: memory. Everything above may import this.
"""

from __future__ import annotations

import torch

from memory.world import World
from render.cameras import Cameras
from render.tours import Setting


def setting_in(world: World, start: Cameras | None = None) -> Setting:
    """A world as the setting of a tour, which may name its frames.

    Args:
        world: at its head.
        start: one camera that the tour begins at; that of the first frame where none is given.

    Raises:
        ValueError: if there is no camera to start from.
    """
    ids, scene = tuple(world.frame_ids()), world.scene
    frames = world.cameras() if ids else None
    if start is None:
        if frames is None:
            raise ValueError(f"{world.path} has no frames yet, so no tour can begin there; grow it first")
        start = frames[:1]
    return Setting(start=start, up=torch.tensor(scene.up), scale=scene.scale, frames=frames, ids=ids)
