"""Schedules: in which order the frames of a clip lose their noise.

Room: worldgen. A schedule is a matrix of levels, a row a moment and a column a frame, walked from top to
bottom; ``steps`` is noise and 0 is clean (Diffusion Forcing, Chen et al. 2024, section 3; algorithms A4.2).
Between two rows a frame whose level stays is kept exactly, one whose level falls takes a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import floor

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldgen.sampling.flow import carried, stepped

KINDS = ("full", "pyramid", "trapezoid", "autoregressive")

FrameDenoiser = Callable[[Tensor, Tensor, list[int]], Tensor]
"""Frames ``b f c h w``, their levels ``b f`` and which of them (``a``) take a step, to the prediction of
those ``b a c h w``. A frame that takes no step is finished at level 0 and tells nothing at level 1."""


def full_sequence(steps: int, frames: int) -> Int[Tensor, "r f"]:
    """All frames together, in ``steps + 1`` rows."""
    return _falling(steps, [0] * _count(frames))


def pyramid(steps: int, frames: int, *, delay: float) -> Int[Tensor, "r f"]:
    """Frame i begins ``floor(delay i)`` rows after the first one.

    ``delay`` 0 is the full sequence, ``steps`` is autoregressive.

    Raises:
        ValueError: if ``delay`` lies outside [0, ``steps``].
    """
    return _falling(steps, [floor(_delay(delay, steps) * i) for i in range(_count(frames))])


def trapezoid(steps: int, frames: int, *, delay: float) -> Int[Tensor, "r f"]:
    """As the pyramid, from both ends to the middle: columns i and ``frames - 1 - i`` are equal.

    (The index of the mirrored column in the public code of Diffusion Forcing is off by one.)
    """
    return _falling(
        steps, [floor(_delay(delay, steps) * min(i, frames - 1 - i)) for i in range(_count(frames))]
    )


def autoregressive(steps: int, frames: int) -> Int[Tensor, "r f"]:
    """One frame after the other, in ``steps * frames + 1`` rows."""
    return pyramid(steps, frames, delay=float(steps))


def _falling(steps: int, starts: list[int]) -> Int[Tensor, "r f"]:
    """Columns that fall from ``steps`` to 0 by one a row, each after its start."""
    if steps < 1:
        raise ValueError(f"sampling needs at least one step, got {steps}")
    rows = torch.arange(steps + max(starts) + 1)[:, None]
    return (steps + torch.tensor(starts) - rows).clamp(0, steps)


def _count(frames: int) -> int:
    if frames < 1:
        raise ValueError(f"a schedule needs at least one frame, got {frames}")
    return frames


def _delay(delay: float, steps: int) -> float:
    if not 0 <= delay <= steps:
        raise ValueError(f"a delay must lie between 0 and the {steps} steps of a frame, got {delay:g}")
    return delay


def times_of(matrix: Int[Tensor, "r f"], grid: Float[Tensor, " n"]) -> Float[Tensor, "r f"]:
    """The levels of a matrix as noise levels: n - 1 is the first of ``grid``, which is 1, and 0 the last."""
    return grid[len(grid) - 1 - matrix]


def walk(
    denoise: FrameDenoiser,
    x: Float[Tensor, "b f c h w"],
    *,
    times: Float[Tensor, "r f"],
    share: Float[Tensor, "b f c h w"] | float,
) -> Float[Tensor, "b f c h w"]:
    """Take the frames down the rows of ``times``.

    Args:
        denoise: the model.
        x: frames at the levels of the first row.
        times: noise levels in [0, 1], none of which rises from a row to the next.
        share: how much of a change of the prediction is carried on, see
            :func:`worldgen.sampling.flow.sample`; the change is that since the frame's own last step.
    """
    if (times.diff(dim=0) > 0).any():
        raise ValueError("a noise level rises along the schedule; frames only lose noise")
    last: list[tuple[float, Tensor] | None] = [None] * x.shape[1]
    for now, then in pairwise(times.tolist()):
        changing = [i for i in range(x.shape[1]) if now[i] != then[i]]
        if not changing:
            continue
        levels = torch.tensor(now, dtype=times.dtype, device=x.device).expand(len(x), -1)
        predicted = denoise(x, levels, changing)
        x = x.clone()
        for k, i in enumerate(changing):
            frame, answer = x[:, i : i + 1], predicted[:, k : k + 1]
            part = share[:, i : i + 1] if isinstance(share, Tensor) else share
            x[:, i : i + 1] = stepped(frame, answer, t=now[i], t_next=then[i], last=last[i], share=part)
            last[i] = (now[i], answer)
    return x


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the frames of one clip are sampled together."""

    kind: str
    """One of ``KINDS``."""

    delay: float = 1.0
    """Steps by which a frame of a pyramid or a trapezoid lags behind its neighbour."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a schedule is one of {', '.join(KINDS)}, got {self.kind!r}")

    @property
    def label(self) -> str:
        """For names of generators: different for schedules that differ."""
        return f"{self.kind}{self.delay!r}" if self.kind in ("pyramid", "trapezoid") else self.kind

    def matrix(self, steps: int, frames: int) -> Int[Tensor, "r f"]:
        """The levels, from ``steps`` to 0.

        Raises:
            ValueError: if the delay is negative or exceeds ``steps``.
        """
        if self.kind == "full":
            return full_sequence(steps, frames)
        if self.kind == "autoregressive":
            return autoregressive(steps, frames)
        shape = pyramid if self.kind == "pyramid" else trapezoid
        return shape(steps, frames, delay=self.delay)

    def sample(
        self,
        denoise: FrameDenoiser,
        noise: Float[Tensor, "b f c h w"],
        *,
        grid: Float[Tensor, " n"],
        imagined: Float[Tensor, "b f c h w"] | None = None,
    ) -> Float[Tensor, "b f c h w"]:
        """What :func:`worldgen.sampling.flow.sample` does, with a level of its own for every frame."""
        times = times_of(self.matrix(len(grid) - 1, noise.shape[1]), grid)
        return walk(denoise, noise, times=times, share=carried(grid, imagined))
