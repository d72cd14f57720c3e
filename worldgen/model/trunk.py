"""The transformer trunk: attention inside frames, and from a frame to the frames it remembers.

Room: worldgen. Three blocks of four attend inside their frame, the fourth also to linked
frames of the clip or to remembered keys and values (block-causal, adaLN-zero; A3.3, A5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worldgen.model.attention import (
    CameraCode,
    Codes,
    Views,
    applied,
    attend,
    codes_of,
    joined,
    rope,
    rotated,
)
from worldgen.model.routing import routed_attend

MEMORY_EVERY = 4
"""One block in so many looks beyond its own frame."""

Links = tuple[tuple[int, ...], ...]
"""For each frame of a clip, the earlier frames it attends to."""

Meet = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys and values of all frames to what each token takes from the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Raw keys and values of remembered frames, one pair a memory block, and their cameras."""

    keys: list[Float[Tensor, "b m s n c"]]
    """Before any camera or rotary transform: those happen when they are read."""

    values: list[Float[Tensor, "b m s n c"]]
    views: Views

    @staticmethod
    def joined(parts: list[Recall]) -> Recall:
        """Frames that were remembered one by one, as if together."""
        return Recall(
            keys=[torch.cat(keys, dim=1) for keys in zip(*(part.keys for part in parts), strict=True)],
            values=[
                torch.cat(values, dim=1) for values in zip(*(part.values for part in parts), strict=True)
            ],
            views=joined([part.views for part in parts]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Remembered keys and values as one camera reads them; the same for every step of a sampler."""

    keys: list[Float[Tensor, "b m s n c"]]
    """After cameras and rotary positions, one tensor a memory block."""

    values: list[Float[Tensor, "b m s n c"]]


class Block(nn.Module):
    """A transformer block with adaLN-zero modulation, one modulation a frame."""

    def __init__(self, width: int, *, head_width: int):
        super().__init__()
        self.head_width = head_width
        self.qkv = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def project(self, x: Float[Tensor, "b f s d"]) -> Float[Tensor, "3 b f s n c"]:
        """Queries, keys and values of normalised tokens, split into heads."""
        b, f, s, d = x.shape
        heads = self.qkv(x).view(b, f, s, 3, d // self.head_width, self.head_width)
        return heads.permute(3, 0, 1, 2, 4, 5)

    def forward(
        self, x: Float[Tensor, "b f s d"], embedded: Float[Tensor, "b f d"], *, meet: Meet
    ) -> tuple[Float[Tensor, "b f s d"], tuple[Tensor, Tensor]]:
        """Return the new tokens, and the raw keys and values of the frames.

        ``meet`` turns queries, keys and values into what the tokens take from each other.
        """
        modulation = self.modulation(embedded)[:, :, None]
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = modulation.chunk(6, dim=-1)
        hidden = F.layer_norm(x, x.shape[-1:]) * (1.0 + scale_a) + shift_a
        q, k, v = self.project(hidden)
        x = x + gate_a * self.merge(meet(q, k, v).reshape(x.shape))
        hidden = F.layer_norm(x, x.shape[-1:]) * (1.0 + scale_m) + shift_m
        x = x + gate_m * self.contract(F.silu(self.expand(hidden)))
        return x, (k, v)


def within_frames(
    q: Float[Tensor, "b f s n c"],
    k: Float[Tensor, "b f s n c"],
    v: Float[Tensor, "b f s n c"],
    *,
    cos: Float[Tensor, "s c"],
    sin: Float[Tensor, "s c"],
) -> Float[Tensor, "b f s n c"]:
    """Attention of every frame to itself, with rotary positions."""
    q, k = rotated(q, cos, sin), rotated(k, cos, sin)
    return attend(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1)).view(q.shape)


def carried(
    k: Float[Tensor, "b f s n c"], v: Float[Tensor, "b f s n c"], codes: Codes
) -> tuple[Float[Tensor, "b f s n c"], Float[Tensor, "b f s n c"]]:
    """Raw keys and values out of their cameras, into the reference of ``codes``."""
    k = applied(k, codes.out_of, cos=codes.cos, sin=codes.sin)
    return k, applied(v, codes.out_of, cos=codes.cos, sin=codes.sin) if codes.moves_values else v


def between_frames(
    q: Float[Tensor, "b f s n c"],
    k: Float[Tensor, "b f s n c"],
    v: Float[Tensor, "b f s n c"],
    *,
    codes: Codes,
    links: Links,
    read: tuple[Float[Tensor, "b m s n c"], Float[Tensor, "b m s n c"]] | None = None,
    routed: int | None = None,
) -> Float[Tensor, "b f s n c"]:
    """Attention of every frame to itself, to its links and to what is remembered, through their cameras.

    ``codes`` are those of the frames, ``read`` is what is remembered, :func:`carried` to the same reference.
    With ``routed`` every token attends to so many frames besides its own (:mod:`worldgen.model.routing`).
    """
    frames = q.shape[1]
    q = applied(q, codes.into.mT, cos=codes.cos, sin=codes.sin)
    k, v = carried(k, v, codes)
    if read is not None:
        k, v = torch.cat([k, read[0].to(k)], dim=1), torch.cat([v, read[1].to(v)], dim=1)
    outputs = []
    for i in range(frames):
        past = [*links[i], *range(frames, k.shape[1])]
        if routed is not None and len(past) > routed:
            own, history = (k[:, i], v[:, i]), (k[:, past], v[:, past])
            outputs.append(routed_attend(q[:, i], own, history, keep=routed))
            continue
        keys, values = (torch.cat([part[:, j] for j in (i, *past)], dim=1) for part in (k, v))
        outputs.append(attend(q[:, i], keys, values))
    taken = torch.stack(outputs, dim=1)
    return applied(taken, codes.into, cos=codes.cos, sin=-codes.sin) if codes.moves_values else taken


class Trunk(nn.Module):
    """A stack of blocks; every fourth one attends beyond its own frame."""

    def __init__(self, width: int, *, depth: int, head_width: int, cameras: CameraCode = "prope"):
        super().__init__()
        self.head_width = head_width
        self.cameras: CameraCode = cameras
        self.blocks = nn.ModuleList(Block(width, head_width=head_width) for _ in range(depth))

    def read(self, recall: Recall, *, views: Views, grid: tuple[int, int]) -> Reading:
        """What is remembered, as ``views`` will read it."""
        codes = self._codes(recall.views, views=views, grid=grid)
        pairs = [carried(k, v, codes) for k, v in zip(recall.keys, recall.values, strict=True)]
        return Reading(keys=[k for k, _ in pairs], values=[v for _, v in pairs])

    def _codes(self, seen: Views, *, views: Views, grid: tuple[int, int]) -> Codes:
        """How tokens of ``seen`` meet those of ``views``."""
        return codes_of(
            seen, reference=views.w2c[:, -1], grid=grid, head_width=self.head_width, cameras=self.cameras
        )

    def forward(
        self,
        x: Float[Tensor, "b f s d"],
        embedded: Float[Tensor, "b f d"],
        *,
        views: Views,
        grid: tuple[int, int],
        links: Links,
        recall: Recall | Reading | None,
        routed: int | None = None,
    ) -> tuple[Float[Tensor, "b f s d"], list[tuple[Tensor, Tensor]]]:
        """Return the new tokens and the raw keys and values of every memory block."""
        codes = self._codes(views, views=views, grid=grid)
        if isinstance(recall, Recall):
            recall = self.read(recall, views=views, grid=grid)
        cos, sin = rope(grid, channels=self.head_width, device=x.device)
        alone = partial(within_frames, cos=cos, sin=sin)
        kept: list[tuple[Tensor, Tensor]] = []
        for index, block in enumerate(self.blocks):
            if index % MEMORY_EVERY != MEMORY_EVERY - 1:
                x, _ = block(x, embedded, meet=alone)
                continue
            read = None if recall is None else (recall.keys[len(kept)], recall.values[len(kept)])
            together = partial(between_frames, codes=codes, links=links, read=read, routed=routed)
            x, pair = block(x, embedded, meet=together)
            kept.append(pair)
        return x, kept
