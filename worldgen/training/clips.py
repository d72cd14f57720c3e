"""Training clips: short walks through procedural worlds, with what our own cache knew on the way.

Room: worldgen. Clip ``i`` depends on ``i`` alone, so any worker can make any clip and a resumed run
sees the clips it would have seen.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from memory.cache import Seen, WorldCache
from render.cameras import Cameras
from render.frames import Frames, median_depth
from worldgen.conditions import (
    Known,
    SceneUnits,
    channels_of,
    images_of,
    known_from_cache,
    known_pictures,
    nothing_known,
)
from worldgen.depth import PRIOR, DepthRange, range_of
from worldgen.model.attention import views_of
from worldgen.training.corruption import (
    DEGRADED_CHANCE,
    FLAWLESS,
    Faults,
    bled,
    checked_corruption,
    degraded,
    drawn_faults,
    measured,
    rescaled,
    torn,
)
from worldgen.worlds import DEFAULT_KINDS, changed, random_scene, random_walk_cameras, render
from worldgen.worlds.paths import CLOSE, WIDE

FIRST_HELD_OUT_SEED = 1_000_000_000
"""Scenes from this seed on are never trained on."""

STARTS = ("nothing", "picture", "measured", "known", "cache")
START_CHANCES = (0.2, 0.12, 0.1, 0.34, 0.24)
"""How much is known of a clip's first frame: nothing, its colour, its colour and the depth that a sensor
finds, all of it, or what a cache shows."""

SECOND_GIVEN_CHANCE = 0.6
"""Chance that, after a first frame that is all known, the second is too: what is recalled is mostly more
than one finished frame."""

SKIP_CHANCE = 0.25
"""Chance that a frame of a clip does not enter the cache."""

DROPPED_CHANCE = 0.08
"""Chance that nothing is known of a later frame of a clip."""

FAULTS, TASTE = 1, 2
"""Mark the random numbers of a clip's faults and of where it keeps to: they are no part of those that decide
all else."""

PRIOR_CHANCE = 0.3
"""Chance that a clip whose depth is known is coded with the prior range all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A batch of training clips, as the model reads them."""

    images: Float[Tensor, "b f 4 h w"]
    """Colour in [-1, 1] and the depth code: exact, but for given frames, which may be degraded."""

    condition: Float[Tensor, "b f 11 h w"]
    """What is known of them; see :func:`worldgen.conditions.channels_of`."""

    w2c: Float[Tensor, "b f 4 4"]
    """World-to-camera, in scene units."""

    K_norm: Float[Tensor, "b f 4"]
    """Intrinsics as in :class:`worldgen.model.attention.Views`."""

    given: Bool[Tensor, "b f"]
    """Frames that are fully known: context without noise and without loss."""

    is_shown: Bool[Tensor, "b f"]
    """Frames of which nothing is known but what a cache of the clip's earlier frames shows."""

    span: Float[Tensor, "b 2"]
    """Ends of the depth code's range, in 1 / scene units; see :class:`worldgen.depth.DepthRange`."""


def units_of(clip: Clip, k: int) -> SceneUnits:
    """How clip ``k`` of a batch measures; its cameras are in scene units already."""
    low, high = clip.span[k].tolist()
    return SceneUnits(scale=1.0, span=DepthRange(low=low, high=high))


def camera_of(clip: Clip, k: int, i: int) -> Cameras:
    """The camera of frame ``i`` of clip ``k``, in scene units."""
    h, w = clip.images.shape[-2:]
    c2w = torch.linalg.inv(clip.w2c[k, i].double()).float()
    return Cameras(c2w=c2w[None], K=_pixels(clip.K_norm[k, i], w, h)[None], width=w, height=h)


def _pixels(K_norm: Float[Tensor, " 4"], width: int, height: int) -> Float[Tensor, "3 3"]:
    """Intrinsics in pixels; the inverse of what :func:`worldgen.model.attention.views_of` does."""
    fx, fy, cx, cy = K_norm.unbind()
    K = torch.eye(3)
    K[0, 0], K[1, 1] = fx * width, fy * height
    K[0, 2], K[1, 2] = (cx + 0.5) * width, (cy + 0.5) * height
    return K


def rows_of(clip: Clip, rows: list[int]) -> Clip:
    """Some clips of a batch."""
    return Clip(**{field.name: getattr(clip, field.name)[rows] for field in dataclasses.fields(Clip)})


def collated(clips: list[Clip]) -> Clip:
    """Several batches as one."""
    names = [field.name for field in dataclasses.fields(Clip)]
    return Clip(**{name: torch.cat([getattr(clip, name) for clip in clips]) for name in names})


