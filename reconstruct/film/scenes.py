"""Scenes: what a film shows of a world, picture by picture: its colours, its depth, its normals.

Room: reconstruct. A picture is drawn in bands of rows where it may be large, so that memory holds one band in
numbers and the picture in bytes. Depth and normals have the colours of ``memory.pictures``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from memory.cache import WorldCache
from memory.pictures import coloured_depth, coloured_normals, depth_span
from memory.world import World
from reconstruct.film.making import sample
from reconstruct.formats.video import Picture, picture_bytes
from render.cameras import Cameras
from render.gaussians import Gaussians
from render.geometry import normals as normals_of_depth
from render.splat_bands import ROWS, splat_bands

Show = Literal["rgb", "depth", "normals", "side-by-side"]
"""Which picture of a scene; side by side are colour and depth."""

SAMPLED_PIXELS = 1 << 14
"""Pixels of each picture of the sample that the span of colours is found from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some rows of a picture, or all."""

    rgb: Float[Tensor, "1 h w 3"]
    """Colour, over black."""

    depth: Float[Tensor, "1 h w 1"]
    """Z-depth in world units; anything where nothing is seen."""

    seen: Float[Tensor, "1 h w 1"]
    """How much of a pixel shows something, in [0, 1]."""

    normals: Float[Tensor, "1 h w 3"] | None
    """Unit normals in the world; 0 where there is none. None where they were not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Something to film."""

    count: int
    """How many pictures there are of it."""

    parts: Callable[[int], Iterator[Part]]
    """The rows of a picture, from the top."""

    has_own_size: bool = False
    """Whether pictures have a size of their own, whole in one part, and are fitted into that of the film."""


def splat_scene(gaussians: Gaussians, cameras: Cameras, *, show: Show) -> Scene:
    """Splats as cameras on the same device see them."""

    def parts(number: int) -> Iterator[Part]:
        for band in splat_bands(gaussians, cameras[[number]], normals=show == "normals"):
            rgb, depth, alpha = (part.cpu() for part in (band.rgb, band.depth, band.alpha))
            normals = None if band.normals is None else band.normals.cpu()
            yield Part(rgb=rgb, depth=depth, seen=alpha, normals=normals)

    return Scene(count=len(cameras), parts=parts)


def point_scene(cache: WorldCache, cameras: Cameras) -> Scene:
    """The bare points of a cache."""

    def parts(number: int) -> Iterator[Part]:
        for seen, normals in cache.render_bands(cameras[[number]], rows=ROWS):
            yield Part(rgb=seen.rgb, depth=seen.depth, seen=seen.mask.float(), normals=normals)

    return Scene(count=len(cameras), parts=parts)


def frame_scene(world: World) -> Scene:
    """The frames of a world as it was walked through, read when their turn comes.

    Raises:
        ValueError: if there is none.
    """
    ids = world.walked_ids()
    if not ids:
        raise ValueError(f"{world.path} has no frames yet, so there is nothing to film; grow it first")

    def parts(number: int) -> Iterator[Part]:
        frame = world.frames([ids[number]])
        normals = normals_of_depth(frame.depth, frame.cameras, valid=frame.valid)
        yield Part(rgb=frame.rgb, depth=frame.depth, seen=frame.valid.float(), normals=normals)

    return Scene(count=len(ids), parts=parts, has_own_size=True)


def drawer(scene: Scene, *, show: Show, width: int, height: int) -> Callable[[int], Picture]:
    """What draws the pictures of a scene, each of this size, or twice as wide side by side."""
    step = 1 if scene.has_own_size else math.ceil(math.sqrt(width * height / SAMPLED_PIXELS))
    span = _span(scene, step=step) if show in ("depth", "side-by-side") else (0.0, 1.0)

    def draw(number: int) -> Picture:
        picture = np.empty((height, film_width(width, show), 3), np.uint8)
        top = 0
        for part in scene.parts(number):
            panels = _panels(part, show, span)
            if scene.has_own_size:
                panels = [_fitted(panel, width, height) for panel in panels]
            rows = torch.cat(panels, dim=2)[0]
            picture[top : top + len(rows)] = picture_bytes(rows)
            top += len(rows)
        return picture

    return draw


def film_width(width: int, show: Show) -> int:
    """Pixels from left to right of a film whose pictures are so wide."""
    return 2 * width if show == "side-by-side" else width


def _panels(part: Part, show: Show, span: tuple[float, float]) -> list[Float[Tensor, "1 h w 3"]]:
    """The pictures to put side by side; what is seen in part is so much darker."""
    assert show in get_args(Show)
    if show == "normals":
        assert part.normals is not None
        return [coloured_normals(part.normals) * part.seen]
    if show == "rgb":
        return [part.rgb]
    depth = coloured_depth(part.depth, part.seen > 0, span=span) * part.seen
    return [part.rgb, depth] if show == "side-by-side" else [depth]


def _span(scene: Scene, *, step: int) -> tuple[float, float]:
    """One span of depths for the whole film, so that colours do not change their meaning on the way."""
    found = []
    for number in sample(scene.count):
        top = 0
        for part in scene.parts(number):
            grid = slice(-top % step, None, step), slice(None, None, step)  # whatever the bands
            depth, seen = part.depth[0][grid], part.seen[0][grid]
            found.append(depth[seen > 0.5])
            top += part.depth.shape[1]
    return depth_span(torch.cat(found))


def _fitted(panel: Float[Tensor, "1 h w 3"], width: int, height: int) -> Float[Tensor, "1 height width 3"]:
    """A picture scaled into a size, its shape kept, with black beside it."""
    zoom = min(width / panel.shape[2], height / panel.shape[1])
    w, h = max(1, round(zoom * panel.shape[2])), max(1, round(zoom * panel.shape[1]))
    scaled = F.interpolate(panel.permute(0, 3, 1, 2), (h, w), mode="bilinear", antialias=True)
    left, top = (width - w) // 2, (height - h) // 2
    padded = F.pad(scaled, (left, width - w - left, top, height - h - top))
    return padded.permute(0, 2, 3, 1)
