"""Measures: two walks through a world, and what they say of every frame.

Room: worldgen. The first walk goes the way that the world grew: what the cache showed of each frame before it
was imagined, what was recalled for it, and what a cache of old frames alone shows of it. The second walk goes
back from the newest frame: what was known before and what came after make, together, all that the other
frames know of one. An edit changes the world, so frames on two sides of one are not compared.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from memory.bank import MemoryBank
from memory.cache import Seen, WorldCache
from memory.points import Points
from memory.restore import committed, edit_cache, enter_bank
from memory.retrieval import Recalled, retrieve
from memory.world import Chunk, World
from render.frames import Frames
from render.metrics import contrast, psnr, ssim
from worldgen.evaluation.loops import SAME_DB, WINDOW
from worldgen.rollout import RECALLED_FRAMES

MOST_FRAMES = 256
"""Frames whose returns, revisits and depth are measured; of more, an even choice."""

DEPTH_SIDE = 128
"""Rows and columns, about, of the pixels on which depths are compared."""

MIN_SHARE = 0.25
"""Share of a frame that old frames must show before it counts as a revisit."""

MIN_OVERLAP = 0.02
"""Share of a frame that others must show before their depths are compared."""

NEAR_DISTANCE, NEAR_ANGLE = 0.1, np.deg2rad(10.0)
"""A camera is back where it was within so many scene scales and so wide an angle of its view."""

SMALLEST_SSIM = 6
"""Pixels a side from which on two pictures have a structural similarity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisit:
    """A frame compared with what frames show of it that are at least ``WINDOW`` frames older."""

    share: float
    """Of the frame that they show."""

    psnr: float
    """In dB, at most ``SAME_DB``, over that share."""

    ssim: float | None
    """In [-1, 1]; ``None`` where pictures are too small for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """A frame compared with an earlier one that was taken nearly from the same place."""

    earlier: int
    """Id of the earlier frame."""

    share: float
    """Of the frame that the earlier one shows, moved to its camera."""

    psnr: float
    """In dB, at most ``SAME_DB``, over that share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is known of one frame."""

    id: int
    position: int
    """Among the frames at the head, oldest first."""

    chunk: Chunk
    time: int
    """How many edits came before it."""

    c2w: Float64[np.ndarray, "4 4"]
    size: tuple[int, int]
    """Width and height."""

    pixels: int
    """With a depth."""

    known: float
    """Share that the cache showed before the frame came."""

    recalled: tuple[Recalled, ...]
    """What the generator was reminded of; nothing where nothing was imagined along a path."""

    mean: tuple[float, float, float]
    """Colour."""

    contrast: float
    depth_before: Float[Tensor, "rows columns"] | None
    """What the cache showed before, on fewer pixels; 0 where nothing. ``None`` where it is not compared."""

    revisit: Revisit | None
    """``None`` where old frames do not show enough of it, or it was not among the chosen."""

    depth_error: float | None = None
    """Median difference from the depth that all other frames give, as a share of the depth."""

    depth_share: float = 0.0
    """Of the depths, that were compared."""

    came_back: Return | None = None


def chosen_of(world: World) -> list[int]:
    """Positions of the frames that are measured in full: all of them, or an even choice."""
    count = len(world.frame_ids())
    return np.unique(np.linspace(0, count - 1, min(count, MOST_FRAMES)).round().astype(int)).tolist()


class _Older:
    """What frames show that are at least ``WINDOW`` frames older than the newest."""

    def __init__(self) -> None:
        self._cache = WorldCache()
        self._waiting: deque[tuple[int, int, Chunk, Frames]] = deque()

    def wait(self, position: int, number: int, chunk: Chunk, frame: Frames) -> None:
        """Take a frame that will count as old later."""
        self._waiting.append((position, number, chunk, frame))

    def revisit(self, position: int, frame: Frames) -> Revisit | None:
        """Compare a frame with what is old by then."""
        while self._waiting and self._waiting[0][0] <= position - WINDOW:
            _, number, chunk, old = self._waiting.popleft()
            _remember(self._cache, old, number, chunk)
        if not len(self._cache):
            return None
        seen = self._cache.render(frame.cameras)
        share = float(seen.mask.float().mean())
        if share < MIN_SHARE:
            return None
        is_large = min(frame.rgb.shape[1:3]) >= SMALLEST_SSIM
        return Revisit(
            share=share,
            psnr=_likeness(seen, frame),
            ssim=float(ssim(seen.rgb, frame.rgb, mask=seen.mask)) if is_large else None,
        )


class _Growing:
    """A world as it was when each of its frames came."""

    def __init__(self, cache: WorldCache, scale: float, chosen: list[int]) -> None:
        self._cache, self._bank = cache, MemoryBank(scale=scale)
        self._older, self._picked = _Older(), set(chosen)
        self._position, self._time = 0, 0

    def enter(self, chunk: Chunk, content: Frames | Points | None) -> Iterator[Measured]:
        """Let a chunk happen, and say what is to be said of its frames."""
        if isinstance(content, Frames):
            seen = self._cache.render(content.cameras)
            recalled = _recalled(self._bank, seen, chunk)
            for i in range(len(content)):
                yield self._met(chunk, content[i : i + 1], i, seen, recalled)
            self._cache.remember(content, seen, ids=list(chunk.frame_ids), given=chunk.given)
        elif chunk.edit is not None:
            edit_cache(self._cache, chunk.edit, content)
            self._older, self._time = _Older(), self._time + 1
        enter_bank(self._bank, chunk, content)

    def _met(
        self, chunk: Chunk, frame: Frames, i: int, seen: Seen, recalled: tuple[Recalled, ...]
    ) -> Measured:
        """The ``i``-th frame of a chunk, with what the cache showed of all of them."""
        position, number = self._position, chunk.frame_ids[i]
        self._position += 1
        revisit, before = None, None
        if position in self._picked:
            before = _fewer(seen.depth[i : i + 1])
            revisit = self._older.revisit(position, frame)
            self._older.wait(position, number, chunk, frame)
        red, green, blue = frame.rgb[0].mean(dim=(0, 1)).tolist()
        return Measured(
            id=number,
            position=position,
            chunk=chunk,
            time=self._time,
            c2w=frame.cameras.c2w[0].double().numpy(),
            size=(frame.cameras.width, frame.cameras.height),
            pixels=int(frame.valid.sum()),
            known=float(seen.mask[i].float().mean()),
            recalled=recalled,
            mean=(red, green, blue),
            contrast=float(contrast(frame.rgb)) if frame.rgb.shape[1:3].numel() > 1 else 0.0,
            depth_before=before,
            revisit=revisit,
        )


def forward(world: World, chosen: list[int], *, cache: WorldCache) -> Iterator[Measured]:
    """Walk the way that the world grew, a frame at a time.

    Depths are not compared yet, nor frames with those that the camera came back to; see :func:`backward`.

    Args:
        world: a world.
        chosen: of :func:`chosen_of`.
        cache: an empty one; afterwards it is that of the world.
    """
    growing = _Growing(cache, world.scene.scale, chosen)
    for chunk, content in committed(world):
        yield from growing.enter(chunk, content)


def backward(world: World, walked: list[Measured]) -> Iterator[Measured]:
    """Walk back from the newest of the chosen frames, and measure what needs later frames.

    Args:
        world: the world.
        walked: what :func:`forward` gave, all of it.

    Yields:
        The chosen frames with all that can be said of them, newest first.
    """
    cache, time = WorldCache(), None
    for measured in reversed([one for one in walked if one.depth_before is not None]):
        if measured.time != time:
            cache, time = WorldCache(), measured.time
        frame = world.frames([measured.id])
        seen = cache.render(frame.cameras)
        error, share = _depth_agreement(frame, measured.depth_before, _fewer(seen.depth))
        came_back = _came_back(world, measured, frame, walked)
        yield dataclasses.replace(measured, depth_error=error, depth_share=share, came_back=came_back)
        _remember(cache, frame, measured.id, measured.chunk)


def _recalled(bank: MemoryBank, seen: Seen, chunk: Chunk) -> tuple[Recalled, ...]:
    """What growth recalled for a chunk: the same bank, view and seed recall the same."""
    if chunk.given or chunk.path is None:
        return ()
    return tuple(retrieve(bank, seen, k=RECALLED_FRAMES, seed=chunk.seed))


def _remember(cache: WorldCache, frame: Frames, number: int, chunk: Chunk) -> None:
    cache.remember(frame, cache.render(frame.cameras), ids=[number], given=chunk.given)


def _likeness(seen: Seen, frame: Frames) -> float:
    return min(float(psnr(seen.rgb, frame.rgb, mask=seen.mask)), SAME_DB)


def _fewer(depth: Float[Tensor, "1 h w 1"]) -> Float[Tensor, "rows columns"]:
    """Every so many rows and columns of a depth picture, in memory of their own."""
    stride = max(1, max(depth.shape[1:3]) // DEPTH_SIDE)
    return depth[0, ::stride, ::stride, 0].clone()


def _depth_agreement(
    frame: Frames, before: Float[Tensor, "rows columns"] | None, after: Float[Tensor, "rows columns"]
) -> tuple[float | None, float]:
    """Depth of a frame against the nearer of what older and newer ones show there, and where that is."""
    assert before is not None
    depth = _fewer(frame.depth.masked_fill(~frame.valid, 0.0))
    others = torch.minimum(*(torch.where(z > 0, z, torch.inf) for z in (before, after)))
    both = (depth > 0) & torch.isfinite(others)
    share = float(both.sum() / max(int((depth > 0).sum()), 1))
    if share < MIN_OVERLAP:
        return None, share
    return float(((others[both] - depth[both]).abs() / depth[both]).median()), share


def _came_back(world: World, measured: Measured, frame: Frames, walked: list[Measured]) -> Return | None:
    """The frame against the earlier one nearest to its camera, if the camera was away in between."""
    earlier = _nearest_before(measured, walked, scale=world.scene.scale)
    if earlier is None:
        return None
    cache = WorldCache()
    _remember(cache, world.frames([earlier.id]), earlier.id, earlier.chunk)
    seen = cache.render(frame.cameras)
    if not seen.mask.any():
        return None
    return Return(earlier=earlier.id, share=float(seen.mask.float().mean()), psnr=_likeness(seen, frame))


def _nearest_before(measured: Measured, walked: list[Measured], *, scale: float) -> Measured | None:
    """The nearest frame of the same time from before the camera last went away from here."""
    before = [one for one in walked[: measured.position] if one.time == measured.time]
    if not before:
        return None
    c2w = np.stack([one.c2w for one in before])
    distance = np.linalg.norm(c2w[:, :3, 3] - measured.c2w[:3, 3], axis=1) / scale / NEAR_DISTANCE
    cosine = 0.5 * (np.einsum("nij,ij->n", c2w[:, :3, :3], measured.c2w[:3, :3]) - 1.0)
    far = np.maximum(distance, np.arccos(cosine.clip(-1.0, 1.0)) / NEAR_ANGLE)
    away = np.flatnonzero(far > 1.0)
    until = min(int(away[-1]) if len(away) else 0, len(before) - WINDOW + 1)
    if until <= 0:
        return None
    nearest = int(far[:until].argmin())
    return before[nearest] if far[nearest] <= 1.0 else None
