"""Asking: a batch put to the model, and its answer.

Room: worldgen. The one place where training calls the model: precision, devices, and what frames look at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldgen.model.attention import Views
from worldgen.model.layers import SHORTEST_STEP
from worldgen.model.trunk import Links
from worldgen.model.weights import compute_dtype
from worldgen.training.clips import Clip, rows_of
from worldgen.training.streams import two_streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A batch, and what its frames look at."""

    clip: Clip

    links: Links
    """For each frame the frames before it that it attends to."""

    history: Float[Tensor, "b f 4 h w"] | None
    """Those frames, finished (:mod:`worldgen.training.streams`); None: as they are in the batch, noisy."""

    def __getitem__(self, rows: list[int]) -> Question:
        """Some clips of the batch."""
        history = None if self.history is None else self.history[rows]
        return Question(clip=rows_of(self.clip, rows), links=self.links, history=history)


def answered(
    model: nn.Module,
    question: Question,
    noisy: Float[Tensor, "b f 4 h w"],
    t: Float[Tensor, "b f"],
    d: Float[Tensor, "b f"] | None = None,
) -> Float[Tensor, "b f 4 h w"]:
    """The model's answer to the frames of a batch at levels ``t``, for steps of length ``d``."""
    clip, links = question.clip, question.links
    if question.history is None:
        views = Views(w2c=clip.w2c, K_norm=clip.K_norm)
        return computed(model, noisy, t, clip.condition, views, links=links, d=d)
    both = two_streams(clip, noisy.cpu(), t.cpu(), history=question.history, links=links)
    if d is not None:
        d = torch.cat([torch.full_like(d[:, : both.finished], SHORTEST_STEP), d], dim=1)
    return computed(
        model, both.x, both.t, both.condition, both.views, links=both.links, d=d, only_seen=both.finished
    )


def computed(
    model: nn.Module,
    x: Float[Tensor, "b f 4 h w"],
    t: Float[Tensor, "b f"],
    condition: Float[Tensor, "b f 11 h w"],
    views: Views,
    *,
    links: Links | None = None,
    d: Float[Tensor, "b f"] | None = None,
    only_seen: int = 0,
) -> Float[Tensor, "b g 4 h w"]:
    """The model's answer where it lives, as exact as it is fast there; see its ``forward``."""
    device = next(model.parameters()).device
    dtype = compute_dtype(device)
    told = {} if d is None else {"d": d.to(device)}
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        return model(
            x.to(device),
            t.to(device),
            condition=condition.to(device),
            views=views.to(device),
            links=links,
            only_seen=only_seen,
            **told,
        )
