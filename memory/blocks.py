"""Blocks: an index over points in the order they came, so that a picture costs what it shows.

Room: memory. Imports render. Points of a frame come sorted by where they lie in its picture, so a few
hundred in a row lie close together. Each such block has a box; boxes have boxes. A picture is drawn from
the blocks that its camera can see, near to far, without those that nearer ones hide. The result is that
of drawing every point, bit for bit.
"""

from __future__ import annotations

import numpy as np
import torch

from memory._block_kernels import bound_groups, bound_runs, draw_blocks, find_blocks
from memory.points import Points
from render.cameras import Cameras
from render.points import EMPTY, MAX_REACH_PX, NEAR, PointImage

BLOCK = 256
"""Points in a row that share a box."""

GROUP = 64
"""Boxes in a row that share a box."""

BATCH = 32
"""Blocks that are drawn between two looks at what they have covered."""


class BlockIndex:
    """Boxes around blocks of points and around groups of blocks; state in place, like the points."""

    def __init__(self) -> None:
        self._boxes = np.empty((0, 6), dtype=np.float32)
        self._groups = np.empty((0, 6), dtype=np.float32)
        self._count = 0

    def extend(self, points: Points) -> None:
        """Take in the points behind those that are indexed already; ``points`` holds them all."""
        count = len(points)
        first, blocks = self._count // BLOCK, -(-count // BLOCK)
        self._boxes = _with_room(self._boxes, blocks)
        self._groups = _with_room(self._groups, -(-blocks // GROUP))
        bound_runs(points.positions.numpy(), BLOCK, first, self._boxes)
        bound_groups(self._boxes[:blocks], GROUP, first // GROUP, self._groups)
        self._count = count

    def draw(self, points: Points, cameras: Cameras) -> PointImage:
        """Draw the indexed points; see :func:`render.points.render_points`."""
        shape = (len(cameras), cameras.height, cameras.width)
        depth = np.full(shape, np.inf, dtype=np.float32)
        winner = np.full(shape, EMPTY, dtype=np.int64)
        blocks = -(-self._count // BLOCK)
        boxes, groups = self._boxes[:blocks], self._groups[: -(-blocks // GROUP)]
        found, bounds = np.empty(blocks, dtype=np.int64), np.empty((blocks, 5), dtype=np.float32)
        w2c, K = cameras.w2c.float().numpy(), cameras.K.float().numpy()
        near, reach = np.float32(NEAR), np.float32(MAX_REACH_PX)
        positions, axes = points.positions.numpy(), points.axes.numpy()
        for i in range(len(cameras)):
            n = find_blocks(boxes, groups, GROUP, w2c[i], K[i], shape[1:], near, reach, found, bounds)
            order = np.argsort(bounds[:n, 0], kind="stable")
            draw_blocks(
                found[order],
                bounds[order],
                BLOCK,
                BATCH,
                positions,
                axes,
                w2c[i],
                K[i],
                near,
                reach,
                depth[i],
                winner[i],
            )
        return PointImage(depth=torch.from_numpy(depth)[..., None], winner=torch.from_numpy(winner))


def _with_room(boxes: np.ndarray, count: int) -> np.ndarray:
    """The same boxes with room for at least ``count``; the room doubles when it is full."""
    if count <= len(boxes):
        return boxes
    room = np.empty((max(count, 2 * len(boxes), 64), 6), dtype=np.float32)
    room[: len(boxes)] = boxes
    return room
