"""History routing: every token attends to the few remembered frames that concern it.

Room: worldgen. Attention to everything that was seen costs more with every frame. A router without
parameters, the mean of each frame's keys, chooses ``keep`` frames a token and head (Resampling Forcing
section 3.3, arXiv 2512.15702; algorithms A6.3). A token's own frame is always attended to; the parts are put
together exactly, by their log-sum-exp. The number of logits is that of ``keep`` frames however many are
remembered; what grows with all of them is carrying their keys over to the camera that asks, and on a CPU the
many small products, so below some ten frames plain attention is cheaper (``benchmarks/recall.py``).
"""

from __future__ import annotations

from itertools import product

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Part = tuple[Tensor, Tensor]
"""What queries take from some keys, ``r c``, and the logarithm of the sum of their weights, ``r``."""


def routed_attend(
    q: Float[Tensor, "b s n c"],
    own: tuple[Float[Tensor, "b s n c"], Float[Tensor, "b s n c"]],
    past: tuple[Float[Tensor, "b m s n c"], Float[Tensor, "b m s n c"]],
    *,
    keep: int,
) -> Float[Tensor, "b s n c"]:
    """Attention over a frame's own tokens and, for each of them, the ``keep`` frames that concern it most.

    Args:
        q: queries, as attention sees them: after cameras and rotary positions.
        own: keys and values of the queries' frame.
        past: keys and values of the remembered frames.
        keep: frames a token attends to; all, where there are no more.
    """
    chosen = routes(q, past[0], keep=keep)
    rows = q.transpose(1, 2) * q.shape[-1] ** -0.5
    own_keys, own_values = (x.transpose(1, 2) for x in own)
    keys, values = (x.permute(0, 3, 1, 2, 4) for x in past)
    outputs = torch.empty_like(rows)
    for sample, head in product(range(rows.shape[0]), range(rows.shape[1])):
        at = (sample, head)
        part = _taken(rows[at], own_keys[at], own_values[at])
        for j in range(chosen.shape[-1]):
            asking = chosen[at][:, j].nonzero()[:, 0]
            if len(asking):
                seen = _taken(rows[at][asking], keys[at][j], values[at][j])
                part = _merged_at(asking, part, seen)
        outputs[at] = part[0]
    return outputs.transpose(1, 2)


@torch.no_grad()
def routes(
    q: Float[Tensor, "b s n c"], keys: Float[Tensor, "b m t n c"], *, keep: int
) -> Bool[Tensor, "b n s m"]:
    """Which frames each token attends to: those whose mean key it likes best.

    The mean logit of a frame's keys is the logit of their mean, so no logits are needed to rank frames.
    """
    if keep < 0:
        raise ValueError(f"a token cannot attend to {keep} frames")
    scores = torch.einsum("bsnc,bmnc->bnsm", q.float(), keys.float().mean(dim=2))
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    best = scores.topk(min(keep, scores.shape[-1]), dim=-1).indices
    return chosen.scatter(-1, best, value=True)


def merged(first: Part, second: Part) -> Part:
    """Attention over two sets of keys from that over each: exact, as if over both at once."""
    total = torch.logaddexp(first[1], second[1])
    weights = [(part[1] - total).exp()[:, None].to(part[0].dtype) for part in (first, second)]
    return weights[0] * first[0] + weights[1] * second[0], total


def _taken(q: Float[Tensor, "r c"], k: Float[Tensor, "t c"], v: Float[Tensor, "t c"]) -> Part:
    logits = (q @ k.mT).float()
    total = logits.logsumexp(dim=-1)
    return (logits - total[:, None]).exp().to(v.dtype) @ v, total


def _merged_at(rows: Tensor, part: Part, other: Part) -> Part:
    """``other`` belongs to some rows of ``part`` alone."""
    output, total = merged((part[0][rows], part[1][rows]), other)
    return part[0].index_copy(0, rows, output), part[1].index_copy(0, rows, total)