class Clips(Dataset[Clip]):
    """Clips by index, each a batch of one; see the module's docstring."""

    def __init__(
        self,
        *,
        size: int,
        frames: int,
        seed: int,
        kinds: Mapping[str, float] = DEFAULT_KINDS,
        degrading: float = DEGRADED_CHANCE,
        corruption: str = "base",
        close: float = 0.0,
    ):
        """Describe the clips.

        Args:
            size: pixels a side.
            frames: frames a clip.
            seed: another seed gives other clips; scene seeds stay below ``FIRST_HELD_OUT_SEED``.
            kinds: weights of the kinds of worlds, as in :func:`worldgen.worlds.random_scene`.
            degrading: chance that a frame enters the cache with the errors of an imagined one.
            corruption: of ``corruption.CORRUPTIONS``.
            close: share of the clips that keep to what is within reach.
        """
        self._size, self._frames, self._seed, self._kinds = size, frames, seed, kinds
        self._degrading, self._corruption = degrading, checked_corruption(corruption)
        self._close = close

    def __len__(self) -> int:
        return FIRST_HELD_OUT_SEED

    def __getitem__(self, index: int) -> Clip:
        rng = np.random.default_rng((self._seed, index))
        is_close = np.random.default_rng((self._seed, index, TASTE)).random() < self._close
        scene = random_scene(int(rng.integers(FIRST_HELD_OUT_SEED)), kinds=self._kinds)
        cameras = random_walk_cameras(
            scene,
            n=self._frames + 1,
            seed=int(rng.integers(1 << 31)),
            width=self._size,
            height=self._size,
            taste=CLOSE if is_close else WIDE,
        )
        cameras = cameras[torch.from_numpy(_order(self._frames + 1, rng))]
        apart = np.random.default_rng((self._seed, index, FAULTS))
        faults = drawn_faults(self._corruption, apart)
        before = changed(scene, cameras[:1], rng=apart) if faults.is_stale else None
        return clip_of(
            render(scene, cameras),
            rng=rng,
            degrading=self._degrading,
            faults=faults,
            stale=None if before is None else render(before, cameras[:1]),
        )


def _order(count: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Forwards, backwards, or as frames come when a place is visited again."""
    kind = rng.random()
    if kind < 0.4:
        return np.arange(count)
    if kind < 0.6:
        return np.arange(count)[::-1].copy()
    return rng.permutation(count)


def clip_of(
    frames: Frames,
    *,
    rng: np.random.Generator,
    degrading: float = DEGRADED_CHANCE,
    faults: Faults = FLAWLESS,
    stale: Frames | None = None,
) -> Clip:
    """A clip from exact frames, all but the first; that one serves only as the source of a cache.

    Args:
        frames: one more than the clip has.
        rng: decides what is known of them, and with which errors.
        degrading: that of :class:`Clips`.
        faults: of the cache.
        stale: what the first camera saw at another time; the cache begins with it, however the clip does.
    """
    start = STARTS[int(rng.choice(len(STARTS), p=START_CHANCES))]
    source, targets = frames[:1], frames[1:]
    given = 0
    if start == "known":
        given = 2 if len(targets) > 2 and rng.random() < SECOND_GIVEN_CHANCE else 1
    cache = WorldCache()
    if start == "cache" or stale is not None:
        first = source if stale is None else stale
        if start == "cache":
            first = degraded(first, rng, chance=degrading)
        _enter(cache, rescaled(first, faults.depth_scale), frame_id=0, faults=faults)
    opening = source if start == "cache" else targets[:1]
    if start == "measured":
        opening = measured(opening, rng)
    units = _units(opening, start=start, rng=rng)
    images: list[Tensor] = []
    known: list[Known] = []
    is_shown = torch.zeros(1, len(targets), dtype=torch.bool)
    for i in range(len(targets)):
        exact = targets[i : i + 1]
        imagined = rescaled(degraded(exact, rng, chance=degrading), faults.depth_scale)
        seen = cache.render(exact.cameras)
        if i < given:
            known.append(known_pictures(imagined))
        elif i == 0:
            known.append(_first(start, opening, seen))
        elif rng.random() < DROPPED_CHANCE:
            known.append(nothing_known(exact.cameras))
        else:
            known.append(known_from_cache(torn(seen, rng)))
            is_shown[0, i] = start != "cache" and stale is None  # those also hold a frame outside the clip
        images.append(images_of(imagined if i < given else exact, units))
        if i == 0 or rng.random() > SKIP_CHANCE:
            _enter(cache, imagined, frame_id=i + 1, faults=faults)
    views = views_of(targets.cameras, scale=units.scale)
    return Clip(
        images=torch.cat(images, dim=1),
        condition=torch.cat([channels_of(part, units) for part in known], dim=1),
        w2c=views.w2c,
        K_norm=views.K_norm,
        given=torch.arange(len(targets))[None] < given,
        is_shown=is_shown,
        span=torch.tensor([[units.span.low, units.span.high]], dtype=torch.float32),
    )


def _enter(cache: WorldCache, frame: Frames, *, frame_id: int, faults: Faults) -> None:
    cache.insert(bled(frame) if faults.bleeds else frame, ids=[frame_id], with_edges=faults.bleeds)


def _first(start: str, frame: Frames, seen: Seen) -> Known:
    """What is known of a clip's first frame, which is not given."""
    if start == "nothing":
        return nothing_known(frame.cameras)
    if start == "picture":
        return known_pictures(dataclasses.replace(frame, valid=torch.zeros_like(frame.valid)))
    if start == "measured":
        return known_pictures(frame)
    return known_from_cache(seen)


def _units(first: Frames, *, start: str, rng: np.random.Generator) -> SceneUnits:
    """Scale and depth range as ``grow`` would choose them, varied where the world decides."""
    scale = median_depth(first)
    if start in ("nothing", "picture"):
        return SceneUnits(scale=scale, span=PRIOR)
    scale *= math.exp(rng.uniform(-math.log(2.0), math.log(2.0)))
    if rng.random() < PRIOR_CHANCE:
        return SceneUnits(scale=scale, span=PRIOR)
    return SceneUnits(scale=scale, span=range_of(first.depth / scale, first.valid))
