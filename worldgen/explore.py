"""Explore: walk where the world is not known yet.

Room: worldgen. The next best view, after ViewCrafter: of a few ways on, take the one that ends where much is
unseen, but not so much that nothing holds the new view in place, and that runs into nothing (algorithms
A8.2). A leg of the way is planned as any path, so whatever interrupts it, it can be finished.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from memory.cache import WorldCache
from render.cameras import Cameras, resized
from render.paths import arc
from worldgen.rollout import Grown, Growth

EXPLORE = "explore"
"""What the path is called on the command line."""

LEG_FRAMES = 8
LEG_LENGTH = 0.4
"""Scene lengths that a leg walks, if it does not turn on the spot."""

TURNS = (0.0, -40.0, 40.0, -80.0, 80.0)
"""Degrees that a leg turns to the left."""

MOST_UNSEEN = 0.6
"""Share of a view beyond which more unseen is worse: too little would hold the new view in place."""

FEWEST_UNSEEN = 0.02
"""Share of a view below which there is nothing left to see there."""

TURN_COST = 0.5
"""Utility that half a turn costs."""

CLEARANCE = 0.2
"""Scene lengths round the way in which nothing may lie."""

LOOK_PX = 64
"""Pixels along the longer side of the glances that the ways are judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way on and what speaks for it."""

    cameras: Cameras
    """The leg, without the camera that it starts from."""

    degrees: float
    unseen: float
    """Share of the last view that the cache does not show, in [0, 1]."""

    is_free: bool
    """Whether nothing known lies close to it."""

    @property
    def utility(self) -> float:
        """Algorithms A8.2; minus infinity for a way that is blocked."""
        if not self.is_free:
            return -math.inf
        gain = self.unseen if self.unseen <= MOST_UNSEEN else 2.0 * MOST_UNSEEN - self.unseen
        return gain - TURN_COST * abs(self.degrees) / 180.0


def ways(cache: WorldCache, camera: Cameras, *, up: tuple[float, float, float], scale: float) -> list[Way]:
    """The ways on from one camera: turns on the spot, and walks ahead and round bends.

    Args:
        cache: what is known.
        camera: where to go on from; one.
        up: the world's.
        scale: world units in a scene length.
    """
    shrink = LOOK_PX / max(camera.width, camera.height)
    glance = {"width": round(shrink * camera.width), "height": round(shrink * camera.height)}
    found = []
    for length in (LEG_LENGTH, 0.0):
        for degrees in TURNS:
            if length == degrees == 0.0:
                continue
            leg = arc(
                camera, n=LEG_FRAMES + 1, up=torch.tensor(up), scale=scale, degrees=degrees, length=length
            )[1:]
            seen = cache.render(resized(leg[-1:], **glance))
            found.append(
                Way(
                    cameras=leg,
                    degrees=degrees,
                    unseen=1.0 - float(seen.mask.float().mean()),
                    is_free=length == 0.0 or _is_free(cache, leg, room=CLEARANCE * scale),
                )
            )
    return found


def next_leg(
    cache: WorldCache, camera: Cameras, *, up: tuple[float, float, float], scale: float
) -> Cameras | None:
    """The best way on, or None where every open way leads to what is known already; see :func:`ways`."""
    open_ways = [
        way for way in ways(cache, camera, up=up, scale=scale) if way.is_free and way.unseen >= FEWEST_UNSEEN
    ]
    return max(open_ways, key=lambda way: way.utility).cameras if open_ways else None


def explore(growth: Growth, *, frames: int, seed: int) -> Iterator[Grown]:
    """Grow a world by up to ``frames`` frames along legs that are chosen on the way.

    Ends early where nothing new is in reach.
    """
    camera = growth.world.cameras(growth.world.frame_ids()[-1:])
    scene = growth.world.scene
    while frames > 0:
        leg = next_leg(growth.cache, camera, up=scene.up, scale=scene.scale)
        if leg is None:
            return
        leg = leg[:frames]
        growth.plan(leg, seed=seed, name=EXPLORE)
        yield from growth.follow()
        camera, frames = leg[-1:], frames - len(leg)


def _is_free(cache: WorldCache, leg: Cameras, *, room: float) -> bool:
    """Whether no known point lies in a cube round any camera of the leg."""
    for x, y, z in leg.origins.tolist():
        if cache.count_within((x - room, y - room, z - room), (x + room, y + room, z + room)):
            return False
    return True
