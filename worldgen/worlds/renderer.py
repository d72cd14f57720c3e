"""Pictures of a scene: exact z-depth and anti-aliased colour for any pinhole cameras.

Room: worldgen.worlds; training and tests call ``render``. Depth is that of the ray through each
pixel centre. Colour is a function of the surface point (no highlights, no reflections), filtered to
the size of a pixel, so views agree with each other.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int

from render.cameras import Cameras
from render.frames import Frames
from render.jobs import spread
from worldgen.worlds._mesh import MeshWorld
from worldgen.worlds._mesh_raster import draw_mesh_rows, smooth_mesh_rows
from worldgen.worlds._raster import draw_rows, smooth_rows
from worldgen.worlds.scene import Scene

BAND_ROWS = 32
"""Rows that one thread draws at a time; a multiple of the kernels' tiles."""


def render(scene: Scene, cameras: Cameras, *, smooth: bool = True, threads: int = 1) -> Frames:
    """Take one picture per camera.

    Args:
        scene: where.
        cameras: whence; their origins should be in free space.
        smooth: whether to anti-alias the edges between faces. Depth is the same either way.
        threads: how many threads draw; any number gives the same pictures.

    Returns:
        Frames whose every pixel is valid (the sky is a distant dome) with confidence 1.
    """
    n, height, width = len(cameras), cameras.height, cameras.width
    rows = camera_rows(cameras)
    depth = np.empty((n, height, width), np.float32)
    ids = np.empty((n, height, width), np.int32)
    rgb = np.empty((n, height, width, 3), np.float32)
    step = height if threads == 1 else BAND_ROWS
    bands = [(k, top, min(top + step, height)) for k in range(n) for top in range(0, height, step)]

    of_triangles = isinstance(scene.world, MeshWorld)
    first, second = (draw_mesh_rows, smooth_mesh_rows) if of_triangles else (draw_rows, smooth_rows)

    def draw(band: tuple[int, int, int]) -> None:
        k, top, end = band
        first(scene.world, rows[k], top, end, depth[k], ids[k], rgb[k])

    def soften(band: tuple[int, int, int]) -> None:
        k, top, end = band
        second(scene.world, rows[k], top, end, ids[k], rgb[k])

    passes = (draw, soften) if smooth else (draw,)
    for work in passes:
        spread(work, bands, threads=threads)
    return Frames(
        rgb=torch.from_numpy(rgb),
        depth=torch.from_numpy(depth)[..., None],
        valid=torch.ones((n, height, width, 1), dtype=torch.bool),
        confidence=torch.ones((n, height, width, 1)),
        cameras=cameras,
    )


def shapes_seen(scene: Scene, cameras: Cameras) -> Int[np.ndarray, "n h w"]:
    """Which shape each pixel shows, as its row in ``scene.world.shapes``; -1 is the sky."""
    n, height, width = len(cameras), cameras.height, cameras.width
    ids = np.empty((n, height, width), np.int32)
    depth, rgb = np.empty((height, width), np.float32), np.empty((height, width, 3), np.float32)
    for k, row in enumerate(camera_rows(cameras)):
        draw_rows(scene.world, row, 0, height, depth, ids[k], rgb)
    return ids >> 3


def camera_rows(cameras: Cameras) -> Float[np.ndarray, "n 18"]:
    """Cameras as the kernels read them: c2w row by row, then fx, fy, cx, cy, 1 / fx, 1 / fy."""
    c2w = cameras.c2w.detach().cpu().double().numpy()[:, :3].reshape(-1, 12)
    K = cameras.K.detach().cpu().double().numpy()
    lens = np.stack([K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2]], axis=1)
    return np.concatenate([c2w, lens, 1.0 / lens[:, :2]], axis=1)
