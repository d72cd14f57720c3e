"""Minimap: the world from above, with the way of its cameras and where a visitor stands.

Room: viewer. Pure functions; the stage draws the map when something changed, a visitor adds itself.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from render import plans
from render.plans import GROUND, TRACK, Plan, dots, line
from viewer.conventions import ViserPose

__all__ = ["GROUND", "SIDE", "TRACK", "VISITOR", "Plan", "plan_of", "with_visitor"]

SIDE = 160
"""Pixels along each side of the map."""

VISITOR = (90, 220, 250)

ARROW_PX = 12.0


def plan_of(
    centers: Float[np.ndarray, "p 3"],
    rgbs: UInt8[np.ndarray, "p 3"],
    *,
    track: list[ViserPose],
    up: Float[np.ndarray, " 3"],
) -> Plan:
    """The map of a world, with the way of at least one camera; see :func:`render.plans.plan_of`."""
    c2w = np.tile(np.eye(4), (len(track), 1, 1))
    c2w[:, :3, :3] = [pose.rotation for pose in track]
    c2w[:, :3, 3] = [pose.position for pose in track]
    return plans.plan_of(centers, rgbs, c2w=c2w, up=up, side=SIDE)


def with_visitor(plan: Plan, pose: ViserPose) -> UInt8[np.ndarray, "h w 3"]:
    """The map with an arrow where somebody stands; at its rim if they are outside."""
    image = plan.image.copy()
    here, ahead = plan.place(np.stack([pose.position, pose.position + pose.rotation[:, 2]]))
    here = here.clip(2.0, SIDE - 3.0)
    direction = (ahead - here) / max(float(np.linalg.norm(ahead - here)), 1e-9)
    tip = here + ARROW_PX * direction
    line(image, here, tip, VISITOR)
    for side in (-1.0, 1.0):
        across = side * np.array([-direction[1], direction[0]])
        line(image, tip, tip - 5.0 * direction + 3.0 * across, VISITOR)
    rows, columns = np.mgrid[-2:3, -2:3].reshape(2, -1)
    dots(image, here + np.stack([columns, rows], axis=1), np.tile(np.array(VISITOR, np.uint8), (25, 1)))
    return image
