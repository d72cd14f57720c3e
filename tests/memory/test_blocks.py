"""The block index draws what drawing every point would draw, and looks at less."""

import math

import numpy as np
import pytest
import torch

from memory._block_kernels import draw_blocks, find_blocks
from memory.blocks import BATCH, BLOCK, GROUP, BlockIndex
from memory.points import Points
from render.cameras import Cameras, intrinsics_from_fov
from render.points import MAX_REACH_PX, NEAR, render_points
from tests.oracles.box_room import room_cameras


def city(count: int, *, seed: int = 0) -> Points:
    """Patches of 16 x 16 points on walls and floors in a cube, in all sizes; every tenth point twice."""
    rng = torch.Generator().manual_seed(seed)
    walls = -(-count // 256)
    centre = 12.0 * (torch.rand(walls, 1, 3, generator=rng) - 0.5)
    sides = torch.randn(walls, 2, 3, generator=rng) * 0.08
    grid = torch.cartesian_prod(torch.arange(16.0), torch.arange(16.0)) - 7.5
    positions = (centre + torch.einsum("pk,wkc->wpc", grid, sides)).reshape(-1, 3)[:count].contiguous()
    positions[1::10] = positions[::10][: len(positions[1::10])]
    axes = (0.5 * sides)[:, None].expand(walls, 256, 2, 3).reshape(-1, 2, 3)[:count].contiguous()
    return Points(
        positions=positions,
        rgb=torch.rand(count, 3, generator=rng),
        normals=torch.nn.functional.normalize(torch.linalg.cross(axes[:, 1], axes[:, 0]), dim=-1),
        confidence=torch.ones(count),
        axes=axes,
        source=torch.zeros(count, dtype=torch.int64),
    )


def indexed(points: Points, *, steps: int = 1) -> BlockIndex:
    index = BlockIndex()
    for i in range(steps):
        index.extend(points[: len(points) * (i + 1) // steps])
    return index


@pytest.mark.parametrize("count", [0, 1, BLOCK, BLOCK + 1, 40_000, 3 * BLOCK * GROUP + 5])
def test_the_index_draws_what_drawing_every_point_draws(count: int):
    points, cameras = city(count), room_cameras()
    image = indexed(points).draw(points, cameras)
    every = render_points(points.positions, cameras, axes=points.axes)
    assert torch.equal(image.depth, every.depth)
    assert torch.equal(image.winner, every.winner)
    assert count < 40_000 or (image.winner >= 0).float().mean() > 0.3


def test_an_index_that_grew_is_the_one_made_at_once():
    points, cameras = city(50_001), room_cameras()
    image, grown = (indexed(points, steps=steps).draw(points, cameras) for steps in (1, 37))
    assert torch.equal(image.winner, grown.winner)


def wall_and_city() -> Points:
    """A wall right before the camera, and a city that is all behind it."""
    behind = city(60_000)
    shifted = behind.positions + torch.tensor([0.0, 0.0, 20.0])
    grid = torch.cartesian_prod(torch.arange(128.0), torch.arange(128.0)) - 63.5
    wall = torch.cat([grid * 0.04, torch.full((len(grid), 1), 2.0)], dim=1)
    axes = torch.eye(3)[:2] * 0.02
    return Points(
        positions=torch.cat([shifted, wall]),
        rgb=torch.zeros(len(shifted) + len(wall), 3),
        normals=torch.zeros(len(shifted) + len(wall), 3),
        confidence=torch.ones(len(shifted) + len(wall)),
        axes=torch.cat([behind.axes, axes.expand(len(wall), 2, 3)]),
        source=torch.zeros(len(shifted) + len(wall), dtype=torch.int64),
    )


def drawn_blocks(points: Points, camera: Cameras) -> tuple[int, int, int]:
    """How many blocks there are, may be seen, and are drawn."""
    index = indexed(points)
    blocks = -(-len(points) // BLOCK)
    found, bounds = np.empty(blocks, dtype=np.int64), np.empty((blocks, 5), dtype=np.float32)
    w2c, K = camera.w2c[0].float().numpy(), camera.K[0].float().numpy()
    near, reach, size = np.float32(NEAR), np.float32(MAX_REACH_PX), (camera.height, camera.width)
    boxes, groups = index._boxes[:blocks], index._groups[: -(-blocks // GROUP)]
    n = find_blocks(boxes, groups, GROUP, w2c, K, size, near, reach, found, bounds)
    order = np.argsort(bounds[:n, 0], kind="stable")
    depth, winner = np.full(size, np.inf, dtype=np.float32), np.full(size, -1)
    positions, axes = points.positions.numpy(), points.axes.numpy()
    rows = (found[order], bounds[order], BLOCK, BATCH, positions, axes, w2c, K, near, reach, depth, winner)
    return blocks, n, draw_blocks(*rows)


def test_what_cannot_be_seen_is_not_looked_at():
    camera = Cameras(
        c2w=torch.eye(4)[None],
        K=intrinsics_from_fov(math.radians(60.0), width=96, height=96),
        width=96,
        height=96,
    )
    points = wall_and_city()
    blocks, seen, drawn = drawn_blocks(points, camera)
    wall = 128 * 128 // BLOCK
    assert seen > 2 * wall
    assert drawn <= wall + BATCH
    back = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))[None]
    _, seen, drawn = drawn_blocks(points, Cameras(c2w=back, K=camera.K, width=96, height=96))
    assert blocks > 0 == seen == drawn
