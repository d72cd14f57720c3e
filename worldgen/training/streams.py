"""Two streams: every frame of a clip is trained with the frames before it as they will be remembered.

Room: worldgen. When a world grows, what a view remembers are finished frames, known all over, each seen by
itself. In a clip of noisy frames that look at each other hardly any is shown that way. Here a clip is laid
out twice: finished frames that look at nothing else, and behind them the noisy ones, of which each looks at
finished frames before it and never at another noisy one. One pass then trains all frames exactly as they
are sampled (Resampling Forcing, section 3.2, arXiv 2512.15702; algorithms A6.2). Where the section lets
finished frames look at those before them, ours do not: a world remembers views one by one, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldgen.conditions import channels_of, frames_of, images_of, known_pictures
from worldgen.model.attention import Views, joined
from worldgen.model.trunk import Links
from worldgen.training.clips import Clip, camera_of, units_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """What the model reads; its answers to the last frames are those of the clip."""

    x: Float[Tensor, "b s 4 h w"]
    """Finished frames but for the last one, then all frames, noisy."""

    t: Float[Tensor, "b s"]
    """0 for finished frames."""

    condition: Float[Tensor, "b s 11 h w"]
    views: Views
    links: Links
    finished: int
    """Frames that are only looked at."""


def two_streams(
    clip: Clip,
    noisy: Float[Tensor, "b f 4 h w"],
    t: Float[Tensor, "b f"],
    *,
    history: Float[Tensor, "b f 4 h w"],
    links: Links,
) -> Streams:
    """Lay a clip out twice.

    Args:
        clip: the frames, what is known of them, and their cameras.
        noisy: the frames at levels ``t``.
        t: one level a frame.
        history: the frames as they will be remembered: the true ones (teacher forcing), or what the model
            itself imagined (resampling forcing).
        links: for each frame the finished frames before it that it attends to.
    """
    before = t.shape[1] - 1  # no frame looks at the last one
    finished = [_remembered(clip, history, i) for i in range(before)]
    views = Views(w2c=clip.w2c, K_norm=clip.K_norm)
    return Streams(
        x=torch.cat([*(image for image, _ in finished), noisy], dim=1),
        t=torch.cat([torch.zeros_like(t[:, :before]), t], dim=1),
        condition=torch.cat([*(condition for _, condition in finished), clip.condition], dim=1),
        views=joined([views[:before], views]),
        links=((),) * before + links,
        finished=before,
    )


def _remembered(
    clip: Clip, history: Float[Tensor, "b f 4 h w"], i: int
) -> tuple[Float[Tensor, "b 1 4 h w"], Float[Tensor, "b 1 11 h w"]]:
    """Frame ``i`` of every clip as the generator remembers it: the picture, and all of it known."""
    images, conditions = [], []
    for k in range(len(history)):
        units = units_of(clip, k)
        frame = frames_of(history[k : k + 1, i : i + 1], camera_of(clip, k, i), units)
        images.append(images_of(frame, units))
        conditions.append(channels_of(known_pictures(frame), units))
    return torch.cat(images), torch.cat(conditions)
