"""Explore and wander: paths that are chosen on the way, leg by leg, from what is known by then.

Room: worldgen. Exploring takes the next best view, after ViewCrafter: of a few ways on, the one that ends
where much is unseen, but not so much that nothing holds the new view in place, and that runs into nothing
(algorithms A8.2). Wandering goes straight on as long as there is room, and round what is in the way. A leg is
planned as any path, so whatever interrupts it, it can be finished.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from memory.cache import Seen, WorldCache
from render.cameras import Cameras, resized
from render.paths import arc
from worldgen.rollout import Grown, Growth

EXPLORE, WANDER = "explore", "wander"
"""What the paths are called on the command line."""

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

ROOM = 0.6
"""Scene lengths that a wanderer wants to have before him: closer by, walls are all that there is to see."""

SPOT_COST, BACK_COST = 60.0, 120.0
"""Degrees of a bend that a wanderer would rather walk than turn on the spot, and than turn back."""

NEAREST_SHARE = 0.1
"""Share of the middle third of a view that may lie closer than its room says: edges of things passed by."""

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

    room: float
    """Scene lengths to what its last view shows ahead, but for the nearest tenth; infinity if nothing."""

    is_free: bool
    """Whether nothing known lies close to it."""

    @property
    def is_turn(self) -> bool:
        """Whether it turns on the spot."""
        return bool((self.cameras.origins == self.cameras.origins[:1]).all())

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
                    room=_room(seen) / scale,
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


def clear_leg(
    cache: WorldCache, camera: Cameras, *, up: tuple[float, float, float], scale: float, side: float
) -> Way:
    """The way on that bends least of those with room before them; where none has, a turn to one side.

    Args:
        cache: what is known.
        camera: where to go on from; one.
        up: the world's.
        scale: world units in a scene length.
        side: 1 if turns on the spot should go on to the left, -1 to the right, 0 if either will do.
    """
    found = ways(cache, camera, up=up, scale=scale)
    clear = [way for way in found if way.is_free and way.room >= ROOM]
    if clear:

        def cost(way: Way) -> tuple[float, float]:
            turning = SPOT_COST + BACK_COST * (way.degrees * side < 0) if way.is_turn else 0.0
            return abs(way.degrees) + turning, -way.room

        return min(clear, key=cost)
    return max((way for way in found if way.is_turn and way.degrees * side >= 0), key=lambda way: way.room)


def explore(growth: Growth, *, frames: int, seed: int, start: Cameras | None = None) -> Iterator[Grown]:
    """Grow a world by up to ``frames`` frames along legs that lead to what is unknown.

    The first leg goes on from ``start``, one camera, by default that of the last frame. Ends early where
    nothing new is in reach.
    """
    scene = growth.world.scene

    def chosen(camera: Cameras) -> Cameras | None:
        return next_leg(growth.cache, camera, up=scene.up, scale=scene.scale)

    yield from _grown(growth, chosen, frames=frames, seed=seed, start=start, name=EXPLORE)


def wander(growth: Growth, *, frames: int, seed: int, start: Cameras | None = None) -> Iterator[Grown]:
    """Grow a world by ``frames`` frames straight on, and round what is in the way; see :func:`explore`."""
    scene, side = growth.world.scene, 0.0

    def chosen(camera: Cameras) -> Cameras:
        nonlocal side
        way = clear_leg(growth.cache, camera, up=scene.up, scale=scene.scale, side=side)
        side = math.copysign(1.0, way.degrees) if way.is_turn else 0.0  # out of a corner, not to and fro
        return way.cameras

    yield from _grown(growth, chosen, frames=frames, seed=seed, start=start, name=WANDER)


CHOSEN_ON_THE_WAY = {EXPLORE: explore, WANDER: wander}
"""Paths of which only the beginning is known beforehand."""


def _grown(
    growth: Growth,
    chosen: Callable[[Cameras], Cameras | None],
    *,
    frames: int,
    seed: int,
    start: Cameras | None,
    name: str,
) -> Iterator[Grown]:
    """Follow one leg after the other, each chosen from the camera where the last one ended."""
    camera = growth.world.cameras(growth.world.walked_ids()[-1:]) if start is None else start
    while frames > 0:
        leg = chosen(camera)
        if leg is None:
            return
        leg = leg[:frames]
        growth.plan(leg, seed=seed, name=name)
        yield from growth.follow()
        camera, frames = leg[-1:], frames - len(leg)


def _room(seen: Seen) -> float:
    """How far it is to what a view shows between its floor and its ceiling; infinity if that is nothing."""
    third = seen.depth.shape[1] // 3
    depths = seen.depth[:, third:-third][seen.mask[:, third:-third]]
    return float(depths.quantile(NEAREST_SHARE)) if len(depths) else math.inf


def _is_free(cache: WorldCache, leg: Cameras, *, room: float) -> bool:
    """Whether no known point lies in a cube round any camera of the leg."""
    for x, y, z in leg.origins.tolist():
        if cache.count_within((x - room, y - room, z - room), (x + room, y + room, z + room)):
            return False
    return True
