"""Selective Adam: an optimiser that moves only the splats that a view saw.

Room: reconstruct. After the selective optimiser of "Taming 3DGS" (Mallick et al. 2024): plain Adam keeps
moving splats that the present view does not see, along stale averages, and visits all of them each time. Each
splat counts its own steps, so that averages of one seen late are corrected like those of one seen early.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from reconstruct._adam_kernel import adam_rows, corrections, count_steps
from render.jobs import spread

BETAS = (0.9, 0.999)
EPSILON = 1e-15
"""As splats are customarily trained: their gradients are tiny, so nothing larger may hide them."""


CHUNK = 16384
"""Rows a job."""


class SelectiveAdam:
    """State of the optimiser of some tensors, all with a row a splat."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        """Begin with averages of nothing, for tensors ``[g ...]`` by name."""
        self.first = {name: torch.zeros_like(value) for name, value in values.items()}
        self.second = {name: torch.zeros_like(value) for name, value in values.items()}
        any_value = next(iter(values.values()))
        self.counts = torch.zeros(len(any_value), dtype=torch.int64, device=any_value.device)

    @torch.no_grad()
    def step(
        self,
        values: Mapping[str, Float[Tensor, "g ..."]],
        *,
        seen: Int[Tensor, " v"],
        rates: Mapping[str, float | Float[Tensor, " ..."]],
        threads: int = 1,
    ) -> None:
        """Move the rows ``seen`` against their gradients, in place; a run of rows a job of the CPU's threads.

        A rate is a number, or a tensor with one for every number of a row.
        """
        moved = {name: (value, value.grad) for name, value in values.items() if value.grad is not None}
        if any(value.device.type != "cpu" or value.dtype != torch.float32 for value, _ in moved.values()):
            self.counts[seen] += 1
            for name, tensors in moved.items():
                averages = self.first[name], self.second[name]
                _step_rows(*tensors, *averages, seen=seen, counts=self.counts, rate=rates[name])
            return
        jobs = []
        for name, tensors in moved.items():
            packed = map(_packed, (*tensors, self.first[name], self.second[name]))
            x, g, m, v = (part.detach().view(-1).numpy() for part in packed)
            jobs.append((x, g, m, v, np.full(tensors[0].shape[1:], rates[name], np.float32).reshape(-1)))
        rows, counts, scale = seen.numpy(), self.counts.numpy(), corrections(BETAS)

        def one(begin: int) -> None:
            part = rows[begin : begin + CHUNK]
            count_steps(counts, part)
            for x, g, m, v, each in jobs:
                adam_rows(x, g, m, v, part, counts, scale, each, BETAS, np.float32(EPSILON))

        spread(one, range(0, len(rows), CHUNK), threads=threads)

    def kept(self, rows: Int[Tensor, " k"]) -> None:
        """Go on with some of the splats, in another order; one that is named twice shares its averages."""
        for averages in (self.first, self.second):
            for name, value in averages.items():
                averages[name] = value[rows]
        self.counts = self.counts[rows]

    def widened(self, name: str, value: Float[Tensor, "g ..."]) -> None:
        """Go on with longer rows of one tensor; of what is new at their ends nothing is known."""
        for averages in (self.first, self.second):
            wider = torch.zeros_like(value)
            wider[:, : averages[name].shape[1]] = averages[name]
            averages[name] = wider

    def forget(self, rows: Int[Tensor, " k"]) -> None:
        """Begin anew for splats that stand for something else now."""
        for averages in (self.first, self.second):
            for value in averages.values():
                value[rows] = 0.0
        self.counts[rows] = 0


def _packed(tensor: Tensor) -> Tensor:
    """The kernel writes in place, so a copy would be lost."""
    if not tensor.is_contiguous():
        raise ValueError("the optimiser needs packed tensors")
    return tensor


def _step_rows(
    value: Tensor,
    slope: Tensor,
    first: Tensor,
    second: Tensor,
    *,
    seen: Int[Tensor, " v"],
    counts: Int[Tensor, " g"],
    rate: float | Float[Tensor, " ..."],
) -> None:
    """The step in torch, on any device and in any precision."""
    b1, b2 = BETAS
    taken = counts[seen].to(value).view(-1, *[1] * (value.ndim - 1))
    first[seen] = b1 * first[seen] + (1.0 - b1) * slope[seen]
    second[seen] = b2 * second[seen] + (1.0 - b2) * slope[seen].square()
    mean, spread = first[seen] / (1.0 - b1**taken), second[seen] / (1.0 - b2**taken)
    value[seen] -= rate * mean / (spread.sqrt() + EPSILON)
