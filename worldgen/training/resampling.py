"""Resampling forcing: conditions with the errors that the model itself makes.

Room: worldgen. When a world grows, the cache holds what the model imagined, and a model that was only shown
exact surfaces takes its own mistakes for the truth and adds to them. Here every frame of a clip is noised a
little and brought back in one step of the present weights, from what a cache shows of the frames brought back
before it; the clip is then trained on those renders, towards the true frames (Resampling Forcing, section
3.1; algorithms A6.1). Attention meets the imagined frames too where training has two streams
(:mod:`worldgen.training.streams`), else the true ones, noised.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from memory.cache import WorldCache
from worldgen.conditions import channels_of, frames_of, known_from_cache
from worldgen.model.attention import Views
from worldgen.sampling.flow import noised, shifted
from worldgen.settle import settled
from worldgen.training.clips import Clip, camera_of, units_of
from worldgen.training.ranks import ALONE, Ranks

SHIFT = 0.6
"""Moves the levels towards clean (A6.1, Eq. 7): from far out a frame would come back as another one."""

Predict = Callable[[Tensor, Tensor, Tensor, Views], Tensor]
"""Noisy frames, their levels, conditions and views to the prediction of the clean frames."""


@torch.no_grad()
def resampled(
    predict: Predict, clip: Clip, *, rng: torch.Generator, ranks: Ranks = ALONE
) -> tuple[Clip, Float[Tensor, "b f 4 h w"]]:
    """The clip with what a cache of imagined frames shows wherever a cache of true ones was shown.

    Args:
        predict: the model; it may live on another device than the clip.
        clip: as the workers make it.
        rng: decides the noise, and the one level that the frames of a clip share.
        ranks: whose clips these are; all draw for the whole batch.

    Returns:
        The clip, and its frames as they were imagined; given frames and the last one are those of the clip.
    """
    b, f = clip.given.shape
    mine = ranks.rows(b)
    level = shifted(torch.sigmoid(torch.randn(ranks.count * b, 1, generator=rng)[mine]), shift=SHIFT)
    noise = torch.randn((ranks.count * b, *clip.images.shape[1:]), generator=rng)[mine]
    noisy = noised(clip.images, noise, level.expand(b, f))
    caches = [WorldCache() for _ in range(b)]
    units = [units_of(clip, k) for k in range(b)]
    imagined = clip.images.clone()
    conditions = []
    for i in range(f):
        now = slice(i, i + 1)
        cameras = [camera_of(clip, k, i) for k in range(b)]
        seen = [cache.render(camera) for cache, camera in zip(caches, cameras, strict=True)]
        condition = torch.cat(
            [
                channels_of(known_from_cache(seen[k]), units[k])
                if clip.is_shown[k, i]
                else clip.condition[k : k + 1, now]
                for k in range(b)
            ]
        )
        conditions.append(condition)
        if i == f - 1:
            break  # no frame sees the last one
        views = Views(w2c=clip.w2c[:, now], K_norm=clip.K_norm[:, now])
        predicted = predict(noisy[:, now], level, condition, views).float().cpu()
        for k in range(b):
            is_given = bool(clip.given[k, i])
            one = slice(k, k + 1)
            if not is_given:
                imagined[one, now] = settled(predicted[one], condition[one])
            frame = frames_of(imagined[one, now], cameras[k], units[k])
            caches[k].remember(frame, seen[k], ids=[i], given=is_given)
    return dataclasses.replace(clip, condition=torch.cat(conditions, dim=1)), imagined
